//! What readers see of a log while it is being written: only what is durable.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::{IoContext, JournalError, Result};
use crate::format::{
    ChainHash, FRAME_HEADER_LEN, FrameHeader, RecordHeader, SegmentHeader, SegmentTie,
    parse_record, segment_name,
};
use crate::index::{FrameList, IdIndex, rebuild, sidecar_name};
use crate::reader::{LogReader, RecordRef};
use crate::stats::LogStats;
use crate::storage::Storage;

/// One segment of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentInfo {
    /// Name of its file.
    pub name: String,
    /// Revision of its first record.
    pub first_revision: u64,
    /// Engine time of the record before it, in UTC milliseconds.
    pub base_time_ms: u64,
    /// Length of its file.
    pub bytes: u64,
    pub(crate) tie: SegmentTie,
}

impl SegmentInfo {
    pub(crate) fn new(name: &str, header: &SegmentHeader) -> Self {
        Self {
            name: name.to_owned(),
            first_revision: header.first_revision,
            base_time_ms: header.base_time_ms,
            bytes: header.segment_bytes,
            tie: header.tie(),
        }
    }
}

/// How far a log is durable.
#[derive(Debug, Clone)]
pub(crate) struct Published {
    /// Ascending; the last one is being written.
    pub segments: Vec<SegmentInfo>,
    /// Offset behind the last durable frame of the last segment.
    pub durable_end: u64,
    /// Batches of the last segment.
    pub frames: FrameList,
    pub newest: Position,
}

/// A durable position in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Revision of the last durable record; 0 before the first.
    pub revision: u64,
    /// Its engine time in UTC milliseconds.
    pub time_ms: u64,
    /// Epoch of the writer.
    pub epoch: u32,
    /// Hash chain value behind it.
    pub chain: ChainHash,
}

pub(crate) struct Shared {
    pub storage: Arc<dyn Storage>,
    pub journal_id: [u8; 16],
    pub index: IdIndex,
    pub stats: LogStats,
    published: Mutex<Published>,
    pins: AtomicUsize,
}

impl Shared {
    pub(crate) fn new(
        storage: Arc<dyn Storage>,
        journal_id: [u8; 16],
        published: Published,
    ) -> Self {
        Self {
            storage,
            journal_id,
            index: IdIndex::default(),
            stats: LogStats::default(),
            published: Mutex::new(published),
            pins: AtomicUsize::new(0),
        }
    }

    pub(crate) fn published(&self) -> MutexGuard<'_, Published> {
        self.published
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps segments from being removed while someone reads them.
pub(crate) struct Pin(Arc<Shared>);

impl Pin {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        shared.pins.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(shared))
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        self.0.pins.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A stored record, owned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRecord {
    /// Its header.
    pub header: RecordHeader,
    /// Its payload.
    pub payload: Vec<u8>,
}

/// Reads a log that another thread is writing. Cheap to clone.
#[derive(Clone)]
pub struct LogView {
    pub(crate) shared: Arc<Shared>,
}

impl LogView {
    /// The last durable position.
    #[must_use]
    pub fn newest(&self) -> Position {
        self.shared.published().newest
    }

    /// Oldest revision that can be read.
    #[must_use]
    pub fn oldest_revision(&self) -> u64 {
        self.shared
            .published()
            .segments
            .first()
            .map_or(1, |segment| segment.first_revision)
    }

    /// All segments, oldest first; the last one is being written.
    #[must_use]
    pub fn segments(&self) -> Vec<SegmentInfo> {
        self.shared.published().segments.clone()
    }

    /// Counters since the log was opened.
    #[must_use]
    pub fn stats(&self) -> &LogStats {
        &self.shared.stats
    }

    /// Bytes that the index of request ids takes in memory: about 1.4 for each request of the window, and 24 for each
    /// of the active segment.
    #[must_use]
    pub fn index_memory_bytes(&self) -> usize {
        self.shared.index.memory_bytes()
    }

    /// Identity of the journal.
    #[must_use]
    pub fn journal_id(&self) -> [u8; 16] {
        self.shared.journal_id
    }

