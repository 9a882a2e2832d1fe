//! Torn tails are cut, damage is refused, and nothing wrong is ever returned.

mod common;

use std::sync::Arc;

use bespeak_journal::storage::{CrashMode, SimStorage, Storage};
use bespeak_journal::{Batch, JournalError, Log, read_at_rest};
use common::{append, file_len, open, revisions, segment_names};

/// A journal of one segment with `batches` batches of two records, closed with a seal.
fn one_segment(batches: u64) -> SimStorage {
    let disk = SimStorage::new(1);
    let (mut log, _) = open(&disk).unwrap();
    for _ in 0..batches {
        append(&mut log, 2).unwrap();
    }
    log.seal().unwrap();
    disk.crash(CrashMode::KeepAll, 0)
}

/// Offset behind the last byte that is not zero.
fn written_end(disk: &SimStorage, name: &str) -> u64 {
    let mut data = vec![0; file_len(disk, name) as usize];
    disk.open(name, false)
        .unwrap()
        .read_exact_at(&mut data, 0)
        .unwrap();
    data.iter().rposition(|&byte| byte != 0).unwrap() as u64 + 1
}

#[test]
fn a_tail_torn_at_any_byte_loses_only_the_unfinished_batch() {
    let disk = SimStorage::new(1);
    let (mut log, _) = open(&disk).unwrap();
    for _ in 0..4 {
        append(&mut log, 2).unwrap();
    }
    let name = segment_names(&disk)[0].clone();
    let start = written_end(&disk, &name).next_multiple_of(512);
    append(&mut log, 1).unwrap();
    let end = written_end(&disk, &name);
    assert!(end > start + 100);
    let durable = disk.crash(CrashMode::KeepAll, 0);
    for cut_at in start..end {
        let torn = durable.fork();
        let file = torn.open(&name, true).unwrap();
        file.write_all_at(&vec![0; (end - cut_at) as usize], cut_at)
            .unwrap();
        let (mut log, report) = open(&torn).unwrap();
        assert_eq!(report.newest.revision, 8, "cut at {cut_at}");
        let cut = report.cut.clone();
        if cut_at == start {
            assert_eq!(cut, None);
        } else {
            let cut = cut.unwrap();
            assert_eq!((cut.offset, cut.segment.as_str()), (start, name.as_str()));
        }
        append(&mut log, 1).unwrap();
        drop(log);
        assert_eq!(revisions(&torn).unwrap(), (1..=9).collect::<Vec<_>>());
    }
}

#[test]
fn every_flipped_bit_of_a_segment_is_noticed_and_loses_nothing_that_was_sealed() {
    let disk = one_segment(4);
    let name = segment_names(&disk)[0].clone();
    let end = written_end(&disk, &name);
    let mut refused = 0;
    let mut cut = 0;
    for offset in 0..file_len(&disk, &name) {
        // All bits where something is written, one bit of each byte in the zeros behind.
        let bits = if offset < end.next_multiple_of(512) {
            0..8
        } else {
            offset % 8..offset % 8 + 1
        };
        for bit in bits {
            disk.corrupt(&name, offset, 1 << bit).unwrap();
            let mut reader = match read_at_rest(Arc::new(disk.clone()), None) {
                Ok(reader) => reader,
                Err(JournalError::Damaged { file, .. }) => {
                    assert_eq!(file, name);
                    refused += 1;
                    disk.corrupt(&name, offset, 1 << bit).unwrap();
                    continue;
                }
                Err(other) => panic!("{other}"),
            };
            let mut found = 0;
            loop {
                match reader.next() {
                    Ok(Some(record)) => {
                        found += 1;
                        assert_eq!(record.payload, common::payload(found));
                    }
                    Ok(None) => {
                        let report = reader.cut().expect("the flip is reported");
                        assert_eq!(found, 8, "sealed records are all there: {offset} {bit}");
                        assert!(
                            report.offset <= offset && offset < report.offset + report.bytes.max(1)
                        );
                        cut += 1;
                        break;
                    }
                    Err(JournalError::Damaged {
                        file, offset: at, ..
                    }) => {
                        assert_eq!(file, name);
                        assert!(
                            at <= offset && offset < at + 512,
                            "{at} names the place of {offset}"
                        );
                        refused += 1;
                        break;
                    }
                    Err(other) => panic!("{other}"),
                }
            }
            disk.corrupt(&name, offset, 1 << bit).unwrap();
        }
    }
    assert!(
        refused > 10_000 && cut > 1_000,
        "{refused} refused, {cut} cut"
    );
}

