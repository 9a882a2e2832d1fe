//! A frame: one batch of records, a seal, or the end of a segment. Frames start at block
//! boundaries and are written by one write each, the next only after a sync of the one before.

use super::{ChainHash, SegmentTie, first_nonzero, get_array, get_u32, get_u64, put};

/// Bytes of a frame's header.
pub(crate) const FRAME_HEADER_LEN: usize = 88;
const MAGIC: u32 = u32::from_le_bytes(*b"BSPF");
/// The chain covers the header from here up to the chain field.
const CHAIN_AT: usize = 56;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameKind {
    /// A batch of records.
    Batch,
    /// Says that everything before it is durable.
    Seal,
    /// The last frame of a finished segment; seals too.
    End,
}

impl FrameKind {
    fn code(self) -> u8 {
        match self {
            Self::Batch => 1,
            Self::Seal => 2,
            Self::End => 3,
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Batch),
            2 => Some(Self::Seal),
            3 => Some(Self::End),
            _ => None,
        }
    }
}

/// Header of a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub kind: FrameKind,
    /// Epoch of the writer.
    pub epoch: u32,
    /// Number of records.
    pub records: u32,
    /// Bytes of records after the header, without padding.
    pub body_bytes: u32,
    /// First revision in the frame; for a seal or end, the next revision.
    pub first_revision: u64,
    /// Engine time of the last record up to and including this frame.
    pub time_ms: u64,
    /// Offset of the frame in its segment.
    pub offset: u64,
    /// Hash chain value after this frame.
    pub chain: ChainHash,
}

impl FrameHeader {
    /// Writes the header into the first bytes of `frame`, whose body must already be in place,
    /// and returns the chain value after it. `self.chain` is ignored.
    pub(crate) fn finish(
        &self,
        tie: SegmentTie,
        chain_before: &ChainHash,
        frame: &mut [u8],
    ) -> ChainHash {
        let end = FRAME_HEADER_LEN + self.body_bytes as usize;
        frame[..FRAME_HEADER_LEN].fill(0);
        put(frame, 0, &MAGIC.to_le_bytes());
        frame[8] = self.kind.code();
        put(frame, 12, &self.epoch.to_le_bytes());
        put(frame, 16, &self.records.to_le_bytes());
        put(frame, 20, &self.body_bytes.to_le_bytes());
        put(frame, 24, &self.first_revision.to_le_bytes());
        put(frame, 32, &self.time_ms.to_le_bytes());
        put(frame, 40, &self.offset.to_le_bytes());
        put(frame, 48, &tie.mark.to_le_bytes());
        let chain = chain_after(chain_before, &frame[..end]);
        put(frame, CHAIN_AT, &chain);
        let crc = crc32c::crc32c_append(tie.salt, &frame[8..FRAME_HEADER_LEN]);
        put(frame, 4, &crc.to_le_bytes());
        chain
    }

    /// Reads a header; `None` when these bytes are not one of this segment at this offset.
    pub(crate) fn decode(tie: SegmentTie, offset: u64, data: &[u8]) -> Option<Self> {
        if !Self::is_marked(tie, data) {
            return None;
        }
        if crc32c::crc32c_append(tie.salt, &data[8..FRAME_HEADER_LEN]) != get_u32(data, 4) {
            return None;
        }
        if first_nonzero(&data[9..12]).is_some() || get_u64(data, 40) != offset {
            return None;
        }
        Some(Self {
            kind: FrameKind::from_code(data[8])?,
            epoch: get_u32(data, 12),
            records: get_u32(data, 16),
            body_bytes: get_u32(data, 20),
            first_revision: get_u64(data, 24),
            time_ms: get_u64(data, 32),
            offset,
            chain: get_array(data, CHAIN_AT),
        })
    }

    /// Whether a frame of this segment once started here, whatever became of it.
    pub(crate) fn is_marked(tie: SegmentTie, data: &[u8]) -> bool {
        data.len() >= FRAME_HEADER_LEN && get_u32(data, 0) == MAGIC && get_u64(data, 48) == tie.mark
    }

    /// Bytes of the whole frame with padding.
    pub(crate) fn frame_bytes(&self, block_bytes: u32) -> u64 {
        (FRAME_HEADER_LEN as u64 + u64::from(self.body_bytes))
            .next_multiple_of(u64::from(block_bytes))
    }
}

/// The chain value after a frame (header and body, without padding).
pub(crate) fn chain_after(before: &ChainHash, frame: &[u8]) -> ChainHash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(before);
    hasher.update(&frame[8..CHAIN_AT]);
    hasher.update(&frame[FRAME_HEADER_LEN..]);
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIE: SegmentTie = SegmentTie { mark: 5, salt: 99 };
    const OTHER: SegmentTie = SegmentTie { mark: 5, salt: 98 };

    #[test]
    fn round_trips_and_refuses_every_flip_of_the_header() {
        let header = FrameHeader {
            kind: FrameKind::Batch,
            epoch: 2,
            records: 1,
            body_bytes: 24,
            first_revision: 5,
            time_ms: 77,
            offset: 1024,
            chain: [0; 32],
        };
        let mut frame = vec![0xab; FRAME_HEADER_LEN + 24];
        let chain = header.finish(TIE, &[1; 32], &mut frame);
        let read = FrameHeader::decode(TIE, 1024, &frame).unwrap();
        assert_eq!(read, FrameHeader { chain, ..header });
        assert_eq!(chain_after(&[1; 32], &frame), chain);
        assert_eq!(read.frame_bytes(512), 512);
        assert!(
            FrameHeader::decode(OTHER, 1024, &frame).is_none(),
            "another segment's salt"
        );
        assert!(
            FrameHeader::decode(TIE, 512, &frame).is_none(),
            "another place"
        );
        for bit in 0..FRAME_HEADER_LEN * 8 {
            let mut flipped = frame.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(
                FrameHeader::decode(TIE, 1024, &flipped).is_none(),
                "bit {bit}"
            );
        }
    }
}
