//! State from a snapshot and the journal behind it.

use std::io::Read;

use bespeak_engine::{Settings, State};

use crate::error::JournalError;
use crate::snapshot::{SnapshotReader, list_snapshots};
use crate::storage::Storage;
use crate::view::LogView;

use super::codec::{RECORD_SCHEMA, decode_record};
use super::error::PartitionError;

/// Where a state came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Replayed {
    /// Revision of the snapshot; 0 for an empty state.
    pub snapshot_revision: u64,
    /// Snapshots that were damaged and passed over.
    pub damaged_snapshots: u64,
    /// Records replayed on top.
    pub records: u64,
}

/// Reads the state of a snapshot. `between` is called between pieces of work.
fn load_snapshot(
    storage: &dyn Storage,
    revision: u64,
    settings: &Settings,
    between: &mut dyn FnMut(),
) -> Result<State, PartitionError> {
    let mut reader = SnapshotReader::open(storage, revision)?;
    let schema = reader.info().schema;
    if schema > RECORD_SCHEMA {
        let file = reader.info().name.clone();
        let (found, known) = (schema as u16, RECORD_SCHEMA as u16);
        return Err(JournalError::NewerFormat { file, found, known }.into());
    }
    let mut input = |buffer: &mut [u8]| reader.read(buffer);
    let state = State::read_snapshot(settings.clone(), &mut input, between);
    // The reader's own finding is more exact than what the engine made of the bytes.
    let info = reader.finish()?;
    let state = state.map_err(|source| PartitionError::Snapshot { revision, source })?;
    if state.revision() != revision {
        let what = format!("content is of revision {}", state.revision());
        return Err(JournalError::damaged(&info.name, 0, what).into());
    }
    Ok(state)
}

/// The newest state at or before `revision` that a snapshot gives; without any, the empty state
/// when the journal reaches back to its beginning. `between` is called now and then.
pub(crate) fn base_state(
    storage: &dyn Storage,
    view: &LogView,
    settings: &Settings,
    revision: u64,
    between: &mut dyn FnMut(),
) -> Result<(State, Replayed), PartitionError> {
    let mut found = Replayed::default();
    let mut damage = None;
    for at in list_snapshots(storage)?
        .into_iter()
        .rev()
        .filter(|&at| at <= revision)
    {
        if at < view.oldest_revision() - 1 {
            break;
        }
        match load_snapshot(storage, at, settings, between) {
            Ok(state) => {
                found.snapshot_revision = at;
                return Ok((state, found));
            }
            Err(error) => {
                tracing::warn!(%error, "passing over a damaged snapshot");
                found.damaged_snapshots += 1;
                damage = damage.or(Some(error));
            }
        }
    }
    let oldest = view.oldest_revision();
    if oldest == 1 {
        return Ok((State::new(settings.clone()), found));
    }
    Err(damage.unwrap_or_else(|| {
        let newest = view.newest().revision;
        PartitionError::OutOfRetention {
            asked: format!("revision {revision}"),
            oldest,
            newest,
        }
    }))
}

/// Replays records onto `state` up to `until` (or the durable end), asking `go_on` every 32 records, with the number done,
/// whether to go on. It is told as well while a segment is read, where the answer is of no use.
pub(crate) fn replay(
    state: &mut State,
    view: &LogView,
    until: Option<u64>,
    mut go_on: impl FnMut(u64) -> bool,
) -> Result<u64, PartitionError> {
    const ASK_EVERY: u64 = 32;
    let mut reader = view.read_from(state.revision() + 1)?;
    let mut done = 0;
    while until.is_none_or(|until| state.revision() < until) {
        let read = reader.next_with(&mut || {
            go_on(done);
        })?;
        let Some(stored) = read else { break };
        state.apply(&decode_record(&stored)?)?;
        done += 1;
        if done % ASK_EVERY == 0 && !go_on(done) {
            break;
        }
    }
    Ok(done)
}
