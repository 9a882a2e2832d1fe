//! A caller's stream of tables, with nothing in it trusted.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use arrow_flight::{FlightData, FlightDescriptor};
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use tonic::Streaming;

use super::dictionaries::tables_of;
use crate::error::ApiError;
use crate::shared::{Drained, Shared};

/// Tables as they come.
pub(crate) struct Input {
    batches: FlightRecordBatchStream,
    drained: Drained,
    broken: bool,
}

impl Input {
    /// Waits for the first message, which carries the descriptor.
    ///
    /// # Errors
    /// `Malformed` when there is none.
    pub async fn open(
        shared: &Arc<Shared>,
        mut messages: Streaming<FlightData>,
    ) -> Result<(Option<FlightDescriptor>, Self), ApiError> {
        let first = messages
            .message()
            .await
            .map_err(|status| ApiError::Malformed(status.message().to_owned()))?
            .ok_or_else(|| {
                ApiError::Malformed("the stream ended before its first message".to_owned())
            })?;
        let descriptor = first.flight_descriptor.clone();
        // Clients in C++ and Python name the table in a message of its own, before that of the schema.
        let head = (!first.data_header.is_empty()).then_some(Ok(first));
        let all = stream::iter(head)
            .chain(messages.map_err(|status| FlightError::Tonic(Box::new(status))));
        let batches = tables_of(all, shared.limits.message_bytes);
        Ok((
            descriptor,
            Self {
                batches,
                drained: shared.drained(),
                broken: false,
            },
        ))
    }

    /// The next table; `None` when the caller has ended.
    ///
    /// # Errors
    /// `Malformed` for bytes that are no table, `Draining`.
    pub async fn next(&mut self) -> Result<Option<RecordBatch>, ApiError> {
        if self.broken {
            return Ok(None);
        }
        // The decoder has had bugs on hostile bytes. One that panics ends this stream and nothing else.
        let next = AssertUnwindSafe(self.batches.next()).catch_unwind();
        let next = tokio::select! {
            next = next => next,
            () = self.drained.as_mut() => return Err(ApiError::Draining),
        };
        let failed = match next {
            Ok(None) => return Ok(None),
            Ok(Some(Ok(batch))) => return Ok(Some(batch)),
            Ok(Some(Err(FlightError::Tonic(status)))) => {
                ApiError::Malformed(status.message().to_owned())
            }
            Ok(Some(Err(FlightError::ExternalError(error)))) => {
                match error.downcast::<ApiError>() {
                    Ok(own) => *own,
                    Err(other) => ApiError::Malformed(other.to_string()),
                }
            }
            Ok(Some(Err(error))) => ApiError::Malformed(error.to_string()),
            Err(_) => ApiError::Malformed("the Arrow data contradicts itself".to_owned()),
        };
        self.broken = true;
        Err(failed)
    }
}
