//! An event loop syncs what its turn left; a turn that is forgotten or does not end is synced all the same.

mod common;

use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use bespeak_engine::Meta;
use bespeak_journal::storage::SimStorage;
use bespeak_journal::{Hooks, Partition, PartitionConfig, PartitionError, SyncBy};
use common::shop::{clock, config, reserve, stock_up};

/// Tells of each revision that became durable.
struct Told(Mutex<mpsc::Sender<u64>>);

impl Hooks for Told {
    fn durable(&self, revision: u64) {
        // The test may have ended.
        let _ = self.0.lock().unwrap().send(revision);
    }
}

fn by_turns(seal_after: Duration) -> (Partition, mpsc::Receiver<u64>) {
    let (told, heard) = mpsc::channel();
    let config = PartitionConfig {
        sync_by: SyncBy::Turn,
        seal_after,
        ..config()
    };
    let hooks = Arc::new(Told(Mutex::new(told)));
    let (partition, _) =
        Partition::open(Arc::new(SimStorage::new(1)), config, clock(), hooks).unwrap();
    stock_up(&partition).unwrap();
    (partition, heard)
}

/// Executes without waiting for the disk.
fn begin(partition: &Partition) -> u64 {
    let seen = partition.write(
        Meta::default(),
        |_| Ok::<_, PartitionError>(reserve(0, 0, 1)),
        |_, answer| Ok(answer),
    );
    seen.result.unwrap();
    seen.revision
}

#[test]
fn the_end_of_a_turn_makes_all_of_it_durable_at_once() {
    let (partition, _heard) = by_turns(Duration::from_secs(3_600));
    let before = partition.durable_revision();
    let syncs = || {
        partition
            .journal()
            .unwrap()
            .stats()
            .batch_records
            .snapshot()
            .count
    };
    let batches = syncs();
    let last = (0..40).map(|_| begin(&partition)).last().unwrap();
    assert_eq!(partition.durable_revision(), before, "the turn is not over");
    partition.end_turn();
    assert_eq!(partition.durable_revision(), last);
    assert_eq!(syncs(), batches + 1);
    partition.end_turn();
    assert_eq!(syncs(), batches + 1, "nothing was left to sync");
}

#[test]
fn a_turn_that_does_not_end_is_synced_by_the_thread() {
    let (partition, heard) = by_turns(Duration::from_secs(3_600));
    let last = (0..300).map(|_| begin(&partition)).last().unwrap();
    // Nobody ends the turn and nobody waits; what is told came from the thread.
    let told = heard.iter().find(|&revision| revision >= last - 300 + 256);
    assert!(told.is_some());
}

#[test]
fn what_a_forgotten_turn_left_is_synced_all_the_same() {
    let (partition, heard) = by_turns(Duration::from_millis(1));
    let last = begin(&partition);
    assert!(heard.iter().any(|revision| revision >= last));
}

#[test]
fn loops_that_end_their_turns_at_once_leave_nothing_behind() {
    let (partition, heard) = by_turns(Duration::from_secs(3_600));
    for _ in 0..50 {
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..5 {
                        begin(&partition);
                        partition.end_turn();
                    }
                });
            }
        });
        let newest = partition.peek(|state| state.revision()).unwrap();
        // The thread may have taken over from two that met.
        assert!(partition.durable_revision() == newest || heard.iter().any(|at| at >= newest));
    }
}
