//! A partition: the engine's state under one lock, made durable by the log.
//!
//! A command is decided and applied under the lock and its record put into the pending batch. One
//! sync makes a whole batch durable; an answer may leave when the revision that it saw is.

mod answers;
mod as_of;
mod clock;
mod codec;
mod config;
mod core;
mod error;
mod history;
mod maintain;
mod reconcile;
mod recover;
mod sync;
mod tally;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use bespeak_engine::{Answer, Command, Meta, Record, State, UtcMillis};

use crate::error::JournalError;
use crate::log::Log;
use crate::open::OpenReport;
use crate::snapshot::list_snapshots;
use crate::storage::Storage;
use crate::view::LogView;

use self::answers::{first_answer, lost_answer, replay_answer};
use self::codec::{decode_payload, request_bytes};
use self::core::{Core, Inner};

pub use self::as_of::Moment;
pub use self::clock::{Clock, ManualClock, SystemClock};
pub use self::codec::{KIND_ENGINE_RECORD, RECORD_SCHEMA, decode_record};
pub use self::config::{PartitionConfig, SyncBy};
pub use self::core::Hooks;
pub use self::error::PartitionError;
pub use self::reconcile::{Discrepancy, ReconcileReport};
pub use self::recover::Replayed;

/// A result, and the journal position that must be durable before anyone is told of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen<R> {
    /// The result.
    pub result: R,
    /// What it saw.
    pub revision: u64,
}

/// What opening a partition found.
#[derive(Debug, Clone)]
pub struct PartitionReport {
    /// What the log found.
    pub log: OpenReport,
    /// Where the state came from.
    pub replayed: Replayed,
}

/// One partition. Share it by reference; dropping it closes it.
pub struct Partition {
    inner: Arc<Inner>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    storage: Option<Arc<dyn Storage>>,
}

impl Partition {
    /// A partition without a journal: everything is taken for durable, and gone with the process.
    #[must_use]
    pub fn in_memory(
        config: PartitionConfig,
        clock: Arc<dyn Clock>,
        hooks: Arc<dyn Hooks>,
    ) -> Self {
        let state = State::new(config.settings.clone());
        let inner = Arc::new(Inner::new(config, clock, hooks, state, None));
        Self {
            inner,
            threads: Mutex::new(Vec::new()),
            storage: None,
        }
    }

    /// Opens the journal in `storage`, builds the state and starts to sync.
    ///
    /// # Errors
    /// As [`Log::open`], and when no good snapshot leads to the end of the journal.
    pub fn open(
        storage: Arc<dyn Storage>,
        config: PartitionConfig,
        clock: Arc<dyn Clock>,
        hooks: Arc<dyn Hooks>,
    ) -> Result<(Self, PartitionReport), PartitionError> {
        let (log, report) = Log::open(Arc::clone(&storage), config.log.clone())?;
        if report.schema > RECORD_SCHEMA {
            let (found, known) = (report.schema as u16, RECORD_SCHEMA as u16);
            let file = storage.describe();
            return Err(JournalError::NewerFormat { file, found, known }.into());
        }
        let view = log.view();
        let newest = report.newest.revision;
        if let Some(ahead) = list_snapshots(storage.as_ref())?
            .last()
            .filter(|&&at| at > newest)
        {
            let name = crate::snapshot::snapshot_name(*ahead);
            let what = format!("snapshot is newer than the journal's last record {newest}");
            return Err(JournalError::damaged(&name, 32, what).into());
        }
        let (mut state, mut replayed) = recover::base_state(
            storage.as_ref(),
            &view,
            &config.settings,
            newest,
            &mut || (),
        )?;
        let total = newest - state.revision();
        hooks.replayed(0, total);
        replayed.records = recover::replay(&mut state, &view, None, |done| {
            hooks.replayed(done, total);
            true
        })?;
        hooks.replayed(total, total);
        let inner = Arc::new(Inner::new(config, clock, hooks, state, Some(log)));
        inner.hooks.durable(newest);
        let mut threads = vec![sync::start(&inner)?];
        if inner.config.snapshot_every_bytes > 0 {
            threads.push(maintain::start(&inner, &storage)?);
        }
        Ok((
            Self {
                inner,
                threads: Mutex::new(threads),
                storage: Some(storage),
            },
            PartitionReport {
                log: report,
                replayed,
            },
        ))
    }

