//! The thread that follows the journal.

use std::path::Path;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use bespeak_demand::{Checkpoint, Fact, History, HistoryError, Outlooks};
use bespeak_journal::{JournalError, LogView, Partition, decode_record};

use super::queue::Queue;
use super::{Feed, Kept, locked};

/// Records counted before others get the history.
const SLICE: u64 = 4_096;

/// Opens the history and follows until told to end.
pub(super) fn run(feed: &Feed, partition: &Partition, directory: Option<&Path>) {
    bespeak_aside::lower_priority("demand is followed");
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
    *locked(&feed.kept) = Some(Kept {
        history,
        outlooks,
        taken: Queue::default(),
    });
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
    let state = partition
        .oldest_state()
        .map_err(|error| error.to_string())?;
    let oldest = state.revision();
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
        let durable = partition.durable_revision();
        let mut guard = locked(&feed.kept);
        let Some(kept) = guard.as_mut() else { return };
        let next = kept.history.revision() + 1;
        let read = match queued(kept, feed, next) {
            _ if next > durable => Ok(0),
            Some(first) if first == next => {
                kept.taken.count(&mut kept.history, durable, SLICE);
                Ok(kept.history.revision() + 1 - next)
            }
            first => {
                let last = first.map_or(durable, |first| durable.min(first - 1));
                from_journal(&mut kept.history, view, (last + 1 - next).min(SLICE))
            }
        };
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

/// Revision of the first record from `next` on that waits in memory.
fn queued(kept: &mut Kept, feed: &Feed, next: u64) -> Option<u64> {
    let first = kept.taken.first(next);
    if first.is_some() {
        return first;
    }
    // Whoever makes records shall not wait for more than this.
    std::mem::swap(&mut kept.taken, &mut *locked(&feed.queue));
    kept.taken.first(next)
}

/// Counts records that only the journal has; returns how many.
fn from_journal(history: &mut History, view: &LogView, many: u64) -> Result<u64, JournalError> {
    view.follow(history.revision() + 1, many, &mut |stored| {
        let record = decode_record(stored)?;
        let mut facts = Vec::new();
        Fact::of(&record, &mut |fact| facts.push(fact));
        if let Err(error) = history.add(record.revision, record.time.get(), facts) {
            tracing::warn!(%error, "a day of demand stays in memory");
        }
        Ok(())
    })
}

fn checkpoint(feed: &Feed, last: bool) {
    let mut guard = locked(&feed.kept);
    let Some(kept) = guard.as_mut() else { return };
    if !last && !kept.history.checkpoint_due() {
        return;
    }
    let made = kept.history.checkpoint();
    // Whoever asks for history does not wait for the disk.
    drop(guard);
    let Err(error) = made.and_then(|made| made.map_or(Ok(()), Checkpoint::write)) else {
        return;
    };
    tracing::warn!(%error, "demand history is read from the journal again after a restart");
    if let Some(kept) = locked(&feed.kept).as_mut() {
        kept.history.checkpoint_failed();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex, mpsc};

    use super::*;

    use arrow_array::RecordBatch;
    use bespeak_demand::{Filter, Rows};
    use bespeak_engine::{
        Command, HoldTerms, Item, ItemId, Location, LocationId, LocationKind, Meta, Record,
        Reserve, ReserveLine, SetOnHand, StockStatus, Units,
    };
    use bespeak_journal::storage::FsStorage;
    use bespeak_journal::{
        Hooks, LogConfig, ManualClock, PartitionConfig, PartitionError, SnapshotInfo, SyncBy,
    };

    const NOW_MS: i64 = 1_790_000_000_000;
    const ITEMS: u32 = 7;

    fn draw(seed: &mut u64, below: u64) -> u64 {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (*seed >> 33) % below
    }

    /// A queue that now and then has no room for some records.
    struct Crowded {
        feed: Arc<Feed>,
        seed: Mutex<(u64, bool)>,
    }

    impl Hooks for Crowded {
        fn kept(&self, record: &Record) {
            let (seed, full) = &mut *locked(&self.seed);
            if draw(seed, 10) == 0 {
                *full = !*full;
            }
            if !*full {
                self.feed.kept(record);
            }
        }

        fn durable(&self, revision: u64) {
            self.feed.durable(revision);
        }
    }

    fn say(partition: &Partition, command: &Command) -> u64 {
        let seen = partition.write(
            Meta::default(),
            |_| Ok::<_, PartitionError>(command.clone()),
            |_, _| Ok(()),
        );
        seen.result.expect("it makes sense");
        seen.revision
    }

    fn sale(seed: &mut u64) -> Command {
        let line = ReserveLine {
            item: ItemId(draw(seed, u64::from(ITEMS)) as u32),
            location: LocationId(0),
            quantity: Units::new(1 + draw(seed, 5)).expect("a small quantity"),
            ship_time: None,
            latest: None,
        };
        Command::Reserve(Reserve {
            lines: [line].into_iter().collect(),
            terms: HoldTerms {
                confirm: true,
                ..HoldTerms::default()
            },
        })
    }

    fn count(item: u32, quantity: u64) -> Command {
        Command::SetOnHand(SetOnHand {
            item: ItemId(item),
            location: LocationId(0),
            status: StockStatus::Unrestricted,
            quantity: Units::new(quantity).expect("a small quantity"),
            counted_at: None,
            expected_on_hand: None,
            expected_version: None,
        })
    }

    fn fill(partition: &Partition) {
        let location = Location {
            name: "ams1".into(),
            time_zone: "".into(),
            day_offsets: Vec::new(),
            kind: LocationKind::Store,
        };
        say(partition, &Command::PutLocation(location));
        for item in 0..ITEMS {
            let known = Item {
                name: format!("sku-{item}").into(),
                base_unit: "each".into(),
                units: Vec::new(),
            };
            say(partition, &Command::PutItem(known));
            // Some run out.
            say(partition, &count(item, 100 * u64::from(item) + 20));
        }
    }

    fn rows(feed: &Feed) -> (u64, Vec<RecordBatch>) {
        let kept = locked(&feed.kept);
        let history = &kept.as_ref().expect("it is open").history;
        let mut rows = Rows::new(history, &Filter::default(), NOW_MS + 600_000);
        let mut tables = Vec::new();
        while let Some(table) = rows.next(history).expect("it is in memory") {
            tables.push(table);
        }
        (history.revision(), tables)
    }

    #[test]
    fn what_the_queue_had_no_room_for_is_read_from_the_journal() {
        for first_seed in 1..=6 {
            let mut seed = first_seed;
            let directory = tempfile::tempdir().expect("a directory");
            let storage = Arc::new(FsStorage::new(directory.path()).expect("it is there"));
            let feed = Arc::<Feed>::default();
            let hooks = Crowded {
                feed: Arc::clone(&feed),
                seed: Mutex::new((first_seed, false)),
            };
            let clock = Arc::new(ManualClock::new(NOW_MS));
            let config = PartitionConfig {
                sync_by: SyncBy::Waiter,
                ..PartitionConfig::default()
            };
            let opened = Partition::open(storage, config, Arc::clone(&clock) as _, Arc::new(hooks));
            let (partition, _) = opened.expect("a new journal");
            open(&feed, &partition, None).expect("a new history");
            fill(&partition);
            let mut last = 0;
            for _ in 0..600 {
                // Five minutes on average, so that days end: their rows are compared.
                clock.pass(draw(&mut seed, 600_000).cast_signed());
                last = say(&partition, &sale(&mut seed));
                if draw(&mut seed, 20) == 0 {
                    partition.wait_durable(last).expect("it syncs");
                }
                if draw(&mut seed, 15) == 0 {
                    catch_up(&feed, &partition);
                }
            }
            partition.wait_durable(last).expect("it syncs");
            catch_up(&feed, &partition);
            // One that has the journal alone.
            let alone = Feed::default();
            open(&alone, &partition, None).expect("a new history");
            catch_up(&alone, &partition);
            let (revision, tables) = rows(&feed);
            assert_eq!(revision, last, "seed {first_seed}");
            assert!(!tables.is_empty());
            assert_eq!((revision, tables), rows(&alone), "seed {first_seed}");
        }
    }

    /// Tells that a snapshot is written, and waits for a word before the retention goes on.
    struct Slow(Mutex<mpsc::Sender<()>>, Mutex<mpsc::Receiver<()>>);

    impl Hooks for Slow {
        fn snapshot(&self, _info: &SnapshotInfo) {
            locked(&self.0).send(()).expect("somebody listens");
            locked(&self.1).recv().expect("somebody says so");
        }
    }

    #[test]
    fn a_retention_that_goes_on_takes_nothing_from_a_start() {
        let directory = tempfile::tempdir().expect("a directory");
        let storage = Arc::new(FsStorage::new(directory.path()).expect("it is there"));
        let clock = Arc::new(ManualClock::new(NOW_MS));
        let config = PartitionConfig {
            log: LogConfig {
                segment_bytes: 32 << 10,
                max_record_bytes: 16 << 10,
                ..PartitionConfig::default().log
            },
            sync_by: SyncBy::Waiter,
            retention_ms: 0,
            snapshot_every_bytes: 0,
            ..PartitionConfig::default()
        };
        let (sender, written) = mpsc::channel();
        let (go_on, word) = mpsc::channel();
        let hooks = Arc::new(Slow(Mutex::new(sender), Mutex::new(word)));
        let opened = Partition::open(storage, config, Arc::clone(&clock) as _, hooks);
        let (partition, _) = opened.expect("a new journal");
        fill(&partition);
        let stats = partition.journal().expect("it has one").stats();
        while stats.rolls.load(Ordering::Relaxed) < 2 {
            for quantity in 0..99 {
                say(&partition, &count(0, quantity));
            }
            let last = say(&partition, &count(0, 99));
            partition.wait_durable(last).expect("it syncs");
        }
        go_on.send(()).expect("it listens");
        partition.snapshot().expect("it is written");
        written.recv().expect("it is told");
        // The next one lets go of all that came before this one.
        clock.pass(25 * 3_600_000);
        let last = say(&partition, &count(0, 100));
        partition.wait_durable(last).expect("it syncs");
        assert_eq!(partition.oldest_revision(), Some(0));
        std::thread::scope(|scope| {
            let snapshot = scope.spawn(|| partition.snapshot());
            written.recv().expect("it is told");
            go_on.send(()).expect("it listens");
            restart(&mut History::in_memory(), &partition).expect("the oldest state is there");
            let snapshot = snapshot.join().expect("no panic");
            snapshot.expect("it is written");
        });
        assert!(
            partition.oldest_revision() > Some(0),
            "old segments are gone"
        );
    }
}
