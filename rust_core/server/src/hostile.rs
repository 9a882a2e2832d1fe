//! What bytes from the network reach, without a network: for fuzzing.

use arrow_flight::{FlightData, FlightDescriptor};
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use prost::Message;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use crate::api::Api;
use crate::error::ApiError;
use crate::flight::{Exchange, from_descriptor, from_ticket, info, schema, tables_of};
use crate::method::{Kind, Method};
use crate::services::unary as unary_service;
use crate::tables::check::CheckJob;
use crate::tables::reserve::ReserveJob;
use crate::tables::supply::SupplyJob;
use crate::tables::{Job, run};
use crate::transport::dispatch::Call;

type Result<T> = std::result::Result<T, ApiError>;

/// Rows of one table, and bytes of one answer.
const ROWS_MAX: usize = 65_536;
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// Methods that [`unary`] takes.
pub fn methods() -> impl Iterator<Item = Method> {
    let all = Method::ALL.iter().copied();
    all.filter(|method| matches!(method.kind(), Kind::Inline | Kind::Blocking))
}

/// Decodes a request, executes it and encodes its answer.
///
/// # Errors
/// As the method.
pub fn unary(api: &Api, method: Method, message: Bytes) -> Result<()> {
    let call = Call {
        method,
        trace_id: 0,
        deadline: None,
        limit: ANSWER_BYTES_MAX,
    };
    unary_service::run(api, &call, message).response.map(|_| ())
}

/// Reads all that a ticket asks for; returns the rows.
///
/// # Errors
/// As `DoGet`.
pub fn ticket(api: &Api, ticket: &[u8]) -> Result<usize> {
    let mut reader = from_ticket(ticket)?.read(api)?;
    let mut rows = 0;
    while let Some(seen) = reader.next(api) {
        rows += seen.result?.num_rows();
    }
    Ok(rows)
}

/// Decodes a descriptor and asks `GetFlightInfo`, `GetSchema` and `DoExchange` for it.
///
/// # Errors
/// As `GetSchema`.
pub fn descriptor(message: &[u8]) -> Result<()> {
    let descriptor = FlightDescriptor::decode(message)
        .map_err(|error| ApiError::Malformed(error.to_string()))?;
    let _ = from_descriptor(&descriptor).and_then(|wanted| info(&wanted));
    let _ = Exchange::from_descriptor(Some(&descriptor));
    schema(&descriptor).map(|_| ())
}

/// Decodes a stream of messages as `DoExchange` does and answers its tables; returns the rows.
///
/// # Errors
/// As `DoExchange`.
pub fn exchange(api: &Api, table: &str, messages: Vec<FlightData>) -> Result<usize> {
    let descriptor = FlightDescriptor::new_path(vec![table.to_owned()]);
    let exchange = Exchange::from_descriptor(Some(&descriptor))?;
    let messages = stream::iter(messages.into_iter().map(Ok));
    let mut batches = tables_of(messages, ANSWER_BYTES_MAX)
        .map_err(|error| ApiError::Malformed(error.to_string()));
    let slice = Duration::from_millis(1);
    let mut rows = 0;
    loop {
        // As in the service: a decoder that panics ends the stream and nothing else. All messages are there.
        let next = AssertUnwindSafe(batches.next())
            .catch_unwind()
            .now_or_never();
        let batch = match next {
            Some(Ok(Some(batch))) => batch?,
            Some(Ok(None)) => return Ok(rows),
            _ => return Err(ApiError::Malformed("no table".to_owned())),
        };
        let job: Box<dyn Job> = match exchange {
            Exchange::Check => Box::new(CheckJob::new(&batch, ROWS_MAX)?),
            Exchange::Reserve => Box::new(ReserveJob::new(&batch, ROWS_MAX, slice, 0)?),
            Exchange::Supply => Box::new(SupplyJob::new(&batch, ROWS_MAX, slice, 0)?),
        };
        let (answer, _) = run(job, api)?;
        assert_eq!(answer.num_rows(), batch.num_rows(), "one answer a row");
        rows += answer.num_rows();
    }
}
