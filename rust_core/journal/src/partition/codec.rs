//! Engine records as payloads: postcard, whose wire format is fixed.

use bespeak_engine::{Record, Short, Take};

use crate::batch::Batch;
use crate::error::{JournalError, Result};
use crate::format::{NO_REQUEST, RecordMeta};
use crate::reader::RecordRef;

/// Version of the payloads, kept in each segment's header.
pub const RECORD_SCHEMA: u32 = 1;
/// A payload that holds an engine record.
pub const KIND_ENGINE_RECORD: u16 = 1;

/// A request id as the journal keeps it.
pub(crate) fn request_bytes(id: u128) -> [u8; 16] {
    id.to_be_bytes()
}

/// Adds an engine record to a batch. Only an answer that is remembered is found by its request
/// id: after a refusal for stock the same id is judged afresh.
///
/// # Errors
/// `RecordTooLarge`, or what [`Batch::push`] says.
pub(crate) fn push_record(batch: &mut Batch, record: &Record, limit: usize) -> Result<()> {
    let meta = RecordMeta {
        revision: record.revision,
        time_ms: time_of(record),
        request_id: if record.is_remembered() {
            request_bytes(record.meta.request_id)
        } else {
            NO_REQUEST
        },
        kind: KIND_ENGINE_RECORD,
    };
    batch.push_with(&meta, limit, |out| {
        let mut bytes = Short::new(out);
        bytes
            .write(record)
            .map_err(|error| JournalError::Encoding {
                revision: record.revision,
                what: error.to_string(),
            })?;
        let (before, rest) = bytes.end();
        before.take(rest);
        Ok(())
    })
}

fn time_of(record: &Record) -> u64 {
    u64::try_from(record.time.get()).unwrap_or(0)
}

/// Reads an engine record back.
///
/// # Errors
/// `Damaged` naming segment and offset when the payload is none, or disagrees with its header.
pub fn decode_record(stored: &RecordRef<'_>) -> Result<Record> {
    let meta = &stored.header.meta;
    decode_payload(meta, stored.payload)
        .map_err(|what| JournalError::damaged(stored.segment, stored.offset, what))
}

/// Reads an engine record from a payload, or says what is wrong with it.
pub(crate) fn decode_payload(
    meta: &RecordMeta,
    payload: &[u8],
) -> std::result::Result<Record, String> {
    if meta.kind != KIND_ENGINE_RECORD {
        return Err(format!("record of unknown kind {}", meta.kind));
    }
    let (record, rest) = postcard::take_from_bytes::<Record>(payload)
        .map_err(|error| format!("record does not decode: {error}"))?;
    if !rest.is_empty() {
        return Err(format!("{} bytes follow the record", rest.len()));
    }
    if record.revision != meta.revision || time_of(&record) != meta.time_ms {
        return Err("record and its header disagree".to_owned());
    }
    Ok(record)
}
