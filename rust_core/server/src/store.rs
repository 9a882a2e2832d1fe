//! The partition as the server uses it: one lock, and the revision that each answer must wait for.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bespeak_engine::{Answer, Command, Meta, PositionId, Record, State, limits};
use bespeak_journal::storage::{FsStorage, Storage};
use bespeak_journal::{
    Clock, Hooks, LogConfig, LogView, Partition, PartitionConfig, PartitionError, SyncBy,
    SystemClock,
};

use crate::config::{EngineSettings, JournalMode, JournalSettings};
use crate::demand::{Demand, Feed};
use crate::error::ApiError;
use crate::gate::Gate;
use crate::metrics::Observed;
use crate::watch::Watchers;

/// An outcome, and the journal position that must be durable before anyone is told of it.
#[derive(Debug)]
pub struct Seen<T> {
    /// The answer or the failure.
    pub result: Result<T, ApiError>,
    /// What it saw.
    pub revision: u64,
}

impl<T> Seen<T> {
    /// A failure that saw nothing.
    pub fn failed(error: ApiError) -> Self {
        Self {
            result: Err(error),
            revision: 0,
        }
    }

    /// Changes the answer.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Seen<U> {
        Seen {
            result: self.result.map(change),
            revision: self.revision,
        }
    }
}

impl<T> From<bespeak_journal::Seen<Result<T, ApiError>>> for Seen<T> {
    fn from(seen: bespeak_journal::Seen<Result<T, ApiError>>) -> Self {
        Self {
            result: seen.result,
            revision: seen.revision,
        }
    }
}

/// Where time comes from, where the journal lies, and who syncs it.
#[derive(Clone)]
pub struct Surroundings {
    /// The clocks.
    pub clock: Arc<dyn Clock>,
    /// Another place than the configured directory.
    pub storage: Option<Arc<dyn Storage>>,
    /// Whoever waits, unless there is an event loop that calls [`Store::end_turn`].
    pub sync_by: SyncBy,
}

impl Default for Surroundings {
    fn default() -> Self {
        Self {
            clock: Arc::new(SystemClock::default()),
            storage: None,
            sync_by: SyncBy::Waiter,
        }
    }
}

/// How far a replay is.
#[derive(Debug, Default)]
pub struct Progress {
    done: AtomicU64,
    total: AtomicU64,
}

impl Progress {
    /// Records still to be replayed, as far as known.
    pub fn left(&self) -> u64 {
        self.total
            .load(Ordering::Relaxed)
            .saturating_sub(self.done.load(Ordering::Relaxed))
    }
}

/// Passes the journal's news on.
struct News {
    demand: Arc<Feed>,
    gate: Arc<Gate>,
    progress: Arc<Progress>,
    watchers: Arc<Watchers>,
}

impl Hooks for News {
    fn touched(&self, positions: &[PositionId]) {
        self.watchers.note(positions);
    }

    fn durable(&self, revision: u64) {
        self.gate.reached(revision);
        self.demand.durable(revision);
    }

    fn kept(&self, record: &Record) {
        self.demand.kept(record);
    }

    fn unkept(&self, record: &Record) {
        self.demand.unkept(record);
    }

    fn failed(&self, cause: &str) {
        self.gate.fail(cause.to_owned());
    }

    fn replayed(&self, done: u64, total: u64) {
        self.progress.total.store(total, Ordering::Relaxed);
        self.progress.done.store(done, Ordering::Relaxed);
    }
}

/// The partition.
#[derive(Debug)]
pub struct Store {
    demand: Demand,
    partition: Arc<Partition>,
    gate: Arc<Gate>,
    watchers: Arc<Watchers>,
    mode: JournalMode,
    /// The journal's directory, with what lies beside it; `None` in memory or in another place.
    home: Option<PathBuf>,
}

impl Store {
    /// Opens the journal, which takes as long as its replay.
    ///
    /// # Errors
    /// A journal that cannot be read, or that another process has open.
    pub fn open(
        journal: &JournalSettings,
        engine: &EngineSettings,
        around: Surroundings,
        progress: &Arc<Progress>,
    ) -> Result<Self, ApiError> {
        let gate = Arc::new(Gate::default());
        let watchers = Arc::<Watchers>::default();
        let feed = Arc::<Feed>::default();
        let news = Arc::new(News {
            demand: Arc::clone(&feed),
            gate: Arc::clone(&gate),
            progress: Arc::clone(progress),
            watchers: Arc::clone(&watchers),
        });
        let config = PartitionConfig {
            sync_by: around.sync_by,
            ..partition_config(journal, engine)
        };
        // On another place than a directory the history is kept in memory, and read from the journal at each start.
        let home = match (&around.storage, journal.mode()) {
            (None, JournalMode::Group) => journal.path.clone(),
            _ => None,
        };
        let storage = match (journal.mode(), around.storage, &journal.path) {
            (JournalMode::Memory, _, _) => None,
            (JournalMode::Group, Some(storage), _) => Some(storage),
            (JournalMode::Group, None, Some(path)) => Some(directory(path)?),
            (JournalMode::Group, None, None) => {
                let hint = "set it to a directory, or the mode to memory";
                return Err(ApiError::NotConfigured {
                    what: "journal.path",
                    hint,
                });
            }
        };
        let partition = match storage {
            None => Partition::in_memory(config, around.clock, news),
            Some(storage) => {
                let (partition, report) = Partition::open(storage, config, around.clock, news)?;
                tracing::info!(
                    revision = partition.durable_revision(),
                    replayed = report.replayed.records,
                    "the journal is open"
                );
                partition
            }
        };
        let partition = Arc::new(partition);
        let demand = Demand::start(feed, &partition, home.clone())
            .map_err(|error| ApiError::Internal(format!("no thread for demand: {error}")))?;
        Ok(Self {
            demand,
            partition,
            gate,
            watchers,
            mode: journal.mode(),
            home,
        })
    }

