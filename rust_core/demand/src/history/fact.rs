//! What demand is made of: the part of the journal's events that it needs, small enough to be handed on.

use bespeak_engine::{
    Event, HeldLine, ItemId, Location, LocationId, MoveKind, PositionId, Record, ReservationId,
    StockStatus, UtcMillis,
};
use smallvec::SmallVec;

/// One thing that happened.
#[derive(Clone, PartialEq, Debug)]
pub enum Fact {
    /// An item was added or replaced.
    Item(ItemId, Box<str>),
    /// A location was added or replaced.
    Place(LocationId, Box<Location>),
    /// The first fact about an item at a location.
    Position(PositionId, ItemId, LocationId),
    /// Units kept back.
    Buffer(PositionId, i64),
    /// Unrestricted stock was counted.
    Counted(PositionId, i64),
    /// Unrestricted stock moved.
    Moved(PositionId, i64),
    /// Units were sold without a reservation, at a time that may lie before it was told.
    Sale(PositionId, i64, UtcMillis),
    /// Stock was held; confirmed at once when the flag is set.
    Held(ReservationId, bool, SmallVec<[HeldLine; 1]>),
    /// A hold became a promise.
    Confirmed(ReservationId),
    /// Units of a line left.
    Fulfilled(ReservationId, u32, i64),
    /// Units of a line were given back.
    Released(ReservationId, u32, i64),
    /// A hold's time ran out.
    Expired(ReservationId),
    /// A reservation is no more.
    Gone(ReservationId),
    /// A line was refused or shortened.
    Unmet(ItemId, LocationId, u64),
}

impl Fact {
    /// Tells a record's facts, in order.
    pub fn of(record: &Record, tell: &mut dyn FnMut(Self)) {
        for event in &record.events {
            Self::of_event(event, tell);
        }
    }

    fn of_event(event: &Event, tell: &mut dyn FnMut(Self)) {
        match event {
            Event::ItemPut(id, item) => tell(Self::Item(*id, item.name.clone())),
            Event::LocationPut(id, location) => tell(Self::Place(*id, Box::new(location.clone()))),
            Event::PositionCreated(id, item, location) => {
                tell(Self::Position(*id, *item, *location));
            }
            Event::BufferSet(id, units) => tell(Self::Buffer(*id, units.balance())),
            Event::BuffersDerived(derived) => {
                for (id, units) in &derived.buffers {
                    tell(Self::Buffer(*id, units.balance()));
                }
            }
            Event::Counted {
                position,
                status: StockStatus::Unrestricted,
                on_hand,
                ..
            }
            | Event::CountTaken {
                position,
                status: StockStatus::Unrestricted,
                on_hand,
                ..
            } => tell(Self::Counted(*position, *on_hand)),
            Event::Moved {
                position,
                status,
                delta,
                kind,
                at,
                ..
            } => {
                if *status == StockStatus::Unrestricted {
                    tell(Self::Moved(*position, *delta));
                }
                if *kind == MoveKind::Sale {
                    tell(Self::Sale(*position, -delta, *at));
                }
            }
            // The count has it already, but it was sold all the same.
            Event::MovedBeforeCount {
                position,
                delta,
                kind: MoveKind::Sale,
                at,
                ..
            } => tell(Self::Sale(*position, -delta, *at)),
            Event::Held(held) => tell(Self::Held(
                held.reservation,
                held.expires_at.is_none(),
                held.lines.clone(),
            )),
            Event::Confirmed(id) | Event::Reacquired(id, _) => tell(Self::Confirmed(*id)),
            Event::Fulfilled(id, line, units) => {
                tell(Self::Fulfilled(*id, *line, units.balance()));
            }
            Event::Released(id, line, units) => tell(Self::Released(*id, *line, units.balance())),
            Event::Expired(id) => tell(Self::Expired(*id)),
            Event::Forgotten(id) | Event::Lapsed(id) => tell(Self::Gone(*id)),
            Event::DemandUnmet {
                item,
                location,
                units,
                ..
            } => tell(Self::Unmet(*item, *location, units.get())),
            Event::RegionPut(..)
            | Event::LanePut(_)
            | Event::RulePut(..)
            | Event::BufferPolicyPut(..)
            | Event::Counted { .. }
            | Event::CountTaken { .. }
            | Event::MovedBeforeCount { .. }
            | Event::ReceiptScheduled { .. }
            | Event::ReceiptChanged(..)
            | Event::ReceiptReceived { .. }
            | Event::ReceiptClosed(_)
            | Event::ReceiptOverdue(_)
            | Event::Extended(..)
            | Event::ShockRaised { .. }
            | Event::ShockResolved(..)
            | Event::Ticked
            | Event::NumberKept
            | Event::ReceiptsJudged(_)
            | Event::HeldUnder(..)
            | Event::HeldSince(..) => {}
        }
    }
}