    /// Makes a command under the lock from what the state says (names to ids), executes it, and
    /// makes the answer before the lock is gone. The answer may leave when `revision` is durable.
    /// A request that says what was sent ([`Meta::sent`]) gets its first answer again even where no
    /// command can be made of it any more.
    ///
    /// # Errors
    /// In the result: what the closures return, or a [`PartitionError`].
    pub fn write<T, E: From<PartitionError>>(
        &self,
        meta: Meta,
        command: impl FnOnce(&State) -> Result<Command, E>,
        answer: impl FnOnce(&State, Answer) -> Result<T, E>,
    ) -> Seen<Result<T, E>> {
        let inner = &self.inner;
        let failed = |error: PartitionError| Seen {
            result: Err(error.into()),
            revision: 0,
        };
        let (stored, mut core) = match self.enter_for(meta.request_id) {
            Ok(entered) => entered,
            Err(error) => return failed(error),
        };
        let now = match core.guard.now(inner.clock.as_ref()) {
            Ok(now) => UtcMillis::new(now),
            Err(jump_ms) => return failed(PartitionError::ClockSuspect { jump_ms }),
        };
        if let Err(error) = core.check_room(&inner.config) {
            if let Some(journal) = &inner.journal {
                let refused = &journal.view.stats().refused;
                refused.fetch_add(1, Ordering::Relaxed);
            }
            return failed(error);
        }
        let done = match command(&core.state) {
            Ok(command) => core
                .journaled(inner, |state, sink| match stored {
                    Some(first) if state.remembered(meta.request_id).is_none() => {
                        state.advance(now, sink);
                        replay_answer(first, State::fingerprint_of(&meta, &command))
                    }
                    _ => state.step(meta, &command, now, sink),
                })
                .and_then(|done| done.map_err(PartitionError::from))
                .map_err(E::from),
            // What the command would be made from may have changed since the request was answered.
            Err(error) => match first_answer(&core.state, stored, &meta) {
                Some(first) => core
                    .journaled(inner, |state, sink| state.advance(now, sink))
                    .map(|()| first)
                    .map_err(E::from),
                None => Err(error),
            },
        };
        let result = done.and_then(|done| answer(&core.state, done));
        let revision = core.state.revision();
        inner
            .forgotten
            .store(core.state.forgotten_revision(), Ordering::Relaxed);
        self.release(core);
        Seen { result, revision }
    }

    /// Executes a command and waits until its answer is durable.
    ///
    /// # Errors
    /// See [`PartitionError`].
    pub fn execute(&self, meta: Meta, command: &Command) -> Result<Answer, PartitionError> {
        let seen = self.write(meta, |_| Ok(command.clone()), |_, answer| Ok(answer));
        if !matches!(seen.result, Err(PartitionError::Stopped { .. })) {
            self.wait_durable(seen.revision)?;
        }
        seen.result
    }

    /// Reads with every due transition applied. The answer may leave when `revision` is durable.
    ///
    /// # Errors
    /// In the result: what `read` returns, or a [`PartitionError`].
    pub fn read<T, E: From<PartitionError>>(
        &self,
        read: impl FnOnce(&State) -> Result<T, E>,
    ) -> Seen<Result<T, E>> {
        let inner = &self.inner;
        let failed = |error: PartitionError| Seen {
            result: Err(error.into()),
            revision: 0,
        };
        let mut core = match inner.enter() {
            Ok(core) => core,
            Err(error) => return failed(error),
        };
        let now = match core.guard.now(inner.clock.as_ref()) {
            Ok(now) => now,
            Err(jump_ms) => return failed(PartitionError::ClockSuspect { jump_ms }),
        };
        let at = UtcMillis::new(now);
        let advanced = core.journaled(inner, |state, sink| state.advance(at, sink));
        if let Err(error) = advanced {
            return failed(error);
        }
        let result = read(&core.state);
        let revision = core.state.revision();
        // Time that was used must not run backwards after a restart. Told behind the read, so
        // that this answer need not wait for it.
        if inner.journal.is_some()
            && now - core.journaled_ms >= inner.config.tick_every_ms
            && core.check_room(&inner.config).is_ok()
            && let Err(error) = core.journaled(inner, |state, sink| state.tick(at, sink))
        {
            return failed(error);
        }
        self.release(core);
        Seen { result, revision }
    }

    /// Reads the state as it stands, without time moving on: for numbers about the service.
    ///
    /// # Errors
    /// `Stopped`.
    pub fn peek<T>(&self, read: impl FnOnce(&State) -> T) -> Result<T, PartitionError> {
        Ok(read(&self.inner.core()?.state))
    }

    /// Lets the lock go and wakes the sync thread if there is work for it.
    fn release(&self, mut core: MutexGuard<'_, Core>) {
        let wake = core.wakes_thread(self.inner.config.sync_by);
        let revision = core.state.revision();
        drop(core);
        if wake {
            self.inner.work.notify_one();
        }
        if self.inner.journal.is_none() {
            self.inner.hooks.durable(revision);
        }
    }

    /// Takes the lock, with the answer that the disk holds for a request id that memory has forgotten.
    ///
    /// The disk is asked before the lock is taken: nobody waits for a lock held across I/O. An answer that falls out
    /// of memory between the two would be found by neither, so the disk is then asked again.
    fn enter_for(
        &self,
        request_id: u128,
    ) -> Result<(Option<Record>, MutexGuard<'_, Core>), PartitionError> {
        let inner = &self.inner;
        let mut forgotten = inner.forgotten.load(Ordering::Relaxed);
        loop {
            let stored = self.stored_answer(request_id, forgotten)?;
            let core = inner.enter()?;
            if inner.journal.is_none() {
                lost_answer(&core.state, request_id)?;
                return Ok((stored, core));
            }
            if request_id == 0 || !core.state.forgot_since(request_id, forgotten) {
                return Ok((stored, core));
            }
            forgotten = core.state.forgotten_revision();
        }
    }

