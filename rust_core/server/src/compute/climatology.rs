//! Same-weekday empirical quantiles over the last eight weeks: the forecast that needs no worker.
//!
//! 1. The window is the 56 days up to and including the item's last day.
//! 2. A day is a sample when its target is known and it was in stock all day.
//! 3. The samples of a forecast day are those of its weekday. With fewer than three, all samples of the window;
//!    with none at all, every known day of the window; with none of those, the forecast is null.
//! 4. Quantile p of n sorted samples x: position p (n + 1) - 1, clipped to [0, n - 1], interpolated linearly.
//!    The mean is the arithmetic mean of the samples.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::builder::{Date32Builder, Float64Builder, StringBuilder};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema};

use super::ipc;
use crate::error::ApiError;

/// Who made it.
pub const MADE_BY: &str = "climatology@1";
const WINDOW_DAYS: i32 = 56;
const SAMPLES_MIN: usize = 3;
/// Levels when none are asked.
const LEVELS: [f64; 9] = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9];
/// Rows of one answer; more do not fit a message.
const ROWS_MAX: usize = 1_000_000;

#[derive(Debug, Clone, Copy)]
struct Day {
    day: i32,
    target: Option<f64>,
    in_stock: bool,
}

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
            .map(|level| Field::new(level.to_string(), DataType::Float64, true)),
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

fn history(context: &[u8]) -> Result<BTreeMap<String, Vec<Day>>, ApiError> {
    let mut series: BTreeMap<String, Vec<Day>> = BTreeMap::new();
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
            let entry = Day {
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

/// The last day, and mean and quantiles for each of the seven days after it, which repeat.
fn one_week(history: &[Day], levels: &[f64]) -> (i32, Vec<Vec<Option<f64>>>) {
    let last = history.last().map_or(0, |day| day.day);
    let window = history
        .iter()
        .filter(|day| i64::from(day.day) > i64::from(last) - i64::from(WINDOW_DAYS));
    let samples = |wanted: &dyn Fn(&Day) -> bool| {
        let mut found: Vec<f64> = window
            .clone()
            .filter(|day| wanted(day))
            .filter_map(|day| day.target)
            .collect();
        found.sort_by(f64::total_cmp);
        found
    };
    let in_stock = samples(&|day| day.in_stock);
    let pooled = if in_stock.is_empty() {
        samples(&|_| true)
    } else {
        in_stock
    };
    let week = (1..=7i64).map(|ahead| {
        let weekday = |day: &Day| (i64::from(last) + ahead - i64::from(day.day)) % 7 == 0;
        let own = samples(&|day| day.in_stock && weekday(day));
        summary(
            if own.len() >= SAMPLES_MIN {
                &own
            } else {
                &pooled
            },
            levels,
        )
    });
    (last, week.collect())
}

fn summary(sorted: &[f64], levels: &[f64]) -> Vec<Option<f64>> {
    if sorted.is_empty() {
        return vec![None; levels.len() + 1];
    }
    let mut out = vec![Some(sorted.iter().sum::<f64>() / sorted.len() as f64)];
    out.extend(levels.iter().map(|level| Some(quantile(sorted, *level))));
    out
}

fn quantile(sorted: &[f64], level: f64) -> f64 {
    let last = sorted.len() - 1;
    let position = (level * (sorted.len() as f64 + 1.0) - 1.0).clamp(0.0, last as f64);
    let below = position.floor() as usize;
    let above = (below + 1).min(last);
    sorted[below] + (sorted[above] - sorted[below]) * (position - below as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(day: i32, target: f64) -> Day {
        Day {
            day,
            target: Some(target),
            in_stock: true,
        }
    }

    #[test]
    fn a_weekday_repeats_itself() {
        // Eight weeks in which weekday k sells k units.
        let history: Vec<Day> = (0..56).map(|n| day(n, f64::from(n % 7))).collect();
        let (last, week) = one_week(&history, &[0.5]);
        assert_eq!(last, 55);
        for (ahead, values) in week.iter().enumerate() {
            let expected = (56 + ahead) % 7;
            assert_eq!(values, &vec![Some(expected as f64); 2]);
        }
    }

    #[test]
    fn quantiles_are_interpolated_and_clipped() {
        let sorted = [1.0, 2.0, 4.0];
        assert_eq!(quantile(&sorted, 0.5), 2.0);
        assert_eq!(quantile(&sorted, 0.6), 2.0 + 2.0 * (0.6 * 4.0 - 2.0));
        assert_eq!(quantile(&sorted, 0.01), 1.0);
        assert_eq!(quantile(&sorted, 0.99), 4.0);
    }

    #[test]
    fn stocked_out_days_are_no_samples_unless_there_is_nothing_else() {
        let hidden = Day {
            day: 9,
            target: Some(0.0),
            in_stock: false,
        };
        let (_, week) = one_week(&[day(8, 6.0), hidden], &[]);
        assert!(week.iter().all(|values| values == &vec![Some(6.0)]));
        let (_, week) = one_week(&[hidden], &[]);
        assert!(week.iter().all(|values| values == &vec![Some(0.0)]));
        let unknown = Day {
            day: 9,
            target: None,
            in_stock: true,
        };
        let (_, week) = one_week(&[unknown], &[0.5]);
        assert!(week.iter().all(|values| values == &vec![None, None]));
    }
}
