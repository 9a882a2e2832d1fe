//! Commands: what callers ask for, with names already resolved to ids and quantities in base units.

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::catalog_types::{
    BufferPolicy, DerivedBuffers, Item, Lane, Location, ReceiptKind, Region, RuleScope,
    StockStatus, SupplyRule,
};
use crate::ids::{ItemId, LocationId, RegionId, ReservationId, Units, UtcMillis};

/// Who asks, and under which id the answer is remembered.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Meta {
    /// UUID of the request; 0 is none (the answer is then not remembered).
    pub request_id: u128,
    /// Kept in the journal.
    pub tenant: Box<str>,
    /// Kept in the journal.
    pub actor: Box<str>,
    /// W3C trace id; 0 is none.
    pub trace_id: u128,
    /// Source and sequence number of an event feed.
    pub source: Option<(Box<str>, u64)>,
    /// Fingerprint of the request as it was sent, where the command made of it depends on the state; 0 is that of the
    /// command. Kept in the journal as the record's own.
    #[serde(skip)]
    pub sent: u64,
}

/// One write.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Command {
    /// Adds an item or replaces its definition.
    PutItem(Item),
    /// Adds a location or replaces its definition.
    PutLocation(Location),
    /// Adds a region or replaces its locations.
    PutRegion(Region),
    /// Adds a lane or replaces it.
    PutLane(Lane),
    /// Sets a supply rule.
    PutRule(RuleScope, SupplyRule),
    /// Sets the static buffer of a position.
    PutBuffer(ItemId, LocationId, Units),
    /// A count.
    SetOnHand(SetOnHand),
    /// A correction, or stock that left without a reservation.
    AdjustOnHand(AdjustOnHand),
    /// From one status to another.
    MoveStatus(MoveStatus),
    /// Plans an inbound quantity.
    ScheduleReceipt(ScheduleReceipt),
    /// Changes quantity or time of an open receipt.
    ChangeReceipt(ChangeReceipt),
    /// Goods of a receipt have come.
    Receive(Receive),
    /// A receipt will not come.
    CancelReceipt(CancelReceipt),
    /// Leaves here, is due there.
    Transfer(Transfer),
    /// Came back from a customer.
    Return(Return),
    /// Check and hold at given locations.
    Reserve(Reserve),
    /// Choose locations, check and hold. Apart, because it is much larger than the others.
    Promise(Box<Promise>),
    /// A later expiry.
    Extend(Extend),
    /// HELD to CONFIRMED.
    Confirm(ReservationId),
    /// Stock of a confirmed reservation left.
    Fulfil(Fulfil),
    /// Gives stock back.
    Release(Release),
    /// Says where buffers come from.
    PutBufferPolicy(RuleScope, BufferPolicy),
    /// Sets buffers that follow a forecast. Those that a planner set stay.
    DeriveBuffers(DerivedBuffers),
    /// Another reservation in the place of an open one.
    Replace(Replace),
}

impl Command {
    /// Choose locations, check and hold.
    pub fn promise(promise: Promise) -> Self {
        Self::Promise(Box::new(promise))
    }
}

/// A count of one status of a position.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SetOnHand {
    /// The position's item.
    pub item: ItemId,
    /// The position's location.
    pub location: LocationId,
    /// Status counted.
    pub status: StockStatus,
    /// Units counted.
    pub quantity: Units,
    /// When; later movements are applied again on top. `None` is now.
    pub counted_at: Option<UtcMillis>,
    /// Compare-and-set on the value.
    pub expected_on_hand: Option<i64>,
    /// Compare-and-set on the position's version.
    pub expected_version: Option<u64>,
}

/// Why stock was adjusted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[repr(u8)]
pub enum AdjustReason {
    /// Issue: a shop sale.
    Sale = 1,
    /// Issue: shrinkage.
    Loss = 2,
    /// Issue: no longer fit for sale.
    Damage = 3,
    /// More than known.
    Found = 4,
    /// The books were wrong.
    Correction = 5,
}

