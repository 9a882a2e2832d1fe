//! The pipelined session: requests are executed as they come, answers leave in the same order once durable.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use bespeak_proto::v1 as pb;
use bespeak_proto::v1::session_request::Request as Asked;
use bespeak_proto::v1::session_response::Response as Answered;
use tokio_stream::Stream;
use tonic::{Status, Streaming};

use crate::api::Api;
use crate::error::ApiError;
use crate::gate::Gate;
use crate::method::Method;
use crate::shared::{Drained, OwnedPermit, Shared};
use crate::status::session_error;
use crate::store::Seen;

/// Requests executed before other connections get their turn.
const TURN: usize = 32;

struct Waiting {
    answer: Answered,
    revision: u64,
    method: Method,
    code: i32,
    taken_up: Instant,
}

/// Permits of requests whose answers wait for the disk.
///
/// The gate has the one waker that they are in, and lets go of it once the answers may leave: the permits come back then,
/// also when nobody reads the answers.
struct Permits {
    _taken: Vec<OwnedPermit>,
}

impl Wake for Permits {
    fn wake(self: Arc<Self>) {
        // It is dropped.
    }
}

/// What a request asks of the services, with the trace it belongs to.
type Act = Box<dyn FnOnce(&Api, u128) -> Seen<Answered>>;

/// One session.
pub(crate) struct Session {
    shared: Arc<Shared>,
    api: Api,
    trace_id: u128,
    input: Streaming<pb::SessionRequest>,
    waiting: VecDeque<Waiting>,
    ticket: Option<u64>,
    drained: Drained,
    /// Set once no more requests are read, with what the stream ends in.
    ended: Option<Result<(), Status>>,
}

impl Session {
    pub fn new(
        shared: &Arc<Shared>,
        api: Api,
        trace_id: u128,
        input: Streaming<pb::SessionRequest>,
    ) -> Self {
        Self {
            api,
            trace_id,
            input,
            waiting: VecDeque::new(),
            ticket: None,
            drained: shared.drained(),
            ended: None,
            shared: Arc::clone(shared),
        }
    }

    /// Executes what has come; true when more may be there already.
    fn take_up(&mut self, cx: &mut Context<'_>) -> bool {
        let mut taken = Vec::new();
        let before = self.waiting.len();
        let more = self.take_turn(cx, &mut taken);
        if !taken.is_empty() {
            let seen = self.waiting.range(before..).map(|waiting| waiting.revision);
            let revision = seen.max().unwrap_or(0);
            let waker = Waker::from(Arc::new(Permits { _taken: taken }));
            let mut context = Context::from_waker(&waker);
            // What need not wait any more, or never will be durable, gives the permits back at once.
            let _ = self.gate().poll_wait(revision, &mut None, &mut context);
        }
        more
    }

    fn take_turn(&mut self, cx: &mut Context<'_>, taken: &mut Vec<OwnedPermit>) -> bool {
        for _ in 0..TURN {
            if self.ended.is_some() || self.waiting.len() >= self.shared.limits.session_pipeline {
                return false;
            }
            match Pin::new(&mut self.input).poll_next(cx) {
                Poll::Ready(Some(Ok(request))) => {
                    let (waiting, permit) = self.execute(request);
                    if self.gate().durable() < waiting.revision {
                        taken.extend(permit);
                    }
                    self.waiting.push_back(waiting);
                }
                Poll::Ready(Some(Err(status))) => self.ended = Some(Err(status)),
                Poll::Ready(None) => self.ended = Some(Ok(())),
                Poll::Pending => {
                    if self.drained.as_mut().poll(cx).is_ready() {
                        self.ended = Some(Err(ApiError::Draining.into()));
                    }
                    return false;
                }
            }
        }
        true
    }

    fn gate(&self) -> &Gate {
        self.api.store().gate()
    }

    fn execute(&self, request: pb::SessionRequest) -> (Waiting, Option<OwnedPermit>) {
        let taken_up = Instant::now();
        let (method, act): (Method, Act) = match request.request {
            Some(Asked::Promise(ask)) => (
                Method::Promise,
                Box::new(|api, trace| api.promise(ask, trace).map(Answered::Promise)),
            ),
            Some(Asked::Reserve(ask)) => (
                Method::Reserve,
                Box::new(|api, trace| api.reserve(ask, trace).map(Answered::Reserve)),
            ),
            Some(Asked::Confirm(ask)) => (
                Method::Confirm,
                Box::new(|api, trace| api.confirm(ask, trace).map(Answered::Confirm)),
            ),
            Some(Asked::Fulfil(ask)) => (
                Method::Fulfil,
                Box::new(|api, trace| api.fulfil(ask, trace).map(Answered::Fulfil)),
            ),
            Some(Asked::Release(ask)) => (
                Method::Release,
                Box::new(|api, trace| api.release(ask, trace).map(Answered::Release)),
            ),
            Some(Asked::Check(ask)) => (
                Method::Check,
                Box::new(|api, _| api.check(ask).map(Answered::Check)),
            ),
            None => {
                let error = ApiError::invalid("request", "missing", "set one of its requests");
                (Method::Session, Box::new(|_, _| Seen::failed(error)))
            }
        };
        let (seen, permit) = match self.shared.permit_owned() {
            Ok(permit) => (act(&self.api, self.trace_id), Some(permit)),
            Err(error) => (Seen::failed(error), None),
        };
        let (answer, code) = match seen.result {
            Ok(answer) => (answer, 0),
            Err(error) => (Answered::Error(session_error(&error)), error.grpc() as i32),
        };
        let waiting = Waiting {
            answer,
            revision: seen.revision,
            method,
            code,
            taken_up,
        };
        (waiting, permit)
    }
}

impl Stream for Session {
    type Item = Result<pb::SessionResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let me = &mut *self;
        // Answers that can leave leave first: of whoever does not read them no more is executed.
        let can_leave = me
            .waiting
            .front()
            .is_some_and(|front| front.revision <= me.gate().durable());
        let more = !can_leave && me.take_up(cx);
        let Some(front) = me.waiting.front() else {
            return match me.ended.clone() {
                Some(Ok(())) => Poll::Ready(None),
                Some(Err(status)) => {
                    me.ended = Some(Ok(()));
                    Poll::Ready(Some(Err(status)))
                }
                None => Poll::Pending,
            };
        };
        let durable = me
            .api
            .store()
            .gate()
            .poll_wait(front.revision, &mut me.ticket, cx);
        match durable {
            Poll::Pending => {
                if more {
                    cx.waker().wake_by_ref();
                }
                Poll::Pending
            }
            Poll::Ready(durable) => {
                me.ticket = None;
                let Some(front) = me.waiting.pop_front() else {
                    return Poll::Pending;
                };
                let (answer, code) = match durable {
                    Ok(()) => (front.answer, front.code),
                    Err(error) => (Answered::Error(session_error(&error)), error.grpc() as i32),
                };
                me.shared
                    .metrics
                    .answered(front.method, code, front.taken_up.elapsed());
                Poll::Ready(Some(Ok(pb::SessionResponse {
                    response: Some(answer),
                })))
            }
        }
    }
}
