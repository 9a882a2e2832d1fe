//! Backup while running, restore to the end and to any moment, verify.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bespeak_journal::storage::{CrashMode, FsStorage, SimStorage, Storage};
use bespeak_journal::{
    JournalError, Log, LogConfig, Moment, RestoreTo, VerifyReport, dir_stats, read_at_rest,
    read_manifest, restore, verify, verify_backup,
};
use common::Dice;
use common::shop::{any_command, clock, config, meta, open_at, stock_up};
use common::{append, open, revisions, segment_names, small};

fn shared(disk: &SimStorage) -> Arc<dyn Storage> {
    Arc::new(disk.clone())
}

/// A journal of several segments in batches of 1 to 5 records, and its backup.
fn backed_up() -> (SimStorage, SimStorage, u64) {
    let (disk, backup) = (SimStorage::new(1), SimStorage::new(2));
    let (mut log, _) = open(&disk).unwrap();
    for number in 0..30 {
        append(&mut log, 1 + number % 5).unwrap();
    }
    let manifest = log.view().backup(&backup).unwrap();
    assert_eq!(manifest.newest, log.view().newest());
    (disk, backup, manifest.newest.revision)
}

#[test]
fn a_restored_journal_is_the_journal() {
    let (disk, backup, newest) = backed_up();
    assert!(segment_names(&disk).len() > 2);
    verify_backup(&backup).unwrap();
    let restored = SimStorage::new(3);
    let report = restore(&backup, &shared(&restored), RestoreTo::End).unwrap();
    assert_eq!((report.newest.revision, report.left_out), (newest, 0));
    assert_eq!(
        revisions(&restored).unwrap(),
        (1..=newest).collect::<Vec<_>>()
    );
    assert_eq!(verify(&shared(&restored)).unwrap().records, newest);
    let restored = restored.crash(CrashMode::LoseUnsynced, 0);
    let (mut log, report) = open(&restored).unwrap();
    assert_eq!((report.newest.revision, report.cut), (newest, None));
    append(&mut log, 3).unwrap();
    assert_eq!(revisions(&restored).unwrap().len() as u64, newest + 3);
}

#[test]
fn every_revision_can_be_restored_to() {
    let (_, backup, newest) = backed_up();
    for moment in 0..=newest {
        for to in [
            RestoreTo::Revision(moment),
            RestoreTo::TimeMs(1_000 + moment * 10 + 9),
        ] {
            if moment == 0 && matches!(to, RestoreTo::TimeMs(_)) {
                continue;
            }
            let restored = SimStorage::new(3);
            let report = restore(&backup, &shared(&restored), to).unwrap();
            assert_eq!(report.newest.revision, moment);
            assert_eq!(report.left_out, newest - moment);
            let restored = restored.crash(CrashMode::LoseUnsynced, 0);
            assert_eq!(
                revisions(&restored).unwrap(),
                (1..=moment).collect::<Vec<_>>()
            );
            assert_eq!(verify(&shared(&restored)).unwrap().unfinished, None);
            let (mut log, report) = open(&restored).unwrap();
            assert_eq!(
                (report.newest.revision, report.cut),
                (moment, None),
                "{to:?}"
            );
            append(&mut log, 2).unwrap();
            drop(log);
            assert_eq!(
                revisions(&restored).unwrap(),
                (1..=moment + 2).collect::<Vec<_>>()
            );
        }
    }
    let beyond = restore(
        &backup,
        &shared(&SimStorage::new(3)),
        RestoreTo::Revision(newest + 1),
    );
    assert!(matches!(beyond, Err(JournalError::OutOfRetention { .. })));
}

#[test]
fn a_restored_partition_is_in_the_state_of_that_moment() {
    let (disk, clock) = (SimStorage::new(1), clock());
    let (partition, _) = open_at(&disk, &clock, config()).unwrap();
    stock_up(&partition).unwrap();
    let mut dice = Dice(8);
    for id in 1..400_u128 {
        clock.pass(dice.below(60_000) as i64);
        let now = partition.peek(|state| state.now().get()).unwrap();
        let _ = partition.execute(meta(id), &any_command(&mut dice, now));
        if id % 130 == 0 {
            partition.snapshot().unwrap();
        }
    }
    let backup = SimStorage::new(2);
    let manifest = partition.journal().unwrap().backup(&backup).unwrap();
    assert_eq!(
        manifest
            .files
            .iter()
            .filter(|file| file.name.ends_with(".snap"))
            .count(),
        3
    );
    for _ in 0..12 {
        let moment = 1 + dice.below(manifest.newest.revision);
        let restored = SimStorage::new(3);
        restore(&backup, &shared(&restored), RestoreTo::Revision(moment)).unwrap();
        let (again, report) = open_at(&restored, &clock, config()).unwrap();
        assert_eq!(report.log.newest.revision, moment);
        let then = partition.as_of(Moment::Revision(moment)).unwrap();
        assert_eq!(again.peek(|state| state.digest()).unwrap(), then.digest());
        assert_eq!(again.reconcile().unwrap().discrepancies, []);
    }
}

