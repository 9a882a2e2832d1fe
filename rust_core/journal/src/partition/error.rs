//! Why a partition did not do what it was asked.

use bespeak_engine::{EngineError, ReplayError, SnapshotError};

use crate::error::JournalError;

/// A failure of a partition. A refusal is an answer and never one of these.
#[derive(Debug, thiserror::Error)]
pub enum PartitionError {
    /// The request makes no sense to the engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Too much waits to be synced. Nothing was done.
    #[error("{pending} {what} wait for the disk, the limit is {limit}: retry in {retry_ms} ms")]
    Overloaded {
        /// What there is too much of.
        what: &'static str,
        /// How much waits.
        pending: usize,
        /// How much may wait.
        limit: usize,
        /// When to come again.
        retry_ms: u64,
    },
    /// The clock jumped, so nothing is promised. Nothing was done.
    #[error("the clock jumped by {jump_ms} ms: check it, then confirm it")]
    ClockSuspect {
        /// By how much, in milliseconds.
        jump_ms: i64,
    },
    /// The journal failed or was closed. A command whose answer is still out may or may not be
    /// found at the next start.
    #[error("the journal has stopped: {cause}")]
    Stopped {
        /// The first failure.
        cause: String,
    },
    /// The journal no longer reaches back so far, or not yet so far forward.
    #[error("{asked} lies outside of what the journal keeps, revision {oldest} to {newest}")]
    OutOfRetention {
        /// What was asked for.
        asked: String,
        /// Oldest revision that can be shown.
        oldest: u64,
        /// Newest durable revision.
        newest: u64,
    },
    /// Only a partition with a journal can do this.
    #[error("{0} needs a journal, and this partition is in memory: open it with a directory")]
    InMemory(&'static str),
    /// The journal could not be read or written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A snapshot could not be read.
    #[error("snapshot of revision {revision}: {source}")]
    Snapshot {
        /// Its revision.
        revision: u64,
        /// What is wrong with it.
        source: SnapshotError,
    },
    /// A record does not follow from the state in front of it.
    #[error(transparent)]
    Replay(#[from] ReplayError),
}
