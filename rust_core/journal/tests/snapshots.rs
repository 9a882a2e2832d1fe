//! Snapshots are whole or not there.

mod common;

use std::io::{Read, Write};

use bespeak_journal::storage::{CrashMode, SimStorage, Storage};
use bespeak_journal::{
    JournalError, Position, SnapshotReader, SnapshotWriter, list_snapshots, prune_snapshots,
    snapshot_info,
};

const ID: [u8; 16] = [7; 16];

fn position(revision: u64) -> Position {
    Position {
        revision,
        time_ms: revision * 100,
        epoch: 2,
        chain: [revision as u8; 32],
    }
}

fn content(revision: u64, len: usize) -> Vec<u8> {
    (0..len)
        .map(|at| (at as u64 * 13 + revision) as u8)
        .collect()
}

fn write(disk: &SimStorage, revision: u64, len: usize) -> Result<(), JournalError> {
    let mut writer = SnapshotWriter::create(disk, ID, position(revision), 1)?;
    for piece in content(revision, len).chunks(70_001) {
        writer.write_all(piece).map_err(|source| JournalError::Io {
            action: "write",
            file: "snapshot".to_owned(),
            source,
        })?;
    }
    writer.finish().map(|_| ())
}

fn read(disk: &SimStorage, revision: u64) -> Result<Vec<u8>, JournalError> {
    let mut reader = SnapshotReader::open(disk, revision)?;
    let mut data = Vec::new();
    let read = reader.read_to_end(&mut data);
    reader.finish()?;
    assert!(read.is_ok(), "a failed read is a failed finish");
    Ok(data)
}

#[test]
fn content_of_any_length_comes_back() {
    let disk = SimStorage::new(1);
    for (at, len) in [0, 1, 1_048_575, 1_048_576, 1_048_577, 3_000_000]
        .into_iter()
        .enumerate()
    {
        let revision = at as u64 + 1;
        write(&disk, revision, len).unwrap();
        assert_eq!(read(&disk, revision).unwrap(), content(revision, len));
        let info = snapshot_info(&disk, revision).unwrap();
        assert_eq!(
            (info.position, info.content_bytes),
            (position(revision), len as u64)
        );
    }
    assert_eq!(list_snapshots(&disk).unwrap(), [1, 2, 3, 4, 5, 6]);
}

#[test]
fn every_flipped_bit_is_noticed() {
    let disk = SimStorage::new(1);
    write(&disk, 9, 700).unwrap();
    let name = "snapshot-00000000000000000009.snap";
    for offset in 0..common::file_len(&disk, name) {
        for bit in 0..8 {
            disk.corrupt(name, offset, 1 << bit).unwrap();
            match read(&disk, 9).unwrap_err() {
                JournalError::Damaged { offset: at, .. } if offset >= 256 => assert_eq!(at, 256),
                JournalError::Damaged { .. } | JournalError::NewerFormat { .. } => {}
                other => panic!("byte {offset} bit {bit}: {other}"),
            }
            disk.corrupt(name, offset, 1 << bit).unwrap();
        }
    }
    assert_eq!(read(&disk, 9).unwrap(), content(9, 700));
}

#[test]
fn a_chunk_of_another_snapshot_is_refused_by_the_hash() {
    let disk = SimStorage::new(1);
    write(&disk, 4, 700).unwrap();
    write(&disk, 9, 700).unwrap();
    let mut chunk = vec![0; 708];
    let other = disk
        .open("snapshot-00000000000000000009.snap", false)
        .unwrap();
    other.read_exact_at(&mut chunk, 256).unwrap();
    let file = disk
        .open("snapshot-00000000000000000004.snap", true)
        .unwrap();
    file.write_all_at(&chunk, 256).unwrap();
    assert!(matches!(
        read(&disk, 4),
        Err(JournalError::Damaged { offset: 112, .. })
    ));
}

#[test]
fn a_power_loss_leaves_a_whole_snapshot_or_none() {
    let mut seen = [0, 0];
    for cut_at in 0..24 {
        let disk = SimStorage::new(1);
        write(&disk, 4, 5_000).unwrap();
        disk.power_off_after(cut_at);
        let written = write(&disk, 9, 1_100_000);
        for seed in 0..5 {
            for mode in [
                CrashMode::LoseUnsynced,
                CrashMode::KeepAll,
                CrashMode::Shuffle,
            ] {
                let crashed = disk.crash(mode, seed);
                assert_eq!(read(&crashed, 4).unwrap(), content(4, 5_000));
                let found = list_snapshots(&crashed).unwrap().contains(&9);
                if found {
                    assert_eq!(read(&crashed, 9).unwrap(), content(9, 1_100_000));
                }
                assert!(found || written.is_err(), "a finished snapshot is durable");
                seen[usize::from(found)] += 1;
            }
        }
    }
    assert!(seen[0] > 20 && seen[1] > 20, "{seen:?}");
}

#[test]
fn the_two_newest_and_the_base_of_the_horizon_are_kept() {
    let disk = SimStorage::new(1);
    for revision in [10, 20, 30, 40, 50] {
        write(&disk, revision, 10).unwrap();
    }
    // Times are a hundred times the revision.
    assert_eq!(prune_snapshots(&disk, 2_500).unwrap(), Some(20));
    assert_eq!(list_snapshots(&disk).unwrap(), [20, 40, 50]);
    assert_eq!(
        prune_snapshots(&disk, 1_000).unwrap(),
        None,
        "older history is still needed"
    );
    assert_eq!(list_snapshots(&disk).unwrap(), [20, 40, 50]);
    assert_eq!(prune_snapshots(&disk, 9_999).unwrap(), Some(40));
    assert_eq!(list_snapshots(&disk).unwrap(), [40, 50]);
    disk.remove("snapshot-00000000000000000040.snap").unwrap();
    assert_eq!(prune_snapshots(&disk, 9_999).unwrap(), Some(50));
}