#[test]
fn a_backup_can_be_taken_while_others_write() {
    let dir = tempfile::tempdir().unwrap();
    let storage = |name: &str| -> Arc<dyn Storage> {
        Arc::new(FsStorage::new(dir.path().join(name)).unwrap())
    };
    let config = LogConfig {
        background: true,
        segment_bytes: 64 * 1024,
        ..small()
    };
    let (mut log, _) = Log::open(storage("journal"), config).unwrap();
    append(&mut log, 5).unwrap();
    let view = log.view();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            while !stop.load(Ordering::SeqCst) {
                append(&mut log, 3).unwrap();
            }
        });
        for round in 0..5 {
            let backup = storage(&format!("backup-{round}"));
            let before = view.newest().revision;
            let manifest = view.backup(backup.as_ref()).unwrap();
            assert!(manifest.newest.revision >= before);
            verify_backup(backup.as_ref()).unwrap();
            let restored = storage(&format!("restored-{round}"));
            restore(backup.as_ref(), &restored, RestoreTo::End).unwrap();
            let report = verify(&restored).unwrap();
            assert_eq!(report.newest_revision, manifest.newest.revision);
            assert_eq!(report.records, manifest.newest.revision);
            // The journal itself can be read beside its writer.
            assert!(verify(&storage("journal")).unwrap().records >= before);
        }
        stop.store(true, Ordering::SeqCst);
        writer.join().unwrap();
    });
}

#[test]
fn neither_backup_nor_restore_writes_over_anything() {
    let (disk, backup, _) = backed_up();
    let used = SimStorage::new(4);
    used.create("something", 3).unwrap();
    let restored = restore(&backup, &shared(&used), RestoreTo::End);
    assert!(matches!(restored, Err(JournalError::NotEmpty { .. })));
    let (log, _) = open(&disk).unwrap();
    assert!(matches!(
        log.view().backup(&used),
        Err(JournalError::NotEmpty { .. })
    ));
    assert!(matches!(
        log.view().backup(&backup),
        Err(JournalError::NotEmpty { .. })
    ));
}

#[test]
fn a_damaged_backup_is_refused_by_name() {
    let (_, backup, _) = backed_up();
    let names: Vec<String> = read_manifest(&backup)
        .unwrap()
        .files
        .into_iter()
        .map(|file| file.name)
        .collect();
    for name in &names {
        let damaged = backup.fork();
        damaged.corrupt(name, 700, 2).unwrap();
        let refused = verify_backup(&damaged).unwrap_err();
        assert!(matches!(&refused, JournalError::Damaged { file, .. } if file == name));
        let refused = restore(&damaged, &shared(&SimStorage::new(3)), RestoreTo::End).unwrap_err();
        assert!(matches!(&refused, JournalError::Damaged { file, .. } if file == name));
        let missing = backup.fork();
        missing.remove(name).unwrap();
        assert!(verify_backup(&missing).is_err());
        assert!(restore(&missing, &shared(&SimStorage::new(3)), RestoreTo::End).is_err());
    }
    backup.remove("MANIFEST").unwrap();
    assert!(restore(&backup, &shared(&SimStorage::new(3)), RestoreTo::End).is_err());
}

