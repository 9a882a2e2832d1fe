//! What the partition's one lock guards, and how syncs are published.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

use bespeak_engine::{PositionId, Record, State};

use crate::batch::Batch;
use crate::log::Log;
use crate::snapshot::SnapshotInfo;
use crate::view::LogView;

use super::clock::{Clock, ClockGuard};
use super::codec::push_record;
use super::config::{PartitionConfig, SyncBy, TURN_BYTES, TURN_CALLS};
use super::error::PartitionError;
use super::maintain::Bell;

/// Told of what happens to a partition. Called from the thread that syncs: be quick, and do not
/// call back.
pub trait Hooks: Send + Sync {
    /// Everything up to `revision` is durable.
    fn durable(&self, _revision: u64) {}
    /// Nothing more will become durable. The process should stop: only a restart can tell what is
    /// on the disk.
    fn failed(&self, _cause: &str) {}
    /// So many of the journal's records have been replayed while opening.
    fn replayed(&self, _done: u64, _total: u64) {}
    /// A step changed these positions, whatever became of the call that it belongs to. Called under the partition's
    /// lock, before the change is durable.
    fn touched(&self, _positions: &[PositionId]) {}
    /// A record was made that will be durable with its batch. Called under the partition's lock, in order.
    fn kept(&self, _record: &Record) {}
    /// A record was made that no journal keeps: whoever wants it later takes it here. Called under the partition's lock
    /// of a partition in memory.
    fn unkept(&self, _record: &Record) {}
    /// A snapshot was made. Called from the thread that made it.
    fn snapshot(&self, _info: &SnapshotInfo) {}
}

/// No hooks.
impl Hooks for () {}

/// Why a closed partition does nothing.
pub(super) const CLOSED: &str = "it was closed";

/// Under the lock.
pub(super) struct Core {
    pub state: State,
    pub pending: Batch,
    pub guard: ClockGuard,
    /// Engine time of the last record.
    pub journaled_ms: i64,
    pub stopped: Option<String>,
    pub closing: bool,
    /// The sync thread sleeps.
    pub idle: bool,
    /// Calls since the oldest record that waits for a sync.
    turn_calls: u32,
    /// The sync thread was told to step in.
    pub urgent: bool,
}

/// With the log, taken by whoever syncs. Never taken while the core is held.
pub(super) struct Writer {
    pub log: Log,
    spare: Batch,
}

pub(super) struct Journal {
    pub writer: Mutex<Option<Writer>>,
    pub view: LogView,
}

pub(super) struct Inner {
    pub config: PartitionConfig,
    pub clock: Arc<dyn Clock>,
    pub hooks: Arc<dyn Hooks>,
    pub core: Mutex<Core>,
    /// Wakes the sync thread.
    pub work: Condvar,
    pub journal: Option<Journal>,
    pub durable: AtomicU64,
    /// Mirror of the state's, so that most writes need not ask the disk.
    pub forgotten: AtomicU64,
    pub failed: OnceLock<String>,
    waiters: AtomicUsize,
    gate: Mutex<()>,
    opened: Condvar,
    pub closed: AtomicBool,
    /// The log has been let go.
    retired: AtomicBool,
    pub bell: Bell,
    second_state: Mutex<()>,
    /// How many wait for it.
    waiting: AtomicUsize,
}

impl Inner {
    pub(super) fn new(
        config: PartitionConfig,
        clock: Arc<dyn Clock>,
        hooks: Arc<dyn Hooks>,
        state: State,
        log: Option<Log>,
    ) -> Self {
        let last_ms = state.now().get();
        let guard = ClockGuard::new(clock.as_ref(), &config, last_ms);
        let journal = log.map(|log| Journal {
            view: log.view(),
            writer: Mutex::new(Some(Writer {
                log,
                spare: Batch::new(),
            })),
        });
        Self {
            durable: AtomicU64::new(state.revision()),
            forgotten: AtomicU64::new(state.forgotten_revision()),
            core: Mutex::new(Core {
                state,
                pending: Batch::new(),
                guard,
                journaled_ms: last_ms,
                stopped: None,
                closing: false,
                idle: false,
                turn_calls: 0,
                urgent: false,
            }),
            config,
            clock,
            hooks,
            work: Condvar::new(),
            journal,
            failed: OnceLock::new(),
            waiters: AtomicUsize::new(0),
            gate: Mutex::new(()),
            opened: Condvar::new(),
            closed: AtomicBool::new(false),
            retired: AtomicBool::new(false),
            bell: Bell::default(),
            second_state: Mutex::new(()),
            waiting: AtomicUsize::new(0),
        }
    }

