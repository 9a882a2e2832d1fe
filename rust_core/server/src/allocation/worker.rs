//! The worker as those see it who plan on a thread of their own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bespeak_proto::v1 as pb;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tonic::metadata::AsciiMetadataValue;

use crate::compute::Client;
use crate::error::ApiError;

/// Somebody else who plans.
pub trait Worker: Sync {
    /// A plan within about `budget`; `None` when there is none, for whatever reason but a wrong request.
    ///
    /// # Errors
    /// `ComputeRefused` when the request is wrong.
    fn allocate(
        &self,
        request: pb::ComputeServiceAllocateRequest,
        budget: Duration,
        deadline: Option<Instant>,
    ) -> Result<Option<pb::ComputeServiceAllocateResponse>, ApiError>;
}

/// Whether a caller is gone, for those who look and for those who wait.
#[derive(Debug, Default)]
pub struct Gone {
    /// Set once it is.
    pub flag: AtomicBool,
    told: Notify,
}

impl Gone {
    /// Says that it is gone.
    pub fn tell(&self) {
        self.flag.store(true, Ordering::Relaxed);
        self.told.notify_one();
    }
}

/// Says that a caller is gone when the call is dropped.
#[derive(Debug, Default)]
pub struct Watched(pub Arc<Gone>);

impl Drop for Watched {
    fn drop(&mut self) {
        self.0.tell();
    }
}

/// The worker over the network, asked from a thread outside of the runtime.
#[derive(Debug)]
pub struct Remote {
    /// The connection.
    pub client: Arc<Client>,
    /// Whose tasks it needs.
    pub runtime: Handle,
    /// The trace that the worker's part belongs to.
    pub traceparent: Option<AsciiMetadataValue>,
    /// Whether the caller is gone.
    pub gone: Arc<Gone>,
}

impl Worker for Remote {
    fn allocate(
        &self,
        request: pb::ComputeServiceAllocateRequest,
        budget: Duration,
        deadline: Option<Instant>,
    ) -> Result<Option<pb::ComputeServiceAllocateResponse>, ApiError> {
        let caller = crate::compute::Caller {
            deadline,
            traceparent: self.traceparent.clone(),
        };
        let asked = self.client.allocate(request, budget, &caller);
        self.runtime.block_on(async {
            tokio::select! {
                answer = asked => answer,
                () = self.gone.told.notified() => Ok(None),
            }
        })
    }
}
