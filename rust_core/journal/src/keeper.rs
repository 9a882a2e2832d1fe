//! Work that must not stand in the way of a commit: zeroing the next segment, writing the index
//! of the last one.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::error::{IoContext, JournalError, Result};
use crate::index::{FrameList, Ids, Sidecar, SidecarSource, forget_old};
use crate::paced::{self, PIECE_BYTES};
use crate::storage::{Storage, StorageFile};
use crate::view::Shared;

/// A file of zeros under a passing name.
pub(crate) type Prepared = (String, Box<dyn StorageFile>);

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
    finished: VecDeque<Finished>,
    /// The writer has come for the segment: it must not wait for a thread that stands back.
    hurry: bool,
    closed: bool,
}

/// The next segment.
#[derive(Default)]
enum Next {
    #[default]
    Nobodys,
    Asked(u64),
    Begun,
    /// Zeros as far as `written`: all of it, unless the writer came earlier.
    Done(Result<Begun>),
}

struct Begun {
    name: String,
    file: Box<dyn StorageFile>,
    written: u64,
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
                    paced::lower_priority("the next segment is prepared");
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
            background,
        })
    }

    /// Starts preparing a segment of `bytes`, to be taken later.
    pub(crate) fn prepare_ahead(&mut self, bytes: u64) {
        if let Some(background) = &self.background {
            let mut papers = background.desk.lock();
            if matches!(papers.next, Next::Nobodys) {
                papers.next = Next::Asked(bytes);
                background.desk.changed.notify_all();
            }
        }
    }

    /// Takes the prepared segment. One that is not ready is finished here, at the caller's own priority: it waits for
    /// one piece at most. One that could not be prepared is tried once more: space may have been freed since.
    pub(crate) fn take(&mut self, bytes: u64) -> Result<Prepared> {
        if let Some(background) = &self.background {
            match background.desk.collect() {
                Some(Ok(mut begun)) => {
                    let done = zeros(&mut begun, bytes);
                    done.doing("write zeros to", &begun.name)?;
                    return Ok((begun.name, begun.file));
                }
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
        if matches!(papers.next, Next::Begun) {
            papers.hurry = true;
            self.changed.notify_all();
            // A thread that is gone has left nothing begun: see `Leaving`.
            while matches!(papers.next, Next::Begun) {
                papers = self.wait(papers);
            }
            papers.hurry = false;
        }
        match std::mem::take(&mut papers.next) {
            Next::Done(done) => Some(done),
            Next::Nobodys | Next::Asked(_) | Next::Begun => None,
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
        // An index that waits is not overtaken again and again by segments that are filled sooner.
        let backlog = papers.finished.len() > 1;
        if let Next::Asked(bytes) = papers.next
            && !papers.closed
            && !backlog
        {
            papers.next = Next::Begun;
            drop(papers);
            let done = prepare_paced(shared.storage.as_ref(), number, bytes, desk);
            papers = desk.lock();
            papers.next = Next::Done(done);
            desk.changed.notify_all();
        } else if let Some(finished) = papers.finished.pop_front() {
            drop(papers);
            write_index(shared, &finished, true);
            papers = desk.lock();
        } else if papers.closed {
            return;
        } else {
            papers = desk.wait(papers);
        }
    }
}

/// Creates a file and writes zeros ahead, piece by piece, until it is whole or somebody comes for it.
fn prepare_paced(
    storage: &dyn Storage,
    number: &AtomicU64,
    bytes: u64,
    desk: &Desk,
) -> Result<Begun> {
    let name = next_name(number);
    let file = storage.create(&name, 0).doing("create", &name)?;
    let mut begun = Begun {
        name,
        file,
        written: 0,
    };
    let piece = vec![0; PIECE_BYTES];
    while begun.written < bytes {
        let len = (bytes - begun.written).min(PIECE_BYTES as u64);
        let took = paced::piece(begun.file.as_ref(), &piece[..len as usize], begun.written)
            .doing("write zeros to", &begun.name)?;
        begun.written += len;
        let wanted = |papers: &mut Papers| !papers.hurry && !papers.closed;
        let papers = desk.lock();
        let papers = match paced::rest_after(took) {
            Some(rest) => {
                let waited = desk.changed.wait_timeout_while(papers, rest, wanted);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
            None => papers,
        };
        if papers.hurry || papers.closed {
            return Ok(begun);
        }
    }
    // With all of it on the disk, the sync of the header that comes later finds nothing to do.
    begun.file.sync_data().doing("sync", &begun.name)?;
    Ok(begun)
}

/// Writes what zeros are missing, as fast as the disk takes them. The sync of the header, which comes next, makes them
/// durable.
fn zeros(begun: &mut Begun, bytes: u64) -> std::io::Result<()> {
    let piece = vec![0; PIECE_BYTES.min(usize::try_from(bytes).unwrap_or(PIECE_BYTES))];
    while begun.written < bytes {
        let len = (bytes - begun.written).min(piece.len() as u64);
        let data = &piece[..len as usize];
        begun.file.write_all_at(data, begun.written)?;
        begun.written += len;
    }
    Ok(())
}

fn next_name(number: &AtomicU64) -> String {
    format!(
        "prepared-{:020}.tmp",
        number.fetch_add(1, Ordering::Relaxed)
    )
}

/// Writes a file of zeros, so that writing records into it later changes no metadata. The sync of
/// its header makes it durable.
pub(crate) fn prepare(storage: &dyn Storage, number: &AtomicU64, bytes: u64) -> Result<Prepared> {
    let name = next_name(number);
    let file = storage
        .create(&name, bytes)
        .doing("write zeros to", &name)?;
    Ok((name, file))
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
    use super::*;
    use crate::format::ChainHash;
    use crate::storage::{Fault, FaultRule, FsStorage, OpKind, SimStorage};
    use crate::view::{Position, Published};

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

    /// Waits until the thread has done what it was asked to.
    fn until_done(keeper: &Keeper) {
        let desk = &keeper.background.as_ref().expect("a thread").desk;
        let mut papers = desk.lock();
        while !matches!(papers.next, Next::Done(_)) {
            papers = desk.wait(papers);
        }
    }

    #[test]
    fn a_segment_is_whole_whether_or_not_it_was_ready() {
        let dir = tempfile::tempdir().expect("a directory");
        let storage = FsStorage::new(dir.path()).expect("a journal's directory");
        let mut keeper = Keeper::new(shared(Arc::new(storage)), true).expect("a thread");
        let mut names = Vec::new();
        for wait in [false, true, false, false, true] {
            keeper.prepare_ahead(BYTES);
            if wait {
                until_done(&keeper);
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
    fn who_comes_early_waits_for_one_piece_and_finishes_the_rest() {
        let disk = SimStorage::new(1);
        let desk = Desk::default();
        desk.lock().hurry = true;
        let mut begun =
            prepare_paced(&disk, &AtomicU64::new(1), BYTES, &desk).expect("a beginning");
        assert_eq!(begun.written, PIECE_BYTES as u64);
        zeros(&mut begun, BYTES).expect("the rest");
        assert_zeros(begun.file.as_ref());
    }

    #[test]
    fn a_stop_does_not_wait_for_a_segment_that_nobody_will_need() {
        let disk = SimStorage::new(1);
        let desk = Desk::default();
        desk.lock().closed = true;
        let begun = prepare_paced(&disk, &AtomicU64::new(1), BYTES, &desk).expect("a beginning");
        assert_eq!(begun.written, PIECE_BYTES as u64);
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
        until_done(&keeper);
        let (_, file) = keeper.take(BYTES).expect("space was freed");
        assert_zeros(file.as_ref());
    }
}
