//! Bodies of answers: one message with its trailers, or whatever a streaming service makes.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Response, header};
use http_body::{Frame, SizeHint};
use prost::Message;
use tonic::Status;

use super::message::PREFIX;
use crate::error::ApiError;
use crate::shared::{Drained, StreamSeat};

/// A body that hyper sends.
pub(crate) enum AnswerBody {
    /// Only headers.
    Empty,
    /// The message, then the trailers.
    Message(Bytes),
    /// The message has been sent.
    Trailers,
    /// Made by a streaming service.
    Stream {
        /// Its body.
        inner: tonic::body::Body,
        /// Its place among the streams.
        _seat: StreamSeat,
        /// When a drain cuts it, for those that would not end by themselves.
        drained: Option<Drained>,
    },
}

const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
const OK: HeaderValue = HeaderValue::from_static("0");

impl http_body::Body for AnswerBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        match &mut *self {
            Self::Empty => Poll::Ready(None),
            Self::Message(message) => {
                let frame = Frame::data(std::mem::take(message));
                *self = Self::Trailers;
                Poll::Ready(Some(Ok(frame)))
            }
            Self::Trailers => {
                *self = Self::Empty;
                let mut trailers = HeaderMap::with_capacity(1);
                trailers.insert(Status::GRPC_STATUS, OK);
                Poll::Ready(Some(Ok(Frame::trailers(trailers))))
            }
            Self::Stream { inner, drained, .. } => {
                let polled = Pin::new(inner).poll_frame(cx);
                if polled.is_ready()
                    || drained
                        .as_mut()
                        .is_none_or(|end| end.as_mut().poll(cx).is_pending())
                {
                    return polled;
                }
                *self = Self::Empty;
                let mut trailers = HeaderMap::with_capacity(3);
                match Status::from(ApiError::Draining).add_header(&mut trailers) {
                    Ok(()) => Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
                    Err(status) => Poll::Ready(Some(Err(status))),
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Message(_) | Self::Trailers => false,
            Self::Stream { inner, .. } => inner.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

/// The response that carries one message.
///
/// # Errors
/// `MessageTooLarge` when the answer exceeds what a caller must be able to take.
pub(crate) fn message<M: Message>(
    answer: &M,
    limit: usize,
) -> Result<Response<AnswerBody>, ApiError> {
    let length = answer.encoded_len();
    let announced = u32::try_from(length)
        .ok()
        .filter(|_| length <= limit)
        .ok_or(ApiError::MessageTooLarge {
            bytes: length as u64,
            limit: limit as u64,
        })?;
    let mut buffer = BytesMut::with_capacity(PREFIX + length);
    buffer.put_u8(0);
    buffer.put_u32(announced);
    answer
        .encode(&mut buffer)
        .map_err(|error| ApiError::Internal(error.to_string()))?;
    let mut response = Response::new(AnswerBody::Message(buffer.freeze()));
    response.headers_mut().insert(header::CONTENT_TYPE, GRPC);
    Ok(response)
}

/// The response that carries nothing but a failure.
pub(crate) fn failure(error: ApiError) -> Response<AnswerBody> {
    status(&Status::from(error))
}

/// The response that carries nothing but a status.
pub(crate) fn status(status: &Status) -> Response<AnswerBody> {
    let mut response = Response::new(AnswerBody::Empty);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, GRPC);
    if status.add_header(headers).is_err() {
        headers.insert(Status::GRPC_STATUS, HeaderValue::from_static("13"));
    }
    response
}
