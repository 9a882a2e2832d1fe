//! What a caller's dictionaries may take. A decoder keeps them until the stream ends, and none is a table: nobody is asked
//! whether they are too many.

use std::collections::HashMap;

use arrow_flight::FlightData;
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use arrow_ipc::{MessageHeader, root_as_message};
use futures_util::{Stream, StreamExt};

use crate::error::ApiError;

/// Messages of the largest size that the dictionaries of one stream may take together.
const MESSAGES_MAX: usize = 4;

/// The tables of a caller's messages, none of which is larger than `message_bytes`. What [`ApiError`] says of them comes as an
/// external error.
pub(crate) fn tables_of(
    messages: impl Stream<Item = Result<FlightData, FlightError>> + Send + 'static,
    message_bytes: usize,
) -> FlightRecordBatchStream {
    let mut dictionaries = Dictionaries::new(message_bytes);
    let admitted = messages.map(move |data| {
        let data = data?;
        match dictionaries.admit(&data) {
            Ok(()) => Ok(data),
            Err(error) => Err(FlightError::ExternalError(Box::new(error))),
        }
    });
    FlightRecordBatchStream::new_from_flight_data(admitted)
}

/// The dictionaries of one stream.
#[derive(Debug)]
struct Dictionaries {
    /// Bytes by id: one that comes again is in the other's place.
    bytes: HashMap<i64, usize>,
    /// Their sum.
    total: usize,
    bytes_max: usize,
}

impl Dictionaries {
    /// Of a stream whose messages have so many bytes at most.
    fn new(message_bytes: usize) -> Self {
        Self {
            bytes: HashMap::new(),
            total: 0,
            bytes_max: message_bytes.saturating_mul(MESSAGES_MAX),
        }
    }

    /// Looks at a message before it is decoded.
    ///
    /// # Errors
    /// `Malformed` for more of them than the limit, and for one that goes on from another: each such part copies all
    /// that were before it.
    fn admit(&mut self, data: &FlightData) -> Result<(), ApiError> {
        // What is no message is the decoder's to name.
        let Ok(message) = root_as_message(&data.data_header) else {
            return Ok(());
        };
        if message.header_type() != MessageHeader::DictionaryBatch {
            return Ok(());
        }
        let Some(dictionary) = message.header_as_dictionary_batch() else {
            return Ok(());
        };
        if dictionary.isDelta() {
            let what = "a dictionary goes on from another (isDelta): send each dictionary whole";
            return Err(ApiError::Malformed(what.to_owned()));
        }
        let own = data.data_header.len() + data.data_body.len();
        let before = self.bytes.insert(dictionary.id(), own).unwrap_or(0);
        self.total = self.total - before + own;
        if self.total > self.bytes_max {
            return Err(ApiError::Malformed(format!(
                "the dictionaries of the stream take {} bytes, at most {} are allowed: send text columns, or fewer \
                 dictionary columns",
                self.total, self.bytes_max
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use arrow_ipc::{DictionaryBatchBuilder, MessageBuilder, MetadataVersion};
    use flatbuffers::FlatBufferBuilder;

    use super::*;

    fn dictionary(id: i64, delta: bool, bytes: usize) -> FlightData {
        let mut builder = FlatBufferBuilder::new();
        let mut batch = DictionaryBatchBuilder::new(&mut builder);
        batch.add_id(id);
        batch.add_isDelta(delta);
        let header = batch.finish().as_union_value();
        let mut message = MessageBuilder::new(&mut builder);
        message.add_version(MetadataVersion::V5);
        message.add_header_type(MessageHeader::DictionaryBatch);
        message.add_header(header);
        let message = message.finish();
        builder.finish(message, None);
        FlightData {
            data_header: builder.finished_data().to_vec().into(),
            data_body: vec![0; bytes].into(),
            ..FlightData::default()
        }
    }

    #[test]
    fn dictionaries_may_take_a_few_messages_together() {
        let mut dictionaries = Dictionaries::new(1_000);
        for id in 0..4 {
            assert_eq!(dictionaries.admit(&dictionary(id, false, 900)), Ok(()));
        }
        let error = dictionaries.admit(&dictionary(4, false, 900));
        let Err(ApiError::Malformed(what)) = error else {
            panic!("{error:?}");
        };
        assert!(what.contains("at most 4000 are allowed"), "{what}");
    }

    #[test]
    fn one_that_comes_again_is_in_the_place_of_the_other() {
        let mut dictionaries = Dictionaries::new(1_000);
        for _ in 0..100 {
            assert_eq!(dictionaries.admit(&dictionary(7, false, 900)), Ok(()));
        }
    }

    #[test]
    fn parts_are_refused() {
        let mut dictionaries = Dictionaries::new(1_000);
        assert_eq!(dictionaries.admit(&dictionary(7, false, 10)), Ok(()));
        let error = dictionaries.admit(&dictionary(7, true, 10));
        assert!(
            matches!(&error, Err(ApiError::Malformed(what)) if what.contains("isDelta")),
            "{error:?}"
        );
    }

    #[test]
    fn what_is_no_dictionary_is_the_decoders() {
        let mut dictionaries = Dictionaries::new(1_000);
        for header in [&b""[..], b"no message", &[0xff; 64]] {
            let data = FlightData {
                data_header: header.to_vec().into(),
                data_body: vec![0; 9_000].into(),
                ..FlightData::default()
            };
            assert_eq!(dictionaries.admit(&data), Ok(()));
        }
    }
}
