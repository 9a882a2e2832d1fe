//! Recent movements of stock on hand, kept so that a count told late can be applied to the right moment.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::catalog_types::StockStatus;
use crate::ids::{PositionId, UtcMillis};
use crate::limits::{COUNT_LOOKBACK_MS, MAX_MOVEMENTS};

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Movement {
    pub at: UtcMillis,
    pub status: StockStatus,
    pub delta: i64,
}

/// Movements of one position since `kept_since`, in the order told.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct History {
    pub kept_since: UtcMillis,
    pub moves: Vec<Movement>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Movements(BTreeMap<PositionId, History>);

impl Movements {
    pub fn add(&mut self, position: PositionId, movement: Movement, now: UtcMillis) {
        let history = self.0.entry(position).or_default();
        let horizon = now.plus(-COUNT_LOOKBACK_MS);
        // Pruned by halves, so that the cost a movement stays constant.
        if history.moves.len() >= MAX_MOVEMENTS {
            history.moves.retain(|old| old.at >= horizon);
            history.kept_since = history.kept_since.max(horizon);
            if history.moves.len() >= MAX_MOVEMENTS {
                history.moves.sort_by_key(|old| old.at);
                let cut = history.moves.len() / 2;
                let last_dropped = history.moves[cut - 1].at;
                history.moves.drain(..cut);
                history.moves.retain(|old| old.at > last_dropped);
                history.kept_since = history.kept_since.max(last_dropped);
            }
        }
        history.moves.push(movement);
    }

    /// Sum of the movements of a status after an instant; the instant since which they are known when it lies before.
    pub fn since(
        &self,
        position: PositionId,
        status: StockStatus,
        counted_at: UtcMillis,
    ) -> Result<i64, UtcMillis> {
        let Some(history) = self.0.get(&position) else {
            return Ok(0);
        };
        if counted_at < history.kept_since {
            return Err(history.kept_since);
        }
        Ok(history
            .moves
            .iter()
            .filter(|movement| movement.status == status && movement.at > counted_at)
            .map(|movement| movement.delta)
            .sum())
    }

    pub fn iter(&self) -> impl Iterator<Item = (PositionId, &History)> {
        self.0
            .iter()
            .map(|(position, history)| (*position, history))
    }

    pub fn restore(&mut self, position: PositionId, history: History) {
        self.0.insert(position, history);
    }
}
