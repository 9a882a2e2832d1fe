//! Receipts as events change them, and with them their place in the timelines.

use crate::catalog_types::{ReceiptKind, RuleScope};
use crate::event::ReceiptPlan;
use crate::ids::{PositionId, ReceiptNo, Units};
use crate::receipts::Receipt;
use crate::state::State;
use crate::timeline::{Entry, EntryKey, EntryRef};

impl State {
    pub(super) fn apply_receipt(
        &mut self,
        no: ReceiptNo,
        name: &str,
        position: PositionId,
        kind: ReceiptKind,
        plan: &ReceiptPlan,
    ) -> Option<()> {
        // Numbers follow each other: one far ahead would take memory for all between.
        if position.index() >= self.position_count
            || no.0 != self.receipts.next_no
            || self.receipts.find(name).is_some()
        {
            return None;
        }
        let place = self.position(position);
        let rule = self.rule_of(place);
        let receipt = Receipt {
            name: name.into(),
            position,
            yield_ppm: plan.yield_ppm,
            revision: 1,
            kind,
            overdue: false,
            open: plan.open,
            received: Units::ZERO,
            due: plan.due,
            counts_from: plan.counts_from,
            overdue_at: self.overdue_at(place.location, plan.counts_from, rule.late_grace),
        };
        let entry = Entry {
            time: plan.counts_from,
            key: EntryKey::receipt(no),
            quantity: receipt.counted(rule),
        };
        self.position_mut(position)?.timeline.insert(entry);
        self.receipts.insert(no, receipt);
        self.touch(position);
        Some(())
    }

    pub(super) fn apply_receipt_plan(&mut self, no: ReceiptNo, plan: &ReceiptPlan) -> Option<()> {
        let receipt = self.receipts.get(no)?;
        // A receipt whose time was moved is judged by its new time.
        let overdue = receipt.overdue && receipt.counts_from == plan.counts_from;
        self.set_receipt_plan(no, plan, overdue)?;
        self.receipts.update(no, |receipt| {
            receipt.revision = receipt.revision.saturating_add(1);
        })?;
        Some(())
    }

    pub(super) fn receipts_of(&self, id: PositionId) -> Vec<ReceiptNo> {
        let entries = self.position(id).timeline.iter();
        let receipt = |entry: Entry| match entry.key.unpack() {
            EntryRef::Receipt(no) => Some(no),
            EntryRef::Commitment(..) => None,
        };
        entries.filter_map(receipt).collect()
    }

    pub(super) fn judge_receipts(&mut self, scope: RuleScope) -> Option<()> {
        let positions: Vec<PositionId> = match scope {
            RuleScope::Position(item, location) => vec![self.position_id(item, location)?],
            RuleScope::Location(location) => {
                let here = self
                    .positions()
                    .filter(|(_, position)| position.location == location);
                here.map(|(id, _)| id).collect()
            }
        };
        for id in positions {
            let place = self.position(id);
            let (location, grace) = (place.location, self.rule_of(place).late_grace);
            for no in self.receipts_of(id) {
                let receipt = self.receipts.get(no)?;
                let plan = receipt.plan();
                let overdue = self.overdue_at(location, plan.counts_from, grace) <= self.now;
                self.set_receipt_plan(no, &plan, overdue)?;
            }
        }
        Some(())
    }

    pub(super) fn set_receipt_plan(
        &mut self,
        no: ReceiptNo,
        plan: &ReceiptPlan,
        overdue: bool,
    ) -> Option<()> {
        let receipt = self.receipts.get(no)?;
        let (id, old_from) = (receipt.position, receipt.counts_from);
        let place = self.position(id);
        let rule = *self.rule_of(place);
        let overdue_at = self.overdue_at(place.location, plan.counts_from, rule.late_grace);
        let receipt = self.receipts.update(no, |receipt| {
            receipt.open = plan.open;
            receipt.due = plan.due;
            receipt.counts_from = plan.counts_from;
            receipt.yield_ppm = plan.yield_ppm;
            receipt.overdue_at = overdue_at;
            receipt.overdue = overdue;
        })?;
        let quantity = receipt.counted(&rule);
        let key = EntryKey::receipt(no);
        let timeline = &mut self.position_mut(id)?.timeline;
        timeline.remove(old_from, key).then_some(())?;
        timeline.insert(Entry {
            time: plan.counts_from,
            key,
            quantity,
        });
        self.touch(id);
        Some(())
    }
}
