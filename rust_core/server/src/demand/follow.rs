//! The thread that follows the journal.

use std::path::Path;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use bespeak_demand::{Fact, History, HistoryError, Outlooks};
use bespeak_journal::{JournalError, LogView, Moment, Partition, decode_record};

use super::{Feed, Kept, locked};

/// Records read before others get the history.
const SLICE: u64 = 4_096;
/// Lower than whatever promises.
const NICENESS: i32 = 10;

/// Opens the history and follows until told to end.
pub(super) fn run(feed: &Feed, partition: &Partition, directory: Option<&Path>) {
    let own = Some(rustix::thread::gettid());
    if let Err(error) = rustix::process::setpriority_process(own, NICENESS) {
        tracing::debug!(%error, "demand is followed at normal priority");
    }
    if let Err(cause) = open(feed, partition, directory) {
        tracing::error!(cause, "demand history cannot be opened");
        *locked(&feed.failed) = Some(cause);
        feed.opened.notify_all();
        return;
    }
    loop {
        let closed = feed.closed.load(Ordering::Acquire);
        if feed.torn.load(Ordering::Acquire)
            && let Err(cause) = open(feed, partition, directory)
        {
            tracing::error!(cause, "demand history cannot be made anew");
            *locked(&feed.failed) = Some(cause);
            feed.opened.notify_all();
            return;
        }
        match partition.journal() {
            Some(_) => catch_up(feed, partition),
            None => feed.count_queue(),
        }
        checkpoint(feed, closed);
        if closed {
            return;
        }
        let mut rung = locked(&feed.bell);
        while !*rung {
            rung = feed.rung.wait(rung).unwrap_or_else(PoisonError::into_inner);
        }
        *rung = false;
    }
}

fn open(feed: &Feed, partition: &Partition, directory: Option<&Path>) -> Result<(), String> {
    let history = match (partition.journal(), directory) {
        (Some(view), directory) => opened(partition, view, directory)?,
        (None, _) => History::in_memory(),
    };
    let outlooks = Outlooks::default();
    *locked(&feed.kept) = Some(Kept { history, outlooks });
    feed.torn.store(false, Ordering::Release);
    feed.opened.notify_all();
    Ok(())
}

fn opened(
    partition: &Partition,
    view: &LogView,
    directory: Option<&Path>,
) -> Result<History, String> {
    let newest = view.newest().revision;
    let (mut history, anew) = match directory {
        Some(directory) => History::open(directory, view.journal_id(), newest)
            .map_err(|error| error.to_string())?,
        None => (History::in_memory(), true),
    };
    if anew || history.revision() + 1 < view.oldest_revision() {
        restart(&mut history, partition)?;
    }
    Ok(history)
}

/// Begins anew from the oldest state that the journal gives.
fn restart(history: &mut History, partition: &Partition) -> Result<(), String> {
    let oldest = partition.oldest_revision().unwrap_or(0);
    let state = partition
        .as_of(Moment::Revision(oldest))
        .map_err(|error| error.to_string())?;
    tracing::info!(revision = oldest, "demand history is made from the journal");
    // A day that cannot be read is lost where the journal no longer has it.
    loop {
        match history.restart(&state) {
            Ok(()) => return Ok(()),
            Err(HistoryError::Damaged { day, what }) => {
                tracing::warn!(
                    day,
                    what,
                    "a day of demand is lost unless the journal has it"
                );
                history.drop_day(day).map_err(|error| error.to_string())?;
            }
            Err(error) => return Err(error.to_string()),
        }
    }
}

/// Counts what has become durable.
pub(super) fn catch_up(feed: &Feed, partition: &Partition) {
    let Some(view) = partition.journal() else {
        return;
    };
    loop {
        let mut guard = locked(&feed.kept);
        let Some(kept) = guard.as_mut() else { return };
        let history = &mut kept.history;
        let read = view.follow(history.revision() + 1, SLICE, &mut |stored| {
            let record = decode_record(stored)?;
            let mut facts = Vec::new();
            Fact::of(&record, &mut |fact| facts.push(fact));
            if let Err(error) = history.add(record.revision, record.time.get(), facts) {
                tracing::warn!(%error, "a day of demand stays in memory");
            }
            Ok::<_, JournalError>(())
        });
        drop(guard);
        match read {
            Ok(0) => {
                let counted = feed.durable.load(Ordering::Relaxed);
                feed.counted.store(counted, Ordering::Relaxed);
                return;
            }
            Ok(_) => {}
            // The journal went on without us: what it still has is read anew.
            Err(JournalError::OutOfRetention { .. }) => {
                feed.torn.store(true, Ordering::Release);
                feed.ring();
                return;
            }
            Err(error) => {
                tracing::error!(%error, "demand history does not follow the journal any more");
                *locked(&feed.failed) = Some(error.to_string());
                return;
            }
        }
    }
}

fn checkpoint(feed: &Feed, last: bool) {
    let mut guard = locked(&feed.kept);
    let Some(kept) = guard.as_mut() else { return };
    if (last || kept.history.checkpoint_due())
        && let Err(error) = kept.history.checkpoint()
    {
        tracing::warn!(%error, "demand history is read from the journal again after a restart");
    }
}