    /// Reads all durable records from `revision` on, as of now. Segments are kept while it lives.
    ///
    /// # Errors
    /// `OutOfRetention` when `revision` is no longer held, or lies more than one beyond the end.
    pub fn read_from(&self, revision: u64) -> Result<LogReader> {
        let pin = Pin::new(&self.shared);
        let published = self.shared.published().clone();
        let oldest = published
            .segments
            .first()
            .map_or(1, |segment| segment.first_revision);
        if revision < oldest || revision > published.newest.revision + 1 {
            let newest = published.newest.revision;
            return Err(JournalError::OutOfRetention {
                asked: revision,
                oldest,
                newest,
            });
        }
        let storage = Arc::clone(&self.shared.storage);
        Ok(LogReader::live(
            storage,
            published.segments,
            published.durable_end,
            revision,
            pin,
        ))
    }

    /// The newest revision of a durable record that carries a request id, if it is not after `last`, as far
    /// back as the index window reaches: an id that was used again after `last` is not looked for before it. Cheap
    /// while `last` does not fall from call to call.
    ///
    /// # Errors
    /// I/O errors, or `Damaged` when an index is, and its segment too.
    pub fn find_request(&self, id: &[u8; 16], last: u64) -> Result<Option<u64>> {
        let (broken, error) = match self.shared.index.lookup(id, last) {
            Ok(found) => return Ok(found),
            Err(broken) => broken,
        };
        tracing::warn!(%error, "building the request index again");
        let _pin = Pin::new(&self.shared);
        let source = broken.source();
        let segment = segment_name(source.first_revision);
        let sidecar = rebuild(self.shared.storage.as_ref(), &segment, source)?;
        self.shared
            .index
            .install(source.first_revision, Arc::new(sidecar));
        let found = self.shared.index.lookup(id, last);
        found.map_err(|(_, error)| error)
    }

    /// Reads one record.
    ///
    /// # Errors
    /// `OutOfRetention`, `Damaged`, I/O errors.
    pub fn read_record(&self, revision: u64) -> Result<StoredRecord> {
        let _pin = Pin::new(&self.shared);
        if let Some((segment, offset)) = self.locate(revision)? {
            return read_in_frame(self.shared.storage.as_ref(), &segment, offset, revision);
        }
        let mut reader = self.read_from(revision)?;
        match reader.next()? {
            Some(record) => Ok(record.to_stored()),
            None => Err(self.out_of_retention(revision)),
        }
    }

