//! Master data and policy as values.

use serde::{Deserialize, Serialize};

use crate::ids::{ItemId, LocationId, PositionId, Units, UtcMillis};

/// Physical stock of a position is kept by status.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[repr(u8)]
pub enum StockStatus {
    /// Free to ship.
    Unrestricted = 0,
    /// In quality inspection.
    Quality = 1,
    /// Not to be shipped.
    Blocked = 2,
}

/// Where a receipt comes from.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[repr(u8)]
pub enum ReceiptKind {
    /// Bought.
    PurchaseOrder = 0,
    /// From another location.
    Transfer = 1,
    /// Made.
    Production = 2,
    /// Coming back from a customer.
    Return = 3,
}

/// `numerator` base units make `denominator` of this unit.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct UnitOfMeasure {
    /// Its name.
    pub unit: Box<str>,
    /// Base units …
    pub numerator: u64,
    /// … in so many of this unit.
    pub denominator: u64,
}

/// What is sold.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Item {
    /// Its name, unique.
    pub name: Box<str>,
    /// Name of the base unit.
    pub base_unit: Box<str>,
    /// Other units of measure.
    pub units: Vec<UnitOfMeasure>,
}

/// What a location is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[repr(u8)]
pub enum LocationKind {
    /// Not said.
    Other = 0,
    /// Distribution centre.
    Dc = 1,
    /// Shop.
    Store = 2,
    /// Supplier.
    Supplier = 3,
    /// Store without customers inside.
    DarkStore = 4,
}

/// From `from` on, local time is UTC plus `offset_s`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct DayOffset {
    /// First instant of the offset.
    pub from: UtcMillis,
    /// Seconds east of UTC.
    pub offset_s: i32,
}

/// Where stock is kept.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Location {
    /// Its name, unique.
    pub name: Box<str>,
    /// IANA name, kept to be shown again; "" is UTC.
    pub time_zone: Box<str>,
    /// The zone's offsets, worked out by the shell so that replay needs no time zone database. Ascending.
    pub day_offsets: Vec<DayOffset>,
    /// What it is.
    pub kind: LocationKind,
}

/// A named set of locations, in an order that `Promise` keeps.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Region {
    /// Its name, unique.
    pub name: Box<str>,
    /// Its locations.
    pub locations: Vec<LocationId>,
}

/// A transit-time quantile.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct TransitQuantile {
    /// Level in parts per million.
    pub level_ppm: u32,
    /// Transit time at that level.
    pub transit_ms: i64,
}

/// Freight cost up to a weight.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct WeightBreak {
    /// Upper end of the break.
    pub up_to_grams: u64,
    /// Cost of the package, minor units of the currency.
    pub fixed_minor: i64,
    /// Cost a kilogram, minor units.
    pub per_kg_minor: i64,
    /// ISO 4217 code.
    pub currency: Box<str>,
}

/// Origin to zone with one carrier service.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Lane {
    /// Its name, unique.
    pub name: Box<str>,
    /// Origin.
    pub from: LocationId,
    /// Destination zone.
    pub to_zone: Box<str>,
    /// Carrier.
    pub carrier: Box<str>,
    /// Carrier's service.
    pub service: Box<str>,
    /// Transit-time quantiles, ascending.
    pub transit: Vec<TransitQuantile>,
    /// Costs by weight break, ascending.
    pub costs: Vec<WeightBreak>,
}

/// How long a late receipt still counts.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum LateGrace {
    /// Until the end of the location's day on which it was due.
    EndOfDay,
    /// For so many milliseconds.
    Millis(i64),
}

/// Which supply counts for promises.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct SupplyRule {
    /// Bit `1 << StockStatus`.
    pub statuses: u8,
    /// Bit `1 << ReceiptKind`.
    pub receipt_kinds: u8,
    /// Grace of a late receipt.
    pub late_grace: LateGrace,
    /// Nothing is promised for shipping later than this from now.
    pub horizon_ms: i64,
}

impl Default for SupplyRule {
    fn default() -> Self {
        Self {
            statuses: 1 << StockStatus::Unrestricted as u8,
            receipt_kinds: 0b1111,
            late_grace: LateGrace::EndOfDay,
            horizon_ms: crate::limits::MAX_HORIZON_MS,
        }
    }
}

impl SupplyRule {
    /// Whether stock of this status counts.
    #[inline]
    pub fn counts_status(&self, status: StockStatus) -> bool {
        self.statuses & (1 << status as u8) != 0
    }

    /// Whether receipts of this kind count.
    #[inline]
    pub fn counts_kind(&self, kind: ReceiptKind) -> bool {
        self.receipt_kinds & (1 << kind as u8) != 0
    }
}

/// At which level a buffer covers demand.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub enum ServiceLevel {
    /// The deployment's.
    #[default]
    Default,
    /// The deployment's for this tier.
    Tier(u8),
    /// Parts per million.
    Ppm(u32),
}

/// A buffer that follows the forecast of a position.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct ForecastBuffer {
    /// Share of replenishment cycles whose demand it covers.
    pub level: ServiceLevel,
    /// Days from an order to its arrival.
    pub lead_time_days: u16,
    /// Days between two orders, at least 1.
    pub review_days: u16,
    /// Never more than this; zero is no cap.
    pub cap: Units,
}

/// Where the buffer of a position comes from.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum BufferPolicy {
    /// A position's is that of its location; a location's is `Static`.
    Inherit,
    /// From the planner alone.
    Static,
    /// From the forecast.
    Forecast(ForecastBuffer),
}

/// Buffers worked out from one forecast.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DerivedBuffers {
    /// Who made the forecast, such as "patch-nano@2".
    pub model: Box<str>,
    /// When.
    pub computed_at: UtcMillis,
    /// New buffers, each position once.
    pub buffers: Vec<(PositionId, Units)>,
}

/// The scope of a supply rule or of a buffer policy.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum RuleScope {
    /// All positions of a location without a rule of their own.
    Location(LocationId),
    /// One position.
    Position(ItemId, LocationId),
}