    /// Takes the lock. A panic of the engine under it is a bug that may have left a step half
    /// done, so nothing goes on after one.
    pub(super) fn core(&self) -> Result<MutexGuard<'_, Core>, PartitionError> {
        match self.core.lock() {
            Ok(core) => match &core.stopped {
                None => Ok(core),
                Some(cause) => Err(PartitionError::Stopped {
                    cause: cause.clone(),
                }),
            },
            Err(poisoned) => {
                drop(poisoned);
                let cause = "a step of the engine panicked".to_owned();
                self.announce_failure(&cause);
                Err(PartitionError::Stopped { cause })
            }
        }
    }

    /// As [`Inner::core`], for calls from outside: refused once the partition closes.
    pub(super) fn enter(&self) -> Result<MutexGuard<'_, Core>, PartitionError> {
        let core = self.core()?;
        if core.closing {
            return Err(PartitionError::Stopped {
                cause: CLOSED.to_owned(),
            });
        }
        Ok(core)
    }

    /// Taken by whoever builds a second state, so that there is one more at most, and no snapshot
    /// is removed under a reader.
    pub(super) fn second_state(&self) -> MutexGuard<'_, ()> {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let taken = self.second_state.lock();
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        taken.unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether somebody waits until a second state that is being built is done.
    pub(super) fn is_waited_for(&self) -> bool {
        self.closed.load(Ordering::SeqCst) || self.waiting.load(Ordering::SeqCst) > 0
    }

    /// Stops everything after a failure.
    pub(super) fn stop(&self, cause: &str) {
        let mut core = self.core.lock().unwrap_or_else(PoisonError::into_inner);
        if core.stopped.is_none() {
            core.stopped = Some(cause.to_owned());
        }
        drop(core);
        self.announce_failure(cause);
    }

    fn announce_failure(&self, cause: &str) {
        if self.failed.set(cause.to_owned()).is_ok() {
            tracing::error!(cause, "the partition stops");
            self.hooks.failed(cause);
        }
        let _gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        self.opened.notify_all();
        self.work.notify_all();
    }

    /// Writes and syncs what is pending. Returns at once when nothing is.
    pub(super) fn flush(&self) -> Result<(), PartitionError> {
        let Some(journal) = &self.journal else {
            return Ok(());
        };
        let mut slot = journal
            .writer
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let Some(writer) = slot.as_mut() else {
            return Ok(());
        };
        let core = self.core()?;
        self.flush_into(journal, writer, core)
    }

    /// Syncs what a turn of an event loop left behind, unless that is much or somebody else is at
    /// the log: then the thread takes over.
    pub(super) fn end_turn(&self) {
        let Some(journal) = &self.journal else { return };
        loop {
            let Ok(mut slot) = journal.writer.try_lock() else {
                // Whoever is at it may be sealing, or about to go: nobody else would look again.
                return self.hand_over();
            };
            let Some(writer) = slot.as_mut() else { return };
            let Ok(core) = self.core() else { return };
            if core.pending.bytes() > TURN_BYTES {
                drop(core);
                drop(slot);
                return self.hand_over();
            }
            if core.pending.is_empty() {
                return;
            }
            if self.flush_into(journal, writer, core).is_err() {
                return;
            }
        }
    }

    /// Has the thread sync what is pending.
    fn hand_over(&self) {
        let Ok(mut core) = self.core() else { return };
        if core.pending.is_empty() {
            return;
        }
        core.urgent = true;
        drop(core);
        self.work.notify_one();
    }

    fn flush_into(
        &self,
        journal: &Journal,
        writer: &mut Writer,
        mut core: MutexGuard<'_, Core>,
    ) -> Result<(), PartitionError> {
        if core.pending.is_empty() {
            return Ok(());
        }
        std::mem::swap(&mut core.pending, &mut writer.spare);
        core.turn_calls = 0;
        core.urgent = false;
        drop(core);
        let rolls = journal.view.stats().rolls.load(Ordering::Relaxed);
        let result = writer.log.append(&mut writer.spare);
        if journal.view.stats().rolls.load(Ordering::Relaxed) != rolls {
            self.bell.ring();
        }
        let revision = writer.spare.last_revision();
        writer.spare.clear();
        match result {
            Ok(()) => {
                self.publish(revision);
                Ok(())
            }
            Err(error) => {
                self.stop(&error.to_string());
                Err(error.into())
            }
        }
    }

    /// Seals the journal when nothing is pending.
    pub(super) fn seal(&self) -> Result<(), PartitionError> {
        let Some(journal) = &self.journal else {
            return Ok(());
        };
        let mut slot = journal
            .writer
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let Some(writer) = slot.as_mut() else {
            return Ok(());
        };
        writer.log.seal().map_err(|error| {
            self.stop(&error.to_string());
            error.into()
        })
    }

    fn publish(&self, revision: u64) {
        self.durable.store(revision, Ordering::SeqCst);
        self.hooks.durable(revision);
        // A waiter counts itself before it looks at `durable`, so one of the two sees the other.
        if self.waiters.load(Ordering::SeqCst) > 0 {
            let _gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
            self.opened.notify_all();
        }
    }

    /// Lets go of the log; nothing is done any more.
    pub(super) fn retire(&self) {
        if let Some(journal) = &self.journal {
            journal
                .writer
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take();
        }
        let mut core = self.core.lock().unwrap_or_else(PoisonError::into_inner);
        if core.stopped.is_none() {
            core.stopped = Some(CLOSED.to_owned());
        }
        drop(core);
        self.retired.store(true, Ordering::SeqCst);
        let _gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        self.opened.notify_all();
    }

    /// Blocks until `revision` is durable.
    pub(super) fn wait_durable(&self, revision: u64) -> Result<(), PartitionError> {
        // One flush is enough: it takes all that is pending, or waits for whoever took it before.
        if self.config.sync_by != SyncBy::Thread && self.durable.load(Ordering::SeqCst) < revision {
            self.flush()?;
        }
        if self.durable.load(Ordering::SeqCst) >= revision {
            return Ok(());
        }
        self.waiters.fetch_add(1, Ordering::SeqCst);
        let mut gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        let result = loop {
            if self.durable.load(Ordering::SeqCst) >= revision {
                break Ok(());
            }
            if let Some(cause) = self.failed.get() {
                break Err(PartitionError::Stopped {
                    cause: cause.clone(),
                });
            }
            if self.retired.load(Ordering::SeqCst) {
                break Err(PartitionError::Stopped {
                    cause: CLOSED.to_owned(),
                });
            }
            gate = self
                .opened
                .wait(gate)
                .unwrap_or_else(PoisonError::into_inner);
        };
        self.waiters.fetch_sub(1, Ordering::SeqCst);
        result
    }
}

