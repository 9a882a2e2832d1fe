//! Demand follows the journal: behind what is durable, in a thread of its own, never under the partition's lock.
//!
//! The thread is woken when enough records have become durable. Whoever asks brings the history up to date first, so
//! an answer has all that was durable when it was asked for. Facts of new records are queued under the partition's
//! lock; only what the queue had no room for, and what was made by another process, is read from the journal. A
//! partition in memory has the queue alone.

mod follow;
mod queue;

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bespeak_demand::{DayAhead, Demanded, Filter, History, HistoryError, Outlooks, Rows};
use bespeak_engine::Record;
use bespeak_journal::Partition;

use crate::error::ApiError;
use arrow_array::RecordBatch;
use queue::Queue;

/// Records that may wait before the thread is woken for them.
const WAKE_RECORDS: u64 = 1_024;
/// How long a question waits for a history that is being read from the journal.
const PATIENCE: Duration = Duration::from_secs(30);
/// Where the history lies in the journal's directory.
pub(crate) const DIRECTORY: &str = "demand";

/// What the partition tells, and the history made of it.
pub(crate) struct Feed {
    /// `None` until it has been opened. Whoever holds it takes no other lock but the queue's and,
    /// to look at them, the forecasts'.
    kept: Mutex<Option<Kept>>,
    opened: Condvar,
    queue: Mutex<Queue>,
    /// What is durable, and what has been counted of it.
    durable: AtomicU64,
    counted: AtomicU64,
    bell: Mutex<bool>,
    rung: Condvar,
    closed: AtomicBool,
    /// The history is to be made anew.
    torn: AtomicBool,
    failed: Mutex<Option<String>>,
}

/// The history, with what is worked out of it once a day.
struct Kept {
    history: History,
    outlooks: Outlooks,
    /// Taken from the queue, and not yet durable or counted.
    taken: Queue,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Default for Feed {
    fn default() -> Self {
        Self {
            kept: Mutex::new(None),
            opened: Condvar::new(),
            queue: Mutex::default(),
            durable: AtomicU64::new(0),
            counted: AtomicU64::new(0),
            bell: Mutex::new(false),
            rung: Condvar::new(),
            closed: AtomicBool::new(false),
            torn: AtomicBool::new(false),
            failed: Mutex::new(None),
        }
    }
}

impl Feed {
    /// A record that no journal keeps.
    pub fn unkept(&self, record: &Record) {
        let mut queue = locked(&self.queue);
        queue.push(record);
        let full = queue.is_full();
        drop(queue);
        // There is no journal to read it from.
        if full {
            self.count_queue();
        }
        self.durable(record.revision);
    }

    /// A record that will be durable.
    pub fn kept(&self, record: &Record) {
        let mut queue = locked(&self.queue);
        if !queue.is_full() {
            queue.push(record);
        }
    }

    /// Everything up to `revision` is durable.
    pub fn durable(&self, revision: u64) {
        self.durable.store(revision, Ordering::Relaxed);
        if revision >= self.counted.load(Ordering::Relaxed) + WAKE_RECORDS {
            // Rung once for all that comes until the thread has looked.
            self.counted.store(revision, Ordering::Relaxed);
            self.ring();
        }
    }

    fn ring(&self) {
        *locked(&self.bell) = true;
        self.rung.notify_one();
    }

