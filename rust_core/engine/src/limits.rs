//! Every limit of the engine, by name. Full means a refusal or an error, never growth.
//!
//! The tests of this crate see lower ones where the true ones would take minutes to reach.

/// Largest quantity of one line, receipt or movement, base units.
pub const MAX_QUANTITY: u64 = 1_000_000_000_000;
/// Largest stock on hand of a position and status, either sign.
pub const MAX_ON_HAND: i64 = 1_000_000_000_000_000;
/// Receipts and commitments open on one position.
pub const MAX_ENTRIES_PER_POSITION: usize = if cfg!(test) { 1_000 } else { 1_000_000 };
/// Lines of one request.
pub const MAX_LINES: usize = 256;
/// Parts of one reservation, all lines together.
pub const MAX_PARTS: usize = 1_024;
/// Candidate locations of one `Promise`.
pub const MAX_CANDIDATES: usize = 256;
/// Lines times candidate locations of one `Promise`.
pub const MAX_SOURCING_CELLS: usize = 16_384;
/// Look-ups spent on `FewestPackages` before it settles for a greedy choice.
pub const MAX_SOURCING_LOOKUPS: usize = 65_536;
/// Bytes of an item, location, region, receipt, customer or order name.
pub const MAX_NAME_BYTES: usize = 128;
/// Items of one partition.
pub const MAX_ITEMS: usize = if cfg!(test) { 5_000 } else { 16_000_000 };
/// Locations of one partition.
pub const MAX_LOCATIONS: usize = 65_536;
/// Regions of one partition.
pub const MAX_REGIONS: usize = 4_096;
/// Locations of one region.
pub const MAX_REGION_LOCATIONS: usize = 65_536;
/// Lanes of one partition.
pub const MAX_LANES: usize = if cfg!(test) { 5_000 } else { 1_000_000 };
/// Positions of one partition.
pub const MAX_POSITIONS: usize = if cfg!(test) { 5_000 } else { 64_000_000 };
/// Open receipts of one partition.
pub const MAX_RECEIPTS: usize = if cfg!(test) { 5_000 } else { 256_000_000 };
/// Open reservations of one partition.
pub const MAX_RESERVATIONS: usize = if cfg!(test) { 5_000 } else { 256_000_000 };
/// Units of measure of one item beside its base unit.
pub const MAX_ITEM_UNITS: usize = 32;
/// Furthest ship or due time from now.
pub const MAX_HORIZON_MS: i64 = 3 * 366 * DAY_MS;
/// Life of a hold when a request names none.
pub const DEFAULT_HOLD_MS: i64 = 15 * 60 * 1_000;
/// A hold's total life, extensions included.
pub const MAX_HOLD_LIFE_MS: i64 = 7 * DAY_MS;
/// Units that one customer may have in holds that are not confirmed.
pub const MAX_HELD_UNITS_PER_CUSTOMER: u64 = 1_000_000_000;
/// How long an expired hold is kept so that `Confirm` can take its stock again.
pub const REACQUIRE_MS: i64 = 60 * 60 * 1_000;
/// Expired holds kept for that; beyond it a hold is forgotten as it expires.
pub const MAX_EXPIRED_KEPT: u64 = 1_000_000;
/// Blocks of 4,096 reservations for which it is kept which holds ran out for good.
pub const MAX_LAPSED_BLOCKS: usize = 1_024;
/// Answers remembered in memory; older ones are rebuilt from the journal.
pub const REMEMBERED_REQUESTS: usize = 131_072;
/// Bytes that remembered answers may hold beside their entries; beyond it the oldest go first.
pub const REMEMBERED_BYTES: usize = 256 << 20;
/// Request ids kept of the answers that fell out of memory last.
pub const FORGOTTEN_KEPT: usize = 1_024;
/// Age at which a version 7 request id is refused.
pub const REQUEST_WINDOW_MS: i64 = 24 * 60 * 60 * 1_000;
/// Refusals for stock told apart from retries.
pub const REMEMBERED_REFUSALS: usize = 65_536;
/// Late sequence numbers that are still taken, a source.
pub const SOURCE_WINDOW: u64 = 65_536;
/// Event sources of one partition.
pub const MAX_SOURCES: usize = 1_024;
/// Movements kept a position so that a late count can be corrected.
pub const MAX_MOVEMENTS: usize = 1_024;
/// How far back a count may lie.
pub const COUNT_LOOKBACK_MS: i64 = 7 * DAY_MS;
/// Days for which unmet demand is kept.
pub const UNMET_DAYS: u32 = 92;
/// Rows of unmet demand.
pub const MAX_UNMET_ROWS: usize = if cfg!(test) { 5_000 } else { 4_000_000 };
/// Rules of one partition, the default included.
pub const MAX_RULES: usize = if cfg!(test) { 100 } else { 65_535 };
/// Buffers derived from a forecast in one step: one step holds the partition for well below a millisecond.
pub const MAX_DERIVED_BUFFERS: usize = 1_024;
/// Forecasters named by derived buffers. One that no buffer names any longer makes room for another.
pub const MAX_BUFFER_MODELS: usize = if cfg!(test) { 4 } else { 4_096 };
/// Lead time and review time of a forecast buffer together, days.
pub const MAX_BUFFER_DAYS: u16 = 366;
/// Hours of one `CheckRegion`.
pub const MAX_REGION_HOURS: usize = 168;
/// Cells (items × locations × hours) of one `CheckRegion`.
pub const MAX_REGION_CELLS: usize = 1_000_000;
/// Buckets of one availability report.
pub const MAX_REPORT_BUCKETS: usize = 3_660;
/// Planned movements that one command walks, under a rule of its own or to explain: all else finds its way without.
pub const MAX_WALKED_ENTRIES: usize = if cfg!(test) { 4_000 } else { 1_000_000 };
/// Look-ups of one `Promise`: lines times locations times dates tried.
pub const MAX_PROMISE_LOOKUPS: usize = 262_144;
/// Dates that `ShipComplete` tries at most: the ends, and halves of what lies between two of them.
pub const SHIP_COMPLETE_DATES: usize = 3 + (i64::BITS - MAX_HORIZON_MS.leading_zeros()) as usize;
/// Positions with plans whose location's rule changes in one step; beyond it the record would be too long.
pub const MAX_RULE_POSITIONS: usize = if cfg!(test) { 100 } else { 200_000 };
/// Planned movements of a position up to which its promises at risk are worked out.
pub const MAX_AT_RISK_ENTRIES: usize = if cfg!(test) { 500 } else { 100_000 };
/// Discrepancies that one `Reconcile` lists.
pub const MAX_DISCREPANCIES: usize = 1_000;
/// Steps of one availability staircase.
pub const MAX_STAIRCASE_STEPS: usize = 256;
/// Promises at risk listed with one shock.
pub const MAX_AT_RISK: usize = 1_024;
/// Transitions of a location's offset from UTC.
pub const MAX_DAY_OFFSETS: usize = 256;
/// A day of 24 hours.
pub const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

const _: () = assert!(
    MAX_QUANTITY as i128 * MAX_ENTRIES_PER_POSITION as i128 + (MAX_ON_HAND as i128)
        < i64::MAX as i128
);
const _: () = assert!(MAX_PARTS >= MAX_LINES);
const _: () = assert!(MAX_PARTS <= u16::MAX as usize);
