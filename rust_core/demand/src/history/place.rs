//! A location's calendar, with the day that it last looked at at hand.

use bespeak_engine::{Location, UtcMillis};
use serde::{Deserialize, Serialize};

use crate::limits::{HOUR_MS, HOURS};

/// A day of a location: its number and its first and last instants.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Day {
    /// Days since 1970-01-01.
    pub number: i32,
    /// First millisecond.
    pub start: i64,
    /// First millisecond of the next day.
    pub end: i64,
}

impl Day {
    /// Hour of the day of an instant in it.
    pub fn hour(&self, ms: i64) -> usize {
        usize::try_from((ms - self.start) / HOUR_MS)
            .unwrap_or(0)
            .min(HOURS - 1)
    }
}

/// A location.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Place {
    location: Location,
    last: Day,
}

impl Place {
    pub fn new(location: Location) -> Self {
        let last = Day {
            number: 0,
            start: 0,
            end: 0,
        };
        Self { location, last }
    }

    pub fn name(&self) -> &str {
        &self.location.name
    }

    /// The day of an instant.
    pub fn day(&mut self, ms: i64) -> Day {
        if ms < self.last.start || ms >= self.last.end {
            self.last = self.numbered(self.location.day_of(UtcMillis::new(ms)));
        }
        self.last
    }

    /// The number of the day of an instant.
    pub fn today(&self, ms: i64) -> i32 {
        self.location.day_of(UtcMillis::new(ms))
    }

    /// A day by its number.
    pub fn numbered(&self, number: i32) -> Day {
        Day {
            number,
            start: self.location.start_of_day(number).get(),
            end: self.location.start_of_day(number.saturating_add(1)).get(),
        }
    }
}
