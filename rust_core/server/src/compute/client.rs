//! The compute worker as the server sees it: slow, and sometimes away.

use std::time::{Duration, Instant};

use bespeak_proto::v1 as pb;
use bespeak_proto::v1::compute_service_client::ComputeServiceClient;
use prost::Message as _;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

use super::Caller;
use super::breaker::Breaker;
use crate::config::ComputeConfig;
use crate::error::ApiError;
use crate::start::StartError;

/// Time to connect; the worker is on this machine or near.
const CONNECT: Duration = Duration::from_secs(1);

/// Bytes of one message to the worker, and of a plan that it answers: what it takes by default. The history that is kept here
/// is far above what a caller may send.
const WORKER_BYTES: usize = 256 << 20;

/// How much longer than its budget a plan is waited for: a share of it, and so long beside.
const GRACE: f64 = 0.1;
const GRACE_LEAST: Duration = Duration::from_millis(500);
/// A worker that had less time than this, since its caller was in a hurry, is not blamed for being late.
const BLAMED: Duration = Duration::from_millis(500);

/// A worker, asked with a deadline and behind a circuit breaker.
#[derive(Debug)]
pub(crate) struct Client {
    service: ComputeServiceClient<Channel>,
    timeout: Duration,
    /// Bytes of a forecast: it goes to the caller as it is.
    answer_bytes: usize,
    /// Bytes of a question.
    asked_bytes: usize,
    breaker: Breaker,
}

impl Client {
    /// A client that connects when it is first needed; a caller takes answers of `message_bytes`. Must be made inside a
    /// runtime.
    ///
    /// # Errors
    /// `Compute` for an address that makes no sense.
    pub fn new(config: &ComputeConfig, message_bytes: usize) -> Result<Self, StartError> {
        let address = config.address.clone();
        let endpoint = Endpoint::from_shared(address)
            .map_err(|error| StartError::Compute(error.to_string()))?;
        let channel = endpoint.connect_timeout(CONNECT).connect_lazy();
        let service = ComputeServiceClient::new(channel)
            .max_decoding_message_size(WORKER_BYTES)
            .max_encoding_message_size(WORKER_BYTES);
        let pause = Duration::from_millis(config.breaker_open_ms);
        Ok(Self {
            service,
            timeout: Duration::from_millis(config.timeout_ms),
            answer_bytes: message_bytes,
            asked_bytes: WORKER_BYTES,
            breaker: Breaker::new(config.breaker_failures, pause),
        })
    }

    /// The worker's forecast; `None` when the fallback should answer.
    ///
    /// # Errors
    /// `ComputeRefused` when the request is wrong, `MessageTooLarge`.
    pub async fn forecast(
        &self,
        request: &pb::ForecastRequest,
        caller: &Caller,
    ) -> Result<Option<pb::ForecastResponse>, ApiError> {
        let asked = pb::ComputeServiceForecastRequest {
            model: request.model.clone(),
            context: request.context.clone(),
            future: request.future.clone(),
            horizon: request.horizon,
            quantiles: request.quantiles.clone(),
            ..Default::default()
        };
        self.fits(asked.encoded_len())?;
        let service = self.service.clone();
        let mut service = service.max_decoding_message_size(self.answer_bytes);
        let answer = self
            .ask(self.timeout, caller.deadline, |limit| {
                let request = asking(asked, limit, caller);
                async move { service.forecast(request).await }
            })
            .await?;
        Ok(answer.map(|answer| pb::ForecastResponse {
            forecast: answer.forecast,
            fallback: is_fallback(answer.origin.as_ref()),
            source: source(answer.origin.as_ref()).into(),
            made_by: made_by(answer.origin),
            ..Default::default()
        }))
    }

    /// The worker's plan; `None` when the fallback should answer.
    ///
    /// # Errors
    /// `ComputeRefused` when the request is wrong.
    pub async fn allocate(
        &self,
        mut asked: pb::ComputeServiceAllocateRequest,
        budget: Duration,
        caller: &Caller,
    ) -> Result<Option<pb::ComputeServiceAllocateResponse>, ApiError> {
        let fits = self.fits(asked.encoded_len());
        let mut service = self.service.clone();
        let longest = budget.mul_f64(1.0 + GRACE) + GRACE_LEAST;
        let call = |limit: Duration| {
            let budget = budget.min(limit.mul_f64(1.0 - GRACE));
            asked.budget_ms = u32::try_from(budget.as_millis()).unwrap_or(u32::MAX).max(1);
            let request = asking(asked, limit, caller);
            async move { service.allocate(request).await }
        };
        let answer = match fits {
            Ok(()) => self.ask(longest, caller.deadline, call).await,
            Err(error) => Err(error),
        };
        match answer {
            // What is too much to be sent is not too much for the search here.
            Err(error @ ApiError::MessageTooLarge { .. }) => {
                tracing::warn!(%error, "the compute worker cannot make the plan");
                Ok(None)
            }
            other => other,
        }
    }

