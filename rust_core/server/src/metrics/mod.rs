//! What the server counts: plain atomics on the way of a request, turned into Prometheus text when asked.

mod allocation;
mod encode;
mod histogram;
mod http;
mod process;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use bespeak_engine::Refusal;

pub use allocation::Allocations;
pub use encode::{Observed, Text};
pub use histogram::Latency;
pub(crate) use http::serve;

use crate::method::Method;

/// Status codes of gRPC, 0 to 16.
const CODES: usize = 17;
/// Refusals, from 1.
const REFUSALS: usize = Refusal::Limit as usize + 1;

/// Why a request was refused at a limit.
#[derive(Debug, Clone, Copy)]
pub enum Shed {
    /// As many requests are in progress as may be.
    InFlight,
    /// As many streams are open as may be.
    Streams,
    /// As many plans are being made as may be.
    Plans,
    /// As many calls that read the whole journal are in progress as may be.
    Journal,
    /// As many bytes of requests are arriving as may be.
    Buffered,
}

/// [`Shed`] in words, in its order.
const SHED: [&str; 5] = [
    "requests_in_flight",
    "streams",
    "plans",
    "journal_readers",
    "buffered_bytes",
];

/// Why a connection was not taken up.
#[derive(Debug, Clone, Copy)]
pub enum Turned {
    /// As many are open as may be.
    Limit,
    /// Its handshake failed.
    Handshake,
    /// Its handshake took too long.
    Timeout,
}

/// [`Turned`] in words, in its order.
const TURNED: [&str; 3] = ["limit", "handshake", "timeout"];

/// Counters of one method.
#[derive(Debug, Default)]
pub struct MethodCounters {
    /// From the arrival of the headers to the answer.
    pub latency: Latency,
    codes: [AtomicU64; CODES],
}

/// Everything that the server counts.
#[derive(Debug)]
pub struct Metrics {
    methods: Vec<MethodCounters>,
    refusals: [AtomicU64; REFUSALS],
    /// Requests taken up and not yet answered.
    pub in_flight: AtomicI64,
    /// Connections now.
    pub connections: AtomicI64,
    /// Connections ever.
    pub connections_opened: AtomicU64,
    /// Connections refused, by [`Turned`].
    connections_refused: [AtomicU64; TURNED.len()],
    /// Long-lived streams now.
    pub open_streams: AtomicI64,
    /// Requests refused at a limit, by [`Shed`].
    shed: [AtomicU64; SHED.len()],
    /// Rows of Arrow batches, by what was done with them.
    pub rows_checked: AtomicU64,
    /// Rows of Arrow batches reserved or refused.
    pub rows_reserved: AtomicU64,
    /// Rows of Arrow batches of supply events.
    pub rows_supplied: AtomicU64,
    /// Answers made by a fallback because the compute worker was away.
    pub fallbacks: AtomicU64,
    /// Plans.
    pub allocation: Allocations,
    /// Watchers that were told to check again.
    pub resyncs: AtomicU64,
    /// Source events that had been seen before, by source. Sources are limited by the engine.
    duplicates: Mutex<BTreeMap<Box<str>, u64>>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            methods: Method::ALL
                .iter()
                .map(|_| MethodCounters::default())
                .collect(),
            refusals: Default::default(),
            in_flight: AtomicI64::new(0),
            connections: AtomicI64::new(0),
            connections_opened: AtomicU64::new(0),
            connections_refused: Default::default(),
            open_streams: AtomicI64::new(0),
            shed: Default::default(),
            rows_checked: AtomicU64::new(0),
            rows_reserved: AtomicU64::new(0),
            rows_supplied: AtomicU64::new(0),
            fallbacks: AtomicU64::new(0),
            allocation: Allocations::default(),
            resyncs: AtomicU64::new(0),
            duplicates: Mutex::default(),
        }
    }
}

impl Metrics {
    /// Counts an answered call.
    #[inline]
    pub fn answered(&self, method: Method, code: i32, took: std::time::Duration) {
        if let Some(counters) = self.methods.get(method as usize) {
            counters.latency.record(took);
            if let Some(count) = usize::try_from(code)
                .ok()
                .and_then(|code| counters.codes.get(code))
            {
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Counts a request that was refused at a limit.
    #[cold]
    pub fn shed(&self, why: Shed) {
        self.shed[why as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Requests refused at a limit so far.
    pub fn shed_by(&self, why: Shed) -> u64 {
        self.shed[why as usize].load(Ordering::Relaxed)
    }

    /// Connections not taken up so far.
    pub fn turned_away_by(&self, why: Turned) -> u64 {
        self.connections_refused[why as usize].load(Ordering::Relaxed)
    }

    /// Counts a connection that was not taken up.
    #[cold]
    pub fn turned_away(&self, why: Turned) {
        self.connections_refused[why as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a source event that had been seen before.
    pub fn duplicate(&self, source: &str) {
        let mut duplicates = self
            .duplicates
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match duplicates.get_mut(source) {
            Some(count) => *count += 1,
            None => {
                duplicates.insert(source.into(), 1);
            }
        }
    }

    /// Source events that had been seen before, by source, since the start.
    pub fn duplicates(&self) -> BTreeMap<Box<str>, u64> {
        self.duplicates
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Counts a refusal of a line or a step.
    #[inline]
    pub fn refused(&self, refusal: Option<Refusal>) {
        if let Some(refusal) = refusal {
            self.refusals[refusal as usize].fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn what_is_refused_is_counted_under_its_reason() {
        let metrics = Arc::new(Metrics::default());
        metrics.shed(Shed::Plans);
        metrics.shed(Shed::Journal);
        metrics.shed(Shed::Buffered);
        metrics.shed(Shed::Buffered);
        metrics.turned_away(Turned::Timeout);
        let observed = || Observed {
            limits: vec![("streams", 9)],
            ..Observed::default()
        };
        let page = Text::new(metrics, Arc::new(observed)).render();
        let told = |line: &str| assert!(page.lines().any(|one| one == line), "{line}: {page}");
        told("bespeak_requests_shed_total{reason=\"requests_in_flight\"} 0");
        told("bespeak_requests_shed_total{reason=\"streams\"} 0");
        told("bespeak_requests_shed_total{reason=\"plans\"} 1");
        told("bespeak_requests_shed_total{reason=\"journal_readers\"} 1");
        told("bespeak_requests_shed_total{reason=\"buffered_bytes\"} 2");
        told("bespeak_connections_refused_total{reason=\"limit\"} 0");
        told("bespeak_connections_refused_total{reason=\"handshake\"} 0");
        told("bespeak_connections_refused_total{reason=\"timeout\"} 1");
        told("bespeak_limit{of=\"streams\"} 9");
        assert!(page.contains("\nprocess_start_time_seconds "), "{page}");
        assert!(page.ends_with("# EOF\n"), "{page}");
    }
}
