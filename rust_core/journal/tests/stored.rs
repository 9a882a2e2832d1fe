//! Journals written by the first version of the format open for ever.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bespeak_engine::{Command, ItemId, LocationId, Meta, ReservationId, StockStatus};
use bespeak_journal::storage::{FsStorage, Storage};
use bespeak_journal::{
    Log, LogConfig, ManualClock, NO_REQUEST, Partition, PartitionConfig, read_at_rest, verify,
};

/// A copy of a stored journal: opening one writes to it.
fn stored(name: &str) -> (tempfile::TempDir, Arc<dyn Storage>) {
    let from: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/journal-v1")
        .join(name);
    let dir = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(&from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), dir.path().join(entry.file_name())).unwrap();
    }
    let storage = Arc::new(FsStorage::existing(dir.path()).unwrap());
    (dir, storage)
}

fn request_id(revision: u64) -> [u8; 16] {
    if revision.is_multiple_of(4) {
        return NO_REQUEST;
    }
    u128::from(revision)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
        .to_be_bytes()
}

#[test]
fn the_log_of_version_1_reads_as_it_was_written() {
    let (_dir, storage) = stored("log");
    let report = verify(&storage).unwrap();
    assert_eq!((report.records, report.newest_revision), (110, 110));
    assert_eq!((report.unfinished, report.stale_indexes), (None, vec![]));
    assert!(report.segments > 1);
    let mut reader = read_at_rest(Arc::clone(&storage), None).unwrap();
    for revision in 1..=110_u64 {
        let record = reader.next().unwrap().unwrap();
        let meta = record.header.meta;
        assert_eq!(meta.revision, revision);
        assert_eq!(meta.time_ms, 1_800_000_000_000 + revision * 250);
        assert_eq!(u64::from(meta.kind), revision % 3);
        assert_eq!(record.header.epoch, if revision <= 55 { 1 } else { 2 });
        assert_eq!(meta.request_id, request_id(revision));
        let payload: Vec<u8> = (0..revision * 37 % 401)
            .map(|at| (at * revision) as u8)
            .collect();
        assert_eq!(record.payload, payload);
    }
    drop(reader);
    let (log, report) = Log::open(storage, LogConfig::default()).unwrap();
    assert_eq!((log.epoch(), report.cut), (3, None));
    for revision in 1..=110 {
        let expected = (revision % 4 != 0).then_some(revision);
        assert_eq!(
            log.view()
                .find_request(&request_id(revision), u64::MAX)
                .unwrap(),
            expected
        );
    }
}

#[test]
fn the_partition_of_version_1_goes_on_where_it_stopped() {
    let (_dir, storage) = stored("partition");
    let report = verify(&storage).unwrap();
    assert_eq!(report.snapshots.len(), 1);
    let clock = Arc::new(ManualClock::new(1_800_003_600_000));
    let open = |storage: Arc<dyn Storage>| {
        Partition::open(
            storage,
            PartitionConfig::default(),
            clock.clone(),
            Arc::new(()),
        )
        .unwrap()
    };
    let (partition, found) = open(Arc::clone(&storage));
    assert_eq!(found.replayed.snapshot_revision, report.snapshots[0]);
    assert_eq!(
        found.replayed.snapshot_revision + found.replayed.records,
        report.newest_revision
    );
    let with_snapshot = partition.peek(|state| state.digest()).unwrap();
    partition
        .peek(|state| {
            let names: Vec<&str> = state
                .catalog()
                .items()
                .iter()
                .map(|item| &*item.name)
                .collect();
            assert_eq!(names, ["tea", "coffee"]);
            let on_hand = |item, location| {
                let id = state
                    .position_id(ItemId(item), LocationId(location))
                    .unwrap();
                state.position(id).on_hand(StockStatus::Unrestricted)
            };
            assert_eq!([on_hand(0, 0), on_hand(0, 1), on_hand(1, 0)], [96, 96, 96]);
            assert_eq!(state.receipt("po-1").unwrap().open().get(), 40);
            assert!(state.reservations().count() > 10);
        })
        .unwrap();
    let reconciled = partition.reconcile().unwrap();
    assert_eq!(
        (reconciled.discrepancies, reconciled.oversold_units),
        (vec![], 0)
    );
    let again = partition
        .execute(
            Meta {
                request_id: 10,
                ..Meta::default()
            },
            &Command::Confirm(ReservationId(4)),
        )
        .unwrap();
    assert!(again.replayed, "the first answer is still the answer");
    partition.close().unwrap();
    drop(partition);

    let (_dir, storage) = stored("partition");
    let name = format!("snapshot-{:020}.snap", report.snapshots[0]);
    storage.remove(&name).unwrap();
    let (partition, found) = open(storage);
    assert_eq!(found.replayed.records, report.newest_revision);
    assert_eq!(
        partition.peek(|state| state.digest()).unwrap(),
        with_snapshot
    );
}
