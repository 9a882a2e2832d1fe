//! Snapshots: opaque byte streams beside the segments, each the state at one revision.
//!
//! A snapshot is written aside, synced, renamed and its directory entry synced, so a name that
//! ends in `.snap` is always whole. Chunks carry checksums, the header the hash of everything.

mod reader;
mod writer;

use crate::error::{IoContext, JournalError, Result};
use crate::format::{
    ChainHash, first_nonzero, get_array, get_u16, get_u32, get_u64, parse_numbered, put,
};
use crate::storage::Storage;
use crate::view::Position;

pub use reader::SnapshotReader;
pub use writer::SnapshotWriter;

const MAGIC: &[u8; 8] = b"BSPKSNAP";
const VERSION: u16 = 1;
const HEADER_LEN: usize = 256;
const USED_LEN: usize = 144;
/// Payload bytes of a full chunk.
const CHUNK_BYTES: usize = 1 << 20;
const CHUNK_HEADER_LEN: usize = 8;

/// What a snapshot's header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotInfo {
    /// The journal position whose state it holds.
    pub position: Position,
    /// Identity of the journal.
    pub journal_id: [u8; 16],
    /// Version of the content, opaque here.
    pub schema: u32,
    /// Bytes of the content.
    pub content_bytes: u64,
    /// BLAKE3 of the content.
    pub content_hash: [u8; 32],
    /// Name of the file.
    pub name: String,
}

/// Name of the snapshot of `revision`.
pub(crate) fn snapshot_name(revision: u64) -> String {
    format!("snapshot-{revision:020}.snap")
}

/// The revision in a snapshot's name, if it is one.
pub(crate) fn snapshot_revision(name: &str) -> Option<u64> {
    parse_numbered(name, "snapshot-", ".snap")
}

impl SnapshotInfo {
    fn encode(&self) -> Vec<u8> {
        let mut data = vec![0; HEADER_LEN];
        put(&mut data, 0, MAGIC);
        put(&mut data, 12, &VERSION.to_le_bytes());
        put(&mut data, 14, &(HEADER_LEN as u16).to_le_bytes());
        put(&mut data, 16, &self.schema.to_le_bytes());
        put(&mut data, 20, &(CHUNK_BYTES as u32).to_le_bytes());
        put(&mut data, 24, &self.position.epoch.to_le_bytes());
        put(&mut data, 32, &self.position.revision.to_le_bytes());
        put(&mut data, 40, &self.position.time_ms.to_le_bytes());
        put(&mut data, 48, &self.content_bytes.to_le_bytes());
        put(&mut data, 64, &self.journal_id);
        put(&mut data, 80, &self.position.chain);
        put(&mut data, 112, &self.content_hash);
        let crc = crc32c::crc32c(&data[12..]);
        put(&mut data, 8, &crc.to_le_bytes());
        data
    }

    fn decode(name: &str, data: &[u8]) -> Result<Self> {
        let damaged = |offset, what: &str| Err(JournalError::damaged(name, offset, what));
        if data.len() < HEADER_LEN || &data[..8] != MAGIC {
            return damaged(0, "no snapshot header");
        }
        if crc32c::crc32c(&data[12..HEADER_LEN]) != get_u32(data, 8) {
            return damaged(8, "snapshot header checksum differs");
        }
        let version = get_u16(data, 12);
        if version > VERSION {
            return Err(JournalError::NewerFormat {
                file: name.to_owned(),
                found: version,
                known: VERSION,
            });
        }
        let chunk = get_u32(data, 20) as usize;
        if chunk != CHUNK_BYTES || first_nonzero(&data[USED_LEN..HEADER_LEN]).is_some() {
            return damaged(20, "unknown chunk size or reserved byte set");
        }
        let chain: ChainHash = get_array(data, 80);
        Ok(Self {
            position: Position {
                revision: get_u64(data, 32),
                time_ms: get_u64(data, 40),
                epoch: get_u32(data, 24),
                chain,
            },
            journal_id: get_array(data, 64),
            schema: get_u32(data, 16),
            content_bytes: get_u64(data, 48),
            content_hash: get_array(data, 112),
            name: name.to_owned(),
        })
    }

    /// Length of the file that holds so much content.
    fn file_bytes(&self) -> u64 {
        let chunks = self.content_bytes.div_ceil(CHUNK_BYTES as u64);
        self.content_bytes
            .saturating_add(HEADER_LEN as u64 + chunks * CHUNK_HEADER_LEN as u64)
    }
}

fn chunk_crc(journal_id: &[u8; 16], number: u64, data: &[u8]) -> u32 {
    let crc = crc32c::crc32c_append(crc32c::crc32c(journal_id), &number.to_le_bytes());
    crc32c::crc32c_append(crc, data)
}

/// Revisions of all snapshots in a directory, oldest first. Nothing is read.
///
/// # Errors
/// I/O errors.
pub fn list_snapshots(storage: &dyn Storage) -> Result<Vec<u64>> {
    let dir = storage.describe();
    let names = storage.list().doing("list", &dir)?;
    let mut revisions: Vec<u64> = names
        .iter()
        .filter_map(|name| snapshot_revision(name))
        .collect();
    revisions.sort_unstable();
    Ok(revisions)
}

/// Reads the header of a snapshot.
///
/// # Errors
/// `Damaged`, `NewerFormat`, I/O errors.
pub fn snapshot_info(storage: &dyn Storage, revision: u64) -> Result<SnapshotInfo> {
    Ok(SnapshotReader::open(storage, revision)?.info().clone())
}

/// Removes snapshots except the two newest and the newest one taken at or before `horizon_ms` (or
/// the oldest, when all are younger: the journal before it may be gone).
/// Returns the revision of the oldest one left, if any: the journal is needed from there on.
///
/// # Errors
/// I/O errors. Snapshots whose header cannot be read are left alone and do not count.
pub fn prune_snapshots(storage: &dyn Storage, horizon_ms: u64) -> Result<Option<u64>> {
    let mut good = Vec::new();
    for revision in list_snapshots(storage)? {
        match snapshot_info(storage, revision) {
            Ok(info) => good.push(info),
            Err(error) => tracing::warn!(%error, "a snapshot cannot be used"),
        }
    }
    let newest_two = good.len().saturating_sub(2);
    let base = good
        .iter()
        .rposition(|info| info.position.time_ms <= horizon_ms);
    let mut oldest_left = None;
    for (at, info) in good.iter().enumerate() {
        if at >= newest_two || at == base.unwrap_or(0) {
            oldest_left = oldest_left.or(Some(info.position.revision));
        } else {
            storage.remove(&info.name).doing("remove", &info.name)?;
        }
    }
    // Without one at or before the horizon the journal is needed from its beginning.
    Ok(if base.is_some() { oldest_left } else { None })
}
