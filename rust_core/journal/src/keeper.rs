//! Work that must not stand in the way of a commit: zeroing the next segment, writing the index
//! of the last one.

use std::collections::VecDeque;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use crate::error::{IoContext, JournalError, Result};
use crate::index::{FrameList, Ids, Sidecar, SidecarSource, forget_old};
use crate::next_segment::{Begun, Next, Prepared, due, prepare};
use crate::view::Shared;

/// A finished segment that has no index yet.
pub(crate) struct Finished {
    pub source: SidecarSource,
    pub ids: Arc<Ids>,
    pub frames: FrameList,
    /// Engine time for which ids can be found, in milliseconds back from the newest record.
    pub window_ms: u64,
}

/// Does the work in a thread, or in line.
pub(crate) struct Keeper {
    shared: Arc<Shared>,
    number: Arc<AtomicU64>,
    /// What the thread knows to be due.
    told: u64,
    background: Option<Background>,
}

struct Background {
    desk: Arc<Desk>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread is asked to do, and what it has done. Nobody keeps it locked across I/O.
#[derive(Default)]
struct Desk {
    papers: Mutex<Papers>,
    changed: Condvar,
}

#[derive(Default)]
struct Papers {
    next: Next,
    /// How much of the next segment is to be written by now, in parts of [`WHOLE`](crate::next_segment::WHOLE).
    due: u64,
    finished: VecDeque<Finished>,
    /// The writer has come for the segment: it must not wait for more than the piece that is being written.
    hurry: bool,
    closed: bool,
}

impl Papers {
    /// Whether a piece of the next segment is to be written now.
    fn is_due(&self) -> bool {
        // An index that waits is not overtaken again and again by segments that are filled sooner.
        let backlog = self.finished.len() > 1;
        !self.closed && !self.hurry && !backlog && self.next.lacks(self.due)
    }
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, Papers> {
        self.papers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, papers: MutexGuard<'a, Papers>) -> MutexGuard<'a, Papers> {
        self.changed
            .wait(papers)
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Keeper {
    pub(crate) fn new(shared: Arc<Shared>, background: bool) -> Result<Self> {
        let number = Arc::new(AtomicU64::new(1));
        let background = if background {
            let desk = Arc::<Desk>::default();
            let (shared, number) = (Arc::clone(&shared), Arc::clone(&number));
            let its = Arc::clone(&desk);
            let thread = std::thread::Builder::new()
                .name("journal-keeper".to_owned())
                .spawn(move || {
                    bespeak_aside::lower_priority("journal-keeper");
                    run(&shared, &number, &its);
                })
                .doing("start a thread for", "journal")?;
            Some(Background {
                desk,
                thread: Some(thread),
            })
        } else {
            None
        };
        Ok(Self {
            shared,
            number,
            told: 0,
            background,
        })
    }

    /// A segment of `bytes` will be taken later: it is prepared while the one in use is filled.
    pub(crate) fn prepare_ahead(&mut self, bytes: u64) {
        self.told = 0;
        if let Some(background) = &self.background {
            let mut papers = background.desk.lock();
            papers.due = 0;
            if matches!(papers.next, Next::Nobodys) {
                papers.next = Next::Asked(bytes);
            }
        }
    }

    /// So many bytes of the segment in use, of so many, are written.
    pub(crate) fn filled(&mut self, filled: u64, of: u64) {
        let due = due(filled, of);
        if let Some(background) = &self.background
            && due > self.told
        {
            self.told = due;
            let mut papers = background.desk.lock();
            papers.due = due;
            if papers.is_due() {
                background.desk.changed.notify_all();
            }
        }
    }

    /// Takes the prepared segment. One that is not ready is finished here, at the caller's own priority: it waits for
    /// one piece at most. One that could not be prepared is tried once more: space may have been freed since.
    pub(crate) fn take(&mut self, bytes: u64) -> Result<Prepared> {
        if let Some(background) = &self.background {
            match background.desk.collect() {
                Some(Ok(begun)) => return begun.finish(),
                Some(Err(error)) => tracing::warn!(%error, "preparing a segment failed"),
                None => (),
            }
        }
        prepare(self.shared.storage.as_ref(), &self.number, bytes)
    }

    /// Writes the index of a finished segment.
    pub(crate) fn index(&self, finished: Finished) {
        match &self.background {
            Some(background) => {
                background.desk.lock().finished.push_back(finished);
                background.desk.changed.notify_all();
            }
            None => write_index(&self.shared, &finished, false),
        }
    }
}

impl Desk {
    /// What there is of the next segment; `None` when nobody has begun it.
    fn collect(&self) -> Option<Result<Begun>> {
        let mut papers = self.lock();
        papers.hurry = true;
        // A thread that is gone has left nothing begun: see `Leaving`.
        while matches!(papers.next, Next::Busy) {
            papers = self.wait(papers);
        }
        papers.hurry = false;
        match std::mem::take(&mut papers.next) {
            Next::Begun(begun) => Some(Ok(begun)),
            Next::Failed(error) => Some(Err(error)),
            Next::Nobodys | Next::Asked(_) | Next::Busy => None,
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if let Some(background) = &mut self.background {
            background.desk.lock().closed = true;
            background.desk.changed.notify_all();
            if let Some(thread) = background.thread.take()
                && thread.join().is_err()
            {
                tracing::error!("the journal's keeper thread panicked");
            }
        }
    }
}

/// Lets go of what the thread had begun, should it panic: whoever waits for it goes on alone.
struct Leaving<'a>(&'a Desk);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.lock().next = Next::Nobodys;
        self.0.changed.notify_all();
    }
}

fn run(shared: &Shared, number: &AtomicU64, desk: &Desk) {
    let _leaving = Leaving(desk);
    let mut papers = desk.lock();
    loop {
        if papers.is_due() {
            let next = std::mem::replace(&mut papers.next, Next::Busy);
            drop(papers);
            let began = Instant::now();
            let next = next.step(shared.storage.as_ref(), number);
            let rest = bespeak_aside::rest_after(began.elapsed());
            papers = desk.lock();
            papers.next = next.unwrap_or_else(Next::Failed);
            desk.changed.notify_all();
            if let Some(rest) = rest {
                let wanted = |papers: &mut Papers| !papers.closed;
                let waited = desk.changed.wait_timeout_while(papers, rest, wanted);
                papers = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
        } else if let Some(finished) = papers.finished.pop_front() {
            drop(papers);
            write_index(shared, &finished, true);
            // It is large, and the writer waits for who holds the desk.
            drop(finished);
            papers = desk.lock();
        } else if papers.closed {
            return;
        } else {
            papers = desk.wait(papers);
        }
    }
}

/// A failure costs only the file: the map stays in memory, and the next start builds it again.
fn write_index(shared: &Shared, finished: &Finished, paced: bool) {
    let storage = shared.storage.as_ref();
    let Finished {
        source,
        ids,
        frames,
        window_ms,
    } = finished;
    match Sidecar::write(storage, source, ids, frames, paced) {
        Ok(sidecar) => shared
            .index
            .install(source.first_revision, Arc::new(sidecar)),
        Err(error @ JournalError::Io { .. }) => {
            tracing::warn!(%error, "the request index stays in memory");
        }
        Err(error) => tracing::error!(%error, "the request index stays in memory"),
    }
    forget_old(shared, *window_ms);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::batch::Batch;
    use crate::config::LogConfig;
    use crate::format::ChainHash;
    use crate::format::{NO_REQUEST, RecordMeta};
    use crate::log::Log;
    use crate::next_segment::WHOLE;
    use crate::storage::{Fault, FaultRule, FsStorage, OpKind, SimStorage, Storage, StorageFile};
    use crate::view::{Position, Published};
    use bespeak_aside::PIECE_BYTES;

    const BYTES: u64 = 5 * PIECE_BYTES as u64 + 512;

    fn shared(storage: Arc<dyn Storage>) -> Arc<Shared> {
        let newest = Position {
            revision: 0,
            time_ms: 0,
            epoch: 0,
            chain: ChainHash::default(),
        };
        let published = Published {
            segments: Vec::new(),
            durable_end: 0,
            frames: Vec::new(),
            newest,
        };
        Arc::new(Shared::new(storage, [7; 16], published))
    }

    fn assert_zeros(file: &dyn StorageFile) {
        assert_eq!(file.size().expect("a size"), BYTES);
        let mut read = vec![1; BYTES as usize];
        file.read_exact_at(&mut read, 0).expect("is read");
        assert!(read.iter().all(|&byte| byte == 0));
    }

    /// Waits until the thread has written so much of the next segment.
    fn until_written(keeper: &Keeper, bytes: u64) {
        let desk = &keeper.background.as_ref().expect("a thread").desk;
        let written = |papers: &mut Papers| !matches!(&papers.next, Next::Begun(begun) if begun.written >= bytes);
        let waited = desk
            .changed
            .wait_timeout_while(desk.lock(), Duration::from_secs(60), written);
        let late = waited.expect("a desk").1.timed_out();
        assert!(!late, "{bytes} bytes are not written");
    }

    #[test]
    fn what_a_log_writes_prepares_its_next_segment_also_after_a_start() {
        let dir = tempfile::tempdir().expect("a directory");
        let storage: Arc<dyn Storage> =
            Arc::new(FsStorage::new(dir.path()).expect("a journal's directory"));
        let config = LogConfig {
            segment_bytes: 1 << 20,
            max_record_bytes: 64 << 10,
            ..LogConfig::default()
        };
        let (mut log, _) = Log::open(Arc::clone(&storage), config.clone()).expect("a log");
        let half = config.segment_bytes / 2;
        while log.active.cursor.offset < half {
            let mut batch = Batch::new();
            let meta = RecordMeta {
                revision: log.next_revision(),
                time_ms: 1,
                request_id: NO_REQUEST,
                kind: 1,
            };
            batch
                .push(&meta, &[7; 4_096], config.max_record_bytes)
                .expect("it fits");
            log.append(&mut batch).expect("is written");
        }
        until_written(&log.keeper, half);
        drop(log);
        let (log, _) = Log::open(storage, config).expect("a log");
        until_written(&log.keeper, half);
    }

    #[test]
    fn a_segment_is_whole_whether_or_not_it_was_ready() {
        let dir = tempfile::tempdir().expect("a directory");
        let storage = FsStorage::new(dir.path()).expect("a journal's directory");
        let mut keeper = Keeper::new(shared(Arc::new(storage)), true).expect("a thread");
        let mut names = Vec::new();
        for wait in [false, true, false, false, true] {
            keeper.prepare_ahead(BYTES);
            keeper.filled(1, 1);
            if wait {
                until_written(&keeper, BYTES);
            }
            let (name, file) = keeper.take(BYTES).expect("a segment");
            assert_zeros(file.as_ref());
            names.push(name);
        }
        // Nobody had been asked for this one.
        let (name, file) = keeper.take(BYTES).expect("a segment");
        assert_zeros(file.as_ref());
        names.push(name);
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 6);
    }

    #[test]
    fn who_comes_early_finishes_the_rest() {
        let mut keeper = Keeper::new(shared(Arc::new(SimStorage::new(1))), true).expect("a thread");
        keeper.prepare_ahead(BYTES);
        keeper.filled(3, 10);
        until_written(&keeper, 1);
        let (_, file) = keeper.take(BYTES).expect("a segment");
        assert_zeros(file.as_ref());
    }

    #[test]
    fn a_stop_does_not_wait_for_a_segment_that_nobody_will_need() {
        let mut papers = Papers {
            next: Next::Asked(BYTES),
            due: WHOLE,
            ..Papers::default()
        };
        assert!(papers.is_due());
        papers.closed = true;
        assert!(!papers.is_due());
    }

    #[test]
    fn what_could_not_be_prepared_is_tried_once_more() {
        let disk = SimStorage::new(1);
        disk.inject(FaultRule {
            op: OpKind::SyncData,
            name_contains: "prepared".to_owned(),
            after: 0,
            sticky: false,
            fault: Fault::Enospc,
        });
        let mut keeper = Keeper::new(shared(Arc::new(disk)), true).expect("a thread");
        keeper.prepare_ahead(BYTES);
        keeper.filled(1, 1);
        let desk = &keeper.background.as_ref().expect("a thread").desk;
        let mut papers = desk.lock();
        while !matches!(papers.next, Next::Failed(_)) {
            papers = desk.wait(papers);
        }
        drop(papers);
        let (_, file) = keeper.take(BYTES).expect("space was freed");
        assert_zeros(file.as_ref());
    }
}
