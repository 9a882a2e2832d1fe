//! Snapshots, earlier states, and the proof that everything adds up.

mod common;

use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};

use bespeak_engine::{
    Event, Meta, MoveKind, PositionId, Record, ReservationId, StockStatus, UtcMillis,
};
use bespeak_journal::storage::{SimStorage, Storage};
use bespeak_journal::{
    Batch, Hooks, JournalError, KIND_ENGINE_RECORD, Log, Moment, NO_REQUEST, Partition,
    PartitionConfig, PartitionError, RecordMeta, SnapshotInfo, decode_record, list_snapshots,
    read_at_rest,
};
use common::Dice;
use common::shop::{
    HOUR_MS, START_MS, any_command, clock, config, count, meta, open_at, open_with, reserve,
    stock_up,
};

fn digest(partition: &Partition) -> ([u8; 32], u64) {
    partition
        .peek(|state| (state.digest(), state.revision()))
        .unwrap()
}

/// Runs `steps` commands and ends with one that journals the time.
fn trade(partition: &Partition, clock: &bespeak_journal::ManualClock, dice: &mut Dice, steps: u64) {
    for _ in 0..steps {
        clock.pass(dice.below(120_000) as i64);
        let id = u128::from(dice.below(u64::MAX)) + 1;
        let now = partition.peek(|state| state.now().get()).unwrap();
        let _ = partition.execute(meta(id), &any_command(dice, now));
    }
    let seed = dice.below(40);
    partition
        .execute(Meta::default(), &count(0, 0, seed))
        .unwrap();
}

#[test]
fn snapshot_and_tail_give_what_a_full_replay_gives() {
    for seed in 0..12 {
        let (disk, clock) = (SimStorage::new(seed), clock());
        let mut dice = Dice(seed);
        let (partition, _) = open_at(&disk, &clock, config()).unwrap();
        stock_up(&partition).unwrap();
        for _ in 0..3 {
            let steps = 20 + dice.below(120);
            trade(&partition, &clock, &mut dice, steps);
            partition.snapshot().unwrap();
        }
        trade(&partition, &clock, &mut dice, 60);
        let live = digest(&partition);
        let snapshots = list_snapshots(&disk).unwrap();
        assert!(snapshots.len() >= 2);
        partition.close().unwrap();
        drop(partition);

        let reopen = |disk: &SimStorage| {
            let (partition, report) = open_at(disk, &clock, config()).unwrap();
            (digest(&partition), report.replayed)
        };
        let (with_snapshot, replayed) = reopen(&disk.fork());
        assert_eq!(with_snapshot, live, "seed {seed}");
        assert_eq!(Some(&replayed.snapshot_revision), snapshots.last());
        assert_eq!(replayed.records, live.1 - replayed.snapshot_revision);

        let bare = disk.fork();
        for revision in &snapshots {
            bare.remove(&format!("snapshot-{revision:020}.snap"))
                .unwrap();
        }
        let (full, replayed) = reopen(&bare);
        assert_eq!((full, replayed.records), (live, live.1), "seed {seed}");

        // The newest damaged: the one before serves.
        let damaged = disk.fork();
        let newest = format!("snapshot-{:020}.snap", snapshots[snapshots.len() - 1]);
        let size = common::file_len(&damaged, &newest);
        damaged
            .corrupt(&newest, dice.below(size), 1 << dice.below(8))
            .unwrap();
        let (fallen_back, replayed) = reopen(&damaged);
        assert_eq!(fallen_back, live, "seed {seed}");
        assert_eq!(replayed.damaged_snapshots, 1);
        assert_eq!(replayed.snapshot_revision, snapshots[snapshots.len() - 2]);
    }
}