/// A signed change of one status.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AdjustOnHand {
    /// The position's item.
    pub item: ItemId,
    /// The position's location.
    pub location: LocationId,
    /// Status changed.
    pub status: StockStatus,
    /// Units added; negative takes away.
    pub delta: i64,
    /// Why.
    pub reason: AdjustReason,
    /// When it happened; `None` is now.
    pub happened_at: Option<UtcMillis>,
}

/// From one status to another at the same position.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MoveStatus {
    /// The position's item.
    pub item: ItemId,
    /// The position's location.
    pub location: LocationId,
    /// Leaves this status …
    pub from: StockStatus,
    /// … for this one.
    pub to: StockStatus,
    /// Units moved.
    pub quantity: Units,
    /// When it happened; `None` is now.
    pub happened_at: Option<UtcMillis>,
}

/// When a receipt may come and how much of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ArrivalSpread {
    /// The time by which it has come with the probability that is counted on; not before due.
    pub late: UtcMillis,
    /// Expected usable share in parts per million, 1 to 1,000,000.
    pub yield_ppm: u32,
}

/// When a receipt is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Due {
    /// An instant.
    At(UtcMillis),
    /// The end of a day of the location's calendar; days since 1970-01-01.
    Day(i32),
}

/// Plans an inbound quantity.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ScheduleReceipt {
    /// The caller's name for it, unique among open receipts.
    pub receipt: Box<str>,
    /// The position's item.
    pub item: ItemId,
    /// The position's location.
    pub location: LocationId,
    /// Units planned.
    pub quantity: Units,
    /// When.
    pub due: Due,
    /// Where from.
    pub kind: ReceiptKind,
    /// How sure.
    pub spread: Option<ArrivalSpread>,
}

/// Changes an open receipt. Fields left out stay.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ChangeReceipt {
    /// Its name.
    pub receipt: Box<str>,
    /// Open units from now on.
    pub quantity: Option<Units>,
    /// New time.
    pub due: Option<Due>,
    /// New spread.
    pub spread: Option<ArrivalSpread>,
    /// Compare-and-set on the receipt's revision.
    pub expected_revision: Option<u32>,
}

/// Goods of a receipt have come.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Receive {
    /// Its name.
    pub receipt: Box<str>,
    /// Units that came; may be more or less than planned.
    pub quantity: Units,
    /// Status the goods go to.
    pub status: StockStatus,
    /// Nothing more will come.
    pub last: bool,
    /// When it happened; `None` is now.
    pub happened_at: Option<UtcMillis>,
}

/// A receipt will not come.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CancelReceipt {
    /// Its name.
    pub receipt: Box<str>,
    /// Compare-and-set on the receipt's revision.
    pub expected_revision: Option<u32>,
}

/// Leaves one location and is due at another.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Transfer {
    /// The item.
    pub item: ItemId,
    /// Leaves here …
    pub from: LocationId,
    /// … for there.
    pub to: LocationId,
    /// Units sent.
    pub quantity: Units,
    /// Name of the receipt at the other end.
    pub receipt: Box<str>,
    /// When it is due there.
    pub due: UtcMillis,
    /// When it left; `None` is now.
    pub happened_at: Option<UtcMillis>,
}

/// Came back from a customer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Return {
    /// The item.
    pub item: ItemId,
    /// Where it came back to.
    pub location: LocationId,
    /// Units that came back.
    pub quantity: Units,
    /// Status the goods go to.
    pub status: StockStatus,
    /// The reservation it belonged to, when known.
    pub reservation: Option<ReservationId>,
    /// When it happened; `None` is now.
    pub happened_at: Option<UtcMillis>,
}

/// What a request takes when not all of it can be had.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[repr(u8)]
pub enum FillPolicy {
    /// Every line in full at its own time, or nothing.
    #[default]
    AllOrNone = 1,
    /// Each line takes what there is.
    Partial = 2,
    /// Every line in full, all on one date, which may be later than asked.
    ShipComplete = 3,
}

/// How `Promise` chooses among its candidate locations.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[repr(u8)]
pub enum SourcingPolicy {
    /// In the order given.
    #[default]
    InOrder = 1,
    /// The location that can ship the line earliest.
    Earliest = 2,
    /// As few locations as possible for the whole order.
    FewestPackages = 3,
}

