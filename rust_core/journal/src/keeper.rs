//! Work that must not stand in the way of a commit: zeroing the next segment, writing the index
//! of the last one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use crate::error::{IoContext, JournalError, Result};
use crate::index::{FrameList, Ids, Sidecar, SidecarSource, forget_old};
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

enum Job {
    Prepare(u64),
    Index(Finished),
}

/// Does the work in a thread, or in line.
pub(crate) struct Keeper {
    shared: Arc<Shared>,
    number: Arc<AtomicU64>,
    background: Option<Background>,
}

struct Background {
    jobs: Option<Sender<Job>>,
    prepared: Receiver<Result<Prepared>>,
    thread: Option<JoinHandle<()>>,
    asked: bool,
}

impl Keeper {
    pub(crate) fn new(shared: Arc<Shared>, background: bool) -> Result<Self> {
        let number = Arc::new(AtomicU64::new(1));
        let background = if background {
            let (jobs, inbox) = channel();
            let (outbox, prepared) = channel();
            let (shared, number) = (Arc::clone(&shared), Arc::clone(&number));
            let thread = std::thread::Builder::new()
                .name("journal-keeper".to_owned())
                .spawn(move || run(&shared, &number, &inbox, &outbox))
                .doing("start a thread for", "journal")?;
            Some(Background {
                jobs: Some(jobs),
                prepared,
                thread: Some(thread),
                asked: false,
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
        if let Some(background) = &mut self.background
            && !background.asked
            && let Some(jobs) = &background.jobs
        {
            background.asked = jobs.send(Job::Prepare(bytes)).is_ok();
        }
    }

    /// Takes the prepared segment, waiting for it if need be. One that could not be prepared is
    /// tried once more here: space may have been freed since.
    pub(crate) fn take(&mut self, bytes: u64) -> Result<Prepared> {
        if let Some(background) = &mut self.background
            && background.asked
        {
            background.asked = false;
            match background.prepared.recv() {
                Ok(Ok(prepared)) => return Ok(prepared),
                Ok(Err(error)) => tracing::warn!(%error, "preparing a segment failed"),
                Err(_) => tracing::warn!("the journal's keeper thread has ended"),
            }
        }
        prepare(self.shared.storage.as_ref(), &self.number, bytes)
    }

    /// Writes the index of a finished segment.
    pub(crate) fn index(&self, finished: Finished) {
        match self
            .background
            .as_ref()
            .and_then(|background| background.jobs.as_ref())
        {
            Some(jobs) => {
                if jobs.send(Job::Index(finished)).is_err() {
                    tracing::warn!("the journal's keeper thread has ended");
                }
            }
            None => write_index(&self.shared, &finished),
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if let Some(background) = &mut self.background {
            background.jobs = None;
            if let Some(thread) = background.thread.take()
                && thread.join().is_err()
            {
                tracing::error!("the journal's keeper thread panicked");
            }
        }
    }
}

fn run(
    shared: &Shared,
    number: &AtomicU64,
    inbox: &Receiver<Job>,
    outbox: &Sender<Result<Prepared>>,
) {
    while let Ok(job) = inbox.recv() {
        match job {
            Job::Prepare(bytes) => {
                let prepared = prepare(shared.storage.as_ref(), number, bytes);
                if outbox.send(prepared).is_err() {
                    return;
                }
            }
            Job::Index(finished) => write_index(shared, &finished),
        }
    }
}

/// Writes a file of zeros, so that writing records into it later changes no metadata. The sync of
/// its header makes it durable.
pub(crate) fn prepare(storage: &dyn Storage, number: &AtomicU64, bytes: u64) -> Result<Prepared> {
    let name = format!(
        "prepared-{:020}.tmp",
        number.fetch_add(1, Ordering::Relaxed)
    );
    let file = storage
        .create(&name, bytes)
        .doing("write zeros to", &name)?;
    Ok((name, file))
}

/// A failure costs only the file: the map stays in memory, and the next start builds it again.
fn write_index(shared: &Shared, finished: &Finished) {
    let storage = shared.storage.as_ref();
    match Sidecar::write(storage, &finished.source, &finished.ids, &finished.frames) {
        Ok(sidecar) => shared
            .index
            .install(finished.source.first_revision, Arc::new(sidecar)),
        Err(error @ JournalError::Io { .. }) => {
            tracing::warn!(%error, "the request index stays in memory");
        }
        Err(error) => tracing::error!(%error, "the request index stays in memory"),
    }
    forget_old(shared, finished.window_ms);
}
