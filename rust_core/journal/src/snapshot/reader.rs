//! Reading a snapshot, checked chunk by chunk.

use std::io;

use crate::error::{IoContext, JournalError, Result};
use crate::format::get_u32;
use crate::storage::{Storage, StorageFile};

use super::{CHUNK_BYTES, CHUNK_HEADER_LEN, HEADER_LEN, SnapshotInfo, chunk_crc, snapshot_name};

/// Gives the content of a snapshot. Call [`SnapshotReader::finish`] when done: only then is the
/// whole of it known to be good.
pub struct SnapshotReader {
    file: Box<dyn StorageFile>,
    info: SnapshotInfo,
    offset: u64,
    left: u64,
    chunk: Vec<u8>,
    at: usize,
    chunks: u64,
    hasher: blake3::Hasher,
    fault: Option<JournalError>,
}

impl SnapshotReader {
    /// Opens the snapshot of `revision` and checks its header and length.
    ///
    /// # Errors
    /// `Damaged`, `NewerFormat`, I/O errors.
    pub fn open(storage: &dyn Storage, revision: u64) -> Result<Self> {
        let name = snapshot_name(revision);
        let file = storage.open(&name, false).doing("open", &name)?;
        let size = file.size().doing("measure", &name)?;
        let mut header = vec![0; HEADER_LEN.min(usize::try_from(size).unwrap_or(HEADER_LEN))];
        file.read_exact_at(&mut header, 0).doing("read", &name)?;
        let info = SnapshotInfo::decode(&name, &header)?;
        if info.position.revision != revision {
            return Err(JournalError::damaged(
                &name,
                32,
                "snapshot of another revision",
            ));
        }
        if size != info.file_bytes() {
            let what = format!("{size} bytes long instead of {}", info.file_bytes());
            return Err(JournalError::damaged(&name, size, what));
        }
        Ok(Self {
            file,
            left: info.content_bytes,
            info,
            offset: HEADER_LEN as u64,
            chunk: Vec::new(),
            at: 0,
            chunks: 0,
            hasher: blake3::Hasher::new(),
            fault: None,
        })
    }

    /// What the header says.
    #[must_use]
    pub fn info(&self) -> &SnapshotInfo {
        &self.info
    }

    /// Reads what is left and checks the hash of everything.
    ///
    /// # Errors
    /// `Damaged` naming the offset; I/O errors.
    pub fn finish(mut self) -> Result<SnapshotInfo> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        while self.left > 0 {
            self.next_chunk()?;
        }
        if *self.hasher.finalize().as_bytes() != self.info.content_hash {
            return Err(JournalError::damaged(
                &self.info.name,
                112,
                "snapshot hash differs",
            ));
        }
        Ok(self.info)
    }

    fn next_chunk(&mut self) -> Result<()> {
        let name = &self.info.name;
        let len = self.left.min(CHUNK_BYTES as u64) as usize;
        self.chunk.resize(CHUNK_HEADER_LEN + len, 0);
        self.file
            .read_exact_at(&mut self.chunk, self.offset)
            .doing("read", name)?;
        let data = &self.chunk[CHUNK_HEADER_LEN..];
        let crc = chunk_crc(&self.info.journal_id, self.chunks, data);
        if get_u32(&self.chunk, 0) as usize != len || get_u32(&self.chunk, 4) != crc {
            return Err(JournalError::damaged(
                name,
                self.offset,
                "snapshot chunk checksum differs",
            ));
        }
        self.hasher.update(data);
        self.offset += self.chunk.len() as u64;
        self.left -= len as u64;
        self.chunks += 1;
        self.at = CHUNK_HEADER_LEN;
        Ok(())
    }
}

impl io::Read for SnapshotReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.at >= self.chunk.len() {
            if self.left == 0 || self.fault.is_some() {
                return Ok(0);
            }
            if let Err(error) = self.next_chunk() {
                let text = error.to_string();
                self.fault = Some(error);
                return Err(io::Error::new(io::ErrorKind::InvalidData, text));
            }
        }
        let taken = buf.len().min(self.chunk.len() - self.at);
        buf[..taken].copy_from_slice(&self.chunk[self.at..self.at + taken]);
        self.at += taken;
        Ok(taken)
    }
}
