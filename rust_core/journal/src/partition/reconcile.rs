//! The proof of conservation over the retained journal.

use bespeak_engine::{Event, PositionId, Record, Settings, State, StockStatus};

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
    /// First record after which it does not hold; 0 when not known.
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

/// Stock on hand of the live state, to compare the replayed one with.
pub(super) struct Live {
    revision: u64,
    on_hand: Vec<[i64; 3]>,
}

const STATUSES: [StockStatus; 3] = [
    StockStatus::Unrestricted,
    StockStatus::Quality,
    StockStatus::Blocked,
];

impl Live {
    /// Copies the stock; 24 bytes a position, the only part that holds the partition's lock.
    pub(super) fn of(state: &State) -> Self {
        let on_hand = state
            .positions()
            .map(|(_, at)| STATUSES.map(|status| at.on_hand(status)));
        Self {
            revision: state.revision(),
            on_hand: on_hand.collect(),
        }
    }

    pub(super) fn revision(&self) -> u64 {
        self.revision
    }
}

/// Replays the retained journal up to the live state's revision, counts everything a second time
/// and compares.
pub(super) fn reconcile(
    storage: &dyn Storage,
    view: &LogView,
    settings: &Settings,
    live: &Live,
) -> Result<ReconcileReport, PartitionError> {
    let from = oldest_shown(storage, view);
    let (mut state, _) = base_state(storage, view, settings, from)?;
    let mut report = ReconcileReport {
        from_revision: state.revision(),
        ..Default::default()
    };
    let mut tally = Tally::from_state(&state);
    // What is already wrong stays wrong: each position is told once for its stock.
    let mut told = std::collections::HashSet::new();
    let mut reader = view.read_from(state.revision() + 1)?;
    while state.revision() < live.revision {
        let Some(stored) = reader.next()? else { break };
        let record = decode_record(&stored)?;
        state.apply(&record)?;
        report.records_checked += 1;
        let mut found = Vec::new();
        tally.add(&record, &mut |mismatch| found.push(mismatch));
        for &id in state.touched() {
            if !told.contains(&id) {
                let before = found.len();
                tally.check_stock(&state, id, &mut |mismatch| found.push(mismatch));
                if found.len() > before {
                    told.insert(id);
                }
            }
        }
        report.oversold_units += oversold(&state, &record);
        for mismatch in found {
            report.note(&state, &mismatch, record.revision);
        }
    }
    report.revision = state.revision();
    finish(&state, &tally, live, &mut report, &told);
    Ok(report)
}

/// Units that a new reservation took beyond what was there.
fn oversold(state: &State, record: &Record) -> u64 {
    let mut units = 0;
    for event in &record.events {
        let Event::Held(held) = event else { continue };
        for line in &held.lines {
            let lowest = state.position(line.position).lowest_net(line.ship_time);
            units += lowest.min(0).unsigned_abs().min(line.quantity.get());
        }
    }
    units
}

/// The comparison at the end: every position, its promises and the live stock.
fn finish(
    state: &State,
    tally: &Tally,
    live: &Live,
    report: &mut ReconcileReport,
    told: &std::collections::HashSet<PositionId>,
) {
    let mut found = Vec::new();
    let commitments = tally.commitments();
    for (id, position) in state.positions() {
        report.positions_checked += 1;
        if !told.contains(&id) {
            tally.check_stock(state, id, &mut |mismatch| found.push(mismatch));
        }
        let promised = commitments.get(id.index()).copied().unwrap_or_default();
        Tally::check_promised(state, id, promised, &mut |mismatch| found.push(mismatch));
        let lived = live.on_hand.get(id.index()).copied().unwrap_or_default();
        for status in STATUSES {
            let (expected, shown) = (position.on_hand(status), lived[status as usize]);
            if expected != shown {
                let what = "live on hand is not what the journal gives";
                found.push(Mismatch {
                    position: Some(id),
                    what,
                    expected,
                    found: shown,
                });
            }
        }
    }
    for mismatch in found {
        report.note(state, &mismatch, 0);
    }
}
