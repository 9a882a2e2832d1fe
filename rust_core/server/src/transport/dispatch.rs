//! From a request to its answer.

use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use opentelemetry::trace::SpanId;
use tokio::time::timeout;

use super::body::{self, AnswerBody};
use super::message::MessageReader;
use super::{blocking, deadline};
use crate::convert::context;
use crate::error::ApiError;
use crate::method::{Kind, Method};
use crate::services::unary::{self, Encoded};
use crate::shared::Shared;
use crate::telemetry::{self, Finished, Parent, Traces};

/// What is known of a call before its message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call {
    /// The method.
    pub method: Method,
    /// W3C trace id; 0 is none.
    pub trace_id: u128,
    /// When the caller stops waiting.
    pub deadline: Option<Instant>,
    /// Largest answer.
    pub limit: usize,
}

/// Answers one request. Every failure is an answer.
pub(crate) async fn answer(
    shared: &Arc<Shared>,
    request: Request<Incoming>,
) -> Response<AnswerBody> {
    let arrived = Instant::now();
    let Some(method) = Method::from_path(request.uri().path()) else {
        return body::failure(ApiError::UnknownMethod(crate::error::shorten(
            request.uri().path(),
        )));
    };
    if method.kind() == Kind::Stream {
        // Streams are rare and large: their future is kept apart so that the others stay small.
        return Box::pin(stream(shared, method, request, arrived)).await;
    }
    let parent = parent(shared, &request);
    let mut noted = Noted::default();
    let result = one(shared, method, request, arrived, &mut noted).await;
    let code = result.as_ref().err().map_or(0, |error| error.grpc() as i32);
    let took = arrived.elapsed();
    shared.metrics.answered(method, code, took);
    if let Some(traces) = shared.traces.get() {
        traces.record(&Finished {
            method,
            parent,
            took,
            executed: noted.executed.min(took),
            span: noted.span,
            code,
        });
    }
    result.unwrap_or_else(body::failure)
}

/// What is learnt of a call on its way, for its span.
#[derive(Debug, Default)]
struct Noted {
    /// How long it took until it only waited for the disk.
    executed: Duration,
    /// The span that the worker was told of, when it was asked.
    span: Option<SpanId>,
}

/// The caller's span, when anybody wants to know.
fn parent(shared: &Shared, request: &Request<Incoming>) -> Parent {
    shared.traces.get()?;
    context::trace_parts(request.headers().get("traceparent")?.to_str().ok()?)
}

async fn one(
    shared: &Arc<Shared>,
    method: Method,
    request: Request<Incoming>,
    arrived: Instant,
    noted: &mut Noted,
) -> Result<Response<AnswerBody>, ApiError> {
    let (head, incoming) = request.into_parts();
    let trace = head
        .headers
        .get("traceparent")
        .and_then(|value| value.to_str().ok());
    let call = Call {
        method,
        trace_id: trace.map_or(0, context::trace_id),
        deadline: deadline::deadline(&head.headers, arrived)?,
        limit: shared.limits.message_bytes,
    };
    let message = message(shared, incoming).await?;
    if method.kind() == Kind::Blocking {
        // Rare, and large: kept apart so that the futures of the others stay small.
        return Box::pin(on_a_thread(shared, call, message, arrived, noted)).await;
    }
    let _permit = shared.permit()?;
    let api = shared.api()?;
    deadline::check(call.deadline)?;
    let Encoded { response, revision } = match method.kind() {
        Kind::Inline => unary::run(api, &call, message),
        Kind::Compute => {
            noted.span = shared.traces.get().map(Traces::span_id);
            let traceparent = trace.and_then(|trace| telemetry::onward(trace, noted.span));
            Box::pin(unary::compute(
                api,
                shared.compute.get(),
                &call,
                traceparent,
                message,
            ))
            .await
        }
        Kind::Blocking | Kind::Stream => {
            Encoded::failed(ApiError::UnknownMethod(method.name().to_owned()))
        }
    };
    if shared.traces.get().is_some() {
        noted.executed = arrived.elapsed();
    }
    // Failures have seen the state as well: they wait like answers.
    api.store().gate().wait(revision).await?;
    response
}

/// Answers a call that walks the state or the disk.
async fn on_a_thread(
    shared: &Arc<Shared>,
    call: Call,
    message: Bytes,
    arrived: Instant,
    noted: &mut Noted,
) -> Result<Response<AnswerBody>, ApiError> {
    // The permit is kept until the answer may leave.
    let (Encoded { response, revision }, _permit) = blocking::run(shared, call, message).await?;
    if shared.traces.get().is_some() {
        noted.executed = arrived.elapsed();
    }
    shared.api()?.store().gate().wait(revision).await?;
    response
}

/// Reads the message; only one that does not come at once costs a timer.
async fn message(shared: &Shared, incoming: Incoming) -> Result<Bytes, ApiError> {
    let limits = &shared.limits;
    let mut reader = MessageReader::new(incoming, limits.message_bytes, &shared.budget);
    let first = std::future::poll_fn(|cx| Poll::Ready(reader.poll(cx))).await;
    if let Poll::Ready(result) = first {
        return result;
    }
    let patience = Duration::from_millis(limits.request_body_ms);
    timeout(patience, std::future::poll_fn(|cx| reader.poll(cx)))
        .await
        .unwrap_or_else(|_| {
            Err(ApiError::Malformed(format!(
                "the message did not arrive within {} ms",
                limits.request_body_ms
            )))
        })
}

async fn stream(
    shared: &Arc<Shared>,
    method: Method,
    request: Request<Incoming>,
    arrived: Instant,
) -> Response<AnswerBody> {
    let response = shared.streams.call(shared, method, request).await;
    let code = response
        .headers()
        .get("grpc-status")
        .and_then(|code| code.to_str().ok()?.parse().ok());
    shared
        .metrics
        .answered(method, code.unwrap_or(0), arrived.elapsed());
    response
}
