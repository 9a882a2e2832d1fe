//! What a log does when nothing fails.

mod common;

use std::sync::Arc;

use bespeak_aside::PIECE_BYTES;
use bespeak_journal::storage::{FsStorage, SimStorage, Storage};
use bespeak_journal::{Batch, JournalError, Log, LogConfig, RecordMeta, read_at_rest};
use common::{append, file_len, id, meta, open, payload, revisions, segment_names, small};

#[test]
fn records_survive_reopening_across_segments() {
    let disk = SimStorage::new(1);
    for round in 0..10_u64 {
        let (mut log, report) = open(&disk).unwrap();
        assert_eq!(report.newest.revision, round * 20);
        assert_eq!(log.epoch(), round as u32 + 1);
        assert_eq!(report.cut, None);
        for _ in 0..5 {
            append(&mut log, 4).unwrap();
        }
    }
    assert_eq!(revisions(&disk).unwrap(), (1..=200).collect::<Vec<_>>());
    assert!(segment_names(&disk).len() > 5);
}

#[test]
fn a_reader_sees_what_is_durable_and_may_start_anywhere() {
    let disk = SimStorage::new(1);
    let (mut log, _) = open(&disk).unwrap();
    let view = log.view();
    for _ in 0..30 {
        append(&mut log, 3).unwrap();
        let newest = view.newest();
        assert_eq!(newest.revision, log.next_revision() - 1);
        for from in [
            1,
            newest.revision / 2 + 1,
            newest.revision,
            newest.revision + 1,
        ] {
            let mut reader = view.read_from(from).unwrap();
            let mut next = from;
            while let Some(record) = reader.next().unwrap() {
                assert_eq!(record.header.meta, meta(next));
                assert_eq!(record.payload, payload(next));
                next += 1;
            }
            assert_eq!(next, newest.revision + 1);
        }
    }
    assert!(matches!(
        view.read_from(92),
        Err(JournalError::OutOfRetention { asked: 92, .. })
    ));
}

#[test]
fn a_reader_calls_between_pieces_of_a_segment_and_before_its_first_record() {
    let disk = SimStorage::new(1);
    let config = LogConfig {
        segment_bytes: 3 << 20,
        ..small()
    };
    let (mut log, _) = Log::open(Arc::new(disk.clone()), config).unwrap();
    for _ in 0..300 {
        append(&mut log, 3).unwrap();
    }
    let calls = |from: u64, until: u64| {
        let mut reader = log.view().read_from(from).unwrap();
        let mut calls = 0;
        for revision in from..=until {
            let read = reader.next_with(&mut || calls += 1).unwrap().unwrap();
            assert_eq!(read.header.meta, meta(revision));
        }
        calls
    };
    let mut last = log.view().read_from(900).unwrap();
    let pieces = last
        .next()
        .unwrap()
        .unwrap()
        .offset
        .div_ceil(PIECE_BYTES as u64);
    assert!(pieces > 1);
    assert_eq!(calls(1, 3), pieces, "one for each piece of the file");
    assert_eq!(calls(1, 900), pieces, "and none for records that it lends");
    assert_eq!(
        calls(601, 900),
        pieces + 200,
        "one for each batch that is passed over"
    );
}

#[test]
fn single_records_and_request_ids_are_found_before_and_after_reopening() {
    let disk = SimStorage::new(1);
    let (mut log, _) = open(&disk).unwrap();
    for _ in 0..40 {
        append(&mut log, 3).unwrap();
    }
    let check = |log: &Log| {
        let view = log.view();
        for revision in 1..=120 {
            let record = view.read_record(revision).unwrap();
            assert_eq!(record.header.meta, meta(revision));
            assert_eq!(record.payload, payload(revision));
            assert_eq!(
                view.find_request(&id(revision), u64::MAX).unwrap(),
                Some(revision)
            );
        }
        assert_eq!(view.find_request(&id(121), u64::MAX).unwrap(), None);
        assert!(matches!(
            view.read_record(121),
            Err(JournalError::OutOfRetention { .. })
        ));
        assert!(matches!(
            view.read_record(0),
            Err(JournalError::OutOfRetention { .. })
        ));
    };
    check(&log);
    drop(log);
    check(&open(&disk).unwrap().0);
    // Without its indexes the journal opens all the same, and makes them again.
    let indexes: Vec<_> = disk
        .list()
        .unwrap()
        .into_iter()
        .filter(|name| name.ends_with(".idx"))
        .collect();
    assert!(indexes.len() > 3);
    for name in &indexes {
        disk.remove(name).unwrap();
    }
    check(&open(&disk).unwrap().0);
    assert!(
        indexes
            .iter()
            .all(|name| disk.list().unwrap().contains(name))
    );
}

