//! Open receipts, found by number and by the caller's name, and the times at which they fall overdue.

use foldhash::fast::FixedState;

use crate::catalog_types::{ReceiptKind, SupplyRule};
use crate::due::DueQueue;
use crate::event::ReceiptPlan;
use crate::ids::{PositionId, ReceiptNo, Units, UtcMillis};
use crate::slab::Table;
use crate::split::Split;

/// Planned inbound quantity.
#[derive(Clone, Debug)]
pub struct Receipt {
    pub(crate) name: Box<str>,
    pub(crate) position: PositionId,
    pub(crate) yield_ppm: u32,
    pub(crate) revision: u32,
    pub(crate) kind: ReceiptKind,
    pub(crate) overdue: bool,
    pub(crate) open: Units,
    pub(crate) received: Units,
    pub(crate) due: UtcMillis,
    pub(crate) counts_from: UtcMillis,
    pub(crate) overdue_at: UtcMillis,
}

impl Receipt {
    /// The caller's name for it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it goes.
    pub fn position(&self) -> PositionId {
        self.position
    }

    /// Where it comes from.
    pub fn kind(&self) -> ReceiptKind {
        self.kind
    }

    /// Units still to come.
    pub fn open(&self) -> Units {
        self.open
    }

    /// Units that came.
    pub fn received(&self) -> Units {
        self.received
    }

    /// When it is due.
    pub fn due(&self) -> UtcMillis {
        self.due
    }

    /// From when it counts as supply.
    pub fn counts_from(&self) -> UtcMillis {
        self.counts_from
    }

    /// Rises with every change.
    pub fn revision(&self) -> u32 {
        self.revision
    }

    /// It did not come in its grace and no longer counts.
    pub fn overdue(&self) -> bool {
        self.overdue
    }

    /// When it falls overdue, unless it has.
    fn next_due(&self) -> Option<UtcMillis> {
        (!self.overdue).then_some(self.overdue_at)
    }

    /// Its plan.
    pub(crate) fn plan(&self) -> ReceiptPlan {
        ReceiptPlan {
            open: self.open,
            due: self.due,
            counts_from: self.counts_from,
            yield_ppm: self.yield_ppm,
        }
    }

    /// Units that a rule counts on; kinds and yield considered.
    pub(crate) fn counted(&self, rule: &SupplyRule) -> i64 {
        if self.overdue || !rule.counts_kind(self.kind) {
            return 0;
        }
        let usable = u128::from(self.open.get()) * u128::from(self.yield_ppm) / 1_000_000;
        usable as i64
    }
}

/// Whether a receipt falls overdue at that time.
fn is_due(table: &Table<Receipt>) -> impl Fn(UtcMillis, ReceiptNo) -> bool + '_ {
    |at, no| {
        table
            .get(no.0)
            .is_some_and(|found| found.next_due() == Some(at))
    }
}

/// All open receipts of a partition.
#[derive(Clone, Debug, Default)]
pub(crate) struct Receipts {
    hasher: FixedState,
    table: Table<Receipt>,
    /// Numbers of receipts by their names' hashes. There may be tens of millions.
    by_name: Split<u64, 256>,
    due: DueQueue<ReceiptNo>,
    pub next_no: u64,
}

impl Receipts {
    pub fn with_hasher(hasher: FixedState) -> Self {
        // Numbers start at 1, so that 0 never names a receipt.
        Self {
            hasher,
            next_no: 1,
            ..Self::default()
        }
    }

    pub fn len(&self) -> usize {
        self.table.len()
    }

    pub fn get(&self, no: ReceiptNo) -> Option<&Receipt> {
        self.table.get(no.0)
    }

    pub fn iter(&self) -> impl Iterator<Item = (ReceiptNo, &Receipt)> {
        self.table
            .iter()
            .map(|(no, receipt)| (ReceiptNo(no), receipt))
    }

    pub fn iter_from(&self, first: u64) -> impl Iterator<Item = (u64, &Receipt)> {
        self.table.iter_from(first)
    }

    pub fn find(&self, name: &str) -> Option<(ReceiptNo, &Receipt)> {
        let hash = std::hash::BuildHasher::hash_one(&self.hasher, name);
        let no = *self
            .by_name
            .of(hash)
            .find(hash, |no| self.name_of(*no) == name)?;
        self.table.get(no).map(|receipt| (ReceiptNo(no), receipt))
    }

    /// Earliest time at which one falls overdue.
    pub fn first_due(&self) -> Option<(UtcMillis, ReceiptNo)> {
        self.due.first()
    }

    /// Makes room for so many more.
    pub fn reserve(&mut self, more: usize) {
        let (table, hasher) = (&self.table, &self.hasher);
        self.by_name.reserve(more, |no| {
            let name = table.get(*no).map_or("", |receipt| &*receipt.name);
            std::hash::BuildHasher::hash_one(hasher, name)
        });
        self.due.reserve(more);
    }

    pub fn insert(&mut self, no: ReceiptNo, receipt: Receipt) {
        let hash = std::hash::BuildHasher::hash_one(&self.hasher, &*receipt.name);
        let due = receipt.next_due();
        self.table.insert(no.0, receipt);
        if let Some(at) = due {
            self.due.insert(at, no, is_due(&self.table));
        }
        let (table, hasher) = (&self.table, &self.hasher);
        self.by_name.of_mut(hash).insert_unique(hash, no.0, |no| {
            let name = table.get(*no).map_or("", |receipt| &*receipt.name);
            std::hash::BuildHasher::hash_one(hasher, name)
        });
        self.next_no = self.next_no.max(no.0 + 1);
    }

    /// Changes a receipt and keeps its place in the order of overdue times.
    pub fn update(&mut self, no: ReceiptNo, change: impl FnOnce(&mut Receipt)) -> Option<&Receipt> {
        let receipt = self.table.get_mut(no.0)?;
        let before = receipt.next_due();
        change(receipt);
        let after = receipt.next_due();
        if before != after {
            if before.is_some() {
                self.due.forget(is_due(&self.table));
            }
            if let Some(at) = after {
                self.due.insert(at, no, is_due(&self.table));
            }
        }
        self.table.get(no.0)
    }

    pub fn remove(&mut self, no: ReceiptNo) -> Option<Receipt> {
        let name = &self.table.get(no.0)?.name;
        let hash = std::hash::BuildHasher::hash_one(&self.hasher, &**name);
        if let Ok(entry) = self
            .by_name
            .of_mut(hash)
            .find_entry(hash, |other| *other == no.0)
        {
            entry.remove();
        }
        let receipt = self.table.remove(no.0)?;
        if receipt.next_due().is_some() {
            self.due.forget(is_due(&self.table));
        }
        Some(receipt)
    }

    fn name_of(&self, no: u64) -> &str {
        self.table.get(no).map_or("", |receipt| &*receipt.name)
    }
}
