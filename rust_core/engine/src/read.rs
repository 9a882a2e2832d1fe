//! Reads: nothing here changes the state. Callers first `advance` to the time they read at.

pub mod check;
pub mod detail;
pub mod explain;
pub(crate) mod filtered;
pub mod reconcile;
pub mod region;
pub mod report;
mod rise;
