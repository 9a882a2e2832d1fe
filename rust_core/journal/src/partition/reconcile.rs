//! The proof of conservation over the retained journal.

use std::collections::{HashMap, HashSet};

use bespeak_engine::{
    Event, Position, PositionId, Record, Reservation, Settings, State, StockStatus, Units,
    UtcMillis,
};

use crate::storage::Storage;
use crate::view::LogView;

use super::as_of::oldest_shown;
use super::codec::decode_record;
use super::error::PartitionError;
use super::recover::base_state;
use super::tally::{Mismatch, Tally};

/// Discrepancies beyond this many are counted, not listed.
const LISTED_MAX: usize = 1_000;

/// One thing that does not add up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discrepancy {
    /// Name of the item; empty when no position is concerned.
    pub item: String,
    /// Name of the location; empty when no position is concerned.
    pub location: String,
    /// What does not add up.
    pub what: &'static str,
    /// What the events add up to.
    pub expected: i64,
    /// What was found.
    pub found: i64,
    /// Record after which it was first seen not to hold; 0 when not known. A position with many plans is not looked at
    /// after each record.
    pub revision: u64,
}

/// What reconciling found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReconcileReport {
    /// Revision of the state that the count started from; 0 for the empty one.
    pub from_revision: u64,
    /// Revision up to which everything was counted.
    pub revision: u64,
    /// Positions compared.
    pub positions_checked: u64,
    /// Records counted.
    pub records_checked: u64,
    /// Units promised that were not there when they were promised.
    pub oversold_units: u64,
    /// Number of discrepancies.
    pub discrepancy_count: u64,
    /// The first of them.
    pub discrepancies: Vec<Discrepancy>,
}

impl ReconcileReport {
    fn note(&mut self, state: &State, mismatch: &Mismatch, revision: u64) {
        self.discrepancy_count += 1;
        if self.discrepancies.len() >= LISTED_MAX {
            return;
        }
        let (item, location) = match mismatch
            .position
            .filter(|id| id.index() < state.position_count())
        {
            Some(id) => names(state, id),
            None => (String::new(), String::new()),
        };
        self.discrepancies.push(Discrepancy {
            item,
            location,
            what: mismatch.what,
            expected: mismatch.expected,
            found: mismatch.found,
            revision,
        });
    }
}

fn names(state: &State, id: PositionId) -> (String, String) {
    let position = state.position(id);
    let item = state.catalog().items().get(position.item().index());
    let location = state.catalog().locations().get(position.location().index());
    (
        item.map(|item| item.name.to_string()).unwrap_or_default(),
        location
            .map(|location| location.name.to_string())
            .unwrap_or_default(),
    )
}

const STATUSES: [StockStatus; 3] = [
    StockStatus::Unrestricted,
    StockStatus::Quality,
    StockStatus::Blocked,
];

/// Positions of the live state copied under one lock.
pub(super) const SLICE: usize = 65_536;

/// What a position of the live state shows of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shown {
    on_hand: [i64; 3],
    /// Lowest balance from the slice's time on: receipts and promises together.
    lowest: i64,
}

impl Shown {
    fn of(position: &Position, at: UtcMillis) -> Self {
        Self {
            on_hand: STATUSES.map(|status| position.on_hand(status)),
            lowest: position.lowest_net(at),
        }
    }
}

/// A part of the live state, as it was at one revision.
#[derive(Debug)]
pub(super) struct LiveSlice {
    revision: u64,
    at: UtcMillis,
    first: usize,
    shown: Vec<Shown>,
}

impl LiveSlice {
    /// Copies the positions from `first` on: 32 bytes each, all that holds the partition's lock.
    pub(super) fn of(state: &State, first: usize) -> Self {
        let end = state.position_count().min(first + SLICE);
        let shown =
            (first..end).map(|n| Shown::of(state.position(PositionId(n as u32)), state.now()));
        Self {
            revision: state.revision(),
            at: state.now(),
            first,
            shown: shown.collect(),
        }
    }

