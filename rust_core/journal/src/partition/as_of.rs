//! The state at an earlier position or time.

use bespeak_engine::{Settings, State, UtcMillis};

use crate::error::JournalError;
use crate::snapshot::{list_snapshots, snapshot_info};
use crate::storage::Storage;
use crate::view::LogView;

use super::codec::decode_record;
use super::error::PartitionError;
use super::recover::{base_state, replay};

/// A moment in the past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// After the record of this revision.
    Revision(u64),
    /// At this engine time: after every record up to it, with due transitions applied.
    Time(UtcMillis),
}

/// Builds the state at `moment` from a snapshot and the journal.
pub(super) fn state_at(
    storage: &dyn Storage,
    view: &LogView,
    settings: &Settings,
    moment: Moment,
    latest: UtcMillis,
) -> Result<State, PartitionError> {
    let newest = view.newest().revision;
    let outside = |asked: String| PartitionError::OutOfRetention {
        asked,
        oldest: oldest_shown(storage, view),
        newest,
    };
    match moment {
        Moment::Revision(revision) => {
            if revision > newest {
                return Err(outside(format!("revision {revision}")));
            }
            let (mut state, _) = in_retention(
                base_state(storage, view, settings, revision, &mut || ()),
                || outside(format!("revision {revision}")),
            )?;
            replay(&mut state, view, Some(revision), |_| true)?;
            Ok(state)
        }
        Moment::Time(time) => {
            let asked = || outside(format!("time {} ms", time.get()));
            if time > latest {
                return Err(asked());
            }
            let base = newest_snapshot_until(storage, time)?;
            let (mut state, _) =
                in_retention(base_state(storage, view, settings, base, &mut || ()), asked)?;
            let mut reader = view.read_from(state.revision() + 1)?;
            while let Some(stored) = reader.next()? {
                let record = decode_record(&stored)?;
                if record.time > time {
                    break;
                }
                state.apply(&record)?;
            }
            state.advance(time, &mut |_| {});
            Ok(state)
        }
    }
}

/// Builds the oldest state that can be shown. Whoever calls it keeps the retention from going on meanwhile.
pub(super) fn oldest_state(
    storage: &dyn Storage,
    view: &LogView,
    settings: &Settings,
) -> Result<State, PartitionError> {
    let oldest = Moment::Revision(oldest_shown(storage, view));
    state_at(storage, view, settings, oldest, UtcMillis::ZERO)
}

/// Retention may have removed a segment between the look and the read.
fn in_retention<T>(
    result: Result<T, PartitionError>,
    outside: impl FnOnce() -> PartitionError,
) -> Result<T, PartitionError> {
    match result {
        Err(
            PartitionError::OutOfRetention { .. }
            | PartitionError::Journal(JournalError::OutOfRetention { .. }),
        ) => Err(outside()),
        other => other,
    }
}

/// Revision of the newest snapshot taken at or before `time`; 0 without one.
fn newest_snapshot_until(storage: &dyn Storage, time: UtcMillis) -> Result<u64, JournalError> {
    let limit = u64::try_from(time.get()).unwrap_or(0);
    for revision in list_snapshots(storage)?.into_iter().rev() {
        match snapshot_info(storage, revision) {
            Ok(info) if info.position.time_ms <= limit => return Ok(revision),
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "passing over a damaged snapshot"),
        }
    }
    Ok(0)
}

/// The oldest revision whose state can still be built.
pub(super) fn oldest_shown(storage: &dyn Storage, view: &LogView) -> u64 {
    let oldest = view.oldest_revision();
    if oldest == 1 {
        return 0;
    }
    let snapshots = list_snapshots(storage).unwrap_or_default();
    snapshots
        .into_iter()
        .find(|&at| at >= oldest - 1)
        .unwrap_or(oldest)
}
