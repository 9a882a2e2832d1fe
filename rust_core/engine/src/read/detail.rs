//! One position in full: what is planned in and what is promised out.

use crate::ids::{PositionId, ReceiptNo, Units};
use crate::receipts::Receipt;
use crate::reply::ReservationState;
use crate::state::State;
use crate::timeline::EntryRef;

/// What is planned at a position.
#[derive(Clone, Debug, Default)]
pub struct PositionDetail<'a> {
    /// Units in holds that are not confirmed.
    pub held: Units,
    /// Units confirmed that have not left.
    pub confirmed: Units,
    /// Open receipts, in the order in which they count.
    pub receipts: Vec<&'a Receipt>,
}

impl State {
    /// Number of receipts and promised lines that are planned at a position.
    pub fn plan_count(&self, id: PositionId) -> usize {
        self.position(id).timeline.len()
    }

    /// Walks the entries of a position that this state gave.
    pub fn position_detail(&self, id: PositionId) -> PositionDetail<'_> {
        let mut receipts = Vec::new();
        let (held, confirmed) = self.walk_plans(id, |no| receipts.extend(self.receipts.get(no)));
        PositionDetail {
            held,
            confirmed,
            receipts,
        }
    }

    /// Units of a position in holds that are not confirmed, and units confirmed that have not left.
    pub fn promised(&self, id: PositionId) -> (Units, Units) {
        self.walk_plans(id, |_| ())
    }

    fn walk_plans(&self, id: PositionId, mut receipt: impl FnMut(ReceiptNo)) -> (Units, Units) {
        let (mut held, mut confirmed) = (Units::ZERO, Units::ZERO);
        for entry in self.position(id).timeline.iter() {
            match entry.key.unpack() {
                EntryRef::Receipt(no) => receipt(no),
                EntryRef::Commitment(reservation, _) => {
                    let taken = Units::from_balance(-entry.quantity);
                    let is_held = self
                        .reservation(reservation)
                        .is_some_and(|found| found.state() == ReservationState::Held);
                    let sum = if is_held { &mut held } else { &mut confirmed };
                    // Entries a position are limited, so that their sum stays far from overflow.
                    *sum = Units::from_balance(sum.balance().saturating_add(taken.balance()));
                }
            }
        }
        (held, confirmed)
    }
}
