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

/// Whoever keeps forecasts made ahead of the day.
pub trait DayAhead: Send + Sync {
    /// The forecast of the demand of `day` (days since 1970-01-01, the location's calendar) at a position; `None` when
    /// there is none, and climatology serves. Asked while the history waits: it may not ask for the engine's state.
    fn outlook(&self, position: PositionId, day: i32) -> Option<Outlook>;
}

/// No forecasts: everything is judged by climatology.
impl DayAhead for () {
    fn outlook(&self, _: PositionId, _: i32) -> Option<Outlook> {
        None
    }
}
