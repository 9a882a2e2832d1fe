//! Orders in a stream, planned together with those that come within a stated delay, on any stream with the same terms.
//!
//! Each stream reads no further than [`IN_FLIGHT`] orders ahead of its answers, so that whoever reads them slowly slows
//! only itself. Orders that were read are answered, also when the stream is half closed or the server drains.

use std::collections::{HashMap, HashSet, VecDeque};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bespeak_proto::v1 as pb;
use bytes::Bytes;
use prost::Message;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_stream::Stream;
use tonic::metadata::AsciiMetadataValue;
use tonic::{Status, Streaming};

use super::Caller;
use super::batched::{self, Answered};
use super::worker::{Gone, Remote, Worker};
use crate::api::Api;
use crate::compute::Client;
use crate::error::ApiError;
use crate::shared::{Drained, Shared};

/// Wait for other orders when none is stated, and at most, milliseconds.
const DELAY_MS: i64 = 20;
const DELAY_MS_MAX: i64 = 1_000;
/// Orders planned together.
const BATCH: usize = 1_000;
/// Orders of one stream that are not answered yet.
const IN_FLIGHT: usize = 1_024;
/// Orders of one group that wait for their batch; streams wait beyond it.
const QUEUE: usize = 4_096;

/// Groups of streams with the same terms, by those.
#[derive(Debug, Default)]
pub struct Groups(Mutex<HashMap<Bytes, mpsc::WeakSender<Waiting>>>);

/// An order that waits for its batch.
#[derive(Debug)]
pub struct Waiting {
    pub order: pb::AllocationOrder,
    /// Whose hold it will be; `None` holds nothing.
    pub hold: Option<Arc<pb::AllocationHold>>,
    /// Where its answer goes; there is room for it.
    answers: mpsc::UnboundedSender<Done>,
    place: OwnedSemaphorePermit,
}

#[derive(Debug)]
struct Done {
    answer: pb::SubmitOrdersResponse,
    revision: u64,
    _place: OwnedSemaphorePermit,
}

/// What a group needs to plan.
struct Group {
    api: Api,
    client: Option<Arc<Client>>,
    terms: pb::AllocateRequest,
    delay: Duration,
    batches: u64,
}

/// One stream: reads orders, gives answers.
pub struct Submission {
    shared: Arc<Shared>,
    api: Api,
    traceparent: Option<AsciiMetadataValue>,
    input: Streaming<pb::SubmitOrdersRequest>,
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
            self.joined = Some(self.join(terms, message.delay_ms)?);
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
        let (room, hold) = (Arc::clone(&joined.room), joined.hold.clone());
        joined.pushing = Some(Box::pin(async move {
            let gone = || ApiError::Internal("the batches have ended".to_owned());
            let place = room.acquire_owned().await.map_err(|_| gone())?;
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

    fn join(&self, terms: pb::AllocateRequest, delay_ms: i64) -> Result<Joined, ApiError> {
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
        batched::check(&self.api, &terms)?;
        let hold = terms.hold.clone().map(Arc::new);
        // Streams of several callers are planned together: who holds is said with each order.
        let mut shared_terms = terms;
        if let Some(hold) = &mut shared_terms.hold {
            hold.context = None;
        }
        let group = Group {
            api: self.api.clone(),
            client: self.shared.compute.get().map(Arc::clone),
            terms: shared_terms,
            delay: Duration::from_millis(delay.unsigned_abs()),
            batches: 0,
        };
        let (sender, answers) = mpsc::unbounded_channel();
        Ok(Joined {
            orders: Some(self.api.desk().groups.join(group, self.traceparent.clone())),
            hold,
            room: Arc::new(Semaphore::new(IN_FLIGHT)),
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

impl Groups {
    /// Joins the group with these terms, which is started when there is none.
    fn join(&self, group: Group, traceparent: Option<AsciiMetadataValue>) -> mpsc::Sender<Waiting> {
        let mut key = group.terms.encode_to_vec();
        key.extend_from_slice(&group.delay.as_millis().to_le_bytes());
        let key = Bytes::from(key);
        let mut groups = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        groups.retain(|_, sender| sender.strong_count() > 0);
        if let Some(sender) = groups.get(&key).and_then(mpsc::WeakSender::upgrade) {
            return sender;
        }
        let (sender, orders) = mpsc::channel(QUEUE);
        groups.insert(key, sender.downgrade());
        drop(groups);
        tokio::spawn(group.run(orders, traceparent));
        sender
    }
}

impl Group {
    /// Plans batches until the last stream has left.
    async fn run(
        mut self,
        mut orders: mpsc::Receiver<Waiting>,
        traceparent: Option<AsciiMetadataValue>,
    ) {
        let mut later: VecDeque<Waiting> = VecDeque::new();
        loop {
            let first = match later.pop_front() {
                Some(first) => first,
                None => match orders.recv().await {
                    Some(first) => first,
                    None => return,
                },
            };
            let mut batch = Batch::new(first);
            batch.fill(&mut later);
            let end = tokio::time::Instant::now() + self.delay;
            while batch.orders.len() < BATCH {
                match tokio::time::timeout_at(end, orders.recv()).await {
                    Ok(Some(order)) => batch.add(order, &mut later),
                    Ok(None) | Err(_) => break,
                }
            }
            self.batches += 1;
            // Streams end when the server does: there is always a seat in the end.
            let Some(seat) = self.api.desk().seats.wait().await else {
                return;
            };
            let (api, terms) = (self.api.clone(), self.terms.clone());
            let gone = Arc::<Gone>::default();
            let remote = self.client.clone().map(|client| Remote {
                client,
                runtime: Handle::current(),
                traceparent: traceparent.clone(),
                gone: Arc::clone(&gone),
            });
            let number = self.batches;
            let planned = tokio::task::spawn_blocking(move || {
                let _seat = seat;
                let caller = Caller {
                    worker: remote.as_ref().map(|remote| remote as &dyn Worker),
                    ..Caller::default()
                };
                let answers = batched::plan(&api, &terms, &batch.orders, &caller);
                batch.answer(answers, number);
            });
            if let Err(error) = planned.await {
                tracing::error!(%error, "a batch of orders is lost");
            }
        }
    }
}

/// Orders that are planned together; each id once.
struct Batch {
    orders: Vec<Waiting>,
    ids: HashSet<String>,
}

impl Batch {
    fn new(first: Waiting) -> Self {
        Self {
            ids: HashSet::from([first.order.order_id.clone()]),
            orders: vec![first],
        }
    }

    /// Takes an order, or keeps it for the next batch when one of its id is there already.
    fn add(&mut self, order: Waiting, later: &mut VecDeque<Waiting>) {
        match self.ids.insert(order.order.order_id.clone()) {
            true => self.orders.push(order),
            false => later.push_back(order),
        }
    }

    fn fill(&mut self, later: &mut VecDeque<Waiting>) {
        for order in std::mem::take(later) {
            if self.orders.len() < BATCH {
                self.add(order, later);
            } else {
                later.push_back(order);
            }
        }
    }

    /// Gives each order its answer.
    fn answer(self, answers: Vec<Answered>, number: u64) {
        let count = u32::try_from(self.orders.len()).unwrap_or(u32::MAX);
        for (waiting, answered) in self.orders.into_iter().zip(answers) {
            let Answered { answer, revision } = answered;
            let done = Done {
                answer: pb::SubmitOrdersResponse {
                    batch: number,
                    batch_orders: count,
                    ..answer
                },
                revision,
                _place: waiting.place,
            };
            // A stream that is gone wants no answer.
            let _ = waiting.answers.send(done);
        }
    }
}
