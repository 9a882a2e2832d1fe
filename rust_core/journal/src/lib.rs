//! The journal: what has been promised survives.
//!
//! [`Log`] writes batches of opaque records into segments that were written with zeros ahead of
//! use, one sync a batch. [`LogView`] reads what is durable while it is being written. The format
//! is described in `docs/reference/journal-format.md`.
//!
//! [`Partition`] puts the engine's state on top: commands in, durable answers out.

mod active;
mod backup;
mod batch;
mod buffer;
mod config;
mod error;
mod format;
mod index;
mod keeper;
mod log;
mod next_segment;
mod open;
mod paced;
mod partition;
mod reader;
mod scan;
mod snapshot;
mod stats;
pub mod storage;
mod view;

pub use backup::{
    BackupFile, BackupPoint, Beside, DirStats, Manifest, RestoreReport, RestoreTo, VerifyReport,
    copy_beside, dir_stats, read_manifest, restore, restore_beside, verify, verify_backup,
};
pub use batch::Batch;
pub use config::LogConfig;
pub use error::{JournalError, Result};
pub use format::{ChainHash, FORMAT_VERSION, NO_REQUEST, RecordHeader, RecordMeta, SegmentHeader};
pub use log::Log;
pub use open::{OpenReport, read_at_rest};
pub use partition::*;
pub use reader::{LogReader, RecordRef, TailCut};
pub use snapshot::{
    SnapshotInfo, SnapshotReader, SnapshotWriter, list_snapshots, prune_snapshots, snapshot_info,
};
pub use stats::{Histogram, HistogramSnapshot, LogStats};
pub use view::{LogView, Position, SegmentInfo, StoredRecord};
