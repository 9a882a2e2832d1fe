//! Recent movements of stock on hand, kept so that a count told late can be applied to the right moment.

mod trail;

use std::collections::BTreeMap;
use std::ops::Bound;

use serde::{Deserialize, Serialize};

use crate::catalog_types::StockStatus;
use crate::ids::{PositionId, UtcMillis};
use crate::limits::{COUNT_LOOKBACK_MS, MAX_MOVEMENTS};
use trail::{Pieces, Trail};

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Movement {
    pub at: UtcMillis,
    pub status: StockStatus,
    pub delta: i64,
}

/// Movements of one position since `kept_since`, in the order told, as a snapshot has them.
#[derive(PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct History {
    pub kept_since: UtcMillis,
    pub moves: Vec<Movement>,
}

/// A history in memory.
#[derive(Clone, Debug, Default)]
struct Kept {
    kept_since: UtcMillis,
    moves: Trail,
}

impl Kept {
    /// Drops what no count may reach back to. Which movements are kept in memory is nobody's business: the snapshot
    /// has its form at its own time, whenever and wherever they were dropped before.
    fn prune(&mut self, now: UtcMillis, pieces: &mut Pieces) {
        let horizon = now.plus(-COUNT_LOOKBACK_MS);
        self.moves.drop_before(horizon, pieces);
        self.kept_since = since_at(self.kept_since, horizon);
    }

    fn known_at(&self, now: UtcMillis, pieces: &Pieces) -> History {
        let horizon = now.plus(-COUNT_LOOKBACK_MS);
        let recent = self.moves.iter(pieces).filter(|old| old.at >= horizon);
        History {
            kept_since: since_at(self.kept_since, horizon),
            moves: recent.collect(),
        }
    }

    /// Drops the older half, so that the cost a movement stays constant, and notes since when they are known.
    fn halve(&mut self, pieces: &mut Pieces) {
        let mut moves: Vec<Movement> = self.moves.iter(pieces).collect();
        moves.sort_by_key(|old| old.at);
        let cut = moves.len() / 2;
        let last_dropped = moves[cut - 1].at;
        let kept = moves.into_iter().skip(cut);
        let kept = kept.filter(|old| old.at > last_dropped);
        self.moves.replace(kept, pieces);
        self.kept_since = self.kept_since.max(last_dropped);
    }

    fn add(&mut self, movement: Movement, now: UtcMillis, pieces: &mut Pieces) {
        if self.moves.len() >= MAX_MOVEMENTS {
            self.prune(now, pieces);
            if self.moves.len() >= MAX_MOVEMENTS {
                self.halve(pieces);
            }
        }
        self.moves
            .push(movement, now.plus(-COUNT_LOOKBACK_MS), pieces);
    }
}

/// Since when movements are known of which none before the horizon matters.
fn since_at(kept_since: UtcMillis, horizon: UtcMillis) -> UtcMillis {
    if kept_since <= horizon {
        return UtcMillis::ZERO;
    }
    kept_since
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Movements {
    histories: BTreeMap<PositionId, Kept>,
    /// The last position whose history was looked at to see whether it still says anything.
    swept: Option<PositionId>,
    pieces: Pieces,
}

/// Histories that are looked at for each one that begins, so that the table does not grow past what is recent.
const SWEEP: usize = 2;

impl Movements {
    pub fn add(&mut self, position: PositionId, movement: Movement, now: UtcMillis) {
        let kept = self.histories.entry(position).or_default();
        let begins = kept.moves.len() == 0;
        kept.add(movement, now, &mut self.pieces);
        if begins {
            self.sweep(now);
        }
    }

    fn sweep(&mut self, now: UtcMillis) {
        for _ in 0..SWEEP {
            let after = self.swept.map_or(Bound::Unbounded, Bound::Excluded);
            let next = self.histories.range_mut((after, Bound::Unbounded)).next();
            let Some((position, kept)) = next else {
                self.swept = None;
                return;
            };
            let position = *position;
            kept.prune(now, &mut self.pieces);
            if kept.moves.len() == 0 && kept.kept_since == UtcMillis::ZERO {
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
        let Some(kept) = self.histories.get(&position) else {
            return Ok(0);
        };
        if counted_at < kept.kept_since {
            return Err(kept.kept_since);
        }
        let later = |movement: &Movement| movement.status == status && movement.at > counted_at;
        let moves = kept.moves.iter(&self.pieces).filter(later);
        Ok(moves.map(|movement| movement.delta).sum())
    }

    /// Histories that say something at a time, without what is older than a count may be.
    pub fn known_at(&self, now: UtcMillis) -> impl Iterator<Item = (PositionId, History)> {
        let histories = self.histories.iter();
        histories
            .map(move |(position, kept)| (*position, kept.known_at(now, &self.pieces)))
            .filter(|(_, known)| !known.moves.is_empty() || known.kept_since != UtcMillis::ZERO)
    }

    pub fn restore(&mut self, position: PositionId, history: History) {
        let kept = self.histories.entry(position).or_default();
        kept.kept_since = history.kept_since;
        kept.moves.replace(history.moves, &mut self.pieces);
    }

    /// Bytes that they take.
    pub fn memory(&self) -> usize {
        // Nodes of the tree are two thirds full.
        let entry = size_of::<(PositionId, Kept)>() * 3 / 2;
        self.histories.len() * entry + self.pieces.memory()
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
                let rows = |movements: &Movements| -> Vec<_> { movements.known_at(now).collect() };
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
