//! Forecasts as tables, a slice at a time.

use std::sync::Arc;

use arrow_array::builder::{Float32Builder, Int32Builder, Int64Builder, StringBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, Date32Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use bespeak_demand::forecasts::{Held, Kind, Level, Names};
use bespeak_engine::{LocationId, PositionId};

use crate::api::Api;
use crate::convert::location;
use crate::error::ApiError;

/// Positions of one slice at most.
const SLICE: usize = 256;
/// Numbers of one slice: a position may have 366 days of 99 levels.
const SLICE_CELLS: usize = 1 << 20;
const DAYS_MAX: usize = 366;

/// Columns of a table of forecasts with these levels.
pub(crate) fn schema(kind: Kind, levels: &[Level]) -> SchemaRef {
    let key = match kind {
        Kind::Days => DataType::Date32,
        Kind::Totals => DataType::Int32,
    };
    let mut fields = vec![
        Field::new("item", DataType::Utf8, false),
        Field::new("location", DataType::Utf8, false),
        Field::new("model", DataType::Utf8, false),
        Field::new("computed_at_ms", DataType::Int64, false),
        Field::new(kind.key(), key, false),
        Field::new("mean", DataType::Float32, false),
    ];
    // A position may have been pushed with other levels than its neighbour.
    let level = |level: &Level| Field::new(level.to_string(), DataType::Float32, true);
    fields.extend(levels.iter().map(level));
    Arc::new(Schema::new(fields))
}

/// Where a dump of forecasts is.
#[derive(Debug, Clone)]
pub(crate) struct Cursor {
    kind: Kind,
    levels: Vec<Level>,
    only: Option<LocationId>,
    next: Option<PositionId>,
}

impl Cursor {
    /// From the first position; with a location's name, its positions only.
    ///
    /// # Errors
    /// `UnknownLocation`.
    pub fn new(api: &Api, kind: Kind, only: &str) -> Result<Self, ApiError> {
        let only = match only {
            "" => None,
            name => {
                let found = api.store().read(|state| location(state.catalog(), name));
                Some(found.result?)
            }
        };
        Ok(Self {
            kind,
            levels: api.forecasts().forecasts.levels(kind),
            only,
            next: Some(PositionId(0)),
        })
    }

    /// Its columns.
    pub fn schema(&self) -> SchemaRef {
        schema(self.kind, &self.levels)
    }

    /// The next slice of rows, which may be empty; `None` after the last one.
    ///
    /// # Errors
    /// When the engine has stopped.
    pub fn next(&mut self, api: &Api) -> Result<Option<RecordBatch>, ApiError> {
        let Some(from) = self.next else {
            return Ok(None);
        };
        let widest = DAYS_MAX * (self.levels.len() + 1);
        let positions = (SLICE_CELLS / widest).clamp(1, SLICE);
        let (mut slice, more) = api.forecasts().forecasts.slice(self.kind, from, positions);
        self.next = more;
        if let Some(only) = self.only {
            let partition = api.store().partition();
            partition.peek(|state| {
                slice.retain(|held| state.position(held.series().position()).location() == only);
            })?;
        }
        rows(api, self.kind, &self.levels, &slice).map(Some)
    }
}

/// The rows of some positions.
fn rows(api: &Api, kind: Kind, levels: &[Level], slice: &[Held]) -> Result<RecordBatch, ApiError> {
    let positions: Vec<PositionId> = slice.iter().map(|held| held.series().position()).collect();
    let names = api.store().names(&positions)?;
    let (mut items, mut locations) = (StringBuilder::new(), StringBuilder::new());
    let (mut models, mut times) = (StringBuilder::new(), Int64Builder::new());
    let mut keys = Int32Builder::new();
    let mut values: Vec<Float32Builder> =
        (0..=levels.len()).map(|_| Float32Builder::new()).collect();
    for (held, (item, location)) in slice.iter().zip(&names) {
        let series = held.series();
        let at = |level| series.levels().iter().position(|known| known == level);
        let places: Vec<Option<usize>> = levels.iter().map(at).collect();
        for (row, key) in series.keys().iter().enumerate() {
            items.append_value(item);
            locations.append_value(location);
            models.append_value(&series.origin().model);
            times.append_value(series.origin().computed_at.get());
            keys.append_value(*key);
            values[0].append_value(series.row(row)[0]);
            for (builder, place) in values[1..].iter_mut().zip(&places) {
                builder.append_option(place.map(|place| series.quantiles(row)[place]));
            }
        }
    }
    let keys: ArrayRef = Arc::new(keys.finish());
    let keys = match kind {
        Kind::Totals => keys,
        Kind::Days => {
            let days = keys.as_primitive::<Int32Type>();
            Arc::new(Date32Array::new(days.values().clone(), None)) as ArrayRef
        }
    };
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(items.finish()),
        Arc::new(locations.finish()),
        Arc::new(models.finish()),
        Arc::new(times.finish()),
        keys,
    ];
    let finish = |builder: &mut Float32Builder| Arc::new(builder.finish()) as ArrayRef;
    columns.extend(values.iter_mut().map(finish));
    RecordBatch::try_new(schema(kind, levels), columns)
        .map_err(|error| ApiError::Internal(error.to_string()))
}
