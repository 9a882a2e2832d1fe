//! The forecasts of some positions, as ForecastService gives them.

use std::sync::Arc;

use arrow_array::builder::{
    BooleanBuilder, Date32Builder, Float64Builder, Int64Builder, StringBuilder,
};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use bespeak_demand::forecasts::{Held, Kind, Level, Series};
use bespeak_engine::UtcMillis;
use bespeak_proto::v1 as pb;

use super::Keeper;
use crate::api::Api;
use crate::compute::ipc;
use crate::convert::{item, location};
use crate::error::ApiError;
use crate::store::Seen;

/// Positions of one question.
const POSITIONS_MAX: usize = 10_000;
/// Positions looked up under one lock.
const SLICE: usize = 256;

impl Api {
    /// The forecasts kept for some positions, in an answer of so many bytes at most.
    pub fn kept_forecasts(
        &self,
        request: &pb::ForecastRequest,
        answer_bytes: usize,
    ) -> Seen<pb::ForecastResponse> {
        let mut revision = 0;
        let result = self.kept(request, answer_bytes, &mut revision);
        Seen { result, revision }
    }

    fn kept(
        &self,
        request: &pb::ForecastRequest,
        answer_bytes: usize,
        revision: &mut u64,
    ) -> Result<pb::ForecastResponse, ApiError> {
        let rule = "with positions it is empty: their forecasts are those that were pushed";
        for (field, given) in [
            ("context", !request.context.is_empty()),
            ("future", !request.future.is_empty()),
            ("model", !request.model.is_empty()),
        ] {
            if given {
                return Err(ApiError::invalid(field, "given", rule));
            }
        }
        if request.positions.len() > POSITIONS_MAX {
            let rule = "at most 10000 are allowed: use the bulk interface for all";
            return Err(ApiError::invalid(
                "positions",
                request.positions.len(),
                rule,
            ));
        }
        if request.horizon > 366 {
            let rule = "it must be 0 to 366";
            return Err(ApiError::invalid("horizon", request.horizon, rule));
        }
        let keeper = self.forecasts();
        let levels = chosen(&keeper.forecasts.levels(Kind::Days), &request.quantiles)?;
        let mut now = UtcMillis::ZERO;
        let mut found: Vec<(&pb::ForecastPosition, Held)> = Vec::new();
        for (slice, from) in request.positions.chunks(SLICE).zip((0..).step_by(SLICE)) {
            let seen = self.store().read(|state| {
                let find = |(at, asked): (usize, &pb::ForecastPosition)| {
                    let inside = |error: ApiError| error.inside("positions", from + at);
                    let catalog = state.catalog();
                    let item = item(catalog, &asked.item).map_err(inside)?;
                    let location = location(catalog, &asked.location).map_err(inside)?;
                    Ok(state.position_id(item, location))
                };
                let ids: Result<Vec<_>, ApiError> = slice.iter().enumerate().map(find).collect();
                Ok((ids?, state.now()))
            });
            *revision = (*revision).max(seen.revision);
            let (ids, at) = seen.result?;
            now = at;
            let held = |id| keeper.forecasts.get(Kind::Days, id?);
            found.extend(
                slice
                    .iter()
                    .zip(ids)
                    .filter_map(|(asked, id)| Some((asked, held(id)?))),
            );
        }
        let most = match request.horizon {
            0 => usize::MAX,
            days => days as usize,
        };
        // A position may be named ten thousand times: what cannot be sent is not made.
        let rows = found.iter().map(|(_, held)| held.series().keys().len());
        let rows: usize = rows.map(|rows| rows.min(most)).sum();
        let bytes = rows * (levels.len() + 1) * size_of::<f64>();
        if bytes > answer_bytes {
            return Err(ApiError::MessageTooLarge {
                bytes: bytes as u64,
                limit: answer_bytes as u64,
            });
        }
        let oldest = found.iter().map(|(_, held)| held.series().origin().clone());
        let oldest = oldest.min_by_key(|origin| origin.computed_at);
        let age = oldest
            .map(|origin| keeper.age(&origin, now))
            .unwrap_or_default();
        Ok(pb::ForecastResponse {
            forecast: ipc::write(&table(keeper, now, &levels, most, &found)?)?.into(),
            made_by: age.model,
            fallback: false,
            source: pb::ForecastSource::Store.into(),
            age_ms: age.age_ms,
            stale: age.stale,
        })
    }
}

fn chosen(kept: &[Level], asked: &[f64]) -> Result<Vec<Level>, ApiError> {
    if asked.is_empty() {
        return Ok(kept.to_vec());
    }
    let find = |share: &f64| {
        let level = Level::from_share(*share).filter(|level| kept.contains(level));
        level.ok_or_else(|| {
            let names: Vec<String> = kept.iter().map(Level::to_string).collect();
            let rule = format!("the levels that are kept are {}", names.join(", "));
            ApiError::invalid("quantiles", share, rule)
        })
    };
    asked.iter().map(find).collect()
}

fn table(
    keeper: &Keeper,
    now: UtcMillis,
    levels: &[Level],
    most: usize,
    found: &[(&pb::ForecastPosition, Held)],
) -> Result<RecordBatch, ApiError> {
    let (mut items, mut locations) = (StringBuilder::new(), StringBuilder::new());
    let (mut models, mut times) = (StringBuilder::new(), Int64Builder::new());
    let (mut stale, mut days) = (BooleanBuilder::new(), Date32Builder::new());
    let mut values: Vec<Float64Builder> =
        (0..=levels.len()).map(|_| Float64Builder::new()).collect();
    for (asked, held) in found {
        let series = held.series();
        let age = keeper.age(series.origin(), now);
        for (row, day) in series.keys().iter().enumerate().take(most) {
            items.append_value(&asked.item);
            locations.append_value(&asked.location);
            models.append_value(&age.model);
            times.append_value(age.computed_at_ms);
            stale.append_value(age.stale);
            days.append_value(*day);
            values[0].append_value(series.mean(row));
            for (builder, level) in values[1..].iter_mut().zip(levels) {
                builder.append_option(at(&series, row, *level));
            }
        }
    }
    let mut fields = vec![
        Field::new("item_id", DataType::Utf8, false),
        Field::new("location", DataType::Utf8, false),
        Field::new("model", DataType::Utf8, false),
        Field::new("computed_at_ms", DataType::Int64, false),
        Field::new("stale", DataType::Boolean, false),
        Field::new("timestamp", DataType::Date32, false),
        Field::new("mean", DataType::Float64, false),
    ];
    let level = |level: &Level| Field::new(level.to_string(), DataType::Float64, true);
    fields.extend(levels.iter().map(level));
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(items.finish()),
        Arc::new(locations.finish()),
        Arc::new(models.finish()),
        Arc::new(times.finish()),
        Arc::new(stale.finish()),
        Arc::new(days.finish()),
    ];
    let finish = |builder: &mut Float64Builder| Arc::new(builder.finish()) as ArrayRef;
    columns.extend(values.iter_mut().map(finish));
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
        .map_err(|error| ApiError::Internal(error.to_string()))
}

fn at(series: &Series<'_>, row: usize, level: Level) -> Option<f64> {
    let place = series.levels().iter().position(|known| *known == level)?;
    Some(f64::from(series.quantiles(row)[place]))
}
