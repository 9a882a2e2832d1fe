//! Recent movements of stock on hand, kept so that a count told late can be applied to the right moment.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Bound;

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

impl History {
    /// Drops what no count may reach back to. Which movements are kept in memory is nobody's business: the snapshot
    /// has this form at its own time, whenever and wherever they were dropped before.
    fn prune(&mut self, now: UtcMillis) {
        let horizon = now.plus(-COUNT_LOOKBACK_MS);
        self.moves.retain(|old| old.at >= horizon);
        if self.kept_since <= horizon {
            self.kept_since = UtcMillis::ZERO;
        }
    }

    fn known_at(&self, now: UtcMillis) -> Cow<'_, Self> {
        let horizon = now.plus(-COUNT_LOOKBACK_MS);
        let old = self.moves.iter().any(|old| old.at < horizon);
        if !old && (self.kept_since == UtcMillis::ZERO || self.kept_since > horizon) {
            return Cow::Borrowed(self);
        }
        let mut pruned = self.clone();
        pruned.prune(now);
        Cow::Owned(pruned)
    }

    fn says_nothing(&self) -> bool {
        self.moves.is_empty() && self.kept_since == UtcMillis::ZERO
    }

    /// Drops the older half, so that the cost a movement stays constant, and notes since when they are known.
    fn halve(&mut self) {
        self.moves.sort_by_key(|old| old.at);
        let cut = self.moves.len() / 2;
        let last_dropped = self.moves[cut - 1].at;
        self.moves.drain(..cut);
        self.moves.retain(|old| old.at > last_dropped);
        self.kept_since = self.kept_since.max(last_dropped);
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Movements {
    histories: BTreeMap<PositionId, History>,
    /// The last position whose history was looked at to see whether it still says anything.
    swept: Option<PositionId>,
}

/// Histories that are looked at for each one that begins, so that the table does not grow past what is recent.
const SWEEP: usize = 2;

impl Movements {
    pub fn add(&mut self, position: PositionId, movement: Movement, now: UtcMillis) {
        let history = self.histories.entry(position).or_default();
        let begins = history.moves.capacity() == 0;
        if history.moves.len() >= MAX_MOVEMENTS {
            history.prune(now);
            if history.moves.len() >= MAX_MOVEMENTS {
                history.halve();
            }
        } else if history.moves.len() == history.moves.capacity() {
            history.prune(now);
            // Grown where little was old, so that it is not looked through again at the next movement.
            if history.moves.len() > history.moves.capacity() / 4 * 3 {
                history.moves.reserve(history.moves.capacity());
            }
        }
        history.moves.push(movement);
        if begins {
            self.sweep(now);
        }
    }

    fn sweep(&mut self, now: UtcMillis) {
        for _ in 0..SWEEP {
            let after = self.swept.map_or(Bound::Unbounded, Bound::Excluded);
            let next = self.histories.range_mut((after, Bound::Unbounded)).next();
            let Some((position, history)) = next else {
                self.swept = None;
                return;
            };
            let position = *position;
            history.prune(now);
            if history.says_nothing() {
                self.histories.remove(&position);
            }
            self.swept = Some(position);
        }
    }

    /// Sum of the movements of a status after an instant; the instant since which they are known when it lies before.
    pub fn since(
        &self,
        position: PositionId,
        status: StockStatus,
        counted_at: UtcMillis,
    ) -> Result<i64, UtcMillis> {
        let Some(history) = self.histories.get(&position) else {
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

    /// Histories that say something at a time, without what is older than a count may be.
    pub fn known_at(&self, now: UtcMillis) -> impl Iterator<Item = (PositionId, Cow<'_, History>)> {
        self.histories
            .iter()
            .map(move |(position, history)| (*position, history.known_at(now)))
            .filter(|(_, history)| !history.says_nothing())
    }

    pub fn restore(&mut self, position: PositionId, history: History) {
        self.histories.insert(position, history);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::DAY_MS;

    fn moved(at: i64) -> Movement {
        Movement {
            at: UtcMillis::new(at),
            status: StockStatus::Unrestricted,
            delta: 1,
        }
    }

    fn add(movements: &mut Movements, position: u32, at: i64) {
        movements.add(PositionId(position), moved(at), UtcMillis::new(at));
    }

    #[test]
    fn old_movements_and_histories_that_say_nothing_leave() {
        let mut movements = Movements::default();
        // One position moves every hour for a year: eight days of it are ever kept.
        for hour in 0..365 * 24 {
            add(&mut movements, 0, hour * 3_600_000);
            let kept = movements.histories[&PositionId(0)].moves.len();
            assert!(kept <= 2 * 8 * 24, "{kept} movements");
        }
        // A thousand positions move once; a month later others do.
        for position in 1..=1_000 {
            add(&mut movements, position, 365 * DAY_MS);
        }
        for position in 2_001..=3_000 {
            add(&mut movements, position, 395 * DAY_MS);
        }
        let (count, all) = (movements.histories.len(), 1_000..=1_010);
        assert!(all.contains(&count), "{count} histories");
    }

    /// What is known does not depend on when memory was cleaned.
    #[test]
    fn a_snapshot_is_the_same_whatever_was_dropped_when() {
        let (mut live, mut reread) = (Movements::default(), Movements::default());
        let mut seed = 7u64;
        for n in 0..20_000i64 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            // Mostly one busy position, so that it is halved too, and pauses in which all of it grows old.
            let position = if seed >> 62 == 0 {
                (seed >> 33) as u32 % 9
            } else {
                0
            };
            let pause = if n % 4_000 == 0 { 8 * DAY_MS } else { 0 };
            let at = n * 60_000 + n / 4_000 * 8 * DAY_MS + pause;
            let told_late = (seed >> 40) as i64 % DAY_MS;
            let movement = moved((at - told_late).max(0));
            for movements in [&mut live, &mut reread] {
                movements.add(PositionId(position), movement, UtcMillis::new(at));
            }
            if n % 777 == 0 {
                let now = UtcMillis::new(at);
                let rows = |movements: &Movements| -> Vec<_> {
                    movements
                        .known_at(now)
                        .map(|(id, one)| (id, one.into_owned()))
                        .collect()
                };
                assert_eq!(rows(&live), rows(&reread), "after {n}");
                let mut again = Movements::default();
                for (id, history) in rows(&reread) {
                    again.restore(id, history);
                }
                reread = again;
            }
        }
    }
}
