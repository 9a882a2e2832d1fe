//! Shocks that a record ends, raises or makes worse.

use smallvec::SmallVec;

use crate::catalog_types::RuleScope;
use crate::event::{Event, Record};
use crate::ids::{PositionId, ShockId};
use crate::reply::Reply;
use crate::state::State;

/// Positions that were short before a record, with their lowest balance.
pub(super) type Short = SmallVec<[(PositionId, i64); 2]>;

impl State {
    /// Looks at the positions with an open shock that these events will change. Time may have healed one since it
    /// was last touched (a receipt has become due): its shock ends first, so that a new break is told as one.
    pub(super) fn end_healed(&self, events: &mut SmallVec<[Event; 1]>) -> Short {
        let mut short = Short::new();
        let mut healed: SmallVec<[Event; 1]> = SmallVec::new();
        let mut named: SmallVec<[PositionId; 2]> = SmallVec::new();
        for event in &*events {
            self.shocked_by(event, &mut |id| named.push(id));
        }
        // One rule may name very many positions, and name them twice.
        named.sort_unstable();
        named.dedup();
        for id in named {
            let position = self.position(id);
            let lowest = position.lowest_balance(self.now);
            match position.shock {
                Some(shock) if lowest >= 0 => healed.push(Event::ShockResolved(shock, id)),
                Some(_) => short.push((id, lowest)),
                None => {}
            }
        }
        events.insert_many(0, healed);
        short
    }

    /// Names the positions with an open shock from which an event may take supply.
    fn shocked_by(&self, event: &Event, name: &mut dyn FnMut(PositionId)) {
        let one = match event {
            Event::CountTaken { position, .. } | Event::Moved { position, .. } => Some(*position),
            Event::ReceiptChanged(no, _)
            | Event::ReceiptReceived { no, .. }
            | Event::ReceiptClosed(no)
            | Event::ReceiptOverdue(no) => self.receipts.get(*no).map(|receipt| receipt.position),
            Event::RulePut(RuleScope::Position(item, location), _)
            | Event::ReceiptsJudged(RuleScope::Position(item, location)) => {
                self.position_id(*item, *location)
            }
            Event::RulePut(RuleScope::Location(location), _)
            | Event::ReceiptsJudged(RuleScope::Location(location)) => {
                let open = self.shocks.open.values().map(|open| open.position);
                open.filter(|id| self.position(*id).location == *location)
                    .for_each(name);
                return;
            }
            _ => None,
        };
        // A position that the same record creates is not there yet.
        if let Some(id) = one.filter(|id| id.index() < self.position_count()) {
            name(id);
        }
    }

    /// Names in the reply the shocks that the record raised or made worse.
    pub(super) fn tell_shocks(&self, record: &mut Record, short: &Short) {
        let raised = record.events.iter().filter_map(|event| match event {
            Event::ShockRaised { shock, .. } => Some(*shock),
            _ => None,
        });
        let mut told: SmallVec<[ShockId; 1]> = raised.collect();
        for (id, before) in short {
            let position = self.position(*id);
            let worse = position.lowest_balance(self.now) < *before;
            told.extend(position.shock.filter(|_| worse));
        }
        if told.is_empty() {
            return;
        }
        match &mut record.reply {
            Some(Reply::Supply(supply)) => supply.shock = told.first().copied(),
            Some(reply) => {
                if let Reply::Step(step) = *reply {
                    *reply = Reply::StepWithShocks(step, told);
                }
            }
            None => {}
        }
    }
}
