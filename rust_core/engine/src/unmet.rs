//! Unmet demand: what was asked for and not promised, by position and day, told apart from retries.

use std::collections::{BTreeMap, VecDeque};

use hashbrown::HashSet;
use serde::{Deserialize, Serialize};

use crate::ids::{ItemId, LocationId};
use crate::limits::{MAX_UNMET_ROWS, REMEMBERED_REFUSALS, UNMET_DAYS};

/// Demand of one day that was not promised.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Unmet {
    /// Base units.
    pub units: u64,
    /// Lines.
    pub lines: u64,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct UnmetDemand {
    /// By day first, so that old days go together.
    rows: BTreeMap<(u32, ItemId, LocationId), Unmet>,
    recent: VecDeque<u64>,
    known: HashSet<u64, foldhash::fast::FixedState>,
}

impl UnmetDemand {
    /// The same refusal has been counted.
    pub fn is_retry(&self, key: u64) -> bool {
        self.known.contains(&key)
    }

    /// `today` bounds what is kept: a request for a far day must not push out what is recent.
    pub fn add(
        &mut self,
        today: u32,
        day: u32,
        item: ItemId,
        location: LocationId,
        units: u64,
        key: u64,
    ) {
        if self.known.insert(key) {
            self.recent.push_back(key);
            if self.recent.len() > REMEMBERED_REFUSALS
                && let Some(oldest) = self.recent.pop_front()
            {
                self.known.remove(&oldest);
            }
        }
        let row = self.rows.entry((day, item, location)).or_default();
        row.units = row.units.saturating_add(units);
        row.lines += 1;
        let keep = today.saturating_sub(UNMET_DAYS);
        while let Some((&(oldest, item, location), _)) = self.rows.first_key_value()
            && (oldest < keep || self.rows.len() > MAX_UNMET_ROWS)
        {
            self.rows.remove(&(oldest, item, location));
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (u32, ItemId, LocationId, Unmet)> + '_ {
        self.rows
            .iter()
            .map(|((day, item, location), unmet)| (*day, *item, *location, *unmet))
    }

    pub fn iter_from(
        &self,
        first: (u32, ItemId, LocationId),
    ) -> impl Iterator<Item = (u32, ItemId, LocationId, Unmet)> + '_ {
        self.rows
            .range(first..)
            .map(|((day, item, location), unmet)| (*day, *item, *location, *unmet))
    }

    pub fn keys(&self) -> impl Iterator<Item = u64> + '_ {
        self.recent.iter().copied()
    }

    pub fn restore_row(&mut self, day: u32, item: ItemId, location: LocationId, unmet: Unmet) {
        self.rows.insert((day, item, location), unmet);
    }

    pub fn restore_key(&mut self, key: u64) {
        if self.known.insert(key) {
            self.recent.push_back(key);
        }
    }
}
