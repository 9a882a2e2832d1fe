//! A partition answers once, for good, and stops when it cannot.

mod common;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bespeak_engine::{Answer, Meta, Outcome, Reply};
use bespeak_journal::storage::{CrashMode, Fault, FaultRule, FsStorage, OpKind, SimStorage};
use bespeak_journal::{
    Hooks, LogConfig, Partition, PartitionConfig, PartitionError, SyncBy, SystemClock,
};
use common::Dice;
use common::shop::{
    HOUR_MS, START_MS, any_command, clock, config, count, meta, open_at, open_with, reserve,
    stock_up,
};

fn outcome(answer: &Answer) -> Outcome {
    match &answer.reply {
        Reply::Hold(hold) => hold.outcome,
        other => panic!("no hold: {other:?}"),
    }
}

#[test]
fn the_state_after_reopening_is_the_state_before() {
    let (disk, clock) = (SimStorage::new(1), clock());
    let mut dice = Dice(5);
    let mut digest = None;
    for round in 0..6 {
        let (partition, report) = open_at(&disk, &clock, config()).unwrap();
        assert_eq!(report.log.created, round == 0);
        if let Some(digest) = digest {
            assert_eq!(partition.peek(|state| state.digest()).unwrap(), digest);
        } else {
            stock_up(&partition).unwrap();
        }
        for id in 0..150_u128 {
            clock.pass(dice.below(60_000) as i64);
            let command = any_command(&mut dice, START_MS);
            let result = partition.execute(meta(1 + id + 1000 * round as u128), &command);
            assert!(
                matches!(result, Ok(_) | Err(PartitionError::Engine(_))),
                "{result:?}"
            );
            partition
                .read(|_| Ok::<_, PartitionError>(()))
                .result
                .unwrap();
        }
        partition.close().unwrap();
        assert!(matches!(
            partition.execute(meta(0), &count(0, 0, 1)),
            Err(PartitionError::Stopped { .. })
        ));
        drop(partition);
        // The state is out of reach once closed; what a reopened one shows is compared next round.
        let (again, _) = open_at(&disk.fork(), &clock, config()).unwrap();
        digest = Some(again.peek(|state| state.digest()).unwrap());
    }
}

#[test]
fn live_state_and_replayed_state_have_the_same_digest() {
    let (disk, clock) = (SimStorage::new(1), clock());
    let (partition, _) = open_at(&disk, &clock, config()).unwrap();
    stock_up(&partition).unwrap();
    let mut dice = Dice(77);
    for id in 1..400_u128 {
        clock.pass(dice.below(90_000) as i64);
        let _ = partition.execute(meta(id), &any_command(&mut dice, START_MS));
    }
    // The last record carries the time, so that nothing but the journal is in the state.
    partition.execute(meta(900), &count(0, 0, 9)).unwrap();
    let live = partition
        .peek(|state| (state.digest(), state.revision()))
        .unwrap();
    let crashed = disk.crash(CrashMode::LoseUnsynced, 0);
    let (again, report) = open_at(&crashed, &clock, config()).unwrap();
    assert_eq!(
        again
            .peek(|state| (state.digest(), state.revision()))
            .unwrap(),
        live
    );
    assert_eq!(report.replayed.records, live.1);
}

#[test]
fn an_answer_must_wait_for_what_it_saw() {
    let (disk, clock) = (SimStorage::new(1), clock());
    let (partition, _) = open_at(&disk, &clock, config()).unwrap();
    stock_up(&partition).unwrap();
    let durable = partition.durable_revision();
    let hold = partition.write(
        meta(1),
        |_| Ok::<_, PartitionError>(reserve(0, 0, 50)),
        |_, answer| Ok(outcome(&answer)),
    );
    assert_eq!(hold.result.unwrap(), Outcome::Full);
    assert_eq!(hold.revision, durable + 1);
    assert_eq!(partition.durable_revision(), durable);
    let check = partition.read(|state| {
        Ok::<_, PartitionError>(state.available(
            bespeak_engine::ItemId(0),
            bespeak_engine::LocationId(0),
            state.now(),
        ))
    });
    assert_eq!(check.result.unwrap().get(), 0, "a check sees the hold");
    assert_eq!(check.revision, durable + 1, "and must wait for it");
    assert_eq!(partition.pending().0, 1);
    partition.wait_durable(check.revision).unwrap();
    assert_eq!(partition.durable_revision(), durable + 1);
    assert_eq!(partition.pending(), (0, 0));
}

#[test]
fn what_waits_for_the_disk_is_bounded() {
    let (disk, clock) = (SimStorage::new(1), clock());
    let config = PartitionConfig {
        pending_records_max: 10,
        ..config()
    };
    let (partition, _) = open_at(&disk, &clock, config).unwrap();
    stock_up(&partition).unwrap();
    let write = |id| {
        partition.write(
            meta(id),
            |_| Ok::<_, PartitionError>(count(0, 0, 1)),
            |_, answer| Ok(answer.revision),
        )
    };
    for id in 1..=10 {
        write(id).result.unwrap();
    }
    let refused = write(11).result;
    assert!(
        matches!(
            refused,
            Err(PartitionError::Overloaded {
                what: "records",
                pending: 10,
                limit: 10,
                ..
            })
        ),
        "{refused:?}"
    );
    partition.flush().unwrap();
    write(11).result.unwrap();
}

