//! What every connection shares.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use crate::api::Api;
use crate::config::Limits;
use crate::error::ApiError;
use crate::metrics::Metrics;
use crate::transport::message::Budget;

/// Shared by all connections of a server.
#[derive(Debug)]
pub(crate) struct Shared {
    /// The services, once the journal has been replayed.
    pub api: OnceLock<Api>,
    pub limits: Limits,
    pub metrics: Arc<Metrics>,
    /// Bytes of requests still arriving.
    pub budget: Budget,
    /// Rises once, when the server is told to stop.
    pub draining: watch::Sender<bool>,
    /// How long calls in progress then have.
    pub drain: Duration,
    /// Told whenever a connection has ended.
    pub left: Notify,
    /// The streaming services.
    pub streams: crate::services::Streams,
    ages: AtomicU64,
}

impl Shared {
    pub fn new(
        limits: Limits,
        drain: Duration,
        metrics: Arc<Metrics>,
        streams: crate::services::Streams,
    ) -> Self {
        Self {
            api: OnceLock::new(),
            budget: Budget::new(limits.buffered_bytes),
            limits,
            metrics,
            draining: watch::Sender::new(false),
            drain,
            left: Notify::new(),
            streams,
            ages: AtomicU64::new(0),
        }
    }

    /// The services, or why there are none yet.
    #[inline]
    pub fn api(&self) -> Result<&Api, ApiError> {
        self.api.get().ok_or(ApiError::Recovering)
    }

    /// A number that differs from connection to connection.
    pub fn jitter(&self) -> u64 {
        self.ages
            .fetch_add(1, Ordering::Relaxed)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            >> 32
    }

    /// Takes a permit for one request.
    ///
    /// # Errors
    /// `Overloaded`, at once.
    #[inline]
    pub fn permit(&self) -> Result<Permit<'_>, ApiError> {
        let taken = self.metrics.in_flight.fetch_add(1, Ordering::AcqRel);
        let permit = Permit {
            metrics: &self.metrics,
        };
        if usize::try_from(taken).is_ok_and(|taken| taken < self.limits.in_flight) {
            return Ok(permit);
        }
        self.metrics.shed.fetch_add(1, Ordering::Relaxed);
        Err(ApiError::Overloaded {
            what: "requests in progress",
            limit: self.limits.in_flight as u64,
            retry_ms: self.limits.retry_ms,
        })
    }
}

/// The right of one request to be in progress.
#[derive(Debug)]
pub(crate) struct Permit<'a> {
    metrics: &'a Metrics,
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.metrics.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}
