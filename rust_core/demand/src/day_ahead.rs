//! What was expected of today, the evening before.

use bespeak_engine::PositionId;

/// Demand expected of one day at one position.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Outlook {
    /// Mean, base units.
    pub mean: f64,
    /// Variance over mean, base units: 1 for Poisson.
    pub dispersion: f64,
}

/// A forecast of one day, made ahead of it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Ahead {
    /// What it expects of the day.
    pub outlook: Outlook,
    /// Whether it is too old for the day: then climatology serves, and this only where there is none.
    pub stale: bool,
}

/// Whoever keeps forecasts made ahead of the day.
pub trait DayAhead: Send + Sync {
    /// The forecast of the demand of `day` (days since 1970-01-01, the location's calendar) at a position; `None` when
    /// there is none, and climatology serves. The day begins at `start_ms` (UTC milliseconds): a forecast is as good for
    /// the whole of it as it was then. Asked while the history waits: it may not ask for the engine's state.
    fn ahead(&self, position: PositionId, day: i32, start_ms: i64) -> Option<Ahead>;
}

/// No forecasts: everything is judged by climatology.
impl DayAhead for () {
    fn ahead(&self, _: PositionId, _: i32, _: i64) -> Option<Ahead> {
        None
    }
}