#[test]
fn nobody_waits_for_a_closed_partition() {
    for sync_by in [SyncBy::Thread, SyncBy::Waiter, SyncBy::Turn] {
        let (disk, clock) = (SimStorage::new(1), clock());
        let config = PartitionConfig {
            sync_by,
            ..config()
        };
        let (partition, _) = open_at(&disk, &clock, config).unwrap();
        stock_up(&partition).unwrap();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| partition.wait_durable(1_000_000));
            partition.close().unwrap();
            let waited = waiter.join().unwrap();
            assert!(
                matches!(waited, Err(PartitionError::Stopped { .. })),
                "{waited:?}"
            );
        });
    }
}

#[derive(Default)]
struct Seen {
    failures: Mutex<Vec<String>>,
    durable: AtomicU64,
}

impl Hooks for Seen {
    fn durable(&self, revision: u64) {
        assert!(self.durable.swap(revision, Ordering::SeqCst) <= revision);
    }

    fn failed(&self, cause: &str) {
        self.failures.lock().unwrap().push(cause.to_owned());
    }
}

#[test]
fn a_failed_sync_stops_everything_and_is_told_once() {
    let (disk, clock) = (SimStorage::new(1), clock());
    let seen = Arc::new(Seen::default());
    let (partition, _) = open_with(&disk, &clock, config(), seen.clone()).unwrap();
    stock_up(&partition).unwrap();
    let durable = partition.durable_revision();
    assert_eq!(seen.durable.load(Ordering::SeqCst), durable);
    disk.inject(FaultRule {
        op: OpKind::SyncData,
        name_contains: String::new(),
        after: 0,
        sticky: false,
        fault: Fault::Eio,
    });
    let failed = partition.execute(meta(1), &reserve(0, 0, 1));
    assert!(
        matches!(failed, Err(PartitionError::Journal(_))),
        "{failed:?}"
    );
    for _ in 0..3 {
        let write = partition.execute(meta(2), &reserve(0, 0, 1));
        assert!(
            matches!(write, Err(PartitionError::Stopped { .. })),
            "{write:?}"
        );
        let read = partition.read(|_| Ok::<_, PartitionError>(())).result;
        assert!(
            matches!(read, Err(PartitionError::Stopped { .. })),
            "{read:?}"
        );
        assert!(partition.wait_durable(durable + 1).is_err());
    }
    assert_eq!(seen.failures.lock().unwrap().len(), 1);
    assert_eq!(partition.durable_revision(), durable);
    drop(partition);
    disk.heal();
    let crashed = disk.crash(CrashMode::LoseUnsynced, 0);
    let (again, _) = open_at(&crashed, &clock, config()).unwrap();
    assert!(again.peek(|state| state.revision()).unwrap() >= durable);
}

#[test]
fn a_clock_that_jumps_stops_promises_until_confirmed() {
    let (disk, clock) = (SimStorage::new(1), clock());
    let (partition, _) = open_at(&disk, &clock, config()).unwrap();
    stock_up(&partition).unwrap();
    partition.execute(meta(1), &reserve(0, 0, 1)).unwrap();
    clock.jump(HOUR_MS);
    for _ in 0..2 {
        let write = partition.execute(meta(2), &reserve(0, 0, 1));
        assert!(
            matches!(
                write,
                Err(PartitionError::ClockSuspect { jump_ms: HOUR_MS })
            ),
            "{write:?}"
        );
        let read = partition.read(|_| Ok::<_, PartitionError>(())).result;
        assert!(
            matches!(read, Err(PartitionError::ClockSuspect { .. })),
            "{read:?}"
        );
    }
    assert_eq!(partition.clock_suspect(), Some(HOUR_MS));
    assert_eq!(
        partition.peek(|state| state.now().get()).unwrap(),
        START_MS,
        "no time has passed"
    );
    clock.jump(-HOUR_MS);
    partition.confirm_clock().unwrap();
    partition.execute(meta(2), &reserve(0, 0, 1)).unwrap();
    // Downtime is no jump; a clock behind the journal is.
    partition.close().unwrap();
    drop(partition);
    clock.jump(48 * HOUR_MS);
    let (partition, _) = open_at(&disk, &clock, config()).unwrap();
    partition.execute(meta(3), &reserve(0, 0, 1)).unwrap();
    partition.close().unwrap();
    drop(partition);
    clock.jump(-48 * HOUR_MS);
    let (partition, _) = open_at(&disk, &clock, config()).unwrap();
    assert_eq!(partition.clock_suspect(), Some(-48 * HOUR_MS));
    partition.confirm_clock().unwrap();
    let answer = partition.execute(meta(4), &reserve(0, 0, 1)).unwrap();
    assert_eq!(
        answer.time.get(),
        START_MS + 48 * HOUR_MS,
        "engine time never falls"
    );
}