    /// The partition itself.
    pub fn partition(&self) -> &Partition {
        &self.partition
    }

    /// The journal's directory; `None` in memory.
    pub fn home(&self) -> Option<&Path> {
        self.home.as_deref()
    }

    /// What was sold, and what to expect.
    pub fn demand(&self) -> &Demand {
        &self.demand
    }

    /// When an answer counts as given.
    pub fn mode(&self) -> JournalMode {
        self.mode
    }

    /// Where answers wait for durability.
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Who watches what can be promised.
    pub fn watchers(&self) -> &Arc<Watchers> {
        &self.watchers
    }

    /// Reads, with every due transition applied.
    #[inline]
    pub fn read<T>(&self, read: impl FnOnce(&State) -> Result<T, ApiError>) -> Seen<T> {
        self.partition.read(read).into()
    }

    /// Makes a command under the lock, executes it, and makes the answer before the lock is gone.
    #[inline]
    pub fn write<T>(
        &self,
        meta: Result<Meta, ApiError>,
        command: impl FnOnce(&State) -> Result<Command, ApiError>,
        answer: impl FnOnce(&State, Answer) -> Result<T, ApiError>,
    ) -> Seen<T> {
        let meta = match meta {
            Ok(meta) => meta,
            Err(error) => return Seen::failed(error),
        };
        self.partition.write(meta, command, answer).into()
    }

    /// Ends a turn of the event loop: what its calls left is synced.
    pub fn end_turn(&self) {
        self.partition.end_turn();
    }

    /// Applies what time has brought, so that it is journaled and told even when nobody asks.
    pub fn sweep(&self) {
        if let Err(error) = self.read(|_| Ok(())).result {
            tracing::debug!(%error, "nothing is swept");
        }
    }

    /// Numbers for the metrics page.
    pub fn observe(&self) -> Observed {
        let log = self.partition.journal();
        let mut counters = Vec::new();
        if let Some(stats) = log.map(LogView::stats) {
            let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
            counters.extend([
                ("journal_records", "Records written", load(&stats.records)),
                ("journal_bytes", "Bytes written", load(&stats.bytes)),
                ("journal_seals", "Seals written", load(&stats.seals)),
                ("journal_rolls", "Segments begun", load(&stats.rolls)),
                (
                    "journal_writes_refused",
                    "Writes refused, since too much waited for a sync",
                    load(&stats.refused),
                ),
            ]);
        }
        let (records, bytes) = self.partition.pending();
        let mut gauges = vec![
            (
                "journal_pending_records",
                "Records that wait for a sync",
                signed(records as u64),
            ),
            (
                "journal_pending_bytes",
                "Bytes that wait for a sync",
                signed(bytes as u64),
            ),
            (
                "clock_suspect",
                "1 while a jump of the clock waits to be confirmed",
                { i64::from(self.partition.clock_suspect().is_some()) },
            ),
            ("durable_revision", "Journal position that is durable", {
                signed(self.partition.durable_revision())
            }),
        ];
        if let Some(log) = log {
            gauges.push((
                "request_index_bytes",
                "Memory of the index of request ids",
                signed(log.index_memory_bytes() as u64),
            ));
        }
        if let Some((free, size)) = self.home().and_then(space) {
            gauges.extend([
                (
                    "journal_disk_free_bytes",
                    "Free bytes of the file system that the journal lies on",
                    signed(free),
                ),
                (
                    "journal_disk_size_bytes",
                    "Bytes of the file system that the journal lies on",
                    signed(size),
                ),
            ]);
        }
        if let Ok((stats, revision)) = self
            .partition
            .peek(|state| (state.stats(), state.revision()))
        {
            counters.push((
                "supply_shocks",
                "Supply shocks raised, since the journal began",
                stats.raised_shocks,
            ));
            gauges.extend([
                (
                    "revision",
                    "Journal position of the state",
                    signed(revision),
                ),
                ("items", "Items", signed(stats.items as u64)),
                ("locations", "Locations", signed(stats.locations as u64)),
                ("positions", "Positions", signed(stats.positions as u64)),
                ("receipts", "Open receipts", signed(stats.receipts as u64)),
                ("holds", "Holds that are not confirmed", signed(stats.held)),
                (
                    "confirmed_reservations",
                    "Confirmed reservations still open",
                    signed(stats.confirmed),
                ),
                (
                    "open_shocks",
                    "Supply shocks still open",
                    signed(stats.open_shocks as u64),
                ),
                (
                    "remembered_requests",
                    "Answers remembered",
                    signed(stats.remembered_requests as u64),
                ),
                (
                    "movement_bytes",
                    "Memory of recent movements, which a late count needs",
                    signed(stats.movement_bytes as u64),
                ),
            ]);
        }
        Observed {
            serving: true,
            replay_lag: 0,
            limits: self.limits(),
            gauges,
            counters,
            sync_us: log.map(|log| log.stats().sync_us.snapshot()),
            batch_records: log.map(|log| log.stats().batch_records.snapshot()),
        }
    }

