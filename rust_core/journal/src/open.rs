//! Opening a journal: what is there, what of it is whole, what may be cut.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::active::Active;
use crate::config::LogConfig;
use crate::error::{IoContext, JournalError, Result};
use crate::format::{FrameKind, SEGMENT_HEADER_LEN, SegmentHeader, get_u32, parse_segment_name};
use crate::index::{FrameList, load_indexes, requests_of, sidecar_revision};
use crate::keeper::Keeper;
use crate::log::Log;
use crate::next_segment::prepare;
use crate::reader::{LogReader, TailCut};
use crate::scan::{Cursor, SegmentData, Step};
use crate::storage::Storage;
use crate::view::{Position, Published, SegmentInfo, Shared};

/// What was found when a journal was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenReport {
    /// The last record found.
    pub newest: Position,
    /// First revision held.
    pub oldest_revision: u64,
    /// Number of segments.
    pub segments: usize,
    /// Whether the directory was empty and a new journal was begun.
    pub created: bool,
    /// An unfinished write that was cut away; nothing in it had been acknowledged.
    pub cut: Option<TailCut>,
    /// Version of the record payloads in the newest segment.
    pub schema: u32,
}

/// The segments of a directory with their headers checked, oldest first.
pub(crate) fn list_segments(storage: &dyn Storage) -> Result<Vec<(SegmentInfo, SegmentHeader)>> {
    let dir = storage.describe();
    let mut revisions: Vec<(u64, String)> = storage
        .list()
        .doing("list", &dir)?
        .into_iter()
        .filter_map(|name| Some((parse_segment_name(&name)?, name)))
        .collect();
    revisions.sort_unstable();
    let mut segments: Vec<(SegmentInfo, SegmentHeader)> = Vec::with_capacity(revisions.len());
    for (revision, name) in revisions {
        let header = read_header(storage, &name)?;
        if header.first_revision != revision {
            let what = "segment starts at another revision than its name says";
            return Err(JournalError::damaged(&name, 32, what));
        }
        if let Some((_, before)) = segments.last()
            && (before.journal_id != header.journal_id || before.epoch > header.epoch)
        {
            let what = "segment of another journal or an older epoch than the one before";
            return Err(JournalError::damaged(&name, 48, what));
        }
        segments.push((SegmentInfo::new(&name, &header), header));
    }
    Ok(segments)
}

/// Reads a segment's header block.
fn read_header(storage: &dyn Storage, name: &str) -> Result<SegmentHeader> {
    let file = storage.open(name, false).doing("open", name)?;
    let len = file.size().doing("measure", name)?;
    let mut head = vec![0; (SEGMENT_HEADER_LEN as u64).min(len) as usize];
    file.read_exact_at(&mut head, 0).doing("read", name)?;
    // The block size stands in the checked part; only then is the whole block known.
    let block = head
        .get(20..24)
        .map_or(0, |bytes| u64::from(get_u32(bytes, 0)));
    let mut data = vec![0; block.clamp(512, 65_536).min(len) as usize];
    file.read_exact_at(&mut data, 0).doing("read", name)?;
    SegmentHeader::decode(name, &data)
}

/// The last segment, read to its end.
struct Tail {
    segment: SegmentData,
    cursor: Cursor,
    frames: FrameList,
    cut: Option<TailCut>,
}

fn read_tail(storage: &dyn Storage, name: &str) -> Result<Tail> {
    let segment = SegmentData::load(storage, name, None)?;
    let mut cursor = Cursor::start(&segment.header);
    let mut frames = FrameList::new();
    let cut = loop {
        match segment.step(&mut cursor) {
            Step::Frame(frame) if frame.kind == FrameKind::Batch => {
                frames.push((frame.first_revision, frame.offset));
            }
            Step::Frame(_) => {}
            Step::Clean => break None,
            Step::Fault(fault) => break Some(segment.torn_tail(&cursor, &fault)?),
        }
    };
    Ok(Tail {
        segment,
        cursor,
        frames,
        cut,
    })
}

