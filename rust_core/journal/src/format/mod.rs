//! The bytes of a segment: header, frames, records. Described for readers of other programs in
//! `docs/reference/journal-format.md`; the two must agree.
//!
//! All integers are little-endian. Every reserved byte is zero and is checked.

mod frame;
mod header;
mod record;

pub use frame::FrameKind;
pub(crate) use frame::{FRAME_HEADER_LEN, FrameHeader, chain_after};
pub use header::SegmentHeader;
pub(crate) use header::{SEGMENT_HEADER_LEN, SegmentTie, valid_block_bytes};
pub use record::{NO_REQUEST, RecordHeader, RecordMeta};
pub(crate) use record::{
    RECORD_HEADER_LEN, padded_record_len, parse_record, stamp_record, write_record,
};

/// Version of the segment format that this program writes.
pub const FORMAT_VERSION: u16 = 1;
/// No record may ever be larger than this, whatever the configuration says.
pub const RECORD_BYTES_MAX: usize = 32 << 20;
/// Records start at multiples of this within a frame.
pub(crate) const RECORD_ALIGN: usize = 8;

/// Bytes of a hash chain value.
pub type ChainHash = [u8; 32];

/// Name of the segment whose first record is `revision`.
pub(crate) fn segment_name(revision: u64) -> String {
    format!("journal-{revision:020}.seg")
}

/// The first revision in a segment's name, if it is one.
pub(crate) fn parse_segment_name(name: &str) -> Option<u64> {
    parse_numbered(name, "journal-", ".seg")
}

/// The number in `prefix` + 20 digits + `suffix`.
pub(crate) fn parse_numbered(name: &str, prefix: &str, suffix: &str) -> Option<u64> {
    let digits = name.strip_prefix(prefix)?.strip_suffix(suffix)?;
    if digits.len() != 20 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

pub(crate) fn get_u16(data: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([data[at], data[at + 1]])
}

pub(crate) fn get_u32(data: &[u8], at: usize) -> u32 {
    let mut bytes = [0; 4];
    bytes.copy_from_slice(&data[at..at + 4]);
    u32::from_le_bytes(bytes)
}

pub(crate) fn get_u64(data: &[u8], at: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&data[at..at + 8]);
    u64::from_le_bytes(bytes)
}

pub(crate) fn get_array<const N: usize>(data: &[u8], at: usize) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&data[at..at + N]);
    bytes
}

pub(crate) fn put(data: &mut [u8], at: usize, bytes: &[u8]) {
    data[at..at + bytes.len()].copy_from_slice(bytes);
}

/// Position of the first byte that is not zero.
pub(crate) fn first_nonzero(data: &[u8]) -> Option<usize> {
    const WIDE: usize = 64;
    let mut at = 0;
    for piece in data.chunks_exact(WIDE) {
        // Eight independent words let the compiler use wide registers.
        let any = piece
            .chunks_exact(8)
            .fold(0, |sum, word| sum | get_u64(word, 0));
        if any != 0 {
            break;
        }
        at += WIDE;
    }
    data[at..]
        .iter()
        .position(|&byte| byte != 0)
        .map(|found| at + found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_first_nonzero_byte_at_every_position() {
        for at in 0..200 {
            let mut data = vec![0; 200];
            assert_eq!(first_nonzero(&data), None);
            data[at] = 1;
            assert_eq!(first_nonzero(&data), Some(at));
        }
        assert_eq!(first_nonzero(&[]), None);
    }

    #[test]
    fn names_round_trip_and_strangers_are_left_alone() {
        assert_eq!(parse_segment_name(&segment_name(42)), Some(42));
        assert_eq!(parse_segment_name(&segment_name(u64::MAX)), Some(u64::MAX));
        for stranger in [
            "journal-1.seg",
            "journal-0000000000000000004x.seg",
            "LOCK",
            "x.seg",
        ] {
            assert_eq!(parse_segment_name(stranger), None, "{stranger}");
        }
    }
}
