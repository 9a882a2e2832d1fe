//! The first block of a segment.

use crate::error::{JournalError, Result};

use super::{ChainHash, FORMAT_VERSION, first_nonzero, get_array, get_u16, get_u32, get_u64, put};

/// Bytes used of the first block; the rest of the block is zero.
pub(crate) const SEGMENT_HEADER_LEN: usize = 160;
/// Far beyond any journal, and far enough from the end of the number for arithmetic.
const REVISION_MAX: u64 = 1 << 62;
const MAGIC: &[u8; 8] = b"BSPKJRNL";

/// Header of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Epoch of the process that started the segment.
    pub epoch: u32,
    /// Frames start at multiples of this many bytes.
    pub block_bytes: u32,
    /// Length of the segment's file.
    pub segment_bytes: u64,
    /// Revision of the first record.
    pub first_revision: u64,
    /// Engine time of the last record before the segment, in UTC milliseconds; 0 for the first.
    pub base_time_ms: u64,
    /// Identifies the journal; segments of two journals never mix.
    pub journal_id: [u8; 16],
    /// Hash chain value at the end of the segment before.
    pub chain_seed: ChainHash,
    /// Version of the record payloads, opaque here.
    pub schema: u32,
}

impl SegmentHeader {
    /// The header's block.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut block = vec![0; self.block_bytes as usize];
        put(&mut block, 0, MAGIC);
        put(&mut block, 12, &FORMAT_VERSION.to_le_bytes());
        put(&mut block, 14, &(SEGMENT_HEADER_LEN as u16).to_le_bytes());
        put(&mut block, 16, &self.epoch.to_le_bytes());
        put(&mut block, 20, &self.block_bytes.to_le_bytes());
        put(&mut block, 24, &self.segment_bytes.to_le_bytes());
        put(&mut block, 32, &self.first_revision.to_le_bytes());
        put(&mut block, 40, &self.base_time_ms.to_le_bytes());
        put(&mut block, 48, &self.journal_id);
        put(&mut block, 64, &self.chain_seed);
        put(&mut block, 96, &self.schema.to_le_bytes());
        let crc = crc32c::crc32c(&block[12..SEGMENT_HEADER_LEN]);
        put(&mut block, 8, &crc.to_le_bytes());
        block
    }

    /// Reads the header from the start of a segment (at least its first block).
    ///
    /// # Errors
    /// `Damaged` with the offset of the field, `NewerFormat`.
    pub(crate) fn decode(file: &str, data: &[u8]) -> Result<Self> {
        if data.len() < SEGMENT_HEADER_LEN {
            return Err(JournalError::damaged(
                file,
                0,
                "shorter than a segment header",
            ));
        }
        if &data[..8] != MAGIC {
            return Err(JournalError::damaged(file, 0, "no segment magic"));
        }
        let crc = crc32c::crc32c(&data[12..SEGMENT_HEADER_LEN]);
        if crc != get_u32(data, 8) {
            return Err(JournalError::damaged(
                file,
                8,
                "segment header checksum differs",
            ));
        }
        let version = get_u16(data, 12);
        if version > FORMAT_VERSION {
            return Err(JournalError::NewerFormat {
                file: file.to_owned(),
                found: version,
                known: FORMAT_VERSION,
            });
        }
        let header = Self {
            epoch: get_u32(data, 16),
            block_bytes: get_u32(data, 20),
            segment_bytes: get_u64(data, 24),
            first_revision: get_u64(data, 32),
            base_time_ms: get_u64(data, 40),
            journal_id: get_array(data, 48),
            chain_seed: get_array(data, 64),
            schema: get_u32(data, 96),
        };
        let block = header.block_bytes as usize;
        if !valid_block_bytes(block) || header.segment_bytes < 3 * block as u64 {
            return Err(JournalError::damaged(
                file,
                20,
                "impossible block or segment size",
            ));
        }
        if !(1..=REVISION_MAX).contains(&header.first_revision) {
            return Err(JournalError::damaged(file, 32, "impossible first revision"));
        }
        let rest = data.get(RESERVED_AT..block).unwrap_or_default();
        if rest.is_empty() {
            return Err(JournalError::damaged(
                file,
                RESERVED_AT as u64,
                "header block is cut short",
            ));
        }
        if let Some(at) = first_nonzero(rest) {
            return Err(JournalError::damaged(
                file,
                (RESERVED_AT + at) as u64,
                "reserved byte is not zero",
            ));
        }
        Ok(header)
    }

    /// What ties every frame and record to this segment.
    pub(crate) fn tie(&self) -> SegmentTie {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.journal_id);
        hasher.update(&self.first_revision.to_le_bytes());
        hasher.update(&self.chain_seed);
        let hash = hasher.finalize();
        SegmentTie {
            mark: get_u64(hash.as_bytes(), 0),
            salt: get_u32(hash.as_bytes(), 8),
        }
    }
}

/// Ties frames and records to their segment, so that bytes of another segment or journal, or
/// bytes that a caller chose, never pass for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentTie {
    /// Stands in every frame header.
    pub mark: u64,
    /// Mixed into every checksum.
    pub salt: u32,
}

/// Whether a block size can be written in a header.
pub(crate) fn valid_block_bytes(block: usize) -> bool {
    block.is_power_of_two() && (512..=65_536).contains(&block)
}

/// Everything from here to the end of the block is reserved.
const RESERVED_AT: usize = 100;

const _: () = assert!(RESERVED_AT <= SEGMENT_HEADER_LEN && SEGMENT_HEADER_LEN <= 512);

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> SegmentHeader {
        SegmentHeader {
            epoch: 7,
            block_bytes: 512,
            segment_bytes: 1 << 20,
            first_revision: 99,
            base_time_ms: 1_700_000_000_000,
            journal_id: [3; 16],
            chain_seed: [9; 32],
            schema: 1,
        }
    }

    #[test]
    fn round_trips() {
        let header = sample();
        assert_eq!(
            SegmentHeader::decode("s", &header.encode()).unwrap(),
            header
        );
    }

    #[test]
    fn every_flipped_bit_is_refused() {
        let block = sample().encode();
        for bit in 0..block.len() * 8 {
            let mut flipped = block.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(SegmentHeader::decode("s", &flipped).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_header_with_sound_checksum_and_impossible_values_is_refused() {
        let impossible = [
            SegmentHeader {
                first_revision: 0,
                ..sample()
            },
            SegmentHeader {
                first_revision: u64::MAX,
                ..sample()
            },
            SegmentHeader {
                segment_bytes: 512,
                ..sample()
            },
        ];
        for header in impossible {
            assert!(
                SegmentHeader::decode("s", &header.encode()).is_err(),
                "{header:?}"
            );
        }
    }

    #[test]
    fn a_later_version_is_named() {
        let mut block = sample().encode();
        put(&mut block, 12, &9_u16.to_le_bytes());
        let crc = crc32c::crc32c(&block[12..SEGMENT_HEADER_LEN]);
        put(&mut block, 8, &crc.to_le_bytes());
        let error = SegmentHeader::decode("s", &block).unwrap_err();
        assert!(
            matches!(
                error,
                JournalError::NewerFormat {
                    found: 9,
                    known: 1,
                    ..
                }
            ),
            "{error}"
        );
    }
}