impl Log {
    /// Opens the journal in a directory, or begins one in an empty directory. Takes the writer
    /// lock, cuts an unfinished last write, makes sure that what is kept is on the disk, and
    /// raises the epoch.
    ///
    /// # Errors
    /// `Locked`, `Damaged` naming segment and offset, `NewerFormat`, `Config`, I/O errors.
    pub fn open(storage: Arc<dyn Storage>, config: LogConfig) -> Result<(Self, OpenReport)> {
        config.validate()?;
        let dir = storage.describe();
        let lock = storage.lock().map_err(|source| match source.kind() {
            std::io::ErrorKind::WouldBlock => JournalError::Locked { dir: dir.clone() },
            _ => JournalError::Io {
                action: "lock",
                file: dir.clone(),
                source,
            },
        })?;
        // An entry seen now may only live in the cache; everything below builds on it.
        storage.sync_dir().doing("sync", &dir)?;
        let segments = list_segments(storage.as_ref())?;
        remove_leftovers(storage.as_ref(), &segments)?;
        if segments.is_empty() {
            return Self::begin(storage, config, lock);
        }
        let infos: Vec<SegmentInfo> = segments.iter().map(|(info, _)| info.clone()).collect();
        let (last, header) = &segments[segments.len() - 1];
        let tail = read_tail(storage.as_ref(), &last.name)?;
        let newest = Position {
            revision: tail.cursor.next_revision - 1,
            time_ms: tail.cursor.time_ms,
            epoch: tail.cursor.epoch,
            chain: tail.cursor.chain,
        };
        if let Some(TailCut {
            segment,
            offset,
            bytes,
            what,
        }) = &tail.cut
        {
            tracing::warn!(segment, offset, bytes, what, "cutting an unfinished write");
        }
        let mut report = OpenReport {
            newest,
            oldest_revision: infos[0].first_revision,
            segments: infos.len(),
            created: false,
            cut: tail.cut.clone(),
            schema: header.schema,
        };
        let journal_id = header.journal_id;
        let file = storage.open(&last.name, true).doing("open", &last.name)?;
        let mut active =
            Active::resume(last.name.clone(), header.clone(), tail.cursor.clone(), file);
        let last_bytes = tail
            .cursor
            .last
            .as_ref()
            .map(|frame| tail.segment.frame_bytes(frame));
        let zeros_to = tail.cut.as_ref().map(|cut| cut.offset + cut.bytes);
        active.settle(last_bytes, zeros_to)?;
        let published = Published {
            segments: infos,
            durable_end: tail.cursor.offset,
            frames: tail.frames.clone(),
            newest,
        };
        let shared = Arc::new(Shared::new(Arc::clone(&storage), journal_id, published));
        shared
            .index
            .insert(requests_of(&tail.segment, &tail.frames).into_iter());
        load_indexes(&shared, &segments, config.index_window_ms)?;
        let epoch = tail
            .cursor
            .epoch
            .checked_add(1)
            .ok_or_else(|| JournalError::Config {
                setting: "epoch",
                what: "all epochs are used: restore a backup into a new journal".to_owned(),
            })?;
        drop(tail);
        let mut log = Self::assemble(config, shared, active, epoch, lock)?;
        if log.active.cursor.ended() {
            log.roll()?;
        } else {
            log.seal_now()?;
        }
        report.newest.epoch = epoch;
        Ok((log, report))
    }

