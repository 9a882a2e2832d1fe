//! Snapshots and retention, off the promise path: a second state is built from the last snapshot
//! and the journal, so promises never stop.

use std::io::Write;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

use bespeak_aside::{Pace, lower_priority};
use bespeak_engine::limits::REQUEST_WINDOW_MS;

use crate::error::{IoContext, JournalError};
use crate::snapshot::{SnapshotInfo, SnapshotWriter, list_snapshots, prune_snapshots};
use crate::storage::Storage;

use super::codec::RECORD_SCHEMA;
use super::core::{Inner, Journal};
use super::error::PartitionError;
use super::recover::{base_state, replay};

/// A snapshot does without rests when so many times what lets one begin has been written since the last.
const BEHIND: u64 = 4;

/// Wakes the maintenance thread when a segment is finished.
#[derive(Default)]
pub(super) struct Bell {
    rung: Mutex<bool>,
    wake: Condvar,
}

impl Bell {
    pub(super) fn ring(&self) {
        *self.rung.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.wake.notify_all();
    }

    fn wait(&self) {
        let mut rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
        while !*rung {
            rung = self.wake.wait(rung).unwrap_or_else(PoisonError::into_inner);
        }
        *rung = false;
    }
}

pub(super) fn start(
    inner: &Arc<Inner>,
    storage: &Arc<dyn Storage>,
) -> Result<JoinHandle<()>, JournalError> {
    let (inner, storage) = (Arc::clone(inner), Arc::clone(storage));
    std::thread::Builder::new()
        .name("journal-snapshot".to_owned())
        .spawn(move || {
            lower_priority("journal-snapshot");
            while !inner.closed.load(Ordering::SeqCst) {
                // A failure here costs disk space and time to recover, not answers.
                if let Err(error) = snapshot_if_due(&inner, storage.as_ref()) {
                    tracing::error!(%error, "making a snapshot failed");
                }
                inner.bell.wait();
            }
        })
        .doing("start a thread for", "snapshots")
}

/// Bytes of finished segments that hold records behind the newest snapshot.
fn bytes_since_snapshot(journal: &Journal, storage: &dyn Storage) -> Result<u64, JournalError> {
    let newest = list_snapshots(storage)?.last().copied().unwrap_or(0);
    let segments = journal.view.segments();
    let finished = segments
        .windows(2)
        .filter(|pair| pair[1].first_revision > newest + 1);
    Ok(finished.map(|pair| pair[0].bytes).sum())
}

/// Whether more has been written since the last snapshot than snapshots with rests can take up: each would be of more than the
/// one before, and a start would replay ever more.
fn is_behind(bytes: u64, every_bytes: u64) -> bool {
    every_bytes > 0 && bytes / every_bytes >= BEHIND
}

fn snapshot_if_due(inner: &Inner, storage: &dyn Storage) -> Result<(), PartitionError> {
    let Some(journal) = &inner.journal else {
        return Ok(());
    };
    if bytes_since_snapshot(journal, storage)? >= inner.config.snapshot_every_bytes {
        take_snapshot(inner, journal, storage)?;
    }
    Ok(())
}

/// Makes a snapshot of what is durable now, then removes what is older than the retention.
/// Returns the newest snapshot when nothing has happened since. `None` when the partition closed
/// meanwhile.
pub(super) fn take_snapshot(
    inner: &Inner,
    journal: &Journal,
    storage: &dyn Storage,
) -> Result<Option<SnapshotInfo>, PartitionError> {
    let _one_at_a_time = inner.second_state();
    let Some((info, new)) = write_snapshot(inner, journal, storage)? else {
        return Ok(None);
    };
    if new {
        inner.hooks.snapshot(&info);
    }
    retain(inner, journal, storage)?;
    Ok(Some(info))
}

/// The newest snapshot and whether it was made now; `None` when the partition closed meanwhile.
fn write_snapshot(
    inner: &Inner,
    journal: &Journal,
    storage: &dyn Storage,
) -> Result<Option<(SnapshotInfo, bool)>, PartitionError> {
    let closed = || inner.closed.load(Ordering::SeqCst);
    if closed() {
        return Ok(None);
    }
    let position = journal.view.newest();
    let mut pace = Pace::slow();
    let behind = is_behind(
        bytes_since_snapshot(journal, storage)?,
        inner.config.snapshot_every_bytes,
    );
    let mut rest = || {
        if !behind && !inner.is_waited_for() {
            pace.rest();
        }
    };
    let (mut state, replayed) = base_state(
        storage,
        &journal.view,
        &inner.config.settings,
        position.revision,
        &mut rest,
    )?;
    replay(&mut state, &journal.view, Some(position.revision), |_| {
        rest();
        !closed()
    })?;
    if state.revision() != position.revision {
        return Ok(None);
    }
    if replayed.snapshot_revision == position.revision && position.revision > 0 {
        let info = crate::snapshot::snapshot_info(storage, position.revision)?;
        return Ok(Some((info, false)));
    }
    let id = journal.view.journal_id();
    let mut writer = SnapshotWriter::create(storage, id, position, RECORD_SCHEMA)?;
    state
        .write_snapshot(&mut |bytes| {
            rest();
            writer.write_all(bytes)
        })
        .doing("write", "the snapshot")?;
    // What another process may have begun to use is not changed any more.
    if closed() {
        return Ok(None);
    }
    Ok(Some((writer.finish()?, true)))
}

/// Removes snapshots and segments that the retention no longer needs.
fn retain(inner: &Inner, journal: &Journal, storage: &dyn Storage) -> Result<(), PartitionError> {
    // The answers that memory forgets are found in the segments, however short the retention.
    let kept_ms = inner.config.retention_ms.max(REQUEST_WINDOW_MS as u64);
    let horizon = journal.view.newest().time_ms.saturating_sub(kept_ms);
    if let Some(oldest) = prune_snapshots(storage, horizon)? {
        let removed = journal.view.remove_before(oldest + 1)?;
        if removed > 0 {
            tracing::info!(removed, oldest, "removed segments beyond the retention");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_behind_from_four_times_what_lets_one_begin() {
        for (bytes, every_bytes, expected) in [
            (0, 256, false),
            (1_023, 256, false),
            (1_024, 256, true),
            (u64::MAX, 256, true),
            // Snapshots are made by hand alone.
            (u64::MAX, 0, false),
        ] {
            assert_eq!(
                is_behind(bytes, every_bytes),
                expected,
                "{bytes} of {every_bytes}"
            );
        }
    }
}