/// Stricter than the position's own rule (or looser, for a check alone).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RuleOverride {
    /// Bits of the statuses that count; `None` keeps the rule's.
    pub statuses: Option<u8>,
    /// Bits of the receipt kinds that count; `None` keeps the rule's.
    pub receipt_kinds: Option<u8>,
    /// Kept back beside the buffer.
    pub extra_buffer: Units,
    /// Counts nothing but stock on hand.
    pub on_hand_only: bool,
}

/// What every hold carries.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct HoldTerms {
    /// What to do when not all can be had.
    pub fill: FillPolicy,
    /// Life from now; `None` is the default.
    pub expires_in_ms: Option<i64>,
    /// The caller's order.
    pub order_ref: Box<str>,
    /// Whose hold it is, for the limit a customer.
    pub customer: Box<str>,
    /// Demand class.
    pub segment: Box<str>,
    /// Order in which promises are kept in a shortage.
    pub tier: u8,
    /// Stricter rule.
    pub rule: Option<RuleOverride>,
    /// Confirm in the same step.
    pub confirm: bool,
}

/// One line with its location.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ReserveLine {
    /// The item.
    pub item: ItemId,
    /// Where from.
    pub location: LocationId,
    /// Units wanted, at least 1.
    pub quantity: Units,
    /// `None` is now.
    pub ship_time: Option<UtcMillis>,
    /// Last acceptable time; `None` is the wanted one only, and the date of the order with `ShipComplete`.
    pub latest: Option<UtcMillis>,
}

/// Check and hold at given locations.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Reserve {
    /// The lines.
    pub lines: SmallVec<[ReserveLine; 1]>,
    /// Terms of the hold.
    pub terms: HoldTerms,
}

/// One line without a location.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PromiseLine {
    /// The item.
    pub item: ItemId,
    /// Units wanted, at least 1.
    pub quantity: Units,
    /// `None` is now.
    pub ship_time: Option<UtcMillis>,
    /// Last acceptable time; `None` is the wanted one only, and the date of the order with `ShipComplete`.
    pub latest: Option<UtcMillis>,
}

/// Where a promise may come from.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Candidates {
    /// In order of preference.
    Locations(SmallVec<[LocationId; 8]>),
    /// The locations of a region, in its order.
    Region(RegionId),
}

/// Choose locations, check and hold, in one step.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Promise {
    /// The lines.
    pub lines: SmallVec<[PromiseLine; 4]>,
    /// Where from.
    pub candidates: Candidates,
    /// How to choose.
    pub sourcing: SourcingPolicy,
    /// Most locations for the whole order; `None` is no limit.
    pub max_packages: Option<u32>,
    /// Smallest part of a split line; `None` never splits a line.
    pub min_split: Option<Units>,
    /// Terms of the hold.
    pub terms: HoldTerms,
}

/// A later expiry.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Extend {
    /// The hold.
    pub reservation: ReservationId,
    /// Life from now.
    pub expires_in_ms: i64,
}

/// A quantity of one line that left.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FulfilLine {
    /// Line of the reservation.
    pub line: u32,
    /// Units that left.
    pub quantity: Units,
    /// Where they really left; `None` is where they were promised from.
    pub location: Option<LocationId>,
}

/// Stock of a confirmed reservation left.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Fulfil {
    /// The reservation.
    pub reservation: ReservationId,
    /// Empty fulfils all that is open.
    pub lines: SmallVec<[FulfilLine; 2]>,
    /// When it left; `None` is now.
    pub happened_at: Option<UtcMillis>,
}

/// Gives stock back.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Release {
    /// The reservation.
    pub reservation: ReservationId,
    /// Line and units; empty releases all that is open.
    pub lines: SmallVec<[(u32, Units); 2]>,
}

/// Another reservation in the place of an open one, of which nothing has left yet, in one step. It keeps the terms of the
/// old one and ends with it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Replace {
    /// The old one.
    pub reservation: ReservationId,
    /// The lines, which may take what the old one gives back.
    pub lines: SmallVec<[ReserveLine; 1]>,
}