    fn begin(
        storage: Arc<dyn Storage>,
        config: LogConfig,
        lock: Box<dyn crate::storage::WriterLock>,
    ) -> Result<(Self, OpenReport)> {
        let dir = storage.describe();
        let names = storage.list().doing("list", &dir)?;
        if let Some(orphan) = names.iter().find(|name| name.ends_with(".snap")) {
            let what = "snapshot without any journal segment";
            return Err(JournalError::damaged(orphan, 0, what));
        }
        let journal_id = config.journal_id.unwrap_or_else(random_id);
        let header = SegmentHeader {
            epoch: 1,
            block_bytes: config.block_bytes,
            segment_bytes: config.segment_bytes,
            first_revision: 1,
            base_time_ms: 0,
            journal_id,
            chain_seed: *blake3::hash(&journal_id).as_bytes(),
            schema: config.schema,
        };
        let prepared = prepare(storage.as_ref(), &AtomicU64::new(0), header.segment_bytes)?;
        let active = Active::begin(storage.as_ref(), prepared, header)?;
        let newest = Position {
            revision: 0,
            time_ms: 0,
            epoch: 1,
            chain: active.header.chain_seed,
        };
        let published = Published {
            segments: vec![SegmentInfo::new(&active.name, &active.header)],
            durable_end: active.cursor.offset,
            frames: FrameList::new(),
            newest,
        };
        let shared = Arc::new(Shared::new(storage, journal_id, published));
        let report = OpenReport {
            newest,
            oldest_revision: 1,
            segments: 1,
            created: true,
            cut: None,
            schema: config.schema,
        };
        Ok((Self::assemble(config, shared, active, 1, lock)?, report))
    }

    fn assemble(
        config: LogConfig,
        shared: Arc<Shared>,
        active: Active,
        epoch: u32,
        lock: Box<dyn crate::storage::WriterLock>,
    ) -> Result<Self> {
        let mut keeper = Keeper::new(Arc::clone(&shared), config.background)?;
        keeper.prepare_ahead(config.segment_bytes);
        keeper.filled(active.cursor.offset, active.header.segment_bytes);
        Ok(Self {
            config,
            shared,
            active,
            keeper,
            epoch,
            poisoned: None,
            _lock: lock,
        })
    }
}

/// Removes files that a stopped process left half made, and indexes whose segment is gone.
fn remove_leftovers(
    storage: &dyn Storage,
    segments: &[(SegmentInfo, SegmentHeader)],
) -> Result<()> {
    let dir = storage.describe();
    let ours = ["prepared-", "journal-", "snapshot-"];
    for name in storage.list().doing("list", &dir)? {
        let aside = name.ends_with(".tmp") && ours.iter().any(|prefix| name.starts_with(prefix));
        let orphan = sidecar_revision(&name).is_some_and(|revision| {
            !segments
                .iter()
                .any(|(info, _)| info.first_revision == revision)
        });
        if aside || orphan {
            storage.remove(&name).doing("remove", &name)?;
        }
    }
    // Not synced: what comes back is removed again.
    Ok(())
}

/// Reads all records of a directory that nobody writes, from `revision` (or the oldest) on.
///
/// # Errors
/// `Damaged`, `NewerFormat`, `OutOfRetention` when `revision` is older than what is held.
pub fn read_at_rest(storage: Arc<dyn Storage>, revision: Option<u64>) -> Result<LogReader> {
    let segments: Vec<SegmentInfo> = list_segments(storage.as_ref())?
        .into_iter()
        .map(|(info, _)| info)
        .collect();
    let oldest = segments.first().map_or(1, |segment| segment.first_revision);
    let from = revision.unwrap_or(oldest);
    if from < oldest {
        let newest = segments.last().map_or(0, |segment| segment.first_revision);
        return Err(JournalError::OutOfRetention {
            asked: from,
            oldest,
            newest,
        });
    }
    Ok(LogReader::at_rest(storage, segments, from))
}

fn random_id() -> [u8; 16] {
    // Each `RandomState` carries keys from the operating system's generator.
    let mut id = [0; 16];
    for (number, half) in id.chunks_exact_mut(8).enumerate() {
        half.copy_from_slice(&RandomState::new().hash_one(number).to_le_bytes());
    }
    id
}
