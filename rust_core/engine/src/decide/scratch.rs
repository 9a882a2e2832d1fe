//! What the earlier lines of one command have taken, so that its lines are judged in turn and take effect together.

use smallvec::SmallVec;

use crate::ids::{PositionId, Units, UtcMillis};
use crate::position::Position;
use crate::state::State;

/// One part taken so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Taken {
    pub position: PositionId,
    /// Less than 0 for what was given back.
    pub quantity: i64,
    pub ship_time: UtcMillis,
}

/// The state as it would be after the parts taken so far.
#[derive(Clone, Default, Debug)]
pub(crate) struct Scratch {
    taken: SmallVec<[Taken; 4]>,
}

impl Scratch {
    pub fn take(&mut self, position: PositionId, quantity: Units, ship_time: UtcMillis) {
        self.taken.push(Taken {
            position,
            quantity: quantity.balance(),
            ship_time,
        });
    }

    /// Gives back what was promised for a ship time. Where that lies ahead, less than what there is may be seen before it.
    pub fn give(&mut self, position: PositionId, quantity: Units, ship_time: UtcMillis) {
        self.taken.push(Taken {
            position,
            quantity: -quantity.balance(),
            ship_time,
        });
    }

    /// Drops what was taken after the first `count` parts.
    pub fn rewind(&mut self, count: usize) {
        self.taken.truncate(count);
    }

    pub fn len(&self) -> usize {
        self.taken.len()
    }

    /// Ship times and units of what was taken from a position.
    pub fn taken_from(&self, id: PositionId) -> impl Iterator<Item = (UtcMillis, i64)> + '_ {
        self.taken
            .iter()
            .filter(move |taken| taken.position == id)
            .map(|taken| (taken.ship_time, taken.quantity))
    }

    /// Ship times of what was taken from a position with the running sum, ascending.
    fn running(&self, id: PositionId) -> SmallVec<[(UtcMillis, i64); 4]> {
        let mut running: SmallVec<[(UtcMillis, i64); 4]> = self.taken_from(id).collect();
        running.sort_unstable_by_key(|(time, _)| *time);
        let mut sum = 0;
        for (_, quantity) in &mut running {
            sum += *quantity;
            *quantity = sum;
        }
        running
    }

    /// Lowest net balance of a position from `t` on.
    pub fn lowest_net(&self, state: &State, id: PositionId, t: UtcMillis) -> i64 {
        if self.taken.is_empty() {
            return state.position(id).lowest_net(t);
        }
        lowest(state.position(id), &self.running(id), t)
    }

    pub fn available(&self, state: &State, id: PositionId, t: UtcMillis) -> Units {
        Units::from_balance(self.lowest_net(state, id, t))
    }

    /// Earliest instant from `t` on at which `quantity` can be had.
    pub fn earliest(
        &self,
        state: &State,
        id: PositionId,
        t: UtcMillis,
        quantity: Units,
    ) -> Option<UtcMillis> {
        let position = state.position(id);
        let running = self.running(id);
        let wanted = quantity.balance();
        let Some((last_time, mine)) = running.last().copied() else {
            return position
                .timeline
                .earliest_at_least(t, wanted - position.base);
        };
        if lowest(position, &running, t) >= wanted {
            return Some(t);
        }
        let end = t.max(last_time);
        if lowest(position, &running, end) < wanted {
            return position
                .timeline
                .earliest_at_least(end, wanted + mine - position.base);
        }
        // Availability never falls as the ship time moves out, so the first good instant is found by halving.
        let (mut bad, mut good) = (t.get(), end.get());
        while good - bad > 1 {
            let middle = bad + (good - bad) / 2;
            if lowest(position, &running, UtcMillis::new(middle)) >= wanted {
                good = middle;
            } else {
                bad = middle;
            }
        }
        Some(UtcMillis::new(good))
    }
}

/// Lowest net balance from `t` on, less what was taken.
///
/// Between two ship times of what was taken the stored timeline decides, so it is enough to look from `t` and
/// from each later one of them: looking too far ahead with too little taken only gives larger values.
fn lowest(position: &Position, running: &[(UtcMillis, i64)], t: UtcMillis) -> i64 {
    let after = running.partition_point(|(time, _)| *time <= t);
    let taken = if after == 0 { 0 } else { running[after - 1].1 };
    let mut lowest = position.lowest_net(t) - taken;
    for (time, taken) in &running[after..] {
        lowest = lowest.min(position.lowest_net(*time) - taken);
    }
    lowest
}
