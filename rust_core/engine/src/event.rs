//! Events: what happened, as the journal keeps it. Replay applies them and decides nothing.
//!
//! The encoding is postcard, whose wire format is fixed. Variants are only ever added at the end, and a
//! variant's fields never change: a new form of an event is a new variant.

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::catalog_types::{
    BufferPolicy, DerivedBuffers, Item, Lane, Location, ReceiptKind, Region, RuleScope,
    StockStatus, SupplyRule,
};
use crate::command::{Meta, RuleOverride};
use crate::ids::{
    ItemId, LocationId, PositionId, ReceiptNo, RegionId, ReservationId, ShockId, Units, UtcMillis,
};
use crate::reply::Reply;

/// One journal record: the events of one command, or of one due transition.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Record {
    /// Journal position; rises by one a record.
    pub revision: u64,
    /// Engine time.
    pub time: UtcMillis,
    /// Who asked. Empty for a due transition.
    pub meta: Meta,
    /// Fingerprint of the command, for the request id.
    pub fingerprint: u64,
    /// What happened, in order.
    pub events: SmallVec<[Event; 1]>,
    /// What was answered; `None` for a due transition.
    pub reply: Option<Reply>,
}

/// Why stock on hand moved.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[repr(u8)]
pub enum MoveKind {
    /// Issue: shop sale.
    Sale = 1,
    /// Issue: shrinkage.
    Loss = 2,
    /// Issue: damage.
    Damage = 3,
    /// More than known.
    Found = 4,
    /// Correction of the books.
    Correction = 5,
    /// Goods of a receipt came.
    Received = 6,
    /// Came back from a customer.
    Returned = 7,
    /// Sent to another location.
    Transferred = 8,
    /// Left for a reservation.
    Fulfilled = 9,
    /// Between statuses.
    StatusChange = 10,
}

/// What raised a supply shock.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[repr(u8)]
pub enum ShockCause {
    /// A count below commitments.
    Count = 1,
    /// Stock left without a reservation.
    Issue = 2,
    /// A receipt was cut or cancelled.
    ReceiptCut = 3,
    /// A receipt is late or was moved out.
    ReceiptLate = 4,
    /// More or other stock left than was promised here.
    Fulfilment = 5,
    /// Stock went to a status that does not count.
    Status = 6,
    /// A supply rule became stricter.
    Rule = 7,
}

/// One line of a new reservation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HeldLine {
    /// Where.
    pub position: PositionId,
    /// How much.
    pub quantity: Units,
    /// When it ships.
    pub ship_time: UtcMillis,
}

/// A new reservation.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Held {
    /// Its id.
    pub reservation: ReservationId,
    /// Its lines.
    pub lines: SmallVec<[HeldLine; 1]>,
    /// When the hold runs out; `None` when confirmed in the same step.
    pub expires_at: Option<UtcMillis>,
    /// The caller's order.
    pub order_ref: Box<str>,
    /// Whose it is.
    pub customer: Box<str>,
    /// Demand class.
    pub segment: Box<str>,
    /// Order in which promises are kept in a shortage.
    pub tier: u8,
}

/// A receipt as planned.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ReceiptPlan {
    /// Units still to come.
    pub open: Units,
    /// When it is due.
    pub due: UtcMillis,
    /// From when it counts as supply.
    pub counts_from: UtcMillis,
    /// Usable share in parts per million.
    pub yield_ppm: u32,
}