#[test]
fn an_index_that_rots_is_built_again_from_its_segment() {
    let disk = SimStorage::new(1);
    let (mut log, _) = open(&disk).unwrap();
    for _ in 0..40 {
        append(&mut log, 3).unwrap();
    }
    let index = disk
        .list()
        .unwrap()
        .into_iter()
        .find(|name| name.ends_with(".idx"))
        .unwrap();
    disk.corrupt(&index, 4096 + 20, 1).unwrap();
    for revision in 1..=120 {
        assert_eq!(
            log.view().find_request(&id(revision), u64::MAX).unwrap(),
            Some(revision)
        );
    }
}

#[test]
fn request_ids_beyond_the_window_are_not_loaded() {
    let disk = SimStorage::new(1);
    let (mut log, _) = open(&disk).unwrap();
    for _ in 0..40 {
        append(&mut log, 3).unwrap();
    }
    drop(log);
    let config = LogConfig {
        index_window_ms: 300,
        ..small()
    };
    let (log, _) = Log::open(Arc::new(disk), config).unwrap();
    assert_eq!(log.view().find_request(&id(1), u64::MAX).unwrap(), None);
    assert_eq!(
        log.view().find_request(&id(100), u64::MAX).unwrap(),
        Some(100)
    );
    assert_eq!(
        log.view().read_record(1).unwrap().payload,
        payload(1),
        "still readable"
    );
}

#[test]
fn request_ids_beyond_the_window_leave_memory_while_the_log_is_open() {
    let written = |window_ms| {
        let config = LogConfig {
            index_window_ms: window_ms,
            ..small()
        };
        let (mut log, _) = Log::open(Arc::new(SimStorage::new(1)), config).unwrap();
        for _ in 0..16_000 {
            append(&mut log, 3).unwrap();
        }
        log
    };
    let (bounded, whole) = (written(300), written(u64::MAX));
    let find = |log: &Log, revision| log.view().find_request(&id(revision), u64::MAX).unwrap();
    assert_eq!(find(&whole, 1), Some(1));
    assert_eq!(find(&bounded, 1), None);
    assert_eq!(find(&bounded, 47_980), Some(47_980), "within the window");
    let [few, all] = [&bounded, &whole].map(|log| log.view().index_memory_bytes());
    assert!(4 * few < all, "{few} of {all}");
    assert_eq!(bounded.view().read_record(1).unwrap().payload, payload(1));
}

#[test]
fn a_batch_larger_than_a_segment_is_written_in_pieces() {
    let disk = SimStorage::new(1);
    let (mut log, _) = open(&disk).unwrap();
    append(&mut log, 200).unwrap();
    append(&mut log, 1).unwrap();
    drop(log);
    assert_eq!(revisions(&disk).unwrap(), (1..=201).collect::<Vec<_>>());
    assert!(segment_names(&disk).len() > 4);
}

#[test]
fn every_batch_size_fits_or_rolls() {
    // Payload sizes around the room of a segment, so that each way of just fitting happens.
    for size in (0..3 * 1024_usize).step_by(61) {
        let disk = SimStorage::new(1);
        let (mut log, _) = open(&disk).unwrap();
        let mut batch = Batch::new();
        for revision in 1..=12 {
            batch.clear();
            batch
                .push(&meta(revision), &vec![revision as u8; size], 3 * 1024)
                .unwrap();
            log.append(&mut batch).unwrap();
            log.seal().unwrap();
        }
        drop(log);
        for _ in 0..20 {
            drop(open(&disk).unwrap());
        }
        let mut reader = read_at_rest(Arc::new(disk), None).unwrap();
        for revision in 1..=12 {
            let record = reader.next().unwrap().unwrap();
            assert_eq!(record.payload, vec![revision as u8; size]);
        }
        assert!(reader.next().unwrap().is_none() && reader.cut().is_none());
    }
}

#[test]
fn wrong_revisions_and_falling_time_are_refused_without_harm() {
    let disk = SimStorage::new(1);
    let (mut log, _) = open(&disk).unwrap();
    append(&mut log, 3).unwrap();
    let mut batch = Batch::new();
    batch.push(&meta(9), b"x", 10).unwrap();
    assert!(matches!(
        log.append(&mut batch),
        Err(JournalError::WrongRevision {
            expected: 4,
            found: 9
        })
    ));
    batch.clear();
    batch
        .push(
            &RecordMeta {
                time_ms: 5,
                ..meta(4)
            },
            b"x",
            10,
        )
        .unwrap();
    assert!(matches!(
        log.append(&mut batch),
        Err(JournalError::TimeFalls { revision: 4, .. })
    ));
    append(&mut log, 1).unwrap();
    assert_eq!(revisions(&disk).unwrap(), [1, 2, 3, 4]);
}

