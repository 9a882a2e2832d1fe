//! One record: a header of 48 bytes, the payload, zeros up to a multiple of 8.

use super::{RECORD_ALIGN, first_nonzero, get_array, get_u16, get_u32, get_u64, put};

/// Bytes of a record's header.
pub(crate) const RECORD_HEADER_LEN: usize = 48;
/// The request id of a record that has none.
pub const NO_REQUEST: [u8; 16] = [0; 16];

/// What the writer says about a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordMeta {
    /// Position in the journal; each record's is one more than the one before.
    pub revision: u64,
    /// Engine time in UTC milliseconds; never falls.
    pub time_ms: u64,
    /// Idempotency id, or [`NO_REQUEST`].
    pub request_id: [u8; 16],
    /// Meaning of the payload, opaque here.
    pub kind: u16,
}

/// Header of a stored record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordHeader {
    /// What the writer said.
    pub meta: RecordMeta,
    /// Epoch of the process that wrote it.
    pub epoch: u32,
    /// Bytes of the payload.
    pub payload_bytes: u32,
}

/// Bytes that a record with this payload takes.
pub(crate) fn padded_record_len(payload_bytes: usize) -> usize {
    (RECORD_HEADER_LEN + payload_bytes).next_multiple_of(RECORD_ALIGN)
}

/// Appends a record whose payload `fill` writes. Epoch and checksum are stamped when the segment
/// is known.
///
/// # Errors
/// Whatever `fill` returns; then `buf` is as it was.
pub(crate) fn write_record<E>(
    buf: &mut Vec<u8>,
    meta: &RecordMeta,
    fill: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
) -> Result<usize, E> {
    let start = buf.len();
    buf.resize(start + RECORD_HEADER_LEN, 0);
    if let Err(error) = fill(buf) {
        buf.truncate(start);
        return Err(error);
    }
    let payload_bytes = buf.len() - start - RECORD_HEADER_LEN;
    buf.resize(start + padded_record_len(payload_bytes), 0);
    let header = &mut buf[start..start + RECORD_HEADER_LEN];
    // A payload beyond u32 is refused by the caller's limit, which is far lower.
    put(header, 0, &(payload_bytes as u32).to_le_bytes());
    put(header, 8, &meta.revision.to_le_bytes());
    put(header, 16, &meta.time_ms.to_le_bytes());
    put(header, 24, &meta.request_id);
    put(header, 44, &meta.kind.to_le_bytes());
    Ok(payload_bytes)
}

/// Stamps epoch and checksum on the record at the start of `data`; returns its padded length.
pub(crate) fn stamp_record(salt: u32, epoch: u32, data: &mut [u8]) -> usize {
    let payload_bytes = get_u32(data, 0) as usize;
    put(data, 40, &epoch.to_le_bytes());
    let crc = record_crc(salt, data, payload_bytes);
    put(data, 4, &crc.to_le_bytes());
    padded_record_len(payload_bytes)
}

fn record_crc(salt: u32, data: &[u8], payload_bytes: usize) -> u32 {
    let crc = crc32c::crc32c_append(salt, &data[..4]);
    crc32c::crc32c_append(crc, &data[8..RECORD_HEADER_LEN + payload_bytes])
}

/// Reads the record at the start of `data`: its header and its padded length, or what is wrong.
pub(crate) fn parse_record(salt: u32, data: &[u8]) -> Result<(RecordHeader, usize), &'static str> {
    if data.len() < RECORD_HEADER_LEN {
        return Err("record is cut short");
    }
    let payload_bytes = get_u32(data, 0) as usize;
    let padded = padded_record_len(payload_bytes);
    if padded > data.len() {
        return Err("record length leaves its batch");
    }
    if record_crc(salt, data, payload_bytes) != get_u32(data, 4) {
        return Err("record checksum differs");
    }
    if first_nonzero(&data[RECORD_HEADER_LEN + payload_bytes..padded]).is_some()
        || get_u16(data, 46) != 0
    {
        return Err("record padding is not zero");
    }
    let header = RecordHeader {
        meta: RecordMeta {
            revision: get_u64(data, 8),
            time_ms: get_u64(data, 16),
            request_id: get_array(data, 24),
            kind: get_u16(data, 44),
        },
        epoch: get_u32(data, 40),
        payload_bytes: payload_bytes as u32,
    };
    Ok((header, padded))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_and_refuses_every_flip() {
        let meta = RecordMeta {
            revision: 8,
            time_ms: 9,
            request_id: [7; 16],
            kind: 3,
        };
        let mut buf = Vec::new();
        let written = write_record(&mut buf, &meta, |out| {
            out.extend_from_slice(b"hello");
            Ok::<(), ()>(())
        });
        assert_eq!(written, Ok(5));
        assert_eq!(buf.len(), 56);
        stamp_record(4, 2, &mut buf);
        let (header, padded) = parse_record(4, &buf).unwrap();
        assert_eq!(
            (header.meta, header.epoch, header.payload_bytes, padded),
            (meta, 2, 5, 56)
        );
        for bit in 0..buf.len() * 8 {
            let mut flipped = buf.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(parse_record(4, &flipped).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_failed_payload_leaves_nothing_behind() {
        let meta = RecordMeta {
            revision: 1,
            time_ms: 0,
            request_id: NO_REQUEST,
            kind: 0,
        };
        let mut buf = vec![1, 2, 3];
        let result = write_record(&mut buf, &meta, |out| {
            out.push(9);
            Err("no")
        });
        assert_eq!(result, Err("no"));
        assert_eq!(buf, [1, 2, 3]);
    }
}