impl Core {
    /// Whether the sync thread is to be woken after a call.
    pub(super) fn wakes_thread(&mut self, sync_by: SyncBy) -> bool {
        if self.pending.is_empty() {
            return false;
        }
        if sync_by != SyncBy::Turn {
            return self.idle;
        }
        self.turn_calls += 1;
        let much = self.turn_calls >= TURN_CALLS || self.pending.bytes() > TURN_BYTES;
        if much && !self.urgent {
            self.urgent = true;
            return true;
        }
        self.idle
    }

    /// Runs `step` with a sink that puts records into the pending batch.
    pub(super) fn journaled<T>(
        &mut self,
        inner: &Inner,
        step: impl FnOnce(&mut State, &mut dyn FnMut(&Record)) -> T,
    ) -> Result<T, PartitionError> {
        let Self {
            state,
            pending,
            journaled_ms,
            ..
        } = self;
        if inner.journal.is_none() {
            let result = step(state, &mut |record| {
                *journaled_ms = record.time.get();
                inner.hooks.unkept(record);
            });
            inner.durable.store(state.revision(), Ordering::SeqCst);
            inner.hooks.touched(state.touched());
            return Ok(result);
        }
        let mut failure = None;
        let limit = inner.config.log.max_record_bytes;
        let result = step(state, &mut |record| {
            *journaled_ms = record.time.get();
            if failure.is_none() {
                match push_record(pending, record, limit) {
                    Ok(()) => inner.hooks.kept(record),
                    Err(error) => failure = Some(error),
                }
            }
        });
        inner.hooks.touched(state.touched());
        match failure {
            None => Ok(result),
            Some(error) => {
                // The state has the record and the journal cannot have it: nothing after it may
                // be answered.
                let cause = error.to_string();
                self.stopped = Some(cause.clone());
                inner.announce_failure(&cause);
                Err(PartitionError::Stopped { cause })
            }
        }
    }

    /// Refuses when too much waits for the disk.
    pub(super) fn check_room(&self, config: &PartitionConfig) -> Result<(), PartitionError> {
        let full = |what, pending, limit| {
            Err(PartitionError::Overloaded {
                what,
                pending,
                limit,
                retry_ms: 5,
            })
        };
        if self.pending.len() >= config.pending_records_max {
            return full("records", self.pending.len(), config.pending_records_max);
        }
        if self.pending.bytes() >= config.pending_bytes_max {
            return full("bytes", self.pending.bytes(), config.pending_bytes_max);
        }
        Ok(())
    }
}
