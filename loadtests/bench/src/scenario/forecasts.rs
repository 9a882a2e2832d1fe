//! Forecasts by a model: histories prepared before the load, answers counted row by row.

use std::sync::Arc;

use anyhow::{Result, ensure};
use arrow_array::{ArrayRef, Date32Array, Float64Array, RecordBatch, StringArray};
use bespeak_proto::v1::{ForecastRequest, ForecastResponse, ForecastSource};
use bytes::Bytes;

use super::tables::{read, stream};
use crate::grpc::frame;
use crate::rng::Rng;

/// Days of sales in a history, the last of them, and how many requests are prepared; they take turns.
const DAYS: i32 = 112;
const LAST_DAY: i32 = 20_700;
const PREPARED: usize = 8;

/// What a step asks to be forecast.
pub struct Forecasts {
    requests: Vec<Bytes>,
    rows: usize,
}

impl Forecasts {
    /// # Errors
    /// Never for the histories that are made here.
    pub fn new(seed: u64, series: usize, horizon: u32) -> Result<Self> {
        let mut rng = Rng::new(seed ^ 0x0F04_ECA5_7000_0001);
        let request = |_| {
            Ok(frame(&ForecastRequest {
                context: history(&mut rng, series)?,
                horizon,
                quantiles: vec![0.1, 0.5, 0.9],
                ..Default::default()
            }))
        };
        Ok(Self {
            requests: (0..PREPARED).map(request).collect::<Result<_>>()?,
            rows: series * horizon as usize,
        })
    }

    pub fn request(&self, turn: u64) -> Bytes {
        self.requests[(turn % self.requests.len() as u64) as usize].clone()
    }

    /// Who made a forecast: where, and which model.
    ///
    /// # Errors
    /// A row is missing, or nobody says where it was made.
    pub fn made_by(&self, answer: &ForecastResponse) -> Result<String> {
        let tables = read(&answer.forecast)?;
        let rows: usize = tables.iter().map(RecordBatch::num_rows).sum();
        ensure!(
            rows == self.rows,
            "a forecast has {rows} rows, {} were asked",
            self.rows
        );
        let place = match answer.source() {
            ForecastSource::Worker => "worker",
            ForecastSource::Ray => "ray",
            ForecastSource::Fallback => "fallback",
            other => anyhow::bail!("a forecast that was made now comes from {other:?}"),
        };
        ensure!(
            (place == "fallback") == answer.fallback,
            "a forecast comes from {place}, and fallback is {}",
            answer.fallback
        );
        Ok(format!("{place} {}", answer.made_by))
    }
}

/// Sales that differ from day to day and item to item.
fn history(rng: &mut Rng, series: usize) -> Result<Bytes> {
    let (mut items, mut days, mut sold) = (Vec::new(), Vec::new(), Vec::new());
    for item in 0..series {
        let most = 4 + rng.below(30);
        for day in 0..DAYS {
            items.push(format!("series-{item:03}"));
            days.push(LAST_DAY - DAYS + 1 + day);
            sold.push(f64::from(rng.below(most)));
        }
    }
    let columns: [(&str, ArrayRef); 3] = [
        (
            "item_id",
            Arc::new(StringArray::from_iter_values(items)) as ArrayRef,
        ),
        ("timestamp", Arc::new(Date32Array::from(days))),
        ("target", Arc::new(Float64Array::from(sold))),
    ];
    stream(&RecordBatch::try_from_iter(columns)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(rows: usize, source: ForecastSource, fallback: bool) -> ForecastResponse {
        let items = StringArray::from_iter_values((0..rows).map(|_| "series-000"));
        let table = RecordBatch::try_from_iter([("item_id", Arc::new(items) as ArrayRef)]).unwrap();
        ForecastResponse {
            forecast: stream(&table).unwrap(),
            made_by: "climatology@1".to_owned(),
            source: source.into(),
            fallback,
            ..Default::default()
        }
    }

    #[test]
    fn who_made_it_is_told_and_what_cannot_be_is_refused() {
        let forecasts = Forecasts::new(1, 2, 7).unwrap();
        for (rows, source, fallback, told) in [
            (
                14,
                ForecastSource::Worker,
                false,
                Some("worker climatology@1"),
            ),
            (
                14,
                ForecastSource::Fallback,
                true,
                Some("fallback climatology@1"),
            ),
            (13, ForecastSource::Worker, false, None),
            (14, ForecastSource::Worker, true, None),
            (14, ForecastSource::Store, false, None),
        ] {
            let found = forecasts.made_by(&answer(rows, source, fallback)).ok();
            assert_eq!(
                found.as_deref(),
                told,
                "{rows} rows from {source:?}, {fallback}"
            );
        }
    }

    #[test]
    fn requests_take_turns_and_are_those_of_the_seed() {
        let forecasts = Forecasts::new(1, 2, 7).unwrap();
        assert_eq!(forecasts.request(0), forecasts.request(PREPARED as u64));
        assert_ne!(forecasts.request(0), forecasts.request(1));
        assert_eq!(
            forecasts.request(3),
            Forecasts::new(1, 2, 7).unwrap().request(3)
        );
    }
}
