//! Refuses Arrow streams with compressed buffers, before anybody unpacks them: a few bytes can say that they are gigabytes. The
//! readers here have no codecs, but the worker's has, and it takes a caller's table as it came.

use arrow_ipc::{Message, root_as_message};

use crate::error::ApiError;

/// Stands before the length of a message's metadata; the first Arrow versions had none.
const CONTINUATION: &[u8] = &[0xff; 4];
/// Where Arrow 0.17 named the codec; later readers in C++ still obey it.
const EXPERIMENTAL: &str = "ARROW:experimental_compression";

/// Walks the messages of a stream up to its end.
///
/// # Errors
/// `CompressionUnsupported` for one with compressed buffers; `InvalidArgument` for what cannot be walked, since nobody
/// could say what a more patient reader would find there.
pub(super) fn refuse(field: &'static str, bytes: &[u8]) -> Result<(), ApiError> {
    let wrong = |what: String| ApiError::invalid(field, what, "it must be an Arrow IPC stream");
    let mut rest = bytes;
    while let Some(message) = next(&mut rest).map_err(wrong)? {
        if let Some(codec) = codec(&message) {
            let what = format!("{codec} in the Arrow stream {field}");
            return Err(ApiError::CompressionUnsupported(what));
        }
    }
    Ok(())
}

/// Takes the next message off a stream; `None` after the last one.
fn next<'a>(rest: &mut &'a [u8]) -> Result<Option<Message<'a>>, String> {
    if rest.is_empty() {
        return Ok(None);
    }
    let mut prefix = take(rest, 4)?;
    if prefix == CONTINUATION {
        prefix = take(rest, 4)?;
    }
    let length = prefix
        .iter()
        .rev()
        .fold(0_usize, |length, byte| (length << 8) | usize::from(*byte));
    if length == 0 {
        return Ok(None);
    }
    let metadata = take(rest, length)?;
    let message = root_as_message(metadata).map_err(|error| error.to_string())?;
    let body = usize::try_from(message.bodyLength())
        .map_err(|_| format!("a message of {} bytes", message.bodyLength()))?;
    take(rest, body)?;
    Ok(Some(message))
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], String> {
    let all: &'a [u8] = rest;
    let (taken, left) = all
        .split_at_checked(length)
        .ok_or_else(|| "cut off within a message".to_owned())?;
    *rest = left;
    Ok(taken)
}