    /// Number of the position behind the last one; `None` when there was none left.
    pub(super) fn next(&self) -> Option<usize> {
        (!self.shown.is_empty()).then_some(self.first + self.shown.len())
    }

    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    /// Compares with the replayed state of the same revision.
    fn compare(&self, state: &State, mismatch: &mut dyn FnMut(Mismatch)) {
        for (n, shown) in (self.first..).zip(&self.shown) {
            let position = Some(PositionId(n as u32));
            let found = if n < state.position_count() {
                Shown::of(state.position(PositionId(n as u32)), self.at)
            } else {
                Shown {
                    on_hand: [0; 3],
                    lowest: 0,
                }
            };
            let stock = STATUSES.map(|status| {
                let what = "live on hand is not what the journal gives";
                let at = status as usize;
                (what, found.on_hand[at], shown.on_hand[at])
            });
            let what = "live balance of receipts and promises is not what the journal gives";
            let balance = (what, found.lowest, shown.lowest);
            for (what, expected, found) in stock.into_iter().chain([balance]) {
                if expected != found {
                    mismatch(Mismatch {
                        position,
                        what,
                        expected,
                        found,
                    });
                }
            }
        }
    }
}

/// A position with many plans is looked through once for so many of them.
const PLANS_A_LOOK: usize = 8;

/// What has been told, and what is still to be looked at.
#[derive(Default)]
struct Looks {
    /// What is already wrong stays wrong: each position is told once for its stock …
    stock: HashSet<PositionId>,
    /// … and once for its promises.
    promised: HashSet<PositionId>,
    /// Changes of a position since its promises were compared.
    waiting: HashMap<PositionId, usize>,
}

impl Looks {
    fn stock(&mut self, tally: &Tally, state: &State, id: PositionId, found: &mut Vec<Mismatch>) {
        if !self.stock.contains(&id) {
            let before = found.len();
            tally.check_stock(state, id, &mut |mismatch| found.push(mismatch));
            if found.len() > before {
                self.stock.insert(id);
            }
        }
    }

    /// Comparing walks the plans of the position, so that one with very many waits for some more changes.
    fn promised(
        &mut self,
        tally: &Tally,
        state: &State,
        id: PositionId,
        last: bool,
        found: &mut Vec<Mismatch>,
    ) {
        if self.promised.contains(&id) {
            return;
        }
        let waiting = self.waiting.entry(id).or_default();
        *waiting += 1;
        if !last && *waiting * PLANS_A_LOOK < state.plan_count(id) {
            return;
        }
        *waiting = 0;
        let before = found.len();
        tally.check_promised(state, id, &mut |mismatch| found.push(mismatch));
        if found.len() > before {
            self.promised.insert(id);
        }
    }
}

/// Replays the retained journal up to the live state's revision, counts everything a second time
/// and compares. `live` is in the order of its revisions.
pub(super) fn reconcile(
    storage: &dyn Storage,
    view: &LogView,
    settings: &Settings,
    live: &[LiveSlice],
) -> Result<ReconcileReport, PartitionError> {
    let from = oldest_shown(storage, view);
    let (mut state, _) = base_state(storage, view, settings, from, &mut || ())?;
    let mut report = ReconcileReport {
        from_revision: state.revision(),
        ..Default::default()
    };
    let mut tally = Tally::from_state(&state);
    let mut looks = Looks::default();
    let mut reader = view.read_from(state.revision() + 1)?;
    let mut live = live.iter().peekable();
    let last = live.clone().last().map_or(0, LiveSlice::revision);
    loop {
        while let Some(slice) = live.next_if(|slice| slice.revision <= state.revision()) {
            let mut found = Vec::new();
            slice.compare(&state, &mut |mismatch| found.push(mismatch));
            for mismatch in found {
                report.note(&state, &mismatch, 0);
            }
        }
        if state.revision() >= last {
            break;
        }
        let Some(stored) = reader.next()? else { break };
        let record = decode_record(&stored)?;
        state.apply(&record)?;
        report.records_checked += 1;
        let mut found = Vec::new();
        tally.add(&record, &mut |mismatch| found.push(mismatch));
        for &id in state.touched() {
            looks.stock(&tally, &state, id, &mut found);
        }
        for &id in tally.changed().iter().chain(state.touched()) {
            looks.promised(&tally, &state, id, false, &mut found);
        }
        report.oversold_units += oversold(&state, &record);
        for mismatch in found {
            report.note(&state, &mismatch, record.revision);
        }
    }
    report.revision = state.revision();
    let mut found = Vec::new();
    for (id, _) in state.positions() {
        report.positions_checked += 1;
        looks.stock(&tally, &state, id, &mut found);
        looks.promised(&tally, &state, id, true, &mut found);
    }
    for mismatch in found {
        report.note(&state, &mismatch, 0);
    }
    Ok(report)
}

