//! Checking a directory from its first byte to its last.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::{IoContext, JournalError, Result};
use crate::format::{FrameKind, parse_segment_name};
use crate::index::{Sidecar, SidecarSource, sidecar_revision};
use crate::open::{list_segments, read_at_rest};
use crate::reader::TailCut;
use crate::scan::{Cursor, SegmentData, Step};
use crate::snapshot::{SnapshotReader, list_snapshots};
use crate::storage::Storage;

use super::{Manifest, read_manifest};

/// What checking a journal found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyReport {
    /// Segments read in full.
    pub segments: u64,
    /// Records read.
    pub records: u64,
    /// First revision held; 0 without any segment.
    pub oldest_revision: u64,
    /// Last revision; 0 without any record.
    pub newest_revision: u64,
    /// Snapshots read in full.
    pub snapshots: Vec<u64>,
    /// Request indexes that are missing or of no use; the next start builds them again.
    pub stale_indexes: Vec<String>,
    /// An unfinished last write, which the next start cuts. Also what a running journal looks like
    /// in the middle of a write.
    pub unfinished: Option<TailCut>,
}

/// Reads everything in a journal's directory and checks it. Writes nothing, and may run beside a
/// writer.
///
/// # Errors
/// The first damage, naming the file and the offset; I/O errors.
pub fn verify(storage: &Arc<dyn Storage>) -> Result<VerifyReport> {
    // A segment read while it is being written may show a later frame and not the one before it.
    const READS: usize = 3;
    let mut tries = 1;
    loop {
        match verify_once(storage) {
            Err(JournalError::Damaged { file, .. })
                if tries < READS && is_active(storage.as_ref(), &file)? =>
            {
                tries += 1;
            }
            result => return result,
        }
    }
}

fn is_active(storage: &dyn Storage, name: &str) -> Result<bool> {
    let dir = storage.describe();
    let segments = storage.list().doing("list", &dir)?;
    let newest = segments
        .iter()
        .filter_map(|name| parse_segment_name(name))
        .max();
    Ok(newest.is_some() && parse_segment_name(name) == newest)
}

fn verify_once(storage: &Arc<dyn Storage>) -> Result<VerifyReport> {
    let segments = list_segments(storage.as_ref())?;
    let mut reader = read_at_rest(Arc::clone(storage), None)?;
    let mut records = 0;
    let mut newest = segments
        .first()
        .map_or(0, |(info, _)| info.first_revision - 1);
    while let Some(record) = reader.next()? {
        records += 1;
        newest = record.header.meta.revision;
    }
    let snapshots = list_snapshots(storage.as_ref())?;
    for &revision in &snapshots {
        let info = SnapshotReader::open(storage.as_ref(), revision)?.finish()?;
        if segments
            .first()
            .is_some_and(|(_, header)| header.journal_id != info.journal_id)
        {
            return Err(JournalError::damaged(
                &info.name,
                64,
                "snapshot of another journal",
            ));
        }
        if revision > newest {
            let what = format!("snapshot is newer than the journal's last record {newest}");
            return Err(JournalError::damaged(&info.name, 32, what));
        }
    }
    let mut stale_indexes = Vec::new();
    for pair in segments.windows(2) {
        let [(info, header), (_, next)] = pair else {
            continue;
        };
        let source = SidecarSource {
            journal_id: header.journal_id,
            first_revision: info.first_revision,
            end_chain: next.chain_seed,
        };
        let good = Sidecar::open(storage.as_ref(), &source).and_then(|index| index.check_pages());
        if let Err(error) = good {
            stale_indexes.push(error.to_string());
        }
    }
    Ok(VerifyReport {
        segments: segments.len() as u64,
        records,
        oldest_revision: segments.first().map_or(0, |(info, _)| info.first_revision),
        newest_revision: newest,
        snapshots,
        stale_indexes,
        unfinished: reader.cut().cloned(),
    })
}

