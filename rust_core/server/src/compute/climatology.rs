//! Climatology of a table that a caller sent: the forecast that needs no worker. See [`bespeak_demand::climatology`].

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::builder::{Date32Builder, Float64Builder, StringBuilder};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use bespeak_demand::climatology::{LEVELS, Observed, level_name, one_week};

use super::ipc;
use crate::error::ApiError;

/// Rows of one answer; more do not fit a message.
const ROWS_MAX: usize = 1_000_000;

/// Forecasts every item of a history, `horizon` days ahead of its last day.
///
/// # Errors
/// `InvalidArgument` for a table that is wrong.
pub fn forecast(context: &[u8], horizon: u32, levels: &[f64]) -> Result<Vec<u8>, ApiError> {
    let levels = if levels.is_empty() {
        &LEVELS[..]
    } else {
        levels
    };
    let series = history(context)?;
    if series.len().saturating_mul(horizon as usize) > ROWS_MAX {
        let rule = "at most 1000000 rows of forecast are made at once: send fewer items";
        return Err(ApiError::invalid("horizon", horizon, rule));
    }
    let mut items = StringBuilder::new();
    let mut days = Date32Builder::new();
    let mut values: Vec<Float64Builder> =
        (0..=levels.len()).map(|_| Float64Builder::new()).collect();
    for (item, history) in &series {
        let (last, week) = one_week(history, levels);
        for ahead in 0..horizon {
            items.append_value(item);
            days.append_value(
                last.saturating_add(i32::try_from(ahead).unwrap_or(i32::MAX))
                    .saturating_add(1),
            );
            for (builder, value) in values.iter_mut().zip(&week[ahead as usize % 7]) {
                builder.append_option(*value);
            }
        }
    }
    let mut fields = vec![
        Field::new("item_id", DataType::Utf8, false),
        Field::new("timestamp", DataType::Date32, false),
        Field::new("mean", DataType::Float64, true),
    ];
    fields.extend(
        levels
            .iter()
            .map(|level| Field::new(level_name(*level), DataType::Float64, true)),
    );
    let mut columns: Vec<ArrayRef> = vec![Arc::new(items.finish()), Arc::new(days.finish())];
    columns.extend(
        values
            .iter_mut()
            .map(|builder| Arc::new(builder.finish()) as ArrayRef),
    );
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
        .map_err(|error| ApiError::Internal(error.to_string()))?;
    ipc::write(&batch)
}

fn history(context: &[u8]) -> Result<BTreeMap<String, Vec<Observed>>, ApiError> {
    let mut series: BTreeMap<String, Vec<Observed>> = BTreeMap::new();
    for batch in ipc::read("context", context)? {
        let items = ipc::texts("context", &batch, "item_id")?;
        let days = ipc::days("context", &batch, "timestamp")?;
        let targets = ipc::numbers(
            "context",
            "target",
            ipc::column("context", &batch, "target")?,
        )?;
        let stockouts = match batch.column_by_name("stockout") {
            Some(column) => ipc::numbers("context", "stockout", column)?,
            None => vec![None; days.len()],
        };
        for (row, day) in days.into_iter().enumerate() {
            let Some(item) = items.get(row) else {
                return Err(ApiError::invalid(
                    format!("context[{row}].item_id"),
                    "null",
                    "give every row its item",
                ));
            };
            let target = targets[row];
            if target.is_some_and(|target| target < 0.0) {
                let rule = "it must be at least 0, or null when not known";
                return Err(ApiError::invalid(
                    format!("context[{row}].target"),
                    target.unwrap_or(0.0),
                    rule,
                ));
            }
            let in_stock = stockouts[row].is_none_or(|share| share <= 0.0);
            let entry = Observed {
                day,
                target,
                in_stock,
            };
            match series.get_mut(item) {
                Some(known) => known.push(entry),
                None => {
                    series.insert(item.to_owned(), vec![entry]);
                }
            }
        }
    }
    if series.is_empty() {
        return Err(ApiError::invalid(
            "context",
            "0 rows",
            "send at least one day of one item",
        ));
    }
    for (item, days) in &mut series {
        days.sort_by_key(|day| day.day);
        if let Some(pair) = days.windows(2).find(|pair| pair[0].day == pair[1].day) {
            let value = format!("{item} twice on day {}", pair[0].day);
            return Err(ApiError::invalid(
                "context",
                value,
                "add up the rows of a day before sending",
            ));
        }
    }
    Ok(series)
}
