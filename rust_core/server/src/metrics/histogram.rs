//! A latency histogram with fixed bounds: three relaxed additions a value.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds in microseconds; what is beyond goes to +Inf.
pub const BOUNDS_US: [u64; 23] = [
    25, 50, 75, 100, 150, 200, 300, 500, 750, 1_000, 2_000, 3_000, 5_000, 10_000, 25_000, 50_000,
    100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000,
];

/// Counts durations.
#[derive(Debug, Default)]
pub struct Latency {
    buckets: [AtomicU64; BOUNDS_US.len() + 1],
    sum_us: AtomicU64,
}

impl Latency {
    /// Counts one duration.
    #[inline]
    pub fn record(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_US.partition_point(|bound| *bound < us);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    /// Sum in seconds, number of values, and values in each bucket by upper bound in seconds.
    pub fn snapshot(&self) -> (f64, u64, Vec<(f64, u64)>) {
        let bounds = BOUNDS_US
            .iter()
            .map(|us| *us as f64 / 1e6)
            .chain([f64::MAX]);
        let counts = self
            .buckets
            .iter()
            .map(|bucket| bucket.load(Ordering::Relaxed));
        let buckets: Vec<_> = bounds.zip(counts).collect();
        let total = buckets.iter().map(|(_, count)| count).sum();
        (
            self.sum_us.load(Ordering::Relaxed) as f64 / 1e6,
            total,
            buckets,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_counts_in_the_first_bucket_that_holds_it() {
        let latency = Latency::default();
        for us in [0, 25, 26, 1_000, 60_000_000] {
            latency.record(Duration::from_micros(us));
        }
        let (sum, count, buckets) = latency.snapshot();
        assert_eq!(
            (count, buckets[0].1, buckets[1].1, buckets[9].1),
            (5, 2, 1, 1)
        );
        assert_eq!(buckets.last().map(|bucket| bucket.1), Some(1));
        assert!((sum - 60.001_051).abs() < 1e-9, "{sum}");
    }
}
