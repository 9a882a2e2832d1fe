//! Orders in a stream, planned together with those that come within a stated delay, on any stream with the same terms.
//!
//! Each stream reads no further than [`IN_FLIGHT`] orders ahead of its answers, so that whoever reads them slowly slows
//! only itself. Orders that were read are answered, also when the stream is half closed or the server drains.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bespeak_proto::v1 as pb;
use bytes::Bytes;
use prost::Message;
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::Stream;
use tonic::metadata::AsciiMetadataValue;
use tonic::{Status, Streaming};

use super::batched;
use super::groups::{Done, Group, Waiting};
use super::seats::aside;
use crate::api::Api;
use crate::error::ApiError;
use crate::shared::{Drained, Shared};

/// Wait for other orders when none is stated, and at most, milliseconds.
const DELAY_MS: i64 = 20;
const DELAY_MS_MAX: i64 = 1_000;
/// Orders of one stream that are not answered yet; a large one counts as several.
const IN_FLIGHT: u32 = 1_024;
/// Bytes of an order that counts as one.
const ORDER_BYTES: usize = 4_096;

/// One stream: reads orders, gives answers.
pub struct Submission {
    shared: Arc<Shared>,
    api: Api,
    traceparent: Option<AsciiMetadataValue>,
    input: Streaming<pb::SubmitOrdersRequest>,
    /// Terms that are being checked.
    joining: Option<Joining>,
    joined: Option<Joined>,
    drained: Drained,
    /// Set once no more orders are read, with what the stream ends in.
    ended: Option<Result<(), Status>>,
    /// Orders that were read and are not answered.
    open: usize,
    front: Option<Done>,
    ticket: Option<u64>,
}

/// A stream's part in a group.
struct Joined {
    orders: Option<mpsc::Sender<Waiting>>,
    hold: Option<Arc<pb::AllocationHold>>,
    room: Arc<Semaphore>,
    sender: Option<mpsc::UnboundedSender<Done>>,
    answers: mpsc::UnboundedReceiver<Done>,
    /// An order on its way into the queue.
    pushing: Option<Pushing>,
}

type Joining = Pin<Box<dyn Future<Output = Result<Group, ApiError>> + Send + Sync>>;
type Pushing = Pin<Box<dyn Future<Output = Result<(), ApiError>> + Send + Sync>>;

impl Submission {
    pub fn new(
        shared: &Arc<Shared>,
        api: Api,
        traceparent: Option<AsciiMetadataValue>,
        input: Streaming<pb::SubmitOrdersRequest>,
    ) -> Self {
        Self {
            api,
            traceparent,
            input,
            joining: None,
            joined: None,
            drained: shared.drained(),
            ended: None,
            open: 0,
            front: None,
            ticket: None,
            shared: Arc::clone(shared),
        }
    }

    /// Reads what has come, as far as there is room.
    fn take_up(&mut self, cx: &mut Context<'_>) {
        while self.ended.is_none() {
            if let Some(joining) = &mut self.joining {
                let Poll::Ready(checked) = joining.as_mut().poll(cx) else {
                    return;
                };
                self.joining = None;
                match checked.and_then(|group| self.join(group)) {
                    Ok(joined) => self.joined = Some(joined),
                    Err(error) => {
                        self.end(Err(error.into()));
                        return;
                    }
                }
            }
            if let Some(joined) = &mut self.joined
                && let Some(pushing) = &mut joined.pushing
            {
                match pushing.as_mut().poll(cx) {
                    Poll::Pending => return,
                    Poll::Ready(Ok(())) => joined.pushing = None,
                    Poll::Ready(Err(error)) => {
                        joined.pushing = None;
                        self.end(Err(error.into()));
                        return;
                    }
                }
            }
            match Pin::new(&mut self.input).poll_next(cx) {
                Poll::Pending => {
                    if self.drained.as_mut().poll(cx).is_ready() {
                        self.end(Err(ApiError::Draining.into()));
                    }
                    return;
                }
                Poll::Ready(None) => self.end(Ok(())),
                Poll::Ready(Some(Err(status))) => self.end(Err(status)),
                Poll::Ready(Some(Ok(message))) => {
                    if let Err(error) = self.take(message) {
                        self.end(Err(error.into()));
                    }
                }
            }
        }
    }

    /// No more orders: what was read is still answered.
    fn end(&mut self, how: Result<(), Status>) {
        self.ended = Some(how);
        if let Some(joined) = &mut self.joined {
            joined.orders = None;
            joined.sender = None;
        }
    }