#[test]
fn an_idle_log_writes_one_seal() {
    let disk = SimStorage::new(1);
    let (mut log, _) = open(&disk).unwrap();
    log.seal().unwrap();
    assert_eq!(
        log.view()
            .stats()
            .seals
            .load(std::sync::atomic::Ordering::Relaxed),
        0
    );
    append(&mut log, 1).unwrap();
    for _ in 0..5 {
        log.seal().unwrap();
    }
    assert_eq!(
        log.view()
            .stats()
            .seals
            .load(std::sync::atomic::Ordering::Relaxed),
        1
    );
}

#[test]
fn a_second_writer_is_refused_until_the_first_is_gone() {
    let disk = SimStorage::new(1);
    let (log, _) = open(&disk).unwrap();
    assert!(matches!(open(&disk), Err(JournalError::Locked { .. })));
    drop(log);
    assert_eq!(open(&disk).unwrap().0.epoch(), 2);
}

#[test]
fn old_segments_are_removed_but_not_under_a_reader() {
    let disk = SimStorage::new(1);
    let (mut log, _) = open(&disk).unwrap();
    for _ in 0..50 {
        append(&mut log, 3).unwrap();
    }
    let view = log.view();
    let before = view.segments();
    let mut reader = view.read_from(1).unwrap();
    assert_eq!(view.remove_before(100).unwrap(), 0);
    while reader.next().unwrap().is_some() {}
    drop(reader);
    let removed = view.remove_before(100).unwrap();
    assert!(removed > 0);
    assert_eq!(view.oldest_revision(), before[removed].first_revision);
    assert!(
        view.oldest_revision() <= 100,
        "the segment that holds 100 stays"
    );
    assert!(matches!(
        view.read_record(1),
        Err(JournalError::OutOfRetention { .. })
    ));
    assert_eq!(view.find_request(&id(1), u64::MAX).unwrap(), None);
    assert_eq!(
        view.remove_before(u64::MAX).unwrap(),
        view_len(&before) - removed - 1
    );
    assert_eq!(view.segments().len(), 1, "the active segment stays");
    drop((view, log));
    let (log, report) = open(&disk).unwrap();
    assert_eq!(report.newest.revision, 150);
    assert_eq!(log.view().read_record(150).unwrap().payload, payload(150));
    assert!(
        !disk
            .list()
            .unwrap()
            .iter()
            .any(|name| name.ends_with(".idx"))
    );
}

fn view_len(segments: &[bespeak_journal::SegmentInfo]) -> usize {
    segments.len()
}

#[test]
fn real_files_with_a_background_keeper() {
    let dir = tempfile::tempdir().unwrap();
    let storage: Arc<dyn Storage> = Arc::new(FsStorage::new(dir.path().join("a/b")).unwrap());
    let config = LogConfig {
        background: true,
        segment_bytes: 64 * 1024,
        ..small()
    };
    for round in 0..3_u64 {
        let (mut log, report) = Log::open(Arc::clone(&storage), config.clone()).unwrap();
        assert_eq!(report.newest.revision, round * 600);
        assert!(matches!(
            Log::open(Arc::clone(&storage), config.clone()),
            Err(JournalError::Locked { .. })
        ));
        for _ in 0..100 {
            append(&mut log, 6).unwrap();
        }
        for revision in [1, 17, log.next_revision() - 1] {
            assert_eq!(
                log.view().find_request(&id(revision), u64::MAX).unwrap(),
                Some(revision)
            );
            assert_eq!(
                log.view().read_record(revision).unwrap().payload,
                payload(revision)
            );
        }
    }
    let mut reader = read_at_rest(storage, None).unwrap();
    let mut count = 0;
    while let Some(record) = reader.next().unwrap() {
        count += 1;
        assert_eq!(record.payload, payload(record.header.meta.revision));
    }
    assert_eq!(count, 1800);
}

#[test]
fn segments_are_written_ahead_and_never_grow() {
    let disk = SimStorage::new(1);
    let (mut log, _) = open(&disk).unwrap();
    for _ in 0..20 {
        append(&mut log, 3).unwrap();
        for name in segment_names(&disk) {
            assert_eq!(file_len(&disk, &name), 8 * 1024);
        }
    }
}

#[test]
fn settings_that_cannot_work_are_named() {
    let cases: [(&str, LogConfig); 5] = [
        (
            "block_bytes",
            LogConfig {
                block_bytes: 100,
                ..small()
            },
        ),
        (
            "block_bytes",
            LogConfig {
                block_bytes: 1 << 20,
                ..small()
            },
        ),
        (
            "segment_bytes",
            LogConfig {
                segment_bytes: 1000,
                ..small()
            },
        ),
        (
            "segment_bytes",
            LogConfig {
                segment_bytes: 4096,
                ..small()
            },
        ),
        (
            "max_record_bytes",
            LogConfig {
                max_record_bytes: 1 << 30,
                ..small()
            },
        ),
    ];
    for (name, config) in cases {
        let result = Log::open(Arc::new(SimStorage::new(1)), config);
        assert!(
            matches!(&result, Err(JournalError::Config { setting, .. }) if *setting == name),
            "{name}"
        );
    }
}
