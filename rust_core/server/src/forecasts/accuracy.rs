//! Past forecasts held against the demand that came.

use std::collections::{BTreeMap, BTreeSet};

use bespeak_demand::forecasts::{Group, Score, score};
use bespeak_engine::limits::DAY_MS;
use bespeak_engine::{LocationId, PositionId};
use bespeak_proto::v1 as pb;

use crate::api::Api;
use crate::convert::location;
use crate::error::ApiError;
use crate::store::Seen;

/// Positions, or locations, looked at under one lock.
const SLICE: usize = 1_024;
/// Days when none are asked.
const DAYS: i32 = 28;
/// The group of all positions; locations have their own numbers, which are lower.
const ALL: u32 = u32::MAX;

impl Api {
    /// How past forecasts did.
    pub fn forecast_accuracy(
        &self,
        request: &pb::ForecastServiceAccuracyRequest,
    ) -> Seen<pb::ForecastServiceAccuracyResponse> {
        let mut revision = 0;
        let result = self.accuracy(request, &mut revision);
        Seen { result, revision }
    }

    fn accuracy(
        &self,
        request: &pb::ForecastServiceAccuracyRequest,
        revision: &mut u64,
    ) -> Result<pb::ForecastServiceAccuracyResponse, ApiError> {
        let seen = self.store().read(|state| {
            let only = match request.location.as_str() {
                "" => None,
                name => Some(location(state.catalog(), name)?),
            };
            Ok((only, state.now()))
        });
        *revision = seen.revision;
        let (only, now) = seen.result?;
        let places = self.places()?;
        let today = i32::try_from(now.get().div_euclid(DAY_MS)).unwrap_or(i32::MAX);
        let days = days(request, today)?;
        let within = |position: PositionId| {
            let place = places.get(position.index())?;
            only.is_none_or(|only| only == *place).then_some(*place)
        };
        // The history has what is durable.
        self.store().partition().wait_durable(*revision)?;
        // Of days before these no forecast is kept.
        let kept_from = today.saturating_sub(i32::from(self.forecasts().settings.past_days));
        let known = *days.start().max(&kept_from)..=*days.end().min(&today);
        let demand = self.store().demand();
        let truth = demand.demanded(*revision, known, now.get())?;
        let group = |by_location: bool| {
            let place =
                |position| within(position).map(|place| if by_location { place.0 } else { ALL });
            score(
                &self.forecasts().forecasts,
                self.store().as_ref(),
                &truth,
                days.clone(),
                &place,
            )
        };
        let mut rows = rows(&group(false)?, &BTreeMap::new());
        if request.by_location {
            let scores = group(true)?;
            let names = self.location_names(scores.keys().map(|group| group.place))?;
            rows.extend(self::rows(&scores, &names));
        }
        Ok(pb::ForecastServiceAccuracyResponse {
            rows,
            from_day: days.start().unsigned_abs(),
            to_day: days.end().unsigned_abs(),
        })
    }
}

impl Api {
    /// The location of each position, in slices: no promise waits for a look at all of them.
    fn places(&self) -> Result<Vec<LocationId>, ApiError> {
        let mut places = Vec::new();
        loop {
            let more = self.store().partition().peek(|state| {
                let slice = places.len()..state.position_count().min(places.len() + SLICE);
                let place = |n| state.position(PositionId(n as u32)).location();
                slice.map(place).collect::<Vec<_>>()
            })?;
            if more.is_empty() {
                return Ok(places);
            }
            places.extend(more);
        }
    }

    /// Names of locations by their number, in slices.
    fn location_names(
        &self,
        numbers: impl Iterator<Item = u32>,
    ) -> Result<BTreeMap<u32, String>, ApiError> {
        let numbers: Vec<u32> = numbers.collect::<BTreeSet<_>>().into_iter().collect();
        let mut names = BTreeMap::new();
        for slice in numbers.chunks(SLICE) {
            let found = self.store().partition().peek(|state| {
                let name = |n: &u32| state.catalog().location(LocationId(*n)).name.to_string();
                slice.iter().map(|n| (*n, name(n))).collect::<Vec<_>>()
            })?;
            names.extend(found);
        }
        Ok(names)
    }
}

fn days(
    request: &pb::ForecastServiceAccuracyRequest,
    today: i32,
) -> Result<std::ops::RangeInclusive<i32>, ApiError> {
    let (from, to) = (request.from_day, request.to_day);
    if (from, to) == (0, 0) {
        return Ok((today - DAYS).max(0)..=(today - 1).max(0));
    }
    match (i32::try_from(from), i32::try_from(to)) {
        (Ok(from), Ok(to)) if from <= to => Ok(from..=to),
        _ => Err(ApiError::invalid(
            "to_day",
            to,
            "it may not lie before from_day",
        )),
    }
}

fn rows(
    scores: &BTreeMap<Group, Score>,
    names: &BTreeMap<u32, String>,
) -> Vec<pb::ForecastAccuracyRow> {
    let coverage = |score: &Score| {
        let levels = score.coverage();
        levels
            .map(|(level, covered)| pb::ForecastLevelCoverage {
                level: level.share(),
                covered,
            })
            .collect()
    };
    let row = |(group, score): (&Group, &Score)| pb::ForecastAccuracyRow {
        model: group.model.clone(),
        lead_days: u32::try_from(group.lead_days).unwrap_or(0),
        location: names.get(&group.place).cloned().unwrap_or_default(),
        position_days: score.days(),
        demand: score.demand(),
        wql: score.wql(),
        bias: score.bias(),
        coverage_80: score.coverage_80(),
        coverage: coverage(score),
    };
    scores.iter().map(row).collect()
}
