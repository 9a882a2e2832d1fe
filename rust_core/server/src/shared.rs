//! What every connection shares.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};
use tokio::time::sleep;

use crate::api::Api;
use crate::compute::Client;
use crate::config::Limits;
use crate::dormant::Dormant;
use crate::error::ApiError;
use crate::metrics::{Metrics, Shed};
use crate::seats::Seats;
use crate::telemetry::Traces;
use crate::transport::blocking::JournalReaders;
use crate::transport::deadline;
use crate::transport::message::Budget;

/// How often work that has begun looks for a permit to go on.
const LOOK: Duration = Duration::from_millis(5);

/// Shared by all connections of a server.
#[derive(Debug)]
pub(crate) struct Shared {
    /// The services, once the journal has been replayed.
    pub api: OnceLock<Api>,
    /// The compute worker, when there is one.
    pub compute: OnceLock<Arc<Client>>,
    /// Where calls are told of, when anywhere.
    pub traces: OnceLock<Traces>,
    pub limits: Limits,
    pub metrics: Arc<Metrics>,
    /// Bytes of requests still arriving.
    pub budget: Budget,
    /// Room for calls that read the whole journal.
    pub journal_seats: Seats<JournalReaders>,
    /// Rises once, when the server is told to stop …
    pub stop: watch::Sender<bool>,
    /// … and this once everybody who watches its health has been told.
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
            compute: OnceLock::new(),
            traces: OnceLock::new(),
            budget: Budget::new(limits.buffered_bytes, Arc::clone(&metrics)),
            journal_seats: Seats::default(),
            limits,
            metrics,
            stop: watch::Sender::new(false),
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
        self.take_permit()?;
        Ok(Permit {
            metrics: &self.metrics,
        })
    }

    #[inline]
    fn take_permit(&self) -> Result<(), ApiError> {
        if self.try_permit() {
            return Ok(());
        }
        Err(self.overloaded(
            Shed::InFlight,
            "requests in progress",
            self.limits.in_flight,
        ))
    }

    #[inline]
    fn try_permit(&self) -> bool {
        let taken = self.metrics.in_flight.fetch_add(1, Ordering::AcqRel);
        if usize::try_from(taken).is_ok_and(|taken| taken < self.limits.in_flight) {
            return true;
        }
        self.metrics.in_flight.fetch_sub(1, Ordering::AcqRel);
        false
    }

    #[cold]
    fn overloaded(&self, why: Shed, what: &'static str, limit: usize) -> ApiError {
        self.metrics.shed(why);
        ApiError::Overloaded {
            what,
            limit: limit as u64,
            retry_ms: self.limits.retry_ms,
        }
    }
}

/// Resolves when the server drains.
pub(crate) type Drained = Pin<Box<dyn Future<Output = ()> + Send + Sync>>;

impl Shared {
    /// Resolves when the server drains.
    pub fn drained(&self) -> Drained {
        let mut draining = self.draining.subscribe();
        Box::pin(Dormant::new(Box::pin(async move {
            // An error means that the server is gone, which ends streams just as well.
            let _ = draining.wait_for(|draining| *draining).await;
        })))
    }

    /// Takes a permit that can outlive the call that took it.
    ///
    /// # Errors
    /// As [`Shared::permit`].
    pub fn permit_owned(self: &Arc<Self>) -> Result<OwnedPermit, ApiError> {
        self.take_permit()?;
        Ok(OwnedPermit {
            metrics: Arc::clone(&self.metrics),
        })
    }

    /// As [`Shared::permit_owned`], for a stream whose earlier work was done and answered: it waits, as a refusal would
    /// end the stream and say that nothing was done.
    ///
    /// # Errors
    /// `Draining`, `DeadlinePassed`.
    pub async fn permit_to_go_on(
        self: &Arc<Self>,
        deadline: Option<Instant>,
    ) -> Result<OwnedPermit, ApiError> {
        while !self.try_permit() {
            let is_draining = *self.draining.borrow();
            if is_draining {
                return Err(ApiError::Draining);
            }
            deadline::check(deadline)?;
            // Nobody tells of a permit that comes back: that would cost every request.
            sleep(LOOK).await;
        }
        Ok(OwnedPermit {
            metrics: Arc::clone(&self.metrics),
        })
    }

    /// Takes a place among the long-lived streams.
    ///
    /// # Errors
    /// `Overloaded`, at once.
    pub fn seat(&self) -> Result<StreamSeat, ApiError> {
        let taken = self.metrics.open_streams.fetch_add(1, Ordering::AcqRel);
        let seat = StreamSeat {
            metrics: Arc::clone(&self.metrics),
        };
        if usize::try_from(taken).is_ok_and(|taken| taken < self.limits.open_streams) {
            return Ok(seat);
        }
        Err(self.overloaded(Shed::Streams, "open streams", self.limits.open_streams))
    }
}

/// The right of one request in a stream to be in progress.
#[derive(Debug)]
pub(crate) struct OwnedPermit {
    metrics: Arc<Metrics>,
}

impl Drop for OwnedPermit {
    fn drop(&mut self) {
        self.metrics.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A place among the long-lived streams.
#[derive(Debug)]
pub(crate) struct StreamSeat {
    metrics: Arc<Metrics>,
}

impl Drop for StreamSeat {
    fn drop(&mut self) {
        self.metrics.open_streams.fetch_sub(1, Ordering::AcqRel);
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
