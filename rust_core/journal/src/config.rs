//! Settings of a log.

use crate::error::{JournalError, Result};
use crate::format::{FRAME_HEADER_LEN, RECORD_BYTES_MAX, padded_record_len, valid_block_bytes};

/// How a log lays itself out. New segments follow it; existing ones keep what their header says.
#[derive(Debug, Clone)]
pub struct LogConfig {
    /// Length of a segment file in bytes; default 64 MiB.
    pub segment_bytes: u64,
    /// Frames start at multiples of this; a power of two from 512 (default) to 65,536. No two
    /// batches share a block, so a torn write never touches the batch before.
    pub block_bytes: u32,
    /// Largest payload of one record in bytes; default 8 MiB.
    pub max_record_bytes: usize,
    /// Version of the record payloads, kept in each segment's header for the reader.
    pub schema: u32,
    /// Whether a thread prepares the next segment and builds indexes ahead of use. Without it the
    /// same work is done in line, which makes the order of operations deterministic.
    pub background: bool,
    /// How far back, in milliseconds of engine time, request ids are looked up on disk; default
    /// 25 hours.
    pub index_window_ms: u64,
    /// Identity of a new journal; random when `None`.
    pub journal_id: Option<[u8; 16]>,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            block_bytes: 512,
            max_record_bytes: 8 << 20,
            schema: 1,
            background: true,
            index_window_ms: 25 * 3_600_000,
            journal_id: None,
        }
    }
}

impl LogConfig {
    /// Checks that the settings can work together.
    ///
    /// # Errors
    /// `Config` naming the setting.
    pub fn validate(&self) -> Result<()> {
        let wrong = |setting, what: String| Err(JournalError::Config { setting, what });
        let block = u64::from(self.block_bytes);
        if !valid_block_bytes(self.block_bytes as usize) {
            return wrong(
                "block_bytes",
                format!("{block} is no power of two from 512 to 65536"),
            );
        }
        if self.max_record_bytes > RECORD_BYTES_MAX {
            let what = format!("{} exceeds {RECORD_BYTES_MAX}", self.max_record_bytes);
            return wrong("max_record_bytes", what);
        }
        if !self.segment_bytes.is_multiple_of(block) {
            let what = format!(
                "{} is no multiple of block_bytes {block}",
                self.segment_bytes
            );
            return wrong("segment_bytes", what);
        }
        let largest = FRAME_HEADER_LEN as u64 + padded_record_len(self.max_record_bytes) as u64;
        // Header, the largest record, a seal and the end frame.
        let least = 3 * block + largest.next_multiple_of(block);
        if self.segment_bytes < least || self.segment_bytes > u64::from(u32::MAX) {
            let what = format!("{} is not in {least}..={}", self.segment_bytes, u32::MAX);
            return wrong("segment_bytes", what);
        }
        Ok(())
    }
}