    fn take(&mut self, message: pb::SubmitOrdersRequest) -> Result<(), ApiError> {
        let Some(joined) = &mut self.joined else {
            let Some(terms) = message.terms else {
                let rule = "the first message says how to plan";
                return Err(ApiError::invalid("terms", "missing", rule));
            };
            self.joining = Some(self.check(terms, message.delay_ms)?);
            return Ok(());
        };
        if message.terms.is_some() {
            let rule = "only the first message has them: open another stream";
            return Err(ApiError::invalid("terms", "there again", rule));
        }
        let Some(order) = message.order else {
            return Err(ApiError::invalid(
                "order",
                "missing",
                "send one in each message",
            ));
        };
        let (Some(orders), Some(answers)) = (joined.orders.clone(), joined.sender.clone()) else {
            return Ok(());
        };
        self.open += 1;
        let size = u32::try_from(order.encoded_len() / ORDER_BYTES).unwrap_or(u32::MAX);
        let places = size.saturating_add(1).min(IN_FLIGHT);
        let (room, hold) = (Arc::clone(&joined.room), joined.hold.clone());
        joined.pushing = Some(Box::pin(async move {
            let gone = || ApiError::Internal("the batches have ended".to_owned());
            let place = room.acquire_many_owned(places).await.map_err(|_| gone())?;
            let waiting = Waiting {
                order,
                hold,
                answers,
                place,
            };
            orders.send(waiting).await.map_err(|_| gone())
        }));
        Ok(())
    }

    /// Checks terms where plans are made: they may have large tables.
    fn check(&self, terms: pb::AllocateRequest, delay_ms: i64) -> Result<Joining, ApiError> {
        let delay = match delay_ms {
            0 => DELAY_MS,
            ms if (1..=DELAY_MS_MAX).contains(&ms) => ms,
            ms => return Err(ApiError::invalid("delay_ms", ms, "it must be 0 to 1000")),
        };
        let terms = pb::AllocateRequest {
            orders: Bytes::new(),
            order: None,
            ..terms
        };
        let api = self.api.clone();
        let group = Group {
            api: self.api.clone(),
            client: self.shared.compute.get().map(Arc::clone),
            terms,
            delay: Duration::from_millis(delay.unsigned_abs()),
            batches: 0,
        };
        if batched::is_quick(&group.terms) {
            batched::check(&api, &group.terms)?;
            return Ok(Box::pin(std::future::ready(Ok(group))));
        }
        Ok(Box::pin(async move {
            let Some(seat) = api.desk().seats.wait().await else {
                return Err(ApiError::Draining);
            };
            let check = move || {
                let _seat = seat;
                aside(|| batched::check(&api, &group.terms))??;
                Ok(group)
            };
            let checked = tokio::task::spawn_blocking(check).await;
            checked.map_err(|error| ApiError::Internal(error.to_string()))?
        }))
    }

    fn join(&self, mut group: Group) -> Result<Joined, ApiError> {
        let hold = group.terms.hold.clone().map(Arc::new);
        // Streams of several callers are planned together: who holds is said with each order.
        if let Some(hold) = &mut group.terms.hold {
            hold.context = None;
        }
        let groups = &self.api.desk().groups;
        let (sender, answers) = mpsc::unbounded_channel();
        Ok(Joined {
            orders: Some(groups.join(group, self.traceparent.clone())?),
            hold,
            room: Arc::new(Semaphore::new(IN_FLIGHT as usize)),
            sender: Some(sender),
            answers,
            pushing: None,
        })
    }
}

impl Stream for Submission {
    type Item = Result<pb::SubmitOrdersResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let me = &mut *self;
        me.take_up(cx);
        if me.front.is_none()
            && let Some(joined) = &mut me.joined
        {
            match joined.answers.poll_recv(cx) {
                Poll::Ready(Some(done)) => me.front = Some(done),
                Poll::Ready(None) => {}
                Poll::Pending => return Poll::Pending,
            }
        }
        let Some(front) = &me.front else {
            if me.ended.is_none() {
                return Poll::Pending;
            }
            let how = me.ended.replace(Ok(())).unwrap_or(Ok(()));
            // Only a batch that was lost leaves some open.
            let open = std::mem::take(&mut me.open);
            let lost = || ApiError::Internal(format!("{open} orders have no answer"));
            return Poll::Ready(match how {
                Ok(()) if open > 0 => Some(Err(lost().into())),
                how => how.err().map(Err),
            });
        };
        let gate = me.api.store().gate();
        match gate.poll_wait(front.revision, &mut me.ticket, cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(durable) => {
                me.ticket = None;
                me.open = me.open.saturating_sub(1);
                let answer = me.front.take().map(|done| done.answer);
                match durable {
                    Ok(()) => Poll::Ready(answer.map(Ok)),
                    Err(error) => Poll::Ready(Some(Err(error.into()))),
                }
            }
        }
    }
}
