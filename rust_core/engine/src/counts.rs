//! When each status of a position was last counted: what happened up to then is in the count already.

use std::collections::BTreeMap;

use crate::catalog_types::StockStatus;
use crate::ids::{PositionId, UtcMillis};

/// Positions of one chunk.
const CHUNK: usize = 4_096;
/// No time: never counted.
const NEVER: UtcMillis = UtcMillis::new(i64::MIN);

/// The newest count of each position and status. Eight bytes a position for unrestricted stock, which is what is
/// counted everywhere; the other statuses only where they were.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    unrestricted: Vec<Vec<UtcMillis>>,
    others: BTreeMap<(PositionId, StockStatus), UtcMillis>,
}

impl Counts {
    pub fn last(&self, position: PositionId, status: StockStatus) -> Option<UtcMillis> {
        if status != StockStatus::Unrestricted {
            return self.others.get(&(position, status)).copied();
        }
        let chunk = self.unrestricted.get(position.index() / CHUNK)?;
        let at = chunk.get(position.index() % CHUNK).copied();
        at.filter(|at| *at != NEVER)
    }

    pub fn set(&mut self, position: PositionId, status: StockStatus, counted_at: UtcMillis) {
        if status != StockStatus::Unrestricted {
            self.others.insert((position, status), counted_at);
            return;
        }
        let (n, place) = (position.index() / CHUNK, position.index() % CHUNK);
        while self.unrestricted.len() <= n {
            self.unrestricted.push(Vec::new());
        }
        let chunk = &mut self.unrestricted[n];
        if chunk.len() <= place {
            chunk.reserve_exact(CHUNK - chunk.len());
            chunk.resize(place + 1, NEVER);
        }
        chunk[place] = counted_at;
    }

    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Unrestricted stock by position, then the other statuses.
    pub fn iter(&self) -> impl Iterator<Item = (PositionId, StockStatus, UtcMillis)> + '_ {
        let unrestricted = self.unrestricted.iter().enumerate().flat_map(|(n, chunk)| {
            let counted = chunk.iter().enumerate().filter(|(_, at)| **at != NEVER);
            let id = move |place| PositionId((n * CHUNK + place) as u32);
            counted.map(move |(place, at)| (id(place), StockStatus::Unrestricted, *at))
        });
        let others = self.others.iter();
        unrestricted.chain(others.map(|((position, status), at)| (*position, *status, *at)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_has_its_own_last_count_and_a_snapshot_has_them_all() {
        let mut counts = Counts::default();
        let at = UtcMillis::new;
        for (position, status, time) in [
            (9_000, StockStatus::Unrestricted, 5),
            (2, StockStatus::Unrestricted, -7),
            (2, StockStatus::Blocked, 4),
            (2, StockStatus::Unrestricted, 3),
        ] {
            counts.set(PositionId(position), status, at(time));
        }
        let rows: Vec<_> = counts.iter().collect();
        assert_eq!(
            rows,
            [
                (PositionId(2), StockStatus::Unrestricted, at(3)),
                (PositionId(9_000), StockStatus::Unrestricted, at(5)),
                (PositionId(2), StockStatus::Blocked, at(4)),
            ]
        );
        let mut again = Counts::default();
        for (position, status, at) in rows {
            again.set(position, status, at);
        }
        assert_eq!(again.len(), 3);
        for (position, status) in [(2, StockStatus::Quality), (3, StockStatus::Unrestricted)] {
            assert_eq!(again.last(PositionId(position), status), None);
        }
        let last = again.last(PositionId(9_000), StockStatus::Unrestricted);
        assert_eq!(last, Some(at(5)));
    }
}
