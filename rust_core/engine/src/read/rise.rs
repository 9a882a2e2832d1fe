//! What time alone will bring.

use crate::ids::{PositionId, Units, UtcMillis};
use crate::receipts::Receipt;
use crate::state::State;

impl State {
    /// When more can be promised at a position than now, if nothing happens but time passing; `None` when never.
    pub fn next_rise(&self, id: PositionId) -> Option<UtcMillis> {
        let position = self.position(id);
        let available = Units::from_balance(position.lowest_net(self.now)).balance();
        let level = available + 1 - position.base;
        position
            .timeline
            .earliest_at_least(self.now, level)
            .filter(|at| *at > self.now)
    }

    /// Open receipts from a number on, in the order of their numbers.
    pub fn receipts_from(&self, first: u64) -> impl Iterator<Item = (u64, &Receipt)> {
        self.receipts.iter_from(first)
    }
}
