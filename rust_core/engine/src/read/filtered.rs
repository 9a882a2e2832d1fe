//! Availability under a rule other than the position's own: worked out from all entries, off the fast path.

use crate::catalog_types::{StockStatus, SupplyRule};
use crate::command::RuleOverride;
use crate::decide::Scratch;
use crate::ids::{PositionId, Units, UtcMillis};
use crate::state::State;
use crate::timeline::EntryRef;

/// Net balance of a position over time: before the first entry, and from each entry's time on.
struct Profile {
    start: i64,
    steps: Vec<(UtcMillis, i64)>,
}

impl Profile {
    /// The balance at `t`, and the steps after it.
    fn split(&self, t: UtcMillis) -> (i64, &[(UtcMillis, i64)]) {
        let n = self.steps.partition_point(|(time, _)| *time <= t);
        let at = if n == 0 {
            self.start
        } else {
            self.steps[n - 1].1
        };
        (at, &self.steps[n..])
    }

    fn lowest_from(&self, t: UtcMillis) -> i64 {
        let (at, later) = self.split(t);
        later.iter().map(|(_, balance)| *balance).fold(at, i64::min)
    }

    /// The earliest instant from `t` on from which so much can be had.
    fn earliest(&self, t: UtcMillis, quantity: Units) -> Option<UtcMillis> {
        if self.lowest_from(t) >= quantity.balance() {
            return Some(t);
        }
        // The last step that is still too low decides: what follows it is the first good instant.
        let last_bad = self
            .steps
            .iter()
            .rposition(|(_, balance)| *balance < quantity.balance());
        let next = last_bad.map_or(0, |n| n + 1);
        let found = self.steps.get(next).map(|(time, _)| *time);
        found.filter(|time| *time > t)
    }
}

fn effective(own: &SupplyRule, asked: &RuleOverride) -> SupplyRule {
    SupplyRule {
        statuses: asked.statuses.unwrap_or(own.statuses),
        receipt_kinds: match asked.on_hand_only {
            true => 0,
            false => asked.receipt_kinds.unwrap_or(own.receipt_kinds),
        },
        ..*own
    }
}

/// A position as a request sees it.
pub(crate) struct View {
    /// Stock of the statuses that count.
    pub on_hand: i64,
    /// Kept back, the request's own part included.
    pub buffer: i64,
    /// Planned movements and what earlier lines took, in the order in which they count.
    pub changes: Vec<(UtcMillis, i64)>,
}

impl View {
    pub fn new(state: &State, id: PositionId, asked: &RuleOverride, scratch: &Scratch) -> Self {
        let position = state.position(id);
        let rule = effective(state.rule_of(position), asked);
        let on_hand = [
            StockStatus::Unrestricted,
            StockStatus::Quality,
            StockStatus::Blocked,
        ]
        .into_iter()
        .filter(|status| rule.counts_status(*status))
        .map(|status| position.on_hand(status))
        .sum();
        let mut changes: Vec<(UtcMillis, i64)> = position
            .timeline
            .iter()
            .map(|entry| match entry.key.unpack() {
                EntryRef::Receipt(no) => {
                    let receipt = state.receipts.get(no);
                    (
                        entry.time,
                        receipt.map_or(0, |receipt| receipt.counted(&rule)),
                    )
                }
                EntryRef::Commitment(..) => (entry.time, entry.quantity),
            })
            .collect();
        let taken = scratch.taken_from(id);
        changes.extend(taken.map(|(time, quantity)| (time, -quantity)));
        // Stable: within an instant supply stays before demand.
        changes.sort_by_key(|(time, _)| *time);
        Self {
            on_hand,
            buffer: position.buffer().balance() + asked.extra_buffer.balance(),
            changes,
        }
    }
}

fn profile(state: &State, id: PositionId, asked: &RuleOverride, scratch: &Scratch) -> Profile {
    let view = View::new(state, id, asked, scratch);
    let start = view.on_hand - view.buffer;
    let mut balance = start;
    let mut steps: Vec<(UtcMillis, i64)> = Vec::with_capacity(view.changes.len());
    for (time, change) in view.changes {
        balance += change;
        match steps.last_mut() {
            Some(last) if last.0 == time => last.1 = balance,
            _ => steps.push((time, balance)),
        }
    }
    Profile { start, steps }
}

pub(crate) fn available(
    state: &State,
    id: PositionId,
    t: UtcMillis,
    asked: &RuleOverride,
    scratch: &Scratch,
) -> Units {
    Units::from_balance(profile(state, id, asked, scratch).lowest_from(t))
}

/// What is available at `t`, and the earliest time for a quantity.
pub(crate) fn look(
    state: &State,
    id: PositionId,
    t: UtcMillis,
    quantity: Units,
    asked: &RuleOverride,
) -> (Units, Option<UtcMillis>) {
    let profile = profile(state, id, asked, &Scratch::default());
    let available = Units::from_balance(profile.lowest_from(t));
    (available, profile.earliest(t, quantity))
}

/// The staircase from `t` on, at most so many steps.
pub(crate) fn staircase(
    state: &State,
    id: PositionId,
    t: UtcMillis,
    asked: &RuleOverride,
    steps_max: usize,
) -> Vec<(UtcMillis, Units)> {
    let profile = profile(state, id, asked, &Scratch::default());
    let (at, later) = profile.split(t);
    // Backwards, so that the lowest balance from each step on is known when the step is reached.
    let mut lowest = i64::MAX;
    let mut levels: Vec<(UtcMillis, Units)> = Vec::with_capacity(later.len() + 1);
    for &(time, balance) in later.iter().rev() {
        lowest = lowest.min(balance);
        levels.push((time, Units::from_balance(lowest)));
    }
    levels.push((t, Units::from_balance(lowest.min(at))));
    levels.reverse();
    levels.dedup_by_key(|(_, available)| *available);
    levels.truncate(steps_max);
    levels
}

pub(crate) fn earliest(
    state: &State,
    id: PositionId,
    t: UtcMillis,
    quantity: Units,
    asked: &RuleOverride,
    scratch: &Scratch,
) -> Option<UtcMillis> {
    profile(state, id, asked, scratch).earliest(t, quantity)
}