/// One thing that happened.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Event {
    /// An item was added (id = number of items) or replaced.
    ItemPut(ItemId, Item),
    /// A location was added or replaced.
    LocationPut(LocationId, Location),
    /// A region was added or replaced.
    RegionPut(RegionId, Region),
    /// A lane was added or replaced.
    LanePut(Lane),
    /// A supply rule was set.
    RulePut(RuleScope, SupplyRule),
    /// The first fact about an item at a location.
    PositionCreated(PositionId, ItemId, LocationId),
    /// A static buffer was set.
    BufferSet(PositionId, Units),
    /// A count; `on_hand` has later movements applied again.
    Counted {
        /// The position.
        position: PositionId,
        /// Status counted.
        status: StockStatus,
        /// Units counted.
        counted: Units,
        /// When.
        counted_at: UtcMillis,
        /// Units on hand afterwards.
        on_hand: i64,
    },
    /// Stock moved.
    Moved {
        /// The position.
        position: PositionId,
        /// Status.
        status: StockStatus,
        /// Units added.
        delta: i64,
        /// Why.
        kind: MoveKind,
        /// When it happened, which may be before it was told.
        at: UtcMillis,
        /// Reservation it belongs to, where known.
        reservation: Option<ReservationId>,
    },
    /// A receipt was planned.
    ReceiptScheduled {
        /// Its number.
        no: ReceiptNo,
        /// Its name.
        name: Box<str>,
        /// Where it goes.
        position: PositionId,
        /// Where it comes from.
        kind: ReceiptKind,
        /// The plan.
        plan: ReceiptPlan,
    },
    /// A receipt's plan changed.
    ReceiptChanged(ReceiptNo, ReceiptPlan),
    /// Some of a receipt came; so much of it remains open.
    ReceiptReceived {
        /// Its number.
        no: ReceiptNo,
        /// Units that came.
        received: Units,
        /// Units still to come.
        open: Units,
    },
    /// A receipt is finished or cancelled.
    ReceiptClosed(ReceiptNo),
    /// A receipt was due and did not come in its grace: it no longer counts.
    ReceiptOverdue(ReceiptNo),
    /// Stock was held.
    Held(Held),
    /// A hold lives longer.
    Extended(ReservationId, UtcMillis),
    /// A hold became a promise without an end.
    Confirmed(ReservationId),
    /// An expired hold's stock was taken again and confirmed, to ship at these times, one a line.
    Reacquired(ReservationId, SmallVec<[UtcMillis; 1]>),
    /// Units of a line left; stock moves with a `Moved` of its own.
    Fulfilled(ReservationId, u32, Units),
    /// Units of a line were given back.
    Released(ReservationId, u32, Units),
    /// A hold's time ran out.
    Expired(ReservationId),
    /// An expired hold can no longer be taken again.
    Forgotten(ReservationId),
    /// Promises of a position cannot all be kept.
    ShockRaised {
        /// Its id.
        shock: ShockId,
        /// Where.
        position: PositionId,
        /// Why.
        cause: ShockCause,
        /// How far the lowest balance lies below zero.
        shortfall: Units,
    },
    /// They can again.
    ShockResolved(ShockId, PositionId),
    /// A line was refused or shortened for lack of stock.
    DemandUnmet {
        /// The item.
        item: ItemId,
        /// The location first asked.
        location: LocationId,
        /// Day of the location's calendar, since 1970-01-01.
        day: u32,
        /// Units not promised.
        units: Units,
        /// Tells a retry from new demand.
        key: u64,
    },
    /// Engine time moved on without a command.
    Ticked,
    /// A count; `on_hand` has later movements applied again. It ends what came before: movements up to `counted_at`
    /// are in it, whenever they are told. `Counted`, of journals before it, did not say so.
    CountTaken {
        /// The position.
        position: PositionId,
        /// Status counted.
        status: StockStatus,
        /// Units counted.
        counted: Units,
        /// When.
        counted_at: UtcMillis,
        /// Units on hand afterwards.
        on_hand: i64,
    },
    /// Stock moved at or before the last count of its status, which has it already: on hand stays.
    MovedBeforeCount {
        /// The position.
        position: PositionId,
        /// Status.
        status: StockStatus,
        /// Units added before the count.
        delta: i64,
        /// Why.
        kind: MoveKind,
        /// When it happened.
        at: UtcMillis,
        /// Reservation it belongs to, where known.
        reservation: Option<ReservationId>,
    },
    /// An expired hold can no longer be taken again, and is known to have expired. `Forgotten`, of journals before
    /// it, left nothing.
    Lapsed(ReservationId),
    /// The number of the record's source was not used up: the request was refused, and its retry is judged afresh.
    NumberKept,
    /// Receipts were judged anew by the calendar and grace that hold now: one is overdue when its time has passed by
    /// them, and counts again when it has not.
    ReceiptsJudged(RuleScope),
    /// Where buffers come from was said.
    BufferPolicyPut(RuleScope, BufferPolicy),
    /// Buffers were set from a forecast. `BufferSet` is a planner's.
    BuffersDerived(DerivedBuffers),
    /// The hold made before it in the same record came with a stricter rule, under which it is taken again too.
    HeldUnder(ReservationId, RuleOverride),
    /// The hold made before it in the same record took the place of one that was made then: the longest life of a hold
    /// counts from there.
    HeldSince(ReservationId, UtcMillis),
}