#[test]
fn a_clock_far_ahead_at_the_start_expires_nothing_before_it_is_confirmed() {
    let (disk, clock) = (SimStorage::new(1), clock());
    let (partition, _) = open_at(&disk, &clock, config()).unwrap();
    stock_up(&partition).unwrap();
    let held = partition.execute(meta(1), &reserve(0, 0, 50)).unwrap();
    assert_eq!(outcome(&held), Outcome::Full);
    partition.close().unwrap();
    drop(partition);
    let years = 10 * 365 * 24 * HOUR_MS;
    clock.jump(years);
    let (partition, _) = open_at(&disk, &clock, config()).unwrap();
    assert_eq!(partition.clock_suspect(), Some(years));
    let read = partition.read(|_| Ok::<_, PartitionError>(())).result;
    assert!(
        matches!(read, Err(PartitionError::ClockSuspect { jump_ms }) if jump_ms == years),
        "{read:?}"
    );
    let held = |partition: &Partition| partition.peek(|state| state.stats().held).unwrap();
    assert_eq!(held(&partition), 1, "the hold is still there");
    // The operator sets the clock right and confirms it: the hold was never gone.
    clock.jump(-years);
    partition.confirm_clock().unwrap();
    let refused = partition.execute(meta(2), &reserve(0, 0, 1)).unwrap();
    assert_eq!(outcome(&refused), Outcome::Refused);
    assert_eq!(held(&partition), 1);
}

#[test]
fn time_that_only_reads_used_is_kept() {
    let (disk, clock) = (SimStorage::new(1), clock());
    let (partition, _) = open_at(&disk, &clock, config()).unwrap();
    stock_up(&partition).unwrap();
    clock.pass(5_000);
    let first = partition.read(|state| Ok::<_, PartitionError>(state.now().get()));
    assert_eq!(first.result.unwrap(), START_MS + 5_000);
    partition.flush().unwrap();
    let crashed = disk.crash(CrashMode::LoseUnsynced, 0);
    clock.jump(-5_000);
    let (again, _) = open_at(&crashed, &clock, config()).unwrap();
    let read = again.read(|state| Ok::<_, PartitionError>(state.now().get()));
    assert_eq!(read.result.unwrap(), START_MS + 5_000);
}

#[test]
fn a_partition_in_memory_answers_at_once() {
    let seen = Arc::new(Seen::default());
    let partition = Partition::in_memory(config(), clock(), seen.clone());
    stock_up(&partition).unwrap();
    let answer = partition.execute(meta(1), &reserve(0, 0, 5)).unwrap();
    assert_eq!(partition.durable_revision(), answer.revision);
    assert_eq!(seen.durable.load(Ordering::SeqCst), answer.revision);
    assert!(partition.journal().is_none());
    assert!(
        partition
            .execute(meta(1), &reserve(0, 0, 5))
            .unwrap()
            .replayed
    );
}

fn many_threads(sync_by: SyncBy) {
    const THREADS: u64 = 8;
    const EACH: u64 = 60;
    let dir = tempfile::tempdir().unwrap();
    let config = PartitionConfig {
        log: LogConfig {
            segment_bytes: 256 * 1024,
            max_record_bytes: 64 * 1024,
            ..config().log
        },
        sync_by,
        ..PartitionConfig::default()
    };
    let open = || {
        let storage = Arc::new(FsStorage::new(dir.path()).unwrap());
        let clock = Arc::new(SystemClock::default());
        Partition::open(storage, config.clone(), clock, Arc::new(()))
            .unwrap()
            .0
    };
    let partition = open();
    stock_up(&partition).unwrap();
    partition.execute(meta(1), &count(0, 0, 1_000_000)).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let partition = &partition;
            scope.spawn(move || {
                for number in 0..EACH {
                    let id = u128::from(1_000 * (thread + 1) + number);
                    let answer = partition.execute(meta(id), &reserve(0, 0, 1)).unwrap();
                    assert!(partition.durable_revision() >= answer.revision);
                }
            });
        }
    });
    let stats = partition.journal().unwrap().stats();
    let syncs = stats.sync_us.snapshot().count;
    let records = stats.records.load(Ordering::Relaxed);
    assert!(records >= THREADS * EACH);
    assert!(syncs < records, "{syncs} syncs for {records} records");
    drop(partition);
    let partition = open();
    let held = partition
        .peek(|state| state.reservations().count())
        .unwrap();
    assert_eq!(held as u64, THREADS * EACH);
    partition
        .execute(Meta::default(), &reserve(0, 0, 1))
        .unwrap();
}

#[test]
fn one_thread_syncs_for_many_writers() {
    many_threads(SyncBy::Thread);
}

#[test]
fn waiting_writers_sync_for_each_other() {
    many_threads(SyncBy::Waiter);
}

#[test]
fn turns_of_many_loops_sync_what_they_leave() {
    many_threads(SyncBy::Turn);
}