    /// Tells durable records from `revision` on, whole batches until at least `many` were told or there are no more;
    /// returns how many were. Reads no more than these, which makes it fit to follow a log with.
    ///
    /// # Errors
    /// As [`LogView::read_from`], and what `tell` returns, which ends it.
    pub fn follow<E: From<JournalError>>(
        &self,
        revision: u64,
        many: u64,
        tell: &mut dyn FnMut(&RecordRef<'_>) -> std::result::Result<(), E>,
    ) -> std::result::Result<u64, E> {
        let _pin = Pin::new(&self.shared);
        let mut next = revision;
        while next <= self.newest().revision && next - revision < many {
            match self.locate(next)? {
                Some((segment, offset)) => {
                    let batch = Batch::read(self.shared.storage.as_ref(), &segment, offset)?;
                    let before = next;
                    batch.each(&mut |record| {
                        if record.header.meta.revision >= next {
                            next = record.header.meta.revision + 1;
                            tell(&record)?;
                        }
                        Ok::<_, E>(true)
                    })?;
                    if next == before {
                        return Err(batch.without(next).into());
                    }
                }
                // The index of a finished segment is not there yet.
                None => {
                    let mut reader = self.read_from(next)?;
                    while next - revision < many
                        && let Some(record) = reader.next()?
                    {
                        next = record.header.meta.revision + 1;
                        tell(&record)?;
                    }
                }
            }
        }
        Ok(next - revision)
    }

    fn out_of_retention(&self, asked: u64) -> JournalError {
        let newest = self.newest().revision;
        JournalError::OutOfRetention {
            asked,
            oldest: self.oldest_revision(),
            newest,
        }
    }

    /// Segment and offset of the batch that holds `revision`, if an index knows it.
    fn locate(&self, revision: u64) -> Result<Option<(SegmentInfo, u64)>> {
        let published = self.shared.published();
        let after = published
            .segments
            .partition_point(|info| info.first_revision <= revision);
        if after == 0 || revision > published.newest.revision {
            drop(published);
            return Err(self.out_of_retention(revision));
        }
        let segment = published.segments[after - 1].clone();
        if after == published.segments.len() {
            let frames = &published.frames;
            let begun = frames.partition_point(|(first, _)| *first <= revision);
            let last = begun.checked_sub(1).map(|at| frames[at].1);
            return Ok(last.map(|offset| (segment, offset)));
        }
        drop(published);
        // Without an index, or with one that cannot be read, the segment is read from its beginning.
        let sidecar = self.shared.index.sidecar(segment.first_revision);
        Ok(sidecar
            .and_then(|sidecar| sidecar.batch_of(revision).ok()?)
            .map(|offset| (segment, offset)))
    }

    /// Removes segments that lie wholly before `revision`, oldest first. Returns how many; none
    /// while someone reads, try again later.
    ///
    /// # Errors
    /// I/O errors; what was removed before stays removed.
    pub fn remove_before(&self, revision: u64) -> Result<usize> {
        let storage = self.shared.storage.as_ref();
        let mut removed = 0;
        loop {
            let mut published = self.shared.published();
            // The list shrinks under the same lock that readers copy it under, after their pin.
            let held = self.shared.pins.load(Ordering::SeqCst) > 0;
            let wholly_before = published
                .segments
                .get(1)
                .is_some_and(|second| second.first_revision <= revision);
            if held || !wholly_before {
                return Ok(removed);
            }
            let first = published.segments.remove(0);
            drop(published);
            self.shared.index.forget_before(first.first_revision + 1);
            let index = sidecar_name(first.first_revision);
            if let Err(error) = storage.remove(&first.name).doing("remove", &first.name) {
                // It is still there, and goes before those behind it: a gap would read as damage.
                self.shared.published().segments.insert(0, first);
                return Err(error);
            }
            if storage.list().doing("list", &index)?.contains(&index) {
                storage.remove(&index).doing("remove", &index)?;
            }
            // Synced one by one: a gap in the middle would read as damage.
            storage
                .sync_dir()
                .doing("sync the removal of", &first.name)?;
            removed += 1;
        }
    }
}

/// One batch, read into memory.
struct Batch<'a> {
    segment: &'a SegmentInfo,
    offset: u64,
    body: Vec<u8>,
}

impl<'a> Batch<'a> {
    fn read(storage: &dyn Storage, segment: &'a SegmentInfo, offset: u64) -> Result<Self> {
        let name = &segment.name;
        let file = storage.open(name, false).doing("open", name)?;
        let mut head = [0; FRAME_HEADER_LEN];
        file.read_exact_at(&mut head, offset).doing("read", name)?;
        let frame = FrameHeader::decode(segment.tie, offset, &head)
            .ok_or_else(|| JournalError::damaged(name, offset, "no frame header"))?;
        let mut body = vec![0; frame.body_bytes as usize];
        let body_at = offset + FRAME_HEADER_LEN as u64;
        file.read_exact_at(&mut body, body_at).doing("read", name)?;
        Ok(Self {
            segment,
            offset,
            body,
        })
    }

    /// Tells its records until one is enough.
    fn each<E: From<JournalError>>(
        &self,
        tell: &mut dyn FnMut(RecordRef<'_>) -> std::result::Result<bool, E>,
    ) -> std::result::Result<(), E> {
        let name = &self.segment.name;
        let mut at = 0;
        while at < self.body.len() {
            let offset = self.offset + (FRAME_HEADER_LEN + at) as u64;
            let (header, len) = parse_record(self.segment.tie.salt, &self.body[at..])
                .map_err(|what| JournalError::damaged(name, offset, what))?;
            let start = at + crate::format::RECORD_HEADER_LEN;
            let more = tell(RecordRef {
                header,
                payload: &self.body[start..start + header.payload_bytes as usize],
                segment: name,
                offset,
            })?;
            if !more {
                break;
            }
            at += len;
        }
        Ok(())
    }

    fn without(&self, revision: u64) -> JournalError {
        let what = format!("batch does not hold revision {revision}");
        JournalError::damaged(&self.segment.name, self.offset, what)
    }
}

/// Reads one record of the batch at `offset`.
fn read_in_frame(
    storage: &dyn Storage,
    segment: &SegmentInfo,
    offset: u64,
    revision: u64,
) -> Result<StoredRecord> {
    let batch = Batch::read(storage, segment, offset)?;
    let mut found = None;
    batch.each(&mut |record| {
        if record.header.meta.revision == revision {
            found = Some(record.to_stored());
        }
        Ok::<_, JournalError>(found.is_none())
    })?;
    found.ok_or_else(|| batch.without(revision))
}
