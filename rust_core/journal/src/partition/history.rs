//! What a partition tells about its past: snapshots, earlier states, the proof that it adds up.

use bespeak_engine::State;

use crate::error::IoContext;
use crate::snapshot::SnapshotInfo;
use crate::storage::Storage;

use super::as_of::{Moment, oldest_shown, oldest_state, state_at};
use super::core::Journal;
use super::error::PartitionError;
use super::reconcile::{LiveSlice, ReconcileReport, reconcile};
use super::{Partition, maintain};

/// Builds a second state on a thread that stands back behind promises.
fn aside<T: Send>(
    work: impl FnOnce() -> Result<T, PartitionError> + Send,
) -> Result<T, PartitionError> {
    let name = "journal-aside";
    match bespeak_aside::aside(name, work).doing("start the thread", name)? {
        Ok(done) => done,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

impl Partition {
    fn history(&self, what: &'static str) -> Result<(&Journal, &dyn Storage), PartitionError> {
        match (&self.inner.journal, &self.storage) {
            (Some(journal), Some(storage)) => Ok((journal, storage.as_ref())),
            _ => Err(PartitionError::InMemory(what)),
        }
    }

    /// Makes a snapshot of what is durable now and removes what is older than the retention. Takes
    /// as long as a replay since the last snapshot; promises go on meanwhile.
    ///
    /// # Errors
    /// `InMemory`, `Stopped` when the partition closes meanwhile, errors of reading and writing.
    pub fn snapshot(&self) -> Result<SnapshotInfo, PartitionError> {
        let (journal, storage) = self.history("a snapshot")?;
        let taken = aside(|| maintain::take_snapshot(&self.inner, journal, storage))?;
        taken.ok_or_else(|| PartitionError::Stopped {
            cause: super::core::CLOSED.to_owned(),
        })
    }

    /// The state at an earlier position or time, built off the promise path, one at a time. Takes
    /// as long as loading a snapshot and replaying up to it.
    ///
    /// # Errors
    /// `OutOfRetention` beyond what is kept, or not yet durable; `InMemory`; errors of reading.
    pub fn as_of(&self, moment: Moment) -> Result<State, PartitionError> {
        let (journal, storage) = self.history("a look into the past")?;
        // With time moved on up to now, all that it brings is in the journal.
        let now = self.read(|state| Ok::<_, PartitionError>(state.now()));
        let latest = match now.result {
            Ok(latest) => latest,
            Err(PartitionError::ClockSuspect { .. }) => self.peek(State::now)?,
            Err(error) => return Err(error),
        };
        if matches!(moment, Moment::Time(_)) {
            self.wait_durable(now.revision)?;
        }
        let _one_at_a_time = self.inner.second_state();
        let settings = &self.inner.config.settings;
        aside(|| state_at(storage, &journal.view, settings, moment, latest))
    }

    /// The oldest revision that [`Partition::as_of`] can show, until the next snapshot; `None` in memory.
    #[must_use]
    pub fn oldest_revision(&self) -> Option<u64> {
        let (journal, storage) = self.history("").ok()?;
        Some(oldest_shown(storage, &journal.view))
    }

    /// The state at [`Partition::oldest_revision`]. The two are looked up together: the retention may remove one that
    /// was looked up before.
    ///
    /// # Errors
    /// `InMemory`; errors of reading.
    pub fn oldest_state(&self) -> Result<State, PartitionError> {
        let (journal, storage) = self.history("a look into the past")?;
        let _one_at_a_time = self.inner.second_state();
        let settings = &self.inner.config.settings;
        aside(|| oldest_state(storage, &journal.view, settings))
    }

    /// Counts stock and promises a second time over the retained journal and compares with the
    /// state. Only copies of the stock hold the lock, a slice at a time.
    ///
    /// # Errors
    /// `InMemory`, errors of reading.
    pub fn reconcile(&self) -> Result<ReconcileReport, PartitionError> {
        let (journal, storage) = self.history("reconciling")?;
        let live = self.live_slices()?;
        self.wait_durable(live.last().map_or(0, LiveSlice::revision))?;
        let _one_at_a_time = self.inner.second_state();
        let settings = &self.inner.config.settings;
        aside(|| reconcile(storage, &journal.view, settings, &live))
    }

    fn live_slices(&self) -> Result<Vec<LiveSlice>, PartitionError> {
        let mut live = Vec::new();
        let mut next = Some(0);
        while let Some(first) = next {
            let slice = self.peek(|state| LiveSlice::of(state, first))?;
            next = slice.next();
            live.push(slice);
        }
        Ok(live)
    }
}
