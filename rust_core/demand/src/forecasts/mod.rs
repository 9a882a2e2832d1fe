//! Forecasts that were pushed ahead of time: quantiles by day, and totals over several days.
//!
//! They lie beside the engine, in memory and in Arrow files: a promise never looks at them. What changes promises,
//! the buffers made from the totals, goes through the journal. Values are kept with 24 bits of precision.

mod accuracy;
pub mod backup;
mod block;
mod buffer;
mod directory;
mod draft;
mod file;
mod level;
mod outlook;
mod past;
mod store;

pub use accuracy::{Group, Score, Truth, score};
pub use block::{Block, Kind, Origin, Series};
pub use buffer::{keeps, safety_stock, whole};
pub use draft::{BadRow, Draft};
pub use level::Level;
pub use store::{Ages, ForecastError, Forecasts, Held, Names, Put};

/// Days ahead of one series, and the longest total.
pub const HORIZON_MAX: usize = 366;
/// Quantile levels of one table.
pub const LEVELS_MAX: usize = 99;
/// Totals of one position.
pub const TOTALS_MAX: usize = 32;
/// Rows of one push.
pub const ROWS_MAX: usize = 4_000_000;
/// Values of one push, means and quantiles: all rows with 24 levels, or a million of them with 99. They lie in memory until
/// it ends.
pub const CELLS_MAX: usize = 100_000_000;
/// Rows kept of one kind, all positions together.
pub const KEPT_ROWS_MAX: usize = 64_000_000;
/// Largest value, base units: the largest quantity of the engine.
pub const VALUE_MAX: f64 = bespeak_engine::limits::MAX_QUANTITY as f64;
