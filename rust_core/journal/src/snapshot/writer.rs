//! Writing a snapshot aside.

use std::io;

use crate::error::{IoContext, Result};
use crate::paced;
use crate::storage::{Storage, StorageFile};
use crate::view::Position;

use super::{CHUNK_BYTES, CHUNK_HEADER_LEN, HEADER_LEN, SnapshotInfo, chunk_crc, snapshot_name};

/// Takes the content of a snapshot. Nothing is visible before [`SnapshotWriter::finish`]; a
/// writer that is dropped leaves a `.tmp` file that the next start removes.
pub struct SnapshotWriter<'a> {
    storage: &'a dyn Storage,
    file: Box<dyn StorageFile>,
    aside: String,
    info: SnapshotInfo,
    offset: u64,
    chunk: Vec<u8>,
    chunks: u64,
    hasher: blake3::Hasher,
}

impl<'a> SnapshotWriter<'a> {
    /// Begins the snapshot of `position`.
    ///
    /// # Errors
    /// I/O errors.
    pub fn create(
        storage: &'a dyn Storage,
        journal_id: [u8; 16],
        position: Position,
        schema: u32,
    ) -> Result<Self> {
        let name = snapshot_name(position.revision);
        let aside = format!("{name}.tmp");
        if storage.list().doing("list", &name)?.contains(&aside) {
            storage.remove(&aside).doing("remove", &aside)?;
        }
        let file = storage.create(&aside, 0).doing("create", &aside)?;
        let info = SnapshotInfo {
            position,
            journal_id,
            schema,
            content_bytes: 0,
            content_hash: [0; 32],
            name,
        };
        Ok(Self {
            storage,
            file,
            aside,
            info,
            offset: HEADER_LEN as u64,
            chunk: Vec::with_capacity(CHUNK_HEADER_LEN + CHUNK_BYTES),
            chunks: 0,
            hasher: blake3::Hasher::new(),
        })
    }

    /// Makes the snapshot visible and durable.
    ///
    /// # Errors
    /// I/O errors; then there is no snapshot.
    pub fn finish(mut self) -> Result<SnapshotInfo> {
        self.write_chunk().doing("write", &self.aside)?;
        self.info.content_hash = *self.hasher.finalize().as_bytes();
        self.file
            .write_all_at(&self.info.encode(), 0)
            .doing("write", &self.aside)?;
        self.file.sync_data().doing("sync", &self.aside)?;
        self.storage
            .rename(&self.aside, &self.info.name)
            .doing("name", &self.info.name)?;
        self.storage
            .sync_dir()
            .doing("sync the directory entry of", &self.info.name)?;
        Ok(self.info)
    }

    fn write_chunk(&mut self) -> io::Result<()> {
        let Some(len) = self
            .chunk
            .len()
            .checked_sub(CHUNK_HEADER_LEN)
            .filter(|&len| len > 0)
        else {
            return Ok(());
        };
        let crc = chunk_crc(
            &self.info.journal_id,
            self.chunks,
            &self.chunk[CHUNK_HEADER_LEN..],
        );
        self.chunk[..4].copy_from_slice(&(len as u32).to_le_bytes());
        self.chunk[4..8].copy_from_slice(&crc.to_le_bytes());
        self.hasher.update(&self.chunk[CHUNK_HEADER_LEN..]);
        // Left to the sync at the end, all of it would lie in front of the syncs of promises.
        paced::write_all_at(self.file.as_ref(), &self.chunk, self.offset)?;
        self.offset += self.chunk.len() as u64;
        self.info.content_bytes += len as u64;
        self.chunks += 1;
        self.chunk.clear();
        Ok(())
    }
}

impl io::Write for SnapshotWriter<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        if self.chunk.is_empty() {
            self.chunk.resize(CHUNK_HEADER_LEN, 0);
        }
        let room = CHUNK_HEADER_LEN + CHUNK_BYTES - self.chunk.len();
        let taken = room.min(data.len());
        self.chunk.extend_from_slice(&data[..taken]);
        if taken == room {
            self.write_chunk()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