/// Checks every file of a backup against its manifest.
///
/// # Errors
/// `Damaged` naming the file; I/O errors.
pub fn verify_backup(backup: &dyn Storage) -> Result<Manifest> {
    const PIECE: usize = 1 << 20;
    let manifest = read_manifest(backup)?;
    let mut piece = vec![0; PIECE];
    for file in &manifest.files {
        let source = backup.open(&file.name, false).doing("open", &file.name)?;
        let size = source.size().doing("measure", &file.name)?;
        if size != file.bytes {
            let what = format!("{size} bytes long instead of {}", file.bytes);
            return Err(JournalError::damaged(
                &file.name,
                size.min(file.bytes),
                what,
            ));
        }
        let mut hasher = blake3::Hasher::new();
        let mut offset = 0;
        while offset < size {
            let len = (size - offset).min(PIECE as u64) as usize;
            source
                .read_exact_at(&mut piece[..len], offset)
                .doing("read", &file.name)?;
            hasher.update(&piece[..len]);
            offset += len as u64;
        }
        if *hasher.finalize().as_bytes() != file.hash {
            let what = "content is not what the manifest says";
            return Err(JournalError::damaged(&file.name, 0, what));
        }
    }
    Ok(manifest)
}

/// Numbers about a directory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DirStats {
    /// Segment files.
    pub segments: u64,
    /// Bytes of segment files.
    pub segment_bytes: u64,
    /// Bytes of frames in them.
    pub used_bytes: u64,
    /// Batches.
    pub batches: u64,
    /// Seals, ends of segments included.
    pub seals: u64,
    /// Records.
    pub records: u64,
    /// Bytes of record payloads.
    pub payload_bytes: u64,
    /// Records by kind.
    pub kinds: BTreeMap<u16, u64>,
    /// First revision held.
    pub oldest_revision: u64,
    /// Last revision.
    pub newest_revision: u64,
    /// Engine time of the first record held, in UTC milliseconds.
    pub oldest_time_ms: u64,
    /// Engine time of the last record, in UTC milliseconds.
    pub newest_time_ms: u64,
    /// Epoch of the last writer.
    pub epoch: u32,
    /// Snapshot files.
    pub snapshots: u64,
    /// Request index files.
    pub indexes: u64,
    /// Bytes of all files.
    pub bytes: u64,
}

/// Counts what is in a journal's directory. Reads all segments.
///
/// # Errors
/// `Damaged`, I/O errors.
pub fn dir_stats(storage: &dyn Storage) -> Result<DirStats> {
    let mut stats = DirStats::default();
    let dir = storage.describe();
    for name in storage.list().doing("list", &dir)? {
        let file = storage.open(&name, false).doing("open", &name)?;
        let size = file.size().doing("measure", &name)?;
        stats.bytes += size;
        stats.indexes += u64::from(sidecar_revision(&name).is_some());
        if parse_segment_name(&name).is_some() {
            stats.segments += 1;
            stats.segment_bytes += size;
        }
    }
    stats.snapshots = list_snapshots(storage)?.len() as u64;
    let segments = list_segments(storage)?;
    stats.oldest_revision = segments.first().map_or(0, |(info, _)| info.first_revision);
    for (at, (info, _)) in segments.iter().enumerate() {
        count_segment(storage, &info.name, at + 1 == segments.len(), &mut stats)?;
    }
    Ok(stats)
}

fn count_segment(
    storage: &dyn Storage,
    name: &str,
    is_last: bool,
    stats: &mut DirStats,
) -> Result<()> {
    let segment = SegmentData::load(storage, name, None)?;
    let mut cursor = Cursor::start(&segment.header);
    loop {
        match segment.step(&mut cursor) {
            Step::Frame(frame) => {
                stats.batches += u64::from(frame.kind == FrameKind::Batch);
                stats.seals += u64::from(frame.kind != FrameKind::Batch);
                for header in segment.records(&frame) {
                    if stats.records == 0 {
                        stats.oldest_time_ms = header.meta.time_ms;
                    }
                    stats.records += 1;
                    stats.payload_bytes += u64::from(header.payload_bytes);
                    *stats.kinds.entry(header.meta.kind).or_default() += 1;
                }
            }
            Step::Clean => break,
            Step::Fault(fault) if is_last => {
                segment.torn_tail(&cursor, &fault)?;
                break;
            }
            Step::Fault(fault) => return Err(segment.damage(&fault)),
        }
    }
    stats.used_bytes += cursor.offset;
    stats.newest_revision = cursor.next_revision - 1;
    stats.newest_time_ms = cursor.time_ms;
    stats.epoch = cursor.epoch;
    Ok(())
}
