//! What the services do, without the network: protobuf in, protobuf out, and the revision to wait for.
//!
//! The gRPC services, the pipelined session and the embedded engine all call these functions, so that all of
//! them give the same answers.

mod admin;
mod buffers;
mod catalog;
mod check;
mod explain;
mod history;
mod lifecycle;
mod promise;
mod supply;

use std::path::PathBuf;
use std::sync::Arc;

use bespeak_engine::{Answer, Meta};

use crate::allocation::Desk;
use crate::convert::reply;
use crate::error::ApiError;
use crate::forecasts::Keeper;
use crate::metrics::Metrics;
use crate::store::Store;

/// Everything a request may need below the network.
#[derive(Debug, Clone)]
pub struct Api {
    store: Arc<Store>,
    metrics: Arc<Metrics>,
    backup_root: Option<PathBuf>,
    forecasts: Arc<Keeper>,
    desk: Arc<Desk>,
}

impl Api {
    /// The services of a partition.
    pub fn new(store: Arc<Store>, metrics: Arc<Metrics>) -> Self {
        Self {
            store,
            metrics,
            backup_root: None,
            forecasts: Arc::default(),
            desk: Arc::default(),
        }
    }

    /// Allows backups to directories below this one.
    #[must_use]
    pub fn with_backups(mut self, root: Option<PathBuf>) -> Self {
        self.backup_root = root;
        self
    }

    /// Gives it, and the nowcast, the forecasts that are kept; without this they are kept in memory.
    #[must_use]
    pub fn with_forecasts(mut self, forecasts: Arc<Keeper>) -> Self {
        self.store.demand().look_ahead(Arc::clone(&forecasts) as _);
        self.forecasts = forecasts;
        self
    }

    /// Gives it what allocation keeps; without this it is kept in memory.
    #[must_use]
    pub fn with_desk(mut self, desk: Arc<Desk>) -> Self {
        self.desk = desk;
        self
    }

    /// What allocation keeps.
    pub fn desk(&self) -> &Arc<Desk> {
        &self.desk
    }

    /// The forecasts that are kept.
    pub fn forecasts(&self) -> &Keeper {
        &self.forecasts
    }

    /// The partition.
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// The counters.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Counts an event that its feed had sent before.
    fn count_duplicate(&self, feed: Option<&str>, answer: &Answer) {
        if let Some(feed) = feed.filter(|_| reply::is_duplicate(answer)) {
            self.metrics.duplicate(feed);
        }
    }
}

/// The feed that a write is an event of.
fn feed(meta: &Result<Meta, ApiError>) -> Option<Box<str>> {
    let (feed, _) = meta.as_ref().ok()?.source.as_ref()?;
    Some(feed.clone())
}