    /// The answer that the disk holds for a request id, up to the newest that memory has forgotten.
    fn stored_answer(
        &self,
        request_id: u128,
        forgotten: u64,
    ) -> Result<Option<Record>, PartitionError> {
        let Some(journal) = self.inner.journal.as_ref().filter(|_| request_id != 0) else {
            return Ok(None);
        };
        if forgotten == 0 {
            return Ok(None);
        }
        // Only what is durable is found on the disk. Memory holds more answers than may wait for it, unless they are
        // very large or it was set to hold few.
        if self.durable_revision() < forgotten {
            self.wait_durable(forgotten)?;
        }
        let id = request_bytes(request_id);
        let Some(revision) = journal.view.find_request(&id, forgotten)? else {
            return Ok(None);
        };
        let stored = journal.view.read_record(revision)?;
        let record = decode_payload(&stored.header.meta, &stored.payload)
            .map_err(|what| JournalError::damaged(&format!("record {revision}"), 0, what))?;
        Ok(Some(record).filter(Record::is_remembered))
    }

    /// The revision up to which everything is durable.
    #[must_use]
    pub fn durable_revision(&self) -> u64 {
        self.inner.durable.load(Ordering::SeqCst)
    }

    /// Blocks until `revision` is durable.
    ///
    /// # Errors
    /// `Stopped` when it will never be known to be.
    pub fn wait_durable(&self, revision: u64) -> Result<(), PartitionError> {
        self.inner.wait_durable(revision)
    }

    /// Writes and syncs what is pending, in this thread.
    ///
    /// # Errors
    /// `Journal` for the sync that failed, `Stopped` after it.
    pub fn flush(&self) -> Result<(), PartitionError> {
        self.inner.flush()
    }

    /// Ends a turn of an event loop that calls this partition: syncs what the turn's calls left,
    /// in this thread, before their answers are waited for. For [`SyncBy::Turn`]; a failure stops
    /// the partition and is told as any other.
    pub fn end_turn(&self) {
        self.inner.end_turn();
    }

    /// Takes the clock as right again after a jump; returns the engine's time.
    ///
    /// # Errors
    /// `Stopped`.
    pub fn confirm_clock(&self) -> Result<UtcMillis, PartitionError> {
        let mut core = self.inner.core()?;
        core.guard.confirm(self.inner.clock.as_ref());
        Ok(core.state.now())
    }

    /// The jump of the clock that waits to be confirmed, in milliseconds.
    #[must_use]
    pub fn clock_suspect(&self) -> Option<i64> {
        self.inner.core().ok().and_then(|core| core.guard.suspect())
    }

    /// Records and bytes that wait for a sync.
    #[must_use]
    pub fn pending(&self) -> (usize, usize) {
        self.inner
            .core()
            .map_or((0, 0), |core| (core.pending.len(), core.pending.bytes()))
    }

    /// Most records and bytes that may wait for a sync.
    #[must_use]
    pub fn pending_max(&self) -> (usize, usize) {
        let config = &self.inner.config;
        (config.pending_records_max, config.pending_bytes_max)
    }

    /// The journal, for those who read it; `None` in memory.
    #[must_use]
    pub fn journal(&self) -> Option<&LogView> {
        self.inner.journal.as_ref().map(|journal| &journal.view)
    }

    /// Where the journal lies; `None` in memory.
    #[must_use]
    pub fn storage(&self) -> Option<&Arc<dyn Storage>> {
        self.storage.as_ref()
    }

    /// Journals the time, syncs, seals and lets go of the directory. Later calls find it stopped.
    ///
    /// # Errors
    /// When the last sync fails.
    pub fn close(&self) -> Result<(), PartitionError> {
        if self.inner.closed.swap(true, Ordering::SeqCst) {
            return Ok(());
        }
        let result = self.last_words();
        self.inner.work.notify_all();
        self.inner.bell.ring();
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        for thread in threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the journal panicked");
            }
        }
        drop(threads);
        let flushed = result
            .and_then(|()| self.inner.flush())
            .and_then(|()| self.inner.seal());
        self.inner.retire();
        flushed
    }

    /// Lets nobody in any more, and keeps the time that reads have used.
    fn last_words(&self) -> Result<(), PartitionError> {
        let mut core = self.inner.core()?;
        let now = core.state.now();
        core.closing = true;
        if self.inner.journal.is_some() && now.get() > core.journaled_ms {
            core.journaled(&self.inner, |state, sink| state.tick(now, sink))?;
        }
        Ok(())
    }
}

impl std::fmt::Debug for Partition {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let durable = self.durable_revision();
        out.debug_struct("Partition")
            .field("durable_revision", &durable)
            .finish_non_exhaustive()
    }
}

impl Drop for Partition {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::error!(%error, "closing the partition failed");
        }
    }
}
