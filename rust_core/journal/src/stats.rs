//! Counters of the write path, cheap enough to be always on.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const BUCKETS: usize = 96;
/// Four buckets to a doubling.
const STEPS: u64 = 4;

/// A histogram whose buckets grow by a quarter of a power of two: within 25 % everywhere.
#[derive(Debug)]
pub struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    count: AtomicU64,
    sum: AtomicU64,
}

/// A histogram at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistogramSnapshot {
    /// Upper bound (inclusive) and count of each bucket that is not empty, ascending.
    pub buckets: Vec<(u64, u64)>,
    /// Number of values.
    pub count: u64,
    /// Sum of the values.
    pub sum: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            buckets: std::array::from_fn(|_| AtomicU64::new(0)),
            count: AtomicU64::new(0),
            sum: AtomicU64::new(0),
        }
    }
}

fn bucket_of(value: u64) -> usize {
    if value < STEPS {
        return value as usize;
    }
    let power = u64::from(value.ilog2());
    let step = (value >> (power - 2)) & (STEPS - 1);
    (((power - 1) * STEPS + step) as usize).min(BUCKETS - 1)
}

fn upper_bound(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < STEPS {
        return bucket;
    }
    let (power, step) = (bucket / STEPS + 1, bucket % STEPS);
    ((STEPS + step + 1) << (power - 2)) - 1
}

impl Histogram {
    /// Counts a value.
    pub fn record(&self, value: u64) {
        self.buckets[bucket_of(value)].fetch_add(1, Ordering::Relaxed);
        self.count.fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    /// Copies the histogram.
    #[must_use]
    pub fn snapshot(&self) -> HistogramSnapshot {
        let filled = self
            .buckets
            .iter()
            .enumerate()
            .filter_map(|(bucket, count)| {
                let count = count.load(Ordering::Relaxed);
                (count > 0).then_some((upper_bound(bucket), count))
            });
        HistogramSnapshot {
            buckets: filled.collect(),
            count: self.count.load(Ordering::Relaxed),
            sum: self.sum.load(Ordering::Relaxed),
        }
    }
}

impl HistogramSnapshot {
    /// Upper bound of the bucket that holds the given share (0 to 1) of the values; 0 when empty.
    #[must_use]
    pub fn quantile(&self, share: f64) -> u64 {
        let rank = (share * self.count as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        for &(bound, count) in &self.buckets {
            seen += count;
            if seen >= rank {
                return bound;
            }
        }
        self.buckets.last().map_or(0, |&(bound, _)| bound)
    }
}

/// Counters of one log since it was opened.
#[derive(Debug, Default)]
pub struct LogStats {
    /// Microseconds of each write with its sync.
    pub sync_us: Histogram,
    /// Records of each batch.
    pub batch_records: Histogram,
    /// Records written.
    pub records: AtomicU64,
    /// Bytes written, headers and padding included.
    pub bytes: AtomicU64,
    /// Seals written.
    pub seals: AtomicU64,
    /// Segments started.
    pub rolls: AtomicU64,
    /// Writes refused, since as much waited for a sync as may wait.
    pub refused: AtomicU64,
}

impl LogStats {
    pub(crate) fn batch(&self, records: u64, bytes: u64, took: Duration) {
        self.sync_us
            .record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        self.batch_records.record(records);
        self.records.fetch_add(records, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_hold_their_values_and_are_narrow() {
        for value in (0..5000).chain([1 << 20, (1 << 22) + 12345]) {
            let bucket = bucket_of(value);
            let upper = upper_bound(bucket);
            assert!(value <= upper, "{value} in bucket up to {upper}");
            assert!(bucket == 0 || upper_bound(bucket - 1) < value, "{value}");
            assert!(upper - value <= value / 4, "{value} up to {upper}");
        }
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_come_from_the_right_bucket() {
        let histogram = Histogram::default();
        for value in 1..=100 {
            histogram.record(value);
        }
        let snapshot = histogram.snapshot();
        assert_eq!((snapshot.count, snapshot.sum), (100, 5050));
        assert_eq!(snapshot.quantile(0.5), 55);
        assert_eq!(snapshot.quantile(0.99), 111);
    }
}