#[test]
fn every_flipped_bit_of_a_finished_segment_is_refused() {
    let disk = SimStorage::new(1);
    let (mut log, _) = open(&disk).unwrap();
    for _ in 0..4 {
        append(&mut log, 2).unwrap();
    }
    // Does not fit behind the others, so that zeros are left behind the end frame.
    append(&mut log, 25).unwrap();
    drop(log);
    let names = segment_names(&disk);
    assert_eq!(names.len(), 2);
    let name = &names[0];
    assert!(written_end(&disk, name) + 2 * 512 < file_len(&disk, name));
    for offset in 0..file_len(&disk, name) {
        for bit in 0..8 {
            disk.corrupt(name, offset, 1 << bit).unwrap();
            let error = revisions(&disk).unwrap_err();
            assert!(
                matches!(&error, JournalError::Damaged { file, offset: at, .. } if file == name && *at <= offset),
                "byte {offset} bit {bit}: {error}"
            );
            disk.corrupt(name, offset, 1 << bit).unwrap();
        }
    }
    revisions(&disk).unwrap();
}

#[test]
fn a_flip_in_a_batch_that_was_followed_by_another_is_never_cut() {
    let disk = SimStorage::new(1);
    let (mut log, _) = open(&disk).unwrap();
    append(&mut log, 2).unwrap();
    append(&mut log, 2).unwrap();
    let disk = disk.crash(CrashMode::KeepAll, 0);
    let name = segment_names(&disk)[0].clone();
    // The first batch, without any seal behind the second.
    for offset in 512..1024 {
        disk.corrupt(&name, offset, 0x10).unwrap();
        let result = open(&disk.fork());
        assert!(
            matches!(result, Err(JournalError::Damaged { .. })),
            "byte {offset}"
        );
        disk.corrupt(&name, offset, 0x10).unwrap();
    }
}

#[test]
fn damage_to_the_last_batch_and_its_seal_together_is_not_cut() {
    let disk = one_segment(4);
    let name = segment_names(&disk)[0].clone();
    let seal = written_end(&disk, &name) / 512 * 512;
    let batch = seal - 512;
    for (in_batch, in_seal) in [(5, 5), (20, 60), (30, 24), (100, 13), (100, 1), (200, 50)] {
        let both = disk.fork();
        both.corrupt(&name, batch + in_batch, 4).unwrap();
        both.corrupt(&name, seal + in_seal, 4).unwrap();
        assert!(
            matches!(open(&both), Err(JournalError::Damaged { .. })),
            "{in_batch} {in_seal}"
        );
    }
}

#[test]
fn a_batch_wiped_out_whole_is_damage_when_something_follows_it() {
    let disk = one_segment(4);
    let name = segment_names(&disk)[0].clone();
    let end = written_end(&disk, &name).next_multiple_of(512);
    for block in (512..end - 512).step_by(512) {
        let wiped = disk.fork();
        wiped
            .open(&name, true)
            .unwrap()
            .write_all_at(&[0; 512], block)
            .unwrap();
        assert!(
            matches!(open(&wiped), Err(JournalError::Damaged { .. })),
            "block {block}"
        );
    }
}

#[test]
fn bytes_that_were_cut_never_come_back() {
    // An unfinished large batch leaves whole blocks behind its torn first one; a smaller batch
    // is written over its start; what is left must stay cut.
    let disk = SimStorage::new(1);
    let (mut log, _) = open(&disk).unwrap();
    append(&mut log, 2).unwrap();
    let name = segment_names(&disk)[0].clone();
    let start = written_end(&disk, &name).next_multiple_of(512);
    append(&mut log, 12).unwrap();
    let disk = disk.crash(CrashMode::KeepAll, 0);
    disk.open(&name, true)
        .unwrap()
        .write_all_at(&[0; 512], start)
        .unwrap();
    let (mut log, report) = open(&disk).unwrap();
    assert_eq!(report.newest.revision, 2);
    assert!(report.cut.unwrap().bytes > 1024);
    append(&mut log, 1).unwrap();
    for seed in 0..20 {
        let crashed = disk.crash(CrashMode::Shuffle, seed);
        let (log, report) = open(&crashed).unwrap();
        assert_eq!(
            (report.newest.revision, report.cut),
            (3, None),
            "seed {seed}"
        );
        drop(log);
    }
}