#[test]
fn earlier_states_are_shown_as_they_were() {
    let (disk, clock) = (SimStorage::new(3), clock());
    let mut dice = Dice(3);
    let (partition, _) = open_at(&disk, &clock, config()).unwrap();
    stock_up(&partition).unwrap();
    let mut then = Vec::new();
    for round in 0..60 {
        clock.pass(dice.below(1_800_000) as i64);
        let id = u128::from(dice.below(u64::MAX)) + 1;
        let now = partition.peek(|state| state.now().get()).unwrap();
        let _ = partition.execute(meta(id), &any_command(&mut dice, now));
        if round % 20 == 10 {
            partition.snapshot().unwrap();
        }
        let seen = partition
            .read(|state| Ok::<_, PartitionError>((state.now(), state.digest(), state.revision())));
        partition.wait_durable(seen.revision).unwrap();
        then.push(seen.result.unwrap());
    }
    for (now, digest, revision) in &then {
        let shown = partition.as_of(Moment::Time(*now)).unwrap();
        // A tick may have followed at the same time, which changes nothing but the revision.
        assert!(shown.revision() >= *revision);
        if shown.revision() == *revision {
            assert_eq!(shown.digest(), *digest, "at {now:?}");
        }
        let mut shown = partition.as_of(Moment::Revision(*revision)).unwrap();
        assert_eq!(shown.revision(), *revision);
        shown.advance(*now, &mut |record| panic!("{record:?} was not journaled"));
        assert_eq!(shown.digest(), *digest, "revision {revision}");
    }
    let newest = partition.durable_revision();
    assert!(matches!(
        partition.as_of(Moment::Revision(newest + 100)),
        Err(PartitionError::OutOfRetention { .. })
    ));
    let future = clock_now(&partition).plus(1);
    assert!(matches!(
        partition.as_of(Moment::Time(future)),
        Err(PartitionError::OutOfRetention { .. })
    ));
    let before = partition
        .as_of(Moment::Time(UtcMillis::new(START_MS - 1)))
        .unwrap();
    assert_eq!(before.revision(), 0);
}

fn clock_now(partition: &Partition) -> UtcMillis {
    partition
        .read(|state| Ok::<_, PartitionError>(state.now()))
        .result
        .unwrap()
}

struct Told(Mutex<Sender<u64>>);

impl Hooks for Told {
    fn snapshot(&self, info: &SnapshotInfo) {
        self.0.lock().unwrap().send(info.position.revision).unwrap();
    }
}

#[test]
fn snapshots_and_retention_run_in_the_background() {
    let (disk, clock) = (SimStorage::new(1), clock());
    let (sender, snapshots) = channel();
    let config = PartitionConfig {
        snapshot_every_bytes: 64 * 1024,
        retention_ms: 2 * HOUR_MS as u64,
        ..config()
    };
    let hooks = Arc::new(Told(Mutex::new(sender)));
    let (partition, _) = open_with(&disk, &clock, config.clone(), hooks).unwrap();
    stock_up(&partition).unwrap();
    let mut dice = Dice(9);
    let mut id = 0;
    for round in 1..=6_u64 {
        let rolls = || {
            let stats = partition.journal().unwrap().stats();
            stats.rolls.load(std::sync::atomic::Ordering::Relaxed)
        };
        while rolls() < 3 * round {
            clock.pass(200_000);
            id += 1;
            let now = partition.peek(|state| state.now().get()).unwrap();
            let _ = partition.execute(meta(id), &any_command(&mut dice, now));
        }
        snapshots
            .recv()
            .expect("a snapshot follows every two segments");
    }
    // One more by hand, so that the removal in the background is over too.
    partition.snapshot().unwrap();
    let oldest = partition.oldest_revision().unwrap();
    assert!(oldest > 0, "old segments are gone");
    assert!(list_snapshots(&disk).unwrap().len() <= 3);
    let oldest_state = partition.oldest_state().unwrap();
    assert_eq!(oldest_state.revision(), oldest);
    partition.as_of(Moment::Revision(oldest)).unwrap();
    assert!(matches!(
        partition.as_of(Moment::Revision(oldest - 1)),
        Err(PartitionError::OutOfRetention { .. })
    ));
    assert!(matches!(
        partition.as_of(Moment::Time(UtcMillis::new(START_MS))),
        Err(PartitionError::OutOfRetention { .. })
    ));
    // A retention of less than the day for which answers are given again keeps the day.
    let reached = clock_now(&partition).plus(-24 * HOUR_MS);
    partition.as_of(Moment::Time(reached)).unwrap();
    let report = partition.reconcile().unwrap();
    assert_eq!(
        (report.from_revision, report.discrepancy_count),
        (oldest, 0),
        "{report:?}"
    );
    partition.execute(Meta::default(), &count(0, 0, 5)).unwrap();
    let live = digest(&partition);
    partition.close().unwrap();
    drop(partition);
    let (again, _) = open_at(&disk, &clock, config).unwrap();
    assert_eq!(digest(&again), live);
}