#[test]
fn a_backup_cut_short_is_no_backup_and_a_finished_one_is_durable() {
    let (disk, _, newest) = backed_up();
    let (log, _) = open(&disk).unwrap();
    let mut finished = 0;
    for cut_at in 0..60 {
        let backup = SimStorage::new(cut_at);
        backup.power_off_after(cut_at);
        let result = log.view().backup(&backup);
        let shuffles = (0..24).map(|seed| (CrashMode::Shuffle, seed));
        let modes = [(CrashMode::LoseUnsynced, 0), (CrashMode::KeepAll, 0)];
        for (mode, seed) in modes.into_iter().chain(shuffles) {
            let found = backup.crash(mode, seed);
            let whole = verify_backup(&found);
            let named = found.list().unwrap().iter().any(|name| name == "MANIFEST");
            assert_eq!(whole.is_ok(), named, "cut at {cut_at}, {mode:?}: {whole:?}");
            assert!(
                whole.is_ok() || result.is_err(),
                "cut at {cut_at}, {mode:?}: {whole:?}"
            );
            if let Ok(manifest) = whole {
                assert_eq!(manifest.newest.revision, newest);
            }
        }
        finished += u64::from(result.is_ok());
    }
    assert!(finished > 5 && finished < 55, "{finished}");
}

#[test]
fn a_moment_before_the_oldest_state_is_refused() {
    let (disk, clock) = (SimStorage::new(1), clock());
    let config = bespeak_journal::PartitionConfig {
        retention_ms: 0,
        ..config()
    };
    let (partition, _) = open_at(&disk, &clock, config).unwrap();
    stock_up(&partition).unwrap();
    let mut dice = Dice(8);
    for id in 1..1_500_u128 {
        clock.pass(200_000);
        let now = partition.peek(|state| state.now().get()).unwrap();
        let _ = partition.execute(meta(id), &any_command(&mut dice, now));
        if id % 400 == 0 {
            partition.snapshot().unwrap();
        }
    }
    let oldest = partition.oldest_revision().unwrap();
    assert!(oldest > 0);
    let backup = SimStorage::new(2);
    partition.journal().unwrap().backup(&backup).unwrap();
    let to = |moment| restore(&backup, &shared(&SimStorage::new(3)), moment);
    assert!(matches!(
        to(RestoreTo::Revision(oldest - 1)),
        Err(JournalError::OutOfRetention { .. })
    ));
    assert!(matches!(
        to(RestoreTo::TimeMs(5)),
        Err(JournalError::OutOfRetention { .. })
    ));
    assert_eq!(
        to(RestoreTo::Revision(oldest)).unwrap().newest.revision,
        oldest
    );
}

#[test]
fn verify_names_what_is_damaged_and_counts_what_is_there() {
    let (disk, clock) = (SimStorage::new(1), clock());
    let (partition, _) = open_at(&disk, &clock, config()).unwrap();
    stock_up(&partition).unwrap();
    let mut dice = Dice(8);
    for id in 1..600_u128 {
        clock.pass(1_000);
        let now = partition.peek(|state| state.now().get()).unwrap();
        let _ = partition.execute(meta(id), &any_command(&mut dice, now));
    }
    partition.snapshot().unwrap();
    partition.close().unwrap();
    drop(partition);
    let report: VerifyReport = verify(&shared(&disk)).unwrap();
    let stats = dir_stats(&disk).unwrap();
    assert_eq!(report.records, stats.records);
    assert_eq!(
        (report.newest_revision, report.oldest_revision),
        (stats.newest_revision, 1)
    );
    assert_eq!((report.unfinished, report.stale_indexes), (None, vec![]));
    assert_eq!((stats.snapshots, stats.epoch), (1, 1));
    assert_eq!(stats.indexes + 1, stats.segments);
    assert_eq!(stats.kinds.values().sum::<u64>(), stats.records);
    assert!(stats.payload_bytes > 0 && stats.used_bytes <= stats.segment_bytes);
    let names = disk.list().unwrap();
    for name in names {
        let damaged = disk.fork();
        damaged.corrupt(&name, 4_100, 1).unwrap();
        match verify(&shared(&damaged)) {
            Err(JournalError::Damaged { file, .. }) => assert_eq!(file, name),
            Ok(report) => {
                assert!(name.ends_with(".idx"), "{name}");
                assert_eq!(report.stale_indexes.len(), 1);
                assert!(report.stale_indexes[0].contains(&name));
            }
            Err(other) => panic!("{other}"),
        }
    }
    let empty = verify(&shared(&SimStorage::new(9))).unwrap();
    assert_eq!((empty.segments, empty.records), (0, 0));
    assert!(
        read_at_rest(shared(&SimStorage::new(9)), None)
            .unwrap()
            .next()
            .unwrap()
            .is_none()
    );
}