    /// Whether a question can be sent. The transport would only say that the call failed, which is no fault of the worker.
    fn fits(&self, bytes: usize) -> Result<(), ApiError> {
        if bytes > self.asked_bytes {
            return Err(ApiError::MessageTooLarge {
                bytes: bytes as u64,
                limit: self.asked_bytes as u64,
            });
        }
        Ok(())
    }

    async fn ask<A, F>(
        &self,
        longest: Duration,
        deadline: Option<Instant>,
        call: impl FnOnce(Duration) -> F,
    ) -> Result<Option<A>, ApiError>
    where
        F: Future<Output = Result<tonic::Response<A>, Status>>,
    {
        let now = Instant::now();
        if !self.breaker.allows(now) {
            return Ok(None);
        }
        let limit = patience(longest, now, deadline);
        let outcome = match tokio::time::timeout(limit, call(limit)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Status::deadline_exceeded("the worker was late")),
        };
        if let Err(status) = &outcome
            && let Some(error) = too_large(status)
        {
            // It answers: there is only too much of it.
            self.breaker.succeeded();
            return Err(error);
        }
        match outcome {
            Ok(answer) => {
                self.breaker.succeeded();
                Ok(Some(answer.into_inner()))
            }
            Err(status)
                if matches!(
                    status.code(),
                    Code::InvalidArgument | Code::NotFound | Code::OutOfRange
                ) =>
            {
                // It answers: the request is wrong.
                self.breaker.succeeded();
                Err(ApiError::ComputeRefused(crate::error::shorten(
                    status.message(),
                )))
            }
            Err(status)
                if is_late(&status, now.elapsed() >= limit) && limit < longest.min(BLAMED) =>
            {
                self.breaker.undecided();
                Ok(None)
            }
            Err(status) => {
                self.breaker.failed(Instant::now());
                tracing::warn!(code = ?status.code(), message = status.message(), "the compute worker is away");
                Ok(None)
            }
        }
    }
}

/// What a message over a limit is told: that of the channel here, or the worker's own. Both name its size, then the limit.
fn too_large(status: &Status) -> Option<ApiError> {
    let words = match status.code() {
        Code::OutOfRange => "message length too large",
        Code::ResourceExhausted => "message larger than max",
        _ => return None,
    };
    let (_, told) = status.message().split_once(words)?;
    let mut numbers = told
        .split(|letter: char| !letter.is_ascii_digit())
        .filter_map(|digits| digits.parse::<u64>().ok());
    Some(ApiError::MessageTooLarge {
        bytes: numbers.next()?,
        limit: numbers.next()?,
    })
}

/// Whether the worker had too little time. The channel keeps the limit as well, and calls what it ends cancelled.
fn is_late(status: &Status, over: bool) -> bool {
    match status.code() {
        Code::DeadlineExceeded => true,
        Code::Cancelled => over,
        _ => false,
    }
}

/// How long the worker may take: a quarter of the caller's time is kept for the fallback.
fn patience(longest: Duration, now: Instant, deadline: Option<Instant>) -> Duration {
    match deadline {
        None => longest,
        Some(end) => longest.min(end.saturating_duration_since(now).mul_f64(0.75)),
    }
}

fn asking<Q>(message: Q, limit: Duration, caller: &Caller) -> Request<Q> {
    let mut request = Request::new(message);
    request.set_timeout(limit);
    if let Some(traceparent) = &caller.traceparent {
        let metadata = request.metadata_mut();
        metadata.insert("traceparent", traceparent.clone());
    }
    request
}

fn is_fallback(origin: Option<&pb::ComputeOrigin>) -> bool {
    origin.is_some_and(|origin| origin.source() == pb::ComputeSource::Fallback)
}

fn source(origin: Option<&pb::ComputeOrigin>) -> pb::ForecastSource {
    match origin.map(pb::ComputeOrigin::source) {
        Some(pb::ComputeSource::Local) => pb::ForecastSource::Worker,
        Some(pb::ComputeSource::Ray) => pb::ForecastSource::Ray,
        Some(pb::ComputeSource::Fallback) => pb::ForecastSource::Fallback,
        Some(pb::ComputeSource::Unspecified) | None => pb::ForecastSource::Unspecified,
    }
}

fn made_by(origin: Option<pb::ComputeOrigin>) -> String {
    let origin = origin.unwrap_or_default();
    format!("{}@{}", origin.name, origin.version)
}

#[cfg(test)]
mod tests;
