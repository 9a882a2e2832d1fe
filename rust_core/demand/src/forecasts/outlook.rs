//! A day of a forecast by its mean and dispersion.

use super::{Level, Series};
use crate::day_ahead::Outlook;

/// Levels whose distance tells the spread: the middle four fifths.
const LOW: f64 = 0.1;
const HIGH: f64 = 0.9;

impl Series<'_> {
    /// What it says of a day, the key of one of its rows; `None` when it does not reach it. The deviation is the distance
    /// of the levels nearest to 0.1 and 0.9 over that of a standard normal variable; where all levels lie on one side of
    /// the median the mean stands on the other.
    pub fn outlook(&self, day: i32) -> Option<Outlook> {
        let row = self.keys().binary_search(&day).ok()?;
        let mean = self.mean(row);
        let levels = self.levels().iter().zip(self.quantiles(row));
        let at = |to: f64| {
            let side = levels
                .clone()
                .filter(|(level, _)| (level.share() - 0.5) * (to - 0.5) > 0.0);
            let distance = |level: &Level| (level.share() - to).abs();
            let nearest = side.min_by(|a, b| distance(a.0).total_cmp(&distance(b.0)));
            nearest.map_or((0.0, mean), |(level, value)| (level.z(), f64::from(*value)))
        };
        let (low, high) = (at(LOW), at(HIGH));
        let deviation = match high.0 - low.0 {
            width if width > 0.0 => ((high.1 - low.1) / width).max(0.0),
            _ => 0.0,
        };
        let dispersion = match mean > 0.0 {
            true => deviation * deviation / mean,
            false => 1.0,
        };
        Some(Outlook {
            mean,
            dispersion: dispersion.max(1.0),
        })
    }
}