#[test]
fn without_any_good_snapshot_a_shortened_journal_is_refused() {
    let (disk, clock) = (SimStorage::new(1), clock());
    let config = PartitionConfig {
        retention_ms: 0,
        ..config()
    };
    let (partition, _) = open_at(&disk, &clock, config.clone()).unwrap();
    stock_up(&partition).unwrap();
    let mut dice = Dice(4);
    for _ in 0..4 {
        clock.pass(24 * HOUR_MS);
        trade(&partition, &clock, &mut dice, 200);
        partition.snapshot().unwrap();
    }
    assert!(partition.oldest_revision().unwrap() > 0);
    partition.close().unwrap();
    drop(partition);
    for revision in list_snapshots(&disk).unwrap() {
        disk.corrupt(&format!("snapshot-{revision:020}.snap"), 300, 1)
            .unwrap();
    }
    let refused = open_at(&disk, &clock, config);
    assert!(
        matches!(&refused, Err(PartitionError::Journal(JournalError::Damaged { file, .. })) if file.ends_with(".snap")),
        "{:?}",
        refused.err()
    );
}

#[test]
fn a_snapshot_ahead_of_the_journal_is_refused() {
    let (disk, clock) = (SimStorage::new(1), clock());
    let (partition, _) = open_at(&disk, &clock, config()).unwrap();
    stock_up(&partition).unwrap();
    let early = disk.fork();
    partition.execute(Meta::default(), &count(0, 0, 1)).unwrap();
    partition.snapshot().unwrap();
    let name = format!("snapshot-{:020}.snap", list_snapshots(&disk).unwrap()[0]);
    let mut data = vec![0; common::file_len(&disk, &name) as usize];
    disk.open(&name, false)
        .unwrap()
        .read_exact_at(&mut data, 0)
        .unwrap();
    early
        .create(&name, 0)
        .unwrap()
        .write_all_at(&data, 0)
        .unwrap();
    let refused = open_at(&early, &clock, config());
    assert!(matches!(
        refused,
        Err(PartitionError::Journal(JournalError::Damaged { .. }))
    ));
}

#[test]
fn reconciling_finds_nothing_in_a_good_journal() {
    for seed in 0..6 {
        let (disk, clock) = (SimStorage::new(seed), clock());
        let mut dice = Dice(seed + 100);
        let (partition, _) = open_at(&disk, &clock, config()).unwrap();
        stock_up(&partition).unwrap();
        trade(&partition, &clock, &mut dice, 500);
        if seed % 2 == 0 {
            partition.snapshot().unwrap();
            trade(&partition, &clock, &mut dice, 200);
        }
        let report = partition.reconcile().unwrap();
        assert_eq!(report.discrepancies, [], "seed {seed}");
        assert_eq!(report.oversold_units, 0, "seed {seed}");
        assert_eq!(report.positions_checked, 6);
        assert_eq!(report.revision, partition.durable_revision());
        assert_eq!(report.records_checked, report.revision);
    }
}

/// Appends a forged record to a journal nobody has open.
fn forge(disk: &SimStorage, events: Vec<Event>) -> u64 {
    let log_config = config().log;
    let (mut log, report) = Log::open(Arc::new(disk.clone()), log_config).unwrap();
    let record = Record {
        revision: log.next_revision(),
        time: UtcMillis::new(report.newest.time_ms as i64),
        meta: Meta::default(),
        fingerprint: 0,
        events: events.into_iter().collect(),
        reply: None,
    };
    let payload = postcard::to_stdvec(&record).unwrap();
    let meta = RecordMeta {
        revision: record.revision,
        time_ms: report.newest.time_ms,
        request_id: NO_REQUEST,
        kind: KIND_ENGINE_RECORD,
    };
    let mut batch = Batch::new();
    batch.push(&meta, &payload, 10_000).unwrap();
    log.append(&mut batch).unwrap();
    record.revision
}