#[test]
fn a_missing_or_foreign_segment_is_refused() {
    let disk = SimStorage::new(1);
    let (mut log, _) = open(&disk).unwrap();
    for _ in 0..40 {
        append(&mut log, 2).unwrap();
    }
    drop(log);
    let names = segment_names(&disk);
    assert!(names.len() >= 4);
    let gap = disk.fork();
    gap.remove(&names[1]).unwrap();
    assert!(matches!(revisions(&gap), Err(JournalError::Damaged { file, .. }) if file == names[2]));

    let swapped = disk.fork();
    swapped.rename(&names[2], &names[1]).unwrap();
    assert!(matches!(
        revisions(&swapped),
        Err(JournalError::Damaged { offset: 32, .. })
    ));

    // The same revisions written by another journal.
    let other = SimStorage::new(2);
    let config = bespeak_journal::LogConfig {
        journal_id: Some([8; 16]),
        ..common::small()
    };
    let (mut log, _) = Log::open(Arc::new(other.clone()), config).unwrap();
    for _ in 0..40 {
        append(&mut log, 2).unwrap();
    }
    let mut data = vec![0; file_len(&other, &names[1]) as usize];
    other
        .open(&names[1], false)
        .unwrap()
        .read_exact_at(&mut data, 0)
        .unwrap();
    let mixed = disk.fork();
    mixed
        .open(&names[1], true)
        .unwrap()
        .write_all_at(&data, 0)
        .unwrap();
    assert!(
        matches!(revisions(&mixed), Err(JournalError::Damaged { file, .. }) if file == names[1])
    );
}

/// Two journals of the same identity that part after their first batch, as after a restore to an
/// earlier moment.
fn two_histories() -> (SimStorage, SimStorage) {
    let write = |byte: u8| {
        let disk = SimStorage::new(1);
        let (mut log, _) = open(&disk).unwrap();
        append(&mut log, 2).unwrap();
        let mut batch = Batch::new();
        for revision in 3..=60 {
            batch.clear();
            let payload = vec![byte; 300];
            batch
                .push(&common::meta(revision), &payload, 3 * 1024)
                .unwrap();
            log.append(&mut batch).unwrap();
        }
        log.seal().unwrap();
        disk.crash(CrashMode::KeepAll, 0)
    };
    (write(1), write(2))
}

fn read_all(disk: &SimStorage) -> Result<(), JournalError> {
    let mut reader = read_at_rest(Arc::new(disk.clone()), None)?;
    while reader.next()?.is_some() {}
    Ok(())
}

#[test]
fn the_hash_chain_refuses_bytes_of_another_history() {
    let (one, other) = two_histories();
    let names = segment_names(&one);
    assert_eq!(names, segment_names(&other));
    // A batch in the middle of the first segment: every checksum holds, the chain does not.
    let mut frame = vec![0; 512];
    other
        .open(&names[0], false)
        .unwrap()
        .read_exact_at(&mut frame, 3 * 512)
        .unwrap();
    let spliced = one.fork();
    spliced
        .open(&names[0], true)
        .unwrap()
        .write_all_at(&frame, 3 * 512)
        .unwrap();
    let error = read_all(&spliced).unwrap_err();
    assert!(
        matches!(&error, JournalError::Damaged { offset: 1536, what, .. } if what.contains("hash chain")),
        "{error}"
    );
    // A whole segment, which is sound in itself.
    let mut segment = vec![0; file_len(&other, &names[1]) as usize];
    other
        .open(&names[1], false)
        .unwrap()
        .read_exact_at(&mut segment, 0)
        .unwrap();
    let spliced = one.fork();
    spliced
        .open(&names[1], true)
        .unwrap()
        .write_all_at(&segment, 0)
        .unwrap();
    let error = read_all(&spliced).unwrap_err();
    assert!(
        matches!(&error, JournalError::Damaged { file, offset: 64, .. } if *file == names[1]),
        "{error}"
    );
}

#[test]
fn a_snapshot_without_segments_is_not_an_empty_journal() {
    let disk = SimStorage::new(1);
    disk.create("snapshot-00000000000000000009.snap", 0)
        .unwrap();
    assert!(matches!(open(&disk), Err(JournalError::Damaged { .. })));
}

#[test]
fn arbitrary_bytes_never_panic() {
    let mut dice = common::Dice(42);
    let good = one_segment(6);
    let name = segment_names(&good)[0].clone();
    let len = file_len(&good, &name);
    for _ in 0..3_000 {
        let disk = good.fork();
        for _ in 0..=dice.below(4) {
            let at = dice.below(len);
            let count = 1 + dice.below(64.min(len - at));
            let junk: Vec<u8> = (0..count).map(|_| dice.below(256) as u8).collect();
            disk.open(&name, true)
                .unwrap()
                .write_all_at(&junk, at)
                .unwrap();
        }
        if let Ok(found) = revisions(&disk) {
            // Junk over the starts of all the last frames at once looks like a torn write.
            assert_eq!(found, (1..=found.len() as u64).collect::<Vec<_>>());
        }
        let _ = open(&disk);
    }
}