    /// Most of what the partition keeps.
    fn limits(&self) -> Vec<(&'static str, u64)> {
        let mut limits = vec![
            ("items", limits::MAX_ITEMS as u64),
            ("locations", limits::MAX_LOCATIONS as u64),
            ("positions", limits::MAX_POSITIONS as u64),
            ("receipts", limits::MAX_RECEIPTS as u64),
            ("reservations", limits::MAX_RESERVATIONS as u64),
        ];
        if self.partition.journal().is_some() {
            let (records, bytes) = self.partition.pending_max();
            limits.extend([
                ("journal_pending_records", records as u64),
                ("journal_pending_bytes", bytes as u64),
            ]);
        }
        limits
    }

    /// Makes everything durable and lets go of the journal.
    ///
    /// # Errors
    /// When the last sync fails.
    pub fn close(&self) -> Result<(), ApiError> {
        // Before the directory is let go.
        if self.partition.flush().is_ok() {
            self.demand.stop();
        }
        Ok(self.partition.close()?)
    }
}

/// Bytes that are free for this process on the file system of a directory, and all that it has.
fn space(dir: &Path) -> Option<(u64, u64)> {
    let found = rustix::fs::statvfs(dir).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    Some((bytes(found.f_bavail), bytes(found.f_blocks)))
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn directory(path: &Path) -> Result<Arc<dyn Storage>, ApiError> {
    let storage = FsStorage::new(path).map_err(|error| {
        ApiError::JournalFailed(format!("cannot use {}: {error}", path.display()))
    })?;
    Ok(Arc::new(storage))
}

fn partition_config(journal: &JournalSettings, engine: &EngineSettings) -> PartitionConfig {
    let standard = PartitionConfig::default();
    let or = |value: u64, default: u64| if value > 0 { value } else { default };
    PartitionConfig {
        settings: engine.settings(),
        log: LogConfig {
            segment_bytes: or(journal.segment_bytes, standard.log.segment_bytes),
            ..standard.log
        },
        clock_jump_ms: i64::try_from(or(
            journal.clock_jump_ms,
            standard.clock_jump_ms.unsigned_abs(),
        ))
        .unwrap_or(i64::MAX),
        downtime_ms: i64::try_from(or(journal.downtime_ms, standard.downtime_ms.unsigned_abs()))
            .unwrap_or(i64::MAX),
        retention_ms: or(journal.retention_ms, standard.retention_ms),
        snapshot_every_bytes: or(journal.snapshot_every_bytes, standard.snapshot_every_bytes),
        ..standard
    }
}

impl From<PartitionError> for ApiError {
    fn from(error: PartitionError) -> Self {
        match error {
            PartitionError::Engine(error) => Self::Engine(error),
            PartitionError::Overloaded {
                what,
                limit,
                retry_ms,
                ..
            } => Self::Overloaded {
                what: if what == "bytes" {
                    "bytes waiting for the disk"
                } else {
                    "records waiting for the disk"
                },
                limit: limit as u64,
                retry_ms,
            },
            PartitionError::ClockSuspect { jump_ms } => Self::ClockSuspect { jump_ms },
            PartitionError::Stopped { cause } => Self::JournalFailed(cause),
            PartitionError::OutOfRetention {
                asked,
                oldest,
                newest,
            } => Self::OutOfRetention {
                asked,
                oldest,
                newest,
            },
            PartitionError::InMemory(what) => Self::NotConfigured {
                what,
                hint: "set journal.mode to group and journal.path to a directory",
            },
            PartitionError::Journal(error) => Self::JournalFailed(error.to_string()),
            PartitionError::Snapshot { .. } | PartitionError::Replay(_) => {
                Self::JournalFailed(error.to_string())
            }
        }
    }
}
