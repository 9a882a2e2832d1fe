//! Reads the one message of a unary request.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};
use http_body::Body;
use hyper::body::Incoming;

use crate::error::ApiError;
use crate::metrics::{Metrics, Shed};

/// Compressed flag and length in front of each message.
pub const PREFIX: usize = 5;
/// When to come again after the budget was spent.
const RETRY_MS: u64 = 100;

/// Bytes of requests that have not fully arrived.
#[derive(Debug)]
pub struct Budget {
    left: AtomicUsize,
    limit: usize,
    metrics: Arc<Metrics>,
}

impl Budget {
    /// A budget of so many bytes. What it refuses is counted.
    pub fn new(bytes: usize, metrics: Arc<Metrics>) -> Self {
        Self {
            left: AtomicUsize::new(bytes),
            limit: bytes,
            metrics,
        }
    }

    fn take(&self, bytes: usize) -> Result<(), ApiError> {
        let taken = self
            .left
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| {
                left.checked_sub(bytes)
            });
        taken.map(|_| ()).map_err(|_| {
            self.metrics.shed(Shed::Buffered);
            ApiError::Overloaded {
                what: "bytes of requests still arriving",
                limit: self.limit as u64,
                retry_ms: RETRY_MS,
            }
        })
    }

    fn give(&self, bytes: usize) {
        self.left.fetch_add(bytes, Ordering::AcqRel);
    }
}

/// Collects frames until the message is whole and the caller has ended its side.
pub struct MessageReader<'a> {
    body: Incoming,
    limit: usize,
    budget: &'a Budget,
    taken: usize,
    first: Bytes,
    rest: BytesMut,
}

impl<'a> MessageReader<'a> {
    /// A reader of at most `limit` bytes.
    pub fn new(body: Incoming, limit: usize, budget: &'a Budget) -> Self {
        Self {
            body,
            limit,
            budget,
            taken: 0,
            first: Bytes::new(),
            rest: BytesMut::new(),
        }
    }

    /// The message without its prefix.
    ///
    /// # Errors
    /// `MessageTooLarge`, `CompressionUnsupported`, `Malformed`, `Overloaded` when the budget is spent.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, ApiError>> {
        loop {
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => return Poll::Ready(self.finish()),
                Poll::Ready(Some(Err(error))) => {
                    return Poll::Ready(Err(ApiError::Malformed(error.to_string())));
                }
                Poll::Ready(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data()
                        && let Err(error) = self.take(data)
                    {
                        return Poll::Ready(Err(error));
                    }
                    if self.body.is_end_stream() {
                        return Poll::Ready(self.finish());
                    }
                }
            }
        }
    }

    fn take(&mut self, data: Bytes) -> Result<(), ApiError> {
        if data.is_empty() {
            return Ok(());
        }
        let arrived = data.len();
        let length = self.first.len() + self.rest.len() + arrived;
        if length > self.limit + PREFIX {
            return Err(self.too_large(length - PREFIX));
        }
        if self.first.is_empty() && self.rest.is_empty() {
            // The usual request is one frame, which is kept as it came.
            self.first = data;
        } else {
            if self.rest.is_empty() {
                self.rest.extend_from_slice(&self.first);
                self.first = Bytes::new();
            }
            self.rest.extend_from_slice(&data);
        }
        let head = if self.rest.is_empty() {
            &self.first[..]
        } else {
            &self.rest[..]
        };
        if let Some(announced) = announced(head)?
            && announced > self.limit
        {
            return Err(self.too_large(announced));
        }
        if !self.body.is_end_stream() {
            self.budget.take(arrived)?;
            self.taken += arrived;
        }
        Ok(())
    }

    fn too_large(&self, bytes: usize) -> ApiError {
        ApiError::MessageTooLarge {
            bytes: bytes as u64,
            limit: self.limit as u64,
        }
    }

    fn finish(&mut self) -> Result<Bytes, ApiError> {
        let mut whole = if self.rest.is_empty() {
            std::mem::take(&mut self.first)
        } else {
            std::mem::take(&mut self.rest).freeze()
        };
        match announced(&whole)? {
            Some(length) if length == whole.len() - PREFIX => {
                whole.advance(PREFIX);
                Ok(whole)
            }
            Some(length) => Err(ApiError::Malformed(format!(
                "{} bytes follow where one message of {length} was announced",
                whole.len() - PREFIX
            ))),
            None => Err(ApiError::Malformed(
                "the request ended before its message".to_owned(),
            )),
        }
    }
}

impl Drop for MessageReader<'_> {
    fn drop(&mut self) {
        self.budget.give(self.taken);
    }
}

/// The length in a prefix, once it is there.
fn announced(head: &[u8]) -> Result<Option<usize>, ApiError> {
    match head {
        [0, a, b, c, d, ..] => Ok(Some(u32::from_be_bytes([*a, *b, *c, *d]) as usize)),
        [0, ..] | [] => Ok(None),
        [1, ..] => Err(ApiError::CompressionUnsupported("grpc-encoding".to_owned())),
        [flag, ..] => Err(ApiError::Malformed(format!(
            "compressed flag is {flag}, it must be 0 or 1"
        ))),
    }
}
