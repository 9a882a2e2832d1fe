//! A journal from a backup.

use std::sync::Arc;

use crate::batch::Batch;
use crate::config::LogConfig;
use crate::error::{IoContext, JournalError, Result};
use crate::format::{RECORD_BYTES_MAX, SegmentHeader, parse_segment_name};
use crate::log::Log;
use crate::open::list_segments;
use crate::scan::{Cursor, SegmentData, Step};
use crate::snapshot::{snapshot_info, snapshot_revision};
use crate::storage::{Storage, read_file};
use crate::view::Position;

use super::manifest::BackupFile;
use super::{Manifest, copy, must_be_empty, read_manifest};

/// How far to restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestoreTo {
    /// Everything in the backup.
    End,
    /// Up to and including this revision.
    Revision(u64),
    /// Up to and including the last record whose engine time is not after this one, in UTC
    /// milliseconds.
    TimeMs(u64),
}

/// What was restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreReport {
    /// The last record restored.
    pub newest: Position,
    /// Records of the backup that were left out, because they lie beyond the moment asked for.
    pub left_out: u64,
}

/// Makes a journal out of a backup in an empty directory. Everything is checked on the way. A
/// restore to an earlier moment begins a new history from there on: epoch and hash chain tell it
/// from the old one.
///
/// # Errors
/// `NotEmpty`; `Damaged` naming the file; `OutOfRetention` when the moment lies outside of the
/// backup; I/O errors.
pub fn restore(
    backup: &dyn Storage,
    to: &Arc<dyn Storage>,
    moment: RestoreTo,
) -> Result<RestoreReport> {
    must_be_empty(to.as_ref())?;
    let manifest = read_manifest(backup)?;
    let segments: Vec<&BackupFile> = manifest
        .files
        .iter()
        .filter(|file| parse_segment_name(&file.name).is_some())
        .collect();
    let target = find_target(backup, &manifest, &segments, moment)?;
    for file in &segments {
        let first = parse_segment_name(&file.name).unwrap_or(u64::MAX);
        if first <= target.revision.max(1) {
            restore_segment(backup, to.as_ref(), file)?;
        }
    }
    if target.revision < manifest.newest.revision {
        cut_after(to, target.revision)?;
    }
    for file in &manifest.files {
        if snapshot_revision(&file.name).is_some_and(|revision| revision <= target.revision) {
            check_same(
                file,
                &copy(backup, to.as_ref(), &file.name, file.bytes, file.bytes)?,
            )?;
        }
    }
    to.sync_dir().doing("sync", &to.describe())?;
    Ok(RestoreReport {
        newest: target,
        left_out: manifest.newest.revision.saturating_sub(target.revision),
    })
}

pub(super) fn check_same(file: &BackupFile, copied: &BackupFile) -> Result<()> {
    if copied.hash != file.hash {
        let what = "content is not what the manifest says";
        return Err(JournalError::damaged(&file.name, 0, what));
    }
    Ok(())
}

/// Copies a segment and fills it with zeros to its length.
fn restore_segment(backup: &dyn Storage, to: &dyn Storage, file: &BackupFile) -> Result<()> {
    let source = backup.open(&file.name, false).doing("open", &file.name)?;
    let head = read_file(source.as_ref(), file.bytes.min(65_536)).doing("read", &file.name)?;
    let header = SegmentHeader::decode(&file.name, &head)?;
    check_same(
        file,
        &copy(backup, to, &file.name, file.bytes, header.segment_bytes)?,
    )
}

