//! Past forecasts against the truth.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use bespeak_engine::PositionId;

use super::past::{Firsts, LEADS};
use super::store::{ForecastError, Forecasts, Names};
use super::{Level, Series};

/// Whoever knows what was asked for.
pub trait Truth {
    /// Demand of a day at a position, base units; `None` when it is not known: the day is not over, or was out of
    /// stock for a part of it, so that its sales are not its demand.
    fn demand(&self, position: PositionId, day: i32) -> Option<f64>;
}

/// What is scored together.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Group {
    /// Model and version.
    pub model: String,
    /// Days ahead.
    pub lead_days: usize,
    /// The caller's number of the position's group.
    pub place: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct AtLevel {
    days: u64,
    demand: f64,
    pinball: f64,
    covered: u64,
}

/// Sums over the days of a group.
#[derive(Clone, Debug, Default)]
pub struct Score {
    days: u64,
    demand: f64,
    over: f64,
    levels: BTreeMap<Level, AtLevel>,
    inside_80: (u64, u64),
}

impl Score {
    /// Days of positions that were scored.
    pub fn days(&self) -> u64 {
        self.days
    }

    /// Units that were asked for on them.
    pub fn demand(&self) -> f64 {
        self.demand
    }

    /// Weighted quantile loss: twice the pinball loss over the demand, averaged over the levels. `None` without demand.
    pub fn wql(&self) -> Option<f64> {
        let levels = self.levels.values();
        let losses: Option<Vec<f64>> = levels
            .map(|at| (at.demand > 0.0).then(|| 2.0 * at.pinball / at.demand))
            .collect();
        let losses = losses.filter(|losses| !losses.is_empty())?;
        Some(losses.iter().sum::<f64>() / losses.len() as f64)
    }

    /// Expected less asked, as a share of what was asked. `None` without demand.
    pub fn bias(&self) -> Option<f64> {
        (self.demand > 0.0).then(|| self.over / self.demand)
    }

    /// Share of the days whose demand lay between the levels 0.1 and 0.9, where both were given.
    pub fn coverage_80(&self) -> Option<f64> {
        let (inside, all) = self.inside_80;
        (all > 0).then(|| inside as f64 / all as f64)
    }

    /// Share of the days whose demand was no more than the quantile, for each level.
    pub fn coverage(&self) -> impl Iterator<Item = (Level, f64)> {
        let levels = self.levels.iter();
        levels.map(|(level, at)| (*level, at.covered as f64 / at.days as f64))
    }

    fn add(&mut self, series: &Series<'_>, row: usize, demand: f64) {
        self.days += 1;
        self.demand += demand;
        self.over += series.mean(row) - demand;
        let (mut low, mut high) = (None, None);
        for (level, value) in series.levels().iter().zip(series.quantiles(row)) {
            let value = f64::from(*value);
            let at = self.levels.entry(*level).or_default();
            at.days += 1;
            at.demand += demand;
            at.covered += u64::from(demand <= value);
            let (share, short) = (level.share(), demand - value);
            at.pinball += (share * short).max((share - 1.0) * short);
            match level.ppm() {
                100_000 => low = Some(value),
                900_000 => high = Some(value),
                _ => (),
            }
        }
        if let (Some(low), Some(high)) = (low, high) {
            self.inside_80.0 += u64::from((low..=high).contains(&demand));
            self.inside_80.1 += 1;
        }
    }
}

/// Scores the forecasts of the days asked for. `place` gives each position's group, or `None` to leave it out.
///
/// # Errors
/// When the directory cannot be read.
pub fn score(
    forecasts: &Forecasts,
    names: &dyn Names,
    truth: &dyn Truth,
    days: RangeInclusive<i32>,
    place: &dyn Fn(PositionId) -> Option<u32>,
) -> Result<BTreeMap<Group, Score>, ForecastError> {
    let mut scores: BTreeMap<Group, Score> = BTreeMap::new();
    let mut firsts = Firsts::default();
    forecasts.past().each(names, &mut |block| {
        for number in 0..block.positions() {
            let series = block.series(number);
            let Some(place) = place(series.position()) else {
                continue;
            };
            for (row, day) in series.keys().iter().enumerate().take(LEADS.len()) {
                if !days.contains(day) || !firsts.is_first(&series, row) {
                    continue;
                }
                let Some(demand) = truth.demand(series.position(), *day) else {
                    continue;
                };
                let group = Group {
                    model: series.origin().model.clone(),
                    lead_days: LEADS[row],
                    place,
                };
                scores.entry(group).or_default().add(&series, row, demand);
            }
        }
    })?;
    Ok(scores)
}
