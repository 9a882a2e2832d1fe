//! Counts for operators.

use crate::ids::{ItemId, LocationId};
use crate::sources::SourceWindow;
use crate::state::State;
use crate::unmet::Unmet;

/// How much a partition holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stats {
    /// Items known.
    pub items: usize,
    /// Locations known.
    pub locations: usize,
    /// Positions.
    pub positions: usize,
    /// Open receipts.
    pub receipts: usize,
    /// Holds that are not confirmed.
    pub held: u64,
    /// Confirmed reservations that have not left in full.
    pub confirmed: u64,
    /// Open supply shocks.
    pub open_shocks: usize,
    /// Supply shocks ever raised.
    pub raised_shocks: u64,
    /// Answers remembered in memory.
    pub remembered_requests: usize,
    /// Bytes of the recent movements that a late count needs.
    pub movement_bytes: usize,
}

impl State {
    /// How much this partition holds.
    pub fn stats(&self) -> Stats {
        Stats {
            items: self.catalog.items().len(),
            locations: self.catalog.locations().len(),
            positions: self.position_count,
            receipts: self.receipts.len(),
            held: self.reservations.held,
            confirmed: self.reservations.confirmed,
            open_shocks: self.shocks.open.len(),
            raised_shocks: self.shocks.next_id - 1,
            remembered_requests: self.requests.len(),
            movement_bytes: self.movements.memory(),
        }
    }

    /// Event sources by name.
    pub fn sources(&self) -> impl Iterator<Item = (&str, &SourceWindow)> {
        self.sources.iter()
    }

    /// Unmet demand from this day, item and location on, in that order.
    pub fn unmet_demand_from(
        &self,
        first: (u32, ItemId, LocationId),
    ) -> impl Iterator<Item = (u32, ItemId, LocationId, Unmet)> + '_ {
        self.unmet.iter_from(first)
    }

    /// Unmet demand by day, item and location.
    pub fn unmet_demand(&self) -> impl Iterator<Item = (u32, ItemId, LocationId, Unmet)> + '_ {
        self.unmet.iter()
    }
}
