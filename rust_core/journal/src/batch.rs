//! Records gathered for one write.

use crate::error::{JournalError, Result};
use crate::format::{
    FRAME_HEADER_LEN, RecordMeta, get_array, get_u32, get_u64, padded_record_len, write_record,
};

/// A batch under construction. Records are encoded once, where they will be written from, so
/// that a batch can be filled under a lock and written after the lock is gone. Reuse it: `clear`
/// keeps the memory.
#[derive(Debug, Default)]
pub struct Batch {
    buf: Vec<u8>,
    records: u32,
    first_revision: u64,
    last_revision: u64,
    first_time_ms: u64,
    last_time_ms: u64,
}

impl Batch {
    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a record.
    ///
    /// # Errors
    /// `WrongRevision` or `TimeFalls` when it does not follow the record before;
    /// `RecordTooLarge` beyond `limit` bytes. Then the batch is as it was.
    pub fn push(&mut self, meta: &RecordMeta, payload: &[u8], limit: usize) -> Result<()> {
        self.push_with(meta, limit, |out| {
            out.extend_from_slice(payload);
            Ok(())
        })
    }

    /// Appends a record whose payload `fill` writes to the end of the buffer it is given.
    ///
    /// # Errors
    /// As [`Batch::push`], and whatever `fill` returns.
    pub fn push_with(
        &mut self,
        meta: &RecordMeta,
        limit: usize,
        fill: impl FnOnce(&mut Vec<u8>) -> Result<()>,
    ) -> Result<()> {
        if self.records > 0 && meta.revision != self.last_revision + 1 {
            return Err(JournalError::WrongRevision {
                expected: self.last_revision + 1,
                found: meta.revision,
            });
        }
        if meta.time_ms < self.last_time_ms {
            return Err(JournalError::TimeFalls {
                revision: meta.revision,
                before: self.last_time_ms,
                found: meta.time_ms,
            });
        }
        if self.buf.is_empty() {
            self.buf.resize(FRAME_HEADER_LEN, 0);
        }
        let start = self.buf.len();
        let payload_bytes = write_record(&mut self.buf, meta, fill)?;
        if payload_bytes > limit {
            self.buf.truncate(start);
            return Err(JournalError::RecordTooLarge {
                bytes: payload_bytes,
                limit,
            });
        }
        if self.records == 0 {
            self.first_revision = meta.revision;
            self.first_time_ms = meta.time_ms;
        }
        self.records += 1;
        self.last_revision = meta.revision;
        self.last_time_ms = meta.time_ms;
        Ok(())
    }

    /// Number of records.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records as usize
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// Bytes of the encoded records.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.buf.len().saturating_sub(FRAME_HEADER_LEN)
    }

    /// Revision of the last record; 0 when empty.
    #[must_use]
    pub fn last_revision(&self) -> u64 {
        self.last_revision
    }

    /// Forgets the records and keeps the memory.
    pub fn clear(&mut self) {
        self.buf.clear();
        self.records = 0;
        self.first_revision = 0;
        self.last_revision = 0;
        self.first_time_ms = 0;
        self.last_time_ms = 0;
    }

    pub(crate) fn first_time_ms(&self) -> u64 {
        self.first_time_ms
    }

    pub(crate) fn first_revision(&self) -> u64 {
        self.first_revision
    }

    pub(crate) fn last_time_ms(&self) -> u64 {
        self.last_time_ms
    }

    /// Room for a frame header, then the records.
    pub(crate) fn frame_mut(&mut self) -> &mut Vec<u8> {
        &mut self.buf
    }

    /// Cuts the batch into pieces of at most `body_bytes` of records each, at record boundaries.
    /// A record larger than that makes a piece alone.
    pub(crate) fn split(&self, body_bytes: usize) -> Vec<Batch> {
        let mut pieces = Vec::new();
        let mut piece = Batch::new();
        let mut at = FRAME_HEADER_LEN;
        while at < self.buf.len() {
            let record = &self.buf[at..];
            let len = padded_record_len(get_u32(record, 0) as usize);
            if !piece.is_empty() && piece.bytes() + len > body_bytes {
                pieces.push(std::mem::take(&mut piece));
            }
            if piece.is_empty() {
                piece.buf.resize(FRAME_HEADER_LEN, 0);
                piece.first_revision = get_u64(record, 8);
                piece.first_time_ms = get_u64(record, 16);
            }
            piece.buf.extend_from_slice(&record[..len]);
            piece.records += 1;
            piece.last_revision = get_u64(record, 8);
            piece.last_time_ms = get_u64(record, 16);
            at += len;
        }
        if !piece.is_empty() {
            pieces.push(piece);
        }
        pieces
    }

    /// Request id and revision of each record, in order.
    pub(crate) fn requests(&self) -> impl Iterator<Item = ([u8; 16], u64)> {
        let mut at = FRAME_HEADER_LEN;
        std::iter::from_fn(move || {
            let record = self.buf.get(at..).filter(|rest| !rest.is_empty())?;
            at += padded_record_len(get_u32(record, 0) as usize);
            Some((get_array(record, 24), get_u64(record, 8)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(revision: u64) -> RecordMeta {
        RecordMeta {
            revision,
            time_ms: revision * 10,
            request_id: [revision as u8; 16],
            kind: 1,
        }
    }

    #[test]
    fn refuses_gaps_and_large_records_and_stays_usable() {
        let mut batch = Batch::new();
        batch.push(&meta(4), b"a", 8).unwrap();
        assert!(matches!(
            batch.push(&meta(6), b"b", 8),
            Err(JournalError::WrongRevision {
                expected: 5,
                found: 6
            })
        ));
        assert!(matches!(
            batch.push(&meta(5), b"123456789", 8),
            Err(JournalError::RecordTooLarge { bytes: 9, limit: 8 })
        ));
        batch.push(&meta(5), b"12345678", 8).unwrap();
        assert_eq!(
            (batch.len(), batch.first_revision(), batch.last_revision()),
            (2, 4, 5)
        );
        assert_eq!(
            batch.requests().collect::<Vec<_>>(),
            [([4; 16], 4), ([5; 16], 5)]
        );
    }

    #[test]
    fn splits_at_record_boundaries_without_losing_any() {
        let mut batch = Batch::new();
        for revision in 1..=10 {
            batch
                .push(&meta(revision), &[revision as u8; 30], 64)
                .unwrap();
        }
        let pieces = batch.split(200);
        assert_eq!(
            pieces.iter().map(Batch::len).collect::<Vec<_>>(),
            [2, 2, 2, 2, 2]
        );
        assert_eq!(pieces[4].first_revision(), 9);
        assert_eq!(pieces[4].last_time_ms(), 100);
        let all: Vec<_> = pieces.iter().flat_map(Batch::requests).collect();
        assert_eq!(all, batch.requests().collect::<Vec<_>>());
        assert_eq!(
            batch.split(1).len(),
            10,
            "a record larger than the room stands alone"
        );
    }
}
