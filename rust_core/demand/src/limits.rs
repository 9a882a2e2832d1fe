//! Every limit of this crate, by name.

/// Days of history that are kept; older ones are removed.
pub const HISTORY_DAYS: i32 = 548;
/// Rows of sealed days that are kept in memory where there is no directory; beyond it the oldest days go.
pub const MEMORY_ROWS_MAX: usize = 8_000_000;
/// Positions whose demand is kept; what is sold at others is not counted here.
pub const POSITIONS_MAX: usize = 4_000_000;
/// Open reservations that are followed; what is given back of others is not taken back.
pub const RESERVATIONS_MAX: usize = 16_000_000;
/// Changes of sealed days that wait to be written with the next checkpoint; beyond it the least recent day goes first.
pub const LATE_ROWS_MAX: usize = 1_000_000;
/// Records after which a checkpoint is due, so that a restart reads no more of the journal than these.
pub const CHECKPOINT_RECORDS: u64 = 1_000_000;
/// Items with an intraday profile of their own.
pub const PROFILED_ITEMS_MAX: usize = 1_000_000;
/// Quantile levels of one nowcast.
pub const LEVELS_MAX: usize = 99;
/// Rows of one batch of an answer.
pub const BATCH_ROWS: usize = 8_192;
/// Items or locations that one question may name.
pub const NAMES_MAX: usize = 10_000;
/// Hours of a day: the 25th of a long day counts to the last.
pub const HOURS: usize = 24;
/// How long after its end in UTC a day is over everywhere on Earth.
pub const SEAL_AFTER_MS: i64 = 12 * HOUR_MS;
/// An hour.
pub const HOUR_MS: i64 = 3_600_000;
/// A minute.
pub const MINUTE_MS: i64 = 60_000;
