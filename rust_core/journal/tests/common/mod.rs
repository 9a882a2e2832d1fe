//! Shared by the journal's integration tests.
#![allow(dead_code, reason = "each test binary uses a part")]

pub mod shop;

use std::sync::Arc;

use bespeak_journal::storage::{SimStorage, Storage};
use bespeak_journal::{Batch, JournalError, Log, LogConfig, OpenReport, RecordMeta, read_at_rest};

/// Small segments, everything in line, a fixed identity.
pub fn small() -> LogConfig {
    LogConfig {
        segment_bytes: 8 * 1024,
        max_record_bytes: 3 * 1024,
        background: false,
        journal_id: Some([7; 16]),
        ..LogConfig::default()
    }
}

pub fn open(disk: &SimStorage) -> Result<(Log, OpenReport), JournalError> {
    Log::open(Arc::new(disk.clone()), small())
}

pub fn id(revision: u64) -> [u8; 16] {
    *blake3::hash(&revision.to_le_bytes())
        .as_bytes()
        .first_chunk()
        .expect("32 bytes")
}

/// The payload of a revision: any other bytes under that revision are a wrong answer.
pub fn payload(revision: u64) -> Vec<u8> {
    let len = (revision * 37 % 400) as usize;
    (0..len)
        .map(|at| (revision as usize * 31 + at * 7) as u8)
        .collect()
}

pub fn meta(revision: u64) -> RecordMeta {
    RecordMeta {
        revision,
        time_ms: 1_000 + revision * 10,
        request_id: id(revision),
        kind: 1,
    }
}

/// Appends `count` records as one batch.
pub fn append(log: &mut Log, count: u64) -> Result<(), JournalError> {
    let mut batch = Batch::new();
    let first = log.next_revision();
    for revision in first..first + count {
        batch.push(&meta(revision), &payload(revision), 3 * 1024)?;
    }
    log.append(&mut batch)
}

/// Revisions found by reading a directory at rest; checks every payload on the way.
pub fn revisions(disk: &SimStorage) -> Result<Vec<u64>, JournalError> {
    let mut reader = read_at_rest(Arc::new(disk.clone()), None)?;
    let mut found = Vec::new();
    while let Some(record) = reader.next()? {
        let revision = record.header.meta.revision;
        assert_eq!(
            record.payload,
            payload(revision),
            "payload of revision {revision}"
        );
        assert_eq!(record.header.meta, meta(revision));
        found.push(revision);
    }
    Ok(found)
}

pub fn segment_names(disk: &SimStorage) -> Vec<String> {
    let mut names = disk.list().expect("list");
    names.retain(|name| name.ends_with(".seg"));
    names.sort();
    names
}

pub fn file_len(disk: &SimStorage, name: &str) -> u64 {
    disk.open(name, false).expect("open").size().expect("size")
}

/// A small generator, so that a printed seed is enough to run a case again.
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}
