//! A day of a position while it can still change.

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::place::Day;
use crate::limits::HOURS;

/// Demand of one position on one day.
#[derive(Clone, Default, PartialEq, Debug, Serialize, Deserialize)]
pub struct Row {
    /// Units sold, net of what was given back.
    pub sold: i64,
    /// Units refused or shortened.
    pub unmet: u64,
    /// Units sold by hour; no entry for an hour without any.
    pub hours: SmallVec<[(u8, i64); 2]>,
    /// Milliseconds without stock by hour, of spells that have ended; `None` is none.
    pub out: Option<Box<[u32; HOURS]>>,
}

impl Row {
    /// Adds units sold in an hour, or takes them back.
    pub fn sell(&mut self, hour: usize, units: i64) {
        self.sold += units;
        let hour = hour as u8;
        // Sales come in time order, so the last entry is nearly always the one.
        match self.hours.iter_mut().rev().find(|(at, _)| *at == hour) {
            Some((_, sold)) => *sold += units,
            None => self.hours.push((hour, units)),
        }
    }

    /// Adds the part of a spell without stock that lies in the day.
    pub fn add_spell(&mut self, day: &Day, from: i64, to: i64) {
        let (mut at, to) = (from.max(day.start), to.min(day.end));
        if at >= to {
            return;
        }
        let out = self.out.get_or_insert_default();
        while at < to {
            let hour = day.hour(at);
            let next = if hour + 1 == HOURS {
                day.end
            } else {
                day.start + (hour as i64 + 1) * crate::limits::HOUR_MS
            };
            let part = next.min(to) - at;
            out[hour] = out[hour].saturating_add(u32::try_from(part).unwrap_or(u32::MAX));
            at = next.min(to);
        }
    }

    /// Milliseconds without stock.
    pub fn out_ms(&self) -> i64 {
        self.out
            .as_ref()
            .map_or(0, |out| out.iter().map(|ms| i64::from(*ms)).sum())
    }
}
