//! The demand of days that are over, as past forecasts are held against it.

use std::collections::BTreeMap;

use bespeak_engine::PositionId;

use super::place::Day;
use super::{History, HistoryError};
use crate::forecasts::Truth;

/// Demand of some days, position by position.
#[derive(Debug, Default)]
pub struct Demanded {
    /// By day and position, with the precision of forecasts; NaN where it is not known.
    days: BTreeMap<i32, Vec<f32>>,
}

impl Demanded {
    /// Adds a day as of an instant not before the last record. A position is known when the day is over at its location
    /// and it was in stock for all of it.
    ///
    /// # Errors
    /// `Damaged`, `Io`.
    pub fn add(&mut self, history: &History, day: i32, now_ms: i64) -> Result<(), HistoryError> {
        let book = &history.book;
        let now = now_ms.max(book.now());
        let Some(loaded) = history.load(day)? else {
            return Ok(());
        };
        let bounds: Vec<Option<Day>> = (0..)
            .map_while(|n| book.place(n))
            .map(|place| (place.today(now) > day).then(|| place.numbered(day)))
            .collect();
        let demand = |slot: u32| {
            let known = book.slots().get(slot as usize)?;
            let bounds = bounds.get(known.location as usize)?.as_ref()?;
            if known.first_day > day {
                return None;
            }
            let said = history.said(&loaded, slot, bounds, now);
            (said.out_minutes == 0).then_some(said.sold as f32)
        };
        let slots = book.slots_of_positions().iter();
        let demands = slots.map(|slot| demand(*slot).unwrap_or(f32::NAN));
        self.days.insert(day, demands.collect());
        Ok(())
    }
}

impl Truth for Demanded {
    fn demand(&self, position: PositionId, day: i32) -> Option<f64> {
        let demand = *self.days.get(&day)?.get(position.index())?;
        (!demand.is_nan()).then_some(f64::from(demand))
    }
}