#[test]
fn reconciling_names_the_first_record_that_does_not_add_up() {
    let (disk, clock) = (SimStorage::new(1), clock());
    let (partition, _) = open_at(&disk, &clock, config()).unwrap();
    stock_up(&partition).unwrap();
    partition.execute(meta(1), &reserve(0, 0, 5)).unwrap();
    partition.close().unwrap();
    drop(partition);
    let now = UtcMillis::new(START_MS);
    let wrong_count = Event::Counted {
        position: PositionId(2),
        status: StockStatus::Unrestricted,
        counted: common::shop::units(40),
        counted_at: now,
        on_hand: 44,
    };
    let unpaired = Event::Moved {
        position: PositionId(3),
        status: StockStatus::Unrestricted,
        delta: -2,
        kind: MoveKind::Fulfilled,
        at: now,
        reservation: None,
    };
    // The stock was counted at `now`: goods that came before must not be added to it, nor an older count follow.
    let late = Event::Moved {
        position: PositionId(0),
        status: StockStatus::Unrestricted,
        delta: 5,
        kind: MoveKind::Received,
        at: now.plus(-1),
        reservation: None,
    };
    let older = Event::CountTaken {
        position: PositionId(1),
        status: StockStatus::Unrestricted,
        counted: common::shop::units(9),
        counted_at: now.plus(-2),
        on_hand: 9,
    };
    let first = forge(&disk, vec![wrong_count]);
    let second = forge(&disk, vec![unpaired]);
    let third = forge(&disk, vec![late]);
    let fourth = forge(&disk, vec![older]);
    let (partition, _) = open_at(&disk, &clock, config()).unwrap();
    let report = partition.reconcile().unwrap();
    let found: Vec<_> = report
        .discrepancies
        .iter()
        .map(|found| {
            (
                found.item.as_str(),
                found.location.as_str(),
                found.expected,
                found.found,
                found.revision,
            )
        })
        .collect();
    assert_eq!(
        found,
        [
            ("item-1", "store-0", 40, 44, first),
            ("", "", 0, 2, second),
            ("item-0", "store-0", START_MS, START_MS - 1, third),
            ("item-0", "store-1", START_MS, START_MS - 2, fourth),
        ]
    );
}

#[test]
fn reconciling_counts_what_was_oversold() {
    let (disk, clock) = (SimStorage::new(1), clock());
    let (partition, _) = open_at(&disk, &clock, config()).unwrap();
    stock_up(&partition).unwrap();
    partition.execute(meta(1), &reserve(0, 0, 48)).unwrap();
    partition.close().unwrap();
    drop(partition);
    // The same hold once more, as if nobody had checked: 2 of its 48 units are there.
    let mut reader = read_at_rest(Arc::new(disk.clone()), None).unwrap();
    let mut last_hold = None;
    while let Some(stored) = reader.next().unwrap() {
        for event in decode_record(&stored).unwrap().events {
            if let Event::Held(held) = event {
                last_hold = Some(held);
            }
        }
    }
    drop(reader);
    let mut hold = last_hold.unwrap();
    hold.reservation.0 += 1;
    forge(&disk, vec![Event::Held(hold)]);
    let (partition, _) = open_at(&disk, &clock, config()).unwrap();
    assert_eq!(partition.reconcile().unwrap().oversold_units, 46);
}

#[test]
fn reconciling_names_the_first_record_whose_promises_do_not_match() {
    let (disk, clock) = (SimStorage::new(1), clock());
    let (partition, _) = open_at(&disk, &clock, config()).unwrap();
    stock_up(&partition).unwrap();
    partition.execute(meta(1), &reserve(1, 1, 5)).unwrap();
    clock.pass(HOUR_MS / 2);
    clock_now(&partition);
    partition.close().unwrap();
    drop(partition);
    // A hold that has run out is confirmed without its stock being taken again.
    let wrong = forge(&disk, vec![Event::Confirmed(ReservationId(1))]);
    forge(&disk, vec![Event::Ticked]);
    let (partition, _) = open_at(&disk, &clock, config()).unwrap();
    let report = partition.reconcile().unwrap();
    let found = &report.discrepancies;
    assert_eq!(
        (report.discrepancy_count, found[0].revision),
        (1, wrong),
        "{report:?}"
    );
    assert_eq!(
        (&*found[0].item, &*found[0].location, found[0].expected),
        ("item-1", "store-1", 5)
    );
}

#[test]
fn reconciling_counts_what_was_oversold_when_taken_again() {
    let (disk, clock) = (SimStorage::new(1), clock());
    let (partition, _) = open_at(&disk, &clock, config()).unwrap();
    stock_up(&partition).unwrap();
    partition.execute(meta(1), &reserve(0, 0, 48)).unwrap();
    clock.pass(HOUR_MS / 2);
    partition.execute(meta(2), &reserve(0, 0, 48)).unwrap();
    partition.close().unwrap();
    drop(partition);
    let times = [UtcMillis::new(START_MS + HOUR_MS / 2)]
        .into_iter()
        .collect();
    forge(&disk, vec![Event::Reacquired(ReservationId(1), times)]);
    let (partition, _) = open_at(&disk, &clock, config()).unwrap();
    assert_eq!(partition.reconcile().unwrap().oversold_units, 46);
}