    fn count_queue(&self) {
        let mut kept = locked(&self.kept);
        let Some(kept) = kept.as_mut() else { return };
        let queue = std::mem::take(&mut *locked(&self.queue));
        queue.count_all(&mut kept.history);
        // In memory it does no more than bring late facts to the days that they belong to.
        if kept.history.checkpoint_due()
            && let Err(error) = kept.history.checkpoint()
        {
            tracing::warn!(%error, "late demand is not brought to its day");
        }
    }
}

/// Demand of one partition.
pub struct Demand {
    feed: Arc<Feed>,
    partition: Arc<Partition>,
    ahead: OnceLock<Arc<dyn DayAhead>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Demand {
    /// Starts to follow. `directory` is the journal's; `None` keeps the history in memory.
    pub(crate) fn start(
        feed: Arc<Feed>,
        partition: &Arc<Partition>,
        directory: Option<PathBuf>,
    ) -> std::io::Result<Self> {
        let directory = directory.map(|directory| directory.join(DIRECTORY));
        let thread = std::thread::Builder::new()
            .name("demand".to_owned())
            .spawn({
                let (feed, partition) = (Arc::clone(&feed), Arc::clone(partition));
                move || follow::run(&feed, &partition, directory.as_deref())
            })?;
        Ok(Self {
            feed,
            partition: Arc::clone(partition),
            ahead: OnceLock::new(),
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Lets the nowcast use forecasts made ahead of the day. The first ones stay.
    pub(crate) fn look_ahead(&self, ahead: Arc<dyn DayAhead>) {
        // Whoever came first has set it.
        let _ = self.ahead.set(ahead);
    }

    /// The history with all that is durable up to `revision`.
    fn up_to(&self, revision: u64) -> Result<MutexGuard<'_, Option<Kept>>, ApiError> {
        let until = Instant::now() + PATIENCE;
        let mut kept = locked(&self.feed.kept);
        loop {
            if let Some(cause) = locked(&self.feed.failed).as_ref() {
                return Err(ApiError::JournalFailed(format!("demand history: {cause}")));
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ApiError::Overloaded {
                    what: "records that demand history has yet to read",
                    limit: 0,
                    retry_ms: 1_000,
                });
            }
            if kept.is_none() || self.feed.torn.load(Ordering::Acquire) {
                let waited = self.feed.opened.wait_timeout(kept, left);
                kept = waited.unwrap_or_else(PoisonError::into_inner).0;
                continue;
            }
            drop(kept);
            if self.partition.journal().is_none() {
                self.feed.count_queue();
                return Ok(locked(&self.feed.kept));
            }
            follow::catch_up(&self.feed, &self.partition);
            kept = locked(&self.feed.kept);
            let read = kept.as_ref().map_or(0, |kept| kept.history.revision());
            if read >= revision {
                return Ok(kept);
            }
        }
    }

    /// Begins a reading of the history.
    ///
    /// # Errors
    /// `Overloaded` while the journal is still being read for it; `JournalFailed`.
    pub fn rows(&self, revision: u64, filter: &Filter, now_ms: i64) -> Result<Rows, ApiError> {
        let kept = self.up_to(revision)?;
        let empty = History::in_memory();
        let history = kept.as_ref().map_or(&empty, |kept| &kept.history);
        Ok(Rows::new(history, filter, now_ms))
    }

    /// The next rows of a reading; `None` after the last ones.
    ///
    /// # Errors
    /// As [`Demand::rows`].
    pub fn next(&self, rows: &mut Rows) -> Result<Option<RecordBatch>, ApiError> {
        let kept = self.up_to(0)?;
        let Some(kept) = kept.as_ref() else {
            return Ok(None);
        };
        rows.next(&kept.history).map_err(|error| self.failed(error))
    }

    /// The nowcast of the positions that a filter wants.
    ///
    /// # Errors
    /// `InvalidArgument` for the levels, and as [`Demand::rows`].
    pub fn nowcast(
        &self,
        revision: u64,
        now_ms: i64,
        levels: &[f64],
        filter: &Filter,
    ) -> Result<RecordBatch, ApiError> {
        let mut kept = self.up_to(revision)?;
        let Some(Kept {
            history, outlooks, ..
        }) = kept.as_mut()
        else {
            return Err(ApiError::Draining);
        };
        let ahead = self.ahead.get().map_or(&() as &dyn DayAhead, Arc::as_ref);
        history
            .nowcast(outlooks, ahead, now_ms, levels, filter)
            .map_err(|error| self.failed(error))
    }

    /// The demand of days of positions that were in stock, a day under one lock.
    ///
    /// # Errors
    /// As [`Demand::rows`].
    pub fn demanded(
        &self,
        revision: u64,
        days: RangeInclusive<i32>,
        now_ms: i64,
    ) -> Result<Demanded, ApiError> {
        let mut demanded = Demanded::default();
        for day in days {
            let kept = self.up_to(revision)?;
            let Some(kept) = kept.as_ref() else {
                return Err(ApiError::Draining);
            };
            demanded
                .add(&kept.history, day, now_ms)
                .map_err(|error| self.failed(error))?;
        }
        Ok(demanded)
    }

    fn failed(&self, error: HistoryError) -> ApiError {
        match error {
            HistoryError::Question(what) => ApiError::invalid("quantiles", what, "correct them"),
            HistoryError::Damaged { .. } => {
                tracing::warn!(%error, "demand history is made anew");
                self.feed.torn.store(true, Ordering::Release);
                self.feed.ring();
                ApiError::Overloaded {
                    what: "damaged days of demand history, which is being made anew,",
                    limit: 0,
                    retry_ms: 1_000,
                }
            }
            other => ApiError::JournalFailed(other.to_string()),
        }
    }

    /// Counts what is durable, writes where the history stands, and ends the thread. Later calls do nothing.
    pub fn stop(&self) {
        self.feed.closed.store(true, Ordering::Release);
        self.feed.ring();
        let thread = locked(&self.thread).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the thread of demand history panicked");
        }
    }
}

impl Drop for Demand {
    fn drop(&mut self) {
        self.stop();
    }
}

impl std::fmt::Debug for Demand {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Demand").finish_non_exhaustive()
    }
}