/// Units that a new reservation, or one taken again, took beyond what was there.
fn oversold(state: &State, record: &Record) -> u64 {
    let mut units = 0;
    let mut add = |position: PositionId, ship_time: UtcMillis, quantity: Units| {
        let lowest = state.position(position).lowest_net(ship_time);
        units += lowest.min(0).unsigned_abs().min(quantity.get());
    };
    for event in &record.events {
        match event {
            Event::Held(held) => {
                for line in &held.lines {
                    add(line.position, line.ship_time, line.quantity);
                }
            }
            Event::Reacquired(id, _) => {
                let lines = state.reservation(*id).map(Reservation::lines);
                for line in lines.unwrap_or_default() {
                    add(line.position, line.ship_time, line.open);
                }
            }
            _ => {}
        }
    }
    units
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::sync::Arc;

    use bespeak_engine::{Command, Item, ItemId, Location, LocationKind, Meta, SetOnHand};

    use crate::partition::{ManualClock, Partition, PartitionConfig};
    use crate::storage::SimStorage;

    #[test]
    fn a_live_state_that_differs_from_the_journal_is_told() {
        let clock = Arc::new(ManualClock::new(1_790_000_000_000));
        let config = PartitionConfig {
            log: crate::LogConfig {
                background: false,
                ..PartitionConfig::default().log
            },
            ..PartitionConfig::default()
        };
        let disk = Arc::new(SimStorage::new(1));
        let opened = Partition::open(disk, config, clock, Arc::new(()));
        let (partition, _) = opened.expect("opens");
        let commands = [
            Command::PutItem(Item {
                name: "tea".into(),
                base_unit: "each".into(),
                units: Vec::new(),
            }),
            Command::PutLocation(Location {
                name: "ams1".into(),
                time_zone: "".into(),
                day_offsets: Vec::new(),
                kind: LocationKind::Store,
            }),
            Command::SetOnHand(SetOnHand {
                item: ItemId(0),
                location: bespeak_engine::LocationId(0),
                status: StockStatus::Unrestricted,
                quantity: Units::new(7).expect("small"),
                counted_at: None,
                expected_on_hand: None,
                expected_version: None,
            }),
        ];
        for command in &commands {
            partition.execute(Meta::default(), command).expect("taken");
        }
        let live = || {
            let slice = partition.peek(|state| LiveSlice::of(state, 0));
            slice.expect("it is open")
        };
        let told = |slice: LiveSlice| {
            let storage = partition.storage().expect("a journal").as_ref();
            let view = partition.journal().expect("a journal");
            let report = reconcile(storage, view, &Settings::default(), &[slice]);
            let told = report.expect("it is read").discrepancies;
            let told = told.into_iter();
            told.map(|one| (one.expected, one.found))
                .collect::<Vec<_>>()
        };
        assert_eq!(told(live()), []);
        let mut stock = live();
        stock.shown[0].on_hand[1] = 3;
        assert_eq!(told(stock), [(0, 3)]);
        let mut plans = live();
        plans.shown[0].lowest = 5;
        assert_eq!(told(plans), [(7, 5)]);
        let mut more = live();
        let extra = more.shown[0];
        more.shown.push(extra);
        assert_eq!(told(more), [(0, 7), (0, 7)]);
    }
}
