//! What the server counts: plain atomics on the way of a request, turned into Prometheus text when asked.

mod allocation;
mod encode;
mod histogram;
mod http;

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
    /// Connections refused: over the limit, or a handshake that failed or took too long.
    pub connections_refused: AtomicU64,
    /// Long-lived streams now.
    pub open_streams: AtomicI64,
    /// Requests shed at a limit.
    pub shed: AtomicU64,
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
            connections_refused: AtomicU64::new(0),
            open_streams: AtomicI64::new(0),
            shed: AtomicU64::new(0),
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