/// The codec of a message's buffers.
fn codec(message: &Message<'_>) -> Option<&'static str> {
    let batch = message.header_as_record_batch().or_else(|| {
        message
            .header_as_dictionary_batch()
            .and_then(|dictionary| dictionary.data())
    });
    if let Some(compression) = batch.and_then(|batch| batch.compression()) {
        let name = compression.codec().variant_name();
        return Some(name.unwrap_or("an unknown codec"));
    }
    let named = message
        .custom_metadata()
        .is_some_and(|pairs| pairs.iter().any(|pair| pair.key() == Some(EXPERIMENTAL)));
    named.then_some("the codec of Arrow 0.17")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::types::Int32Type;
    use arrow_array::{ArrayRef, DictionaryArray, Float64Array, RecordBatch};
    use arrow_ipc::{
        BodyCompressionBuilder, CompressionType, DictionaryBatchBuilder, KeyValueBuilder,
        MessageBuilder, MessageHeader, MetadataVersion, RecordBatchBuilder,
    };
    use flatbuffers::FlatBufferBuilder;

    use super::*;
    use crate::compute::{check_forecast, ipc};

    /// A message as it stands in a stream.
    fn framed(metadata: &[u8], body: usize) -> Vec<u8> {
        let mut bytes = CONTINUATION.to_vec();
        bytes.extend(u32::try_from(metadata.len()).expect("short").to_le_bytes());
        bytes.extend(metadata);
        bytes.resize(bytes.len() + body, 0);
        bytes
    }

    /// A batch, or a dictionary, with the codec where today's writers name it.
    fn packed(kind: MessageHeader, codec: Option<CompressionType>) -> Vec<u8> {
        let mut builder = FlatBufferBuilder::new();
        let compression = codec.map(|codec| {
            let mut compression = BodyCompressionBuilder::new(&mut builder);
            compression.add_codec(codec);
            compression.finish()
        });
        let mut batch = RecordBatchBuilder::new(&mut builder);
        batch.add_length(1);
        if let Some(compression) = compression {
            batch.add_compression(compression);
        }
        let batch = batch.finish();
        let header = if kind == MessageHeader::DictionaryBatch {
            let mut dictionary = DictionaryBatchBuilder::new(&mut builder);
            dictionary.add_id(7);
            dictionary.add_data(batch);
            dictionary.finish().as_union_value()
        } else {
            batch.as_union_value()
        };
        let mut message = MessageBuilder::new(&mut builder);
        message.add_version(MetadataVersion::V5);
        message.add_header_type(kind);
        message.add_header(header);
        message.add_bodyLength(16);
        let message = message.finish();
        builder.finish(message, None);
        framed(builder.finished_data(), 16)
    }

    /// A batch with the codec where Arrow 0.17 named it.
    fn old() -> Vec<u8> {
        let mut builder = FlatBufferBuilder::new();
        let (key, value) = (
            builder.create_string(EXPERIMENTAL),
            builder.create_string("ZSTD"),
        );
        let mut pair = KeyValueBuilder::new(&mut builder);
        pair.add_key(key);
        pair.add_value(value);
        let pair = pair.finish();
        let pairs = builder.create_vector(&[pair]);
        let mut batch = RecordBatchBuilder::new(&mut builder);
        batch.add_length(1);
        let header = batch.finish().as_union_value();
        let mut message = MessageBuilder::new(&mut builder);
        message.add_version(MetadataVersion::V4);
        message.add_header_type(MessageHeader::RecordBatch);
        message.add_header(header);
        message.add_custom_metadata(pairs);
        let message = message.finish();
        builder.finish(message, None);
        framed(builder.finished_data(), 0)
    }

    /// What a writer writes, without the mark of its end.
    fn plain() -> Vec<u8> {
        let names: DictionaryArray<Int32Type> = ["tea", "rum", "tea"].into_iter().collect();
        let numbers = Float64Array::from(vec![1.0, 2.0, 3.0]);
        let columns: [(&str, ArrayRef); 2] =
            [("item_id", Arc::new(names)), ("target", Arc::new(numbers))];
        let batch = RecordBatch::try_from_iter(columns).expect("columns of one length");
        let mut bytes = ipc::write(&batch).expect("written");
        bytes.truncate(bytes.len() - 8);
        bytes
    }

    #[test]
    fn compressed_buffers_are_refused_wherever_they_stand() {
        let zstd = Some(CompressionType::ZSTD);
        for (last, codec) in [
            (packed(MessageHeader::RecordBatch, zstd), "ZSTD"),
            (packed(MessageHeader::DictionaryBatch, zstd), "ZSTD"),
            (
                packed(MessageHeader::RecordBatch, Some(CompressionType::LZ4_FRAME)),
                "LZ4_FRAME",
            ),
            (
                packed(MessageHeader::RecordBatch, Some(CompressionType(9))),
                "an unknown codec",
            ),
            (old(), "the codec of Arrow 0.17"),
        ] {
            let stream = [plain(), last].concat();
            let refused = refuse("context", &stream).expect_err(codec);
            assert_eq!(refused.code(), "COMPRESSION_UNSUPPORTED", "{refused}");
            assert!(refused.to_string().contains(codec), "{refused}");
            let read = ipc::read("context", &stream).expect_err(codec);
            assert_eq!(read, refused, "whoever reads it says the same");
        }
    }

    #[test]
    fn a_forecast_is_refused_before_anybody_is_asked() {
        let zstd = Some(CompressionType::ZSTD);
        let bomb = [plain(), packed(MessageHeader::RecordBatch, zstd)].concat();
        let asked = |context: &[u8], future: &[u8]| bespeak_proto::v1::ForecastRequest {
            context: context.to_vec().into(),
            future: future.to_vec().into(),
            horizon: 1,
            ..Default::default()
        };
        for wrong in [asked(&bomb, b""), asked(&plain(), &bomb)] {
            let refused = check_forecast(&wrong).expect_err("compressed");
            assert_eq!(refused.code(), "COMPRESSION_UNSUPPORTED", "{refused}");
        }
        assert_eq!(check_forecast(&asked(&plain(), &plain())), Ok(()));
    }

    #[test]
    fn what_is_not_compressed_passes_and_what_cannot_be_walked_does_not() {
        let end: [u8; 8] = [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];
        let bare = packed(MessageHeader::RecordBatch, None);
        // The form before Arrow 0.15: a length alone.
        let short = bare[4..].to_vec();
        for sound in [plain(), [&plain()[..], &end].concat(), bare.clone(), short] {
            assert_eq!(refuse("context", &sound), Ok(()));
        }
        // What stands after the end is no part of the stream.
        assert_eq!(refuse("context", &[&end[..], b"more"].concat()), Ok(()));
        let negative: [u8; 10] = [0xff, 0xff, 0xff, 0xff, 0xfe, 0xff, 0xff, 0xff, 1, 2];
        for (wrong, word) in [
            (&b"hello, this is no stream"[..], "cut off"),
            (&bare[..bare.len() - 1], "cut off"),
            (&bare[..6], "cut off"),
            (&negative[..], "cut off"),
        ] {
            let refused = refuse("context", wrong).expect_err(word);
            assert_eq!(refused.code(), "INVALID_ARGUMENT");
            assert!(refused.to_string().contains(word), "{refused}");
        }
    }
}
