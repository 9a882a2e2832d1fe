//! Refusals are answers; errors are requests that make no sense. Neither is a panic.

use serde::{Deserialize, Serialize};

/// Why a line, or a step in a reservation's life, was refused. In precedence: the first that applies is given.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[repr(u8)]
pub enum Refusal {
    /// The hold had run out, and its stock is gone.
    Expired = 1,
    /// The reservation is in a state that this step does not lead from.
    WrongState = 2,
    /// More than what is still open on the line.
    OverOpenQuantity = 3,
    /// The hold's total life, extensions included, would pass its limit.
    HoldLife = 4,
    /// The ship time lies before the engine's time.
    ShipTimePast = 5,
    /// Later than the horizon of the position's supply rule.
    BeyondHorizon = 6,
    /// The customer would hold more units than one customer may.
    CustomerLimit = 7,
    /// Not enough can be promised.
    InsufficientStock = 8,
    /// The stock is there, but only in more packages or smaller splits than allowed.
    SplitLimit = 9,
    /// This line could be had, another of the same request could not.
    OtherLine = 10,
    /// Compare-and-set: the expected value is not the current one.
    Conflict = 11,
    /// The position can take no further receipt, commitment or movement.
    Limit = 12,
}

/// A request that makes no sense to the engine. Changes nothing.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum EngineError {
    /// No item of this id.
    #[error("item {0} is not known: put it with CatalogService.PutItem first")]
    UnknownItem(String),
    /// No location of this name.
    #[error("location {0} is not known: put it with CatalogService.PutLocation first")]
    UnknownLocation(String),
    /// No region of this name.
    #[error("region {0} is not known: put it with CatalogService.PutRegion first")]
    UnknownRegion(String),
    /// No receipt of this name.
    #[error(
        "receipt {0} is not open: schedule it first, or look whether it was received or cancelled"
    )]
    UnknownReceipt(String),
    /// A receipt of this name is open.
    #[error("receipt {0} is already scheduled: use ChangeReceipt to change it")]
    ReceiptExists(String),
    /// No reservation of this id was ever made.
    #[error("reservation r-{0} was never made: use the id that Promise or Reserve answered")]
    UnknownReservation(u64),
    /// The reservation has no such line.
    #[error("reservation r-{reservation} has no line {line}: its lines are 0 to {last}")]
    UnknownLine {
        /// The reservation.
        reservation: u64,
        /// The line asked for.
        line: u32,
        /// Its last line.
        last: u32,
    },
    /// The item has no such unit of measure.
    #[error("item {item} has no unit {unit}: it has {known}")]
    UnknownUnit {
        /// The item's name.
        item: String,
        /// The unit asked for.
        unit: String,
        /// Units that it has.
        known: String,
    },
    /// A write in another unit does not make a whole number of base units.
    #[error(
        "{quantity} {unit} of item {item} is not a whole number of {base}: send a quantity that converts exactly"
    )]
    InexactUnit {
        /// The item's name.
        item: String,
        /// The quantity given.
        quantity: u64,
        /// Its unit.
        unit: String,
        /// The item's base unit.
        base: String,
    },
    /// A field is out of its range.
    #[error("{field} is {value}, {rule}")]
    InvalidArgument {
        /// Name of the field.
        field: &'static str,
        /// What it held.
        value: String,
        /// What it may hold.
        rule: &'static str,
    },
    /// The id was used for another body.
    #[error("request id {0} was used for a different request: use a new id for a new request")]
    RequestIdReused(String),
    /// The id is older than the answers that are remembered.
    #[error(
        "request id {0} is older than the answers that are remembered: look whether it took effect, then use a new id"
    )]
    RequestIdTooOld(String),
    /// A source event below the window.
    #[error(
        "event {sequence} of source {source_name} lies below its window, which starts at {window_start}: replay it as a new event if it was really missed"
    )]
    SourceBelowWindow {
        /// The source.
        source_name: String,
        /// The event.
        sequence: u64,
        /// Lowest number still taken.
        window_start: u64,
    },
    /// A table of the partition is full.
    #[error("{what} is at its limit of {limit}: finish or remove some before adding more")]
    Full {
        /// What is full.
        what: &'static str,
        /// Its limit.
        limit: u64,
    },
    /// The count lies too far back, or too much has moved since.
    #[error(
        "a count of {counted_at_ms} cannot be applied: movements are kept since {kept_since_ms}; count again"
    )]
    CountTooOld {
        /// When it was counted.
        counted_at_ms: i64,
        /// Movements are known since then.
        kept_since_ms: i64,
    },
    /// A newer count of the same stock has been told.
    #[error(
        "a count of {counted_at_ms} is older than the one of {newer_ms}, which stands: count again, or leave it"
    )]
    CountOvertaken {
        /// When it was counted.
        counted_at_ms: i64,
        /// When the newest count was made.
        newer_ms: i64,
    },
    /// A looser rule than the position's was asked for a promise.
    #[error(
        "the rule of the request is looser than the rule of item {item} at {location}: a promise may only be stricter"
    )]
    LooserRule {
        /// The item's name.
        item: String,
        /// The location's name.
        location: String,
    },
}

impl EngineError {
    /// The code of its page in docs/errors.
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownItem(_) => "UNKNOWN_ITEM",
            Self::UnknownLocation(_) => "UNKNOWN_LOCATION",
            Self::UnknownRegion(_) => "UNKNOWN_REGION",
            Self::UnknownReceipt(_) => "UNKNOWN_RECEIPT",
            Self::ReceiptExists(_) => "RECEIPT_EXISTS",
            Self::UnknownReservation(_) => "UNKNOWN_RESERVATION",
            Self::UnknownLine { .. } => "UNKNOWN_LINE",
            Self::UnknownUnit { .. } => "UNKNOWN_UNIT",
            Self::InexactUnit { .. } => "INEXACT_UNIT",
            Self::InvalidArgument { .. } => "INVALID_ARGUMENT",
            Self::RequestIdReused(_) => "REQUEST_ID_REUSED",
            Self::RequestIdTooOld(_) => "REQUEST_ID_TOO_OLD",
            Self::SourceBelowWindow { .. } => "SOURCE_BELOW_WINDOW",
            Self::Full { .. } => "FULL",
            Self::CountTooOld { .. } => "COUNT_TOO_OLD",
            Self::CountOvertaken { .. } => "COUNT_TOO_OLD",
            Self::LooserRule { .. } => "LOOSER_RULE",
        }
    }
}
