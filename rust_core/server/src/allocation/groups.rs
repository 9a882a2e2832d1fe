//! Streams of orders with the same terms: one group, whose orders are planned together.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bespeak_proto::v1 as pb;
use prost::Message;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tonic::metadata::AsciiMetadataValue;

use super::Caller;
use super::batched::{self, Answered};
use super::worker::{Remote, Watched, Worker};
use crate::api::Api;
use crate::compute::Client;
use crate::error::ApiError;

/// Orders planned together.
const BATCH: usize = 1_000;
/// Bytes of the terms that all open streams brought together.
const TERMS_BYTES_MAX: usize = 256 << 20;
/// When to come again when there are too many of them, milliseconds.
const RETRY_MS: u64 = 1_000;
/// Orders of one group that wait for their batch; streams wait beyond it.
const QUEUE: usize = 4_096;

/// Groups of streams with the same terms, by a hash of those.
#[derive(Debug, Default)]
pub struct Groups(Mutex<HashMap<blake3::Hash, Open>>);

/// A group as long as some stream is in it.
#[derive(Debug)]
struct Open {
    orders: mpsc::WeakSender<Waiting>,
    /// Of its terms.
    bytes: usize,
}

/// An order that waits for its batch.
#[derive(Debug)]
pub struct Waiting {
    pub order: pb::AllocationOrder,
    /// Whose hold it will be; `None` holds nothing.
    pub hold: Option<Arc<pb::AllocationHold>>,
    /// Where its answer goes; there is room for it.
    pub answers: mpsc::UnboundedSender<Done>,
    pub place: OwnedSemaphorePermit,
}

/// An answer on its way.
#[derive(Debug)]
pub struct Done {
    pub answer: pb::SubmitOrdersResponse,
    pub revision: u64,
    pub _place: OwnedSemaphorePermit,
}

/// What a group needs to plan.
pub struct Group {
    pub api: Api,
    pub client: Option<Arc<Client>>,
    pub terms: pb::AllocateRequest,
    pub delay: Duration,
    pub batches: u64,
}

impl Groups {
    /// Joins the group with these terms, which is started when there is none.
    ///
    /// # Errors
    /// `Overloaded` when the terms of all streams are too large together.
    pub fn join(
        &self,
        group: Group,
        traceparent: Option<AsciiMetadataValue>,
    ) -> Result<mpsc::Sender<Waiting>, ApiError> {
        let terms = group.terms.encode_to_vec();
        let mut key = blake3::Hasher::new();
        key.update(&terms);
        key.update(&group.delay.as_millis().to_le_bytes());
        let key = key.finalize();
        let mut groups = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        groups.retain(|_, open| open.orders.strong_count() > 0);
        if let Some(sender) = groups.get(&key).and_then(|open| open.orders.upgrade()) {
            return Ok(sender);
        }
        let bytes: usize = groups.values().map(|open| open.bytes).sum();
        if bytes + terms.len() > TERMS_BYTES_MAX {
            return Err(ApiError::Overloaded {
                what: "bytes of networks that streams brought, where they did not name one that was put,",
                limit: TERMS_BYTES_MAX as u64,
                retry_ms: RETRY_MS,
            });
        }
        let (sender, orders) = mpsc::channel(QUEUE);
        let open = Open {
            orders: sender.downgrade(),
            bytes: terms.len(),
        };
        groups.insert(key, open);
        drop(groups);
        tokio::spawn(group.run(orders, traceparent));
        Ok(sender)
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
            // Tells also when the server ends in the middle of a plan.
            let watched = Watched::default();
            let gone = Arc::clone(&watched.0);
            let remote = self.client.clone().map(|client| Remote {
                client,
                runtime: Handle::current(),
                traceparent: traceparent.clone(),
                gone: Arc::clone(&gone),
            });
            let (number, streams) = (self.batches, batch.streams());
            let caller_gone = Arc::clone(&gone);
            let planned = tokio::task::spawn_blocking(move || {
                let _seat = seat;
                let caller = Caller {
                    gone: Some(&caller_gone.flag),
                    worker: remote.as_ref().map(|remote| remote as &dyn Worker),
                    ..Caller::default()
                };
                let orders: Vec<&Waiting> = batch.orders.iter().collect();
                let answers = batched::plan(&api, &terms, &orders, &caller);
                batch.answer(answers, number);
            });
            let mut planned = std::pin::pin!(planned);
            let planned = tokio::select! {
                planned = &mut planned => planned,
                () = all_gone(streams) => {
                    gone.tell();
                    planned.await
                }
            };
            if let Err(error) = planned {
                tracing::error!(%error, "a batch of orders is lost");
            }
        }
    }
}

/// Ends when nobody waits for an answer any more.
async fn all_gone(streams: Vec<mpsc::UnboundedSender<Done>>) {
    for stream in streams {
        stream.closed().await;
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

    /// Where the answers go, each stream once.
    fn streams(&self) -> Vec<mpsc::UnboundedSender<Done>> {
        let mut streams: Vec<mpsc::UnboundedSender<Done>> = Vec::new();
        for waiting in &self.orders {
            // Those of one stream mostly lie together.
            if !streams
                .iter()
                .rev()
                .any(|known| known.same_channel(&waiting.answers))
            {
                streams.push(waiting.answers.clone());
            }
        }
        streams
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
