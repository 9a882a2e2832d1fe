//! Latency histograms, and the refusal of measurements that the generator itself spoiled.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Three digits from a microsecond to a minute, in nanoseconds.
pub fn histogram() -> Histogram<u32> {
    Histogram::new_with_bounds(1_000, 60_000_000_000, 3).expect("the bounds are valid constants")
}

/// Above a minute counts as a minute.
pub fn record(histogram: &mut Histogram<u32>, latency: Duration) {
    histogram.saturating_record(latency.as_nanos() as u64);
}

/// Microseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Latency {
    pub p50_us: f64,
    pub p99_us: f64,
    pub p999_us: f64,
    pub max_us: f64,
}

impl From<&Histogram<u32>> for Latency {
    fn from(histogram: &Histogram<u32>) -> Self {
        let us = |ns: u64| ns as f64 / 1_000.0;
        Self {
            p50_us: us(histogram.value_at_quantile(0.50)),
            p99_us: us(histogram.value_at_quantile(0.99)),
            p999_us: us(histogram.value_at_quantile(0.999)),
            max_us: us(histogram.max()),
        }
    }
}

/// The generator may add this share of what it reports.
const LAG_SHARE_MAX: f64 = 0.10;
/// And never needs to be better than this.
const LAG_FLOOR_US: f64 = 50.0;

/// Tells whether an open-loop measurement stands: operations must start when the schedule says.
///
/// # Errors
/// The generator itself ran late by more than a tenth of what it would report.
pub fn refuse_lag(lag: &Histogram<u32>, measured: &Histogram<u32>) -> Result<(), String> {
    refuse_lag_of(lag, measured, LAG_SHARE_MAX)
}

/// The same with another share than a tenth.
///
/// # Errors
/// As for [`refuse_lag`].
pub fn refuse_lag_of(
    lag: &Histogram<u32>,
    measured: &Histogram<u32>,
    share_max: f64,
) -> Result<(), String> {
    let (late, found) = (Latency::from(lag).p99_us, Latency::from(measured).p99_us);
    let limit = (found * share_max).max(LAG_FLOOR_US);
    if late <= limit {
        return Ok(());
    }
    Err(format!(
        "generator started operations {late:.0} us late (p99), {limit:.0} us allowed beside a \
         measured p99 of {found:.0} us: lower the rate or give the client a faster core"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values_us: &[u64]) -> Histogram<u32> {
        let mut histogram = histogram();
        for &us in values_us {
            record(&mut histogram, Duration::from_micros(us));
        }
        histogram
    }

    #[test]
    fn quantiles_keep_three_digits() {
        let values: Vec<u64> = (1..=1_000).collect();
        let latency = Latency::from(&of(&values));
        assert!((latency.p50_us - 500.0).abs() < 1.0, "{latency:?}");
        assert!((latency.p99_us - 990.0).abs() < 2.0, "{latency:?}");
        assert!((latency.max_us - 1_000.0).abs() < 2.0, "{latency:?}");
    }

    #[test]
    fn beyond_a_minute_is_kept_as_a_minute() {
        let mut histogram = histogram();
        record(&mut histogram, Duration::from_secs(3_600));
        assert!(histogram.max() >= 60_000_000_000);
    }

    #[test]
    fn a_generator_on_time_is_believed() {
        assert_eq!(refuse_lag(&of(&[1, 2, 40]), &of(&[100, 120, 150])), Ok(()));
        assert_eq!(refuse_lag(&of(&[200; 100]), &of(&[5_000; 100])), Ok(()));
    }

    #[test]
    fn a_generator_that_fell_behind_is_refused() {
        let refusal = refuse_lag(&of(&[900; 100]), &of(&[1_000; 100])).unwrap_err();
        assert!(
            refusal.contains("late") && refusal.contains("lower the rate"),
            "{refusal}"
        );
    }

    #[test]
    fn a_few_late_starts_do_not_refuse() {
        let mut lags = vec![5; 995];
        lags.extend([10_000; 5]);
        assert_eq!(refuse_lag(&of(&lags), &of(&[300; 100])), Ok(()));
    }
}
