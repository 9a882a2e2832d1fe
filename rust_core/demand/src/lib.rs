//! Demand beside the engine's hot state: what was sold, what was not to be had, and what to expect.
//!
//! History is a fold over the journal's records; climatology and the nowcast are made from it, and are what
//! the server answers with when compute is away. Nothing here is on the way of a promise.

pub mod climatology;
mod day_ahead;
pub mod forecasts;
mod history;
pub mod limits;
pub mod nowcast;
mod profile;
mod quantile;

pub use day_ahead::{Ahead, DayAhead, Outlook};
pub use history::backup as history_backup;
pub use history::{
    Checkpoint, Demanded, Fact, Filter, History, HistoryError, Outlooks, Rows, context_schema,
    nowcast_schema,
};