/// The last record to restore, found without decoding any payload.
fn find_target(
    backup: &dyn Storage,
    manifest: &Manifest,
    segments: &[&BackupFile],
    moment: RestoreTo,
) -> Result<Position> {
    let wanted = |revision: u64, time_ms: u64| match moment {
        RestoreTo::End => true,
        RestoreTo::Revision(limit) => revision <= limit,
        RestoreTo::TimeMs(limit) => time_ms <= limit,
    };
    let oldest = segments
        .first()
        .and_then(|file| parse_segment_name(&file.name))
        .unwrap_or(1);
    let newest = manifest.newest;
    let outside = |asked| JournalError::OutOfRetention {
        asked,
        oldest,
        newest: newest.revision,
    };
    if let RestoreTo::Revision(asked) = moment
        && asked > newest.revision
    {
        return Err(outside(asked));
    }
    // The state at the moment needs a snapshot at or before it, or the journal's beginning.
    let mut base = if oldest == 1 { Some(0) } else { None };
    for file in &manifest.files {
        if snapshot_revision(&file.name).is_none_or(|revision| revision < oldest.saturating_sub(1))
        {
            continue;
        }
        let info = snapshot_info(backup, snapshot_revision(&file.name).unwrap_or(0))?;
        if wanted(info.position.revision, info.position.time_ms) {
            base = base.max(Some(info.position.revision));
        }
    }
    if base.is_none() {
        let asked = match moment {
            RestoreTo::Revision(revision) => revision,
            RestoreTo::TimeMs(time_ms) => time_ms,
            RestoreTo::End => newest.revision,
        };
        return Err(outside(asked));
    }
    if wanted(newest.revision, newest.time_ms) {
        return Ok(newest);
    }
    let mut target = Position {
        revision: 0,
        time_ms: 0,
        epoch: 0,
        chain: newest.chain,
    };
    for file in segments {
        let segment = SegmentData::load(backup, &file.name, Some(file.bytes))?;
        if !wanted(segment.header.first_revision, segment.header.base_time_ms) {
            break;
        }
        let mut cursor = Cursor::start(&segment.header);
        loop {
            match segment.step(&mut cursor) {
                Step::Frame(frame) => {
                    for header in segment.records(&frame) {
                        if wanted(header.meta.revision, header.meta.time_ms) {
                            target.revision = header.meta.revision;
                            target.time_ms = header.meta.time_ms;
                            target.epoch = header.epoch;
                        }
                    }
                }
                Step::Clean => break,
                Step::Fault(fault) => return Err(segment.damage(&fault)),
            }
        }
        target.chain = cursor.chain;
    }
    Ok(target)
}

/// Ends the restored journal after `revision`. A batch that reaches beyond it is taken out and the
/// part that stays is written again as a batch of its own.
fn cut_after(to: &Arc<dyn Storage>, revision: u64) -> Result<()> {
    let segments = list_segments(to.as_ref())?;
    let Some((info, header)) = segments.last() else {
        return Ok(());
    };
    let segment = SegmentData::load(to.as_ref(), &info.name, None)?;
    let mut cursor = Cursor::start(&segment.header);
    let mut kept = Batch::new();
    let cut = loop {
        let before = cursor.offset;
        match segment.step(&mut cursor) {
            Step::Frame(frame) if frame.first_revision > revision => break Some(before),
            Step::Frame(frame) => {
                if frame.first_revision + u64::from(frame.records) <= revision + 1 {
                    continue;
                }
                for (header, payload) in segment.records_with_payload(&frame) {
                    if header.meta.revision <= revision {
                        kept.push(&header.meta, payload, RECORD_BYTES_MAX)?;
                    }
                }
                break Some(before);
            }
            Step::Clean => break None,
            Step::Fault(fault) => return Err(segment.damage(&fault)),
        }
    };
    let Some(cut) = cut else { return Ok(()) };
    let file = to.open(&info.name, true).doing("open", &info.name)?;
    let zeros = vec![0; (header.segment_bytes - cut) as usize];
    file.write_all_at(&zeros, cut)
        .doing("clear the tail of", &info.name)?;
    file.sync_data().doing("sync", &info.name)?;
    if kept.is_empty() {
        return Ok(());
    }
    let config = LogConfig {
        segment_bytes: header.segment_bytes,
        block_bytes: header.block_bytes,
        max_record_bytes: 0,
        schema: header.schema,
        background: false,
        ..LogConfig::default()
    };
    let (mut log, _) = Log::open(Arc::clone(to), config)?;
    log.append(&mut kept)?;
    log.seal()
}
