//! Holds an answer back until what it saw is durable.
//!
//! The journal's thread tells [`Gate::reached`] once a batch. That wakes one task, the usher, which wakes the
//! waiting requests from inside the runtime: one wake-up across threads a batch, however many wait.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

use futures_util::task::AtomicWaker;

use crate::error::ApiError;

/// Where answers wait for durability.
#[derive(Debug, Default)]
pub struct Gate {
    durable: AtomicU64,
    /// Waiters in the queue, or about to look whether they must wait.
    present: AtomicUsize,
    failed: OnceLock<String>,
    waiting: Mutex<Waiting>,
    usher: AtomicWaker,
}

#[derive(Debug, Default)]
struct Waiting {
    next_ticket: u64,
    queue: Vec<Waiter>,
}

#[derive(Debug)]
struct Waiter {
    ticket: u64,
    revision: u64,
    waker: Waker,
}

impl Gate {
    /// A gate over a journal that is durable up to `revision`.
    pub fn new(revision: u64) -> Self {
        Self {
            durable: AtomicU64::new(revision),
            ..Self::default()
        }
    }

    /// Everything up to here is durable.
    pub fn durable(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    /// Told by the journal after a sync. Cheap, and safe from any thread.
    pub fn reached(&self, revision: u64) {
        self.durable.fetch_max(revision, Ordering::SeqCst);
        // A waiter counts itself before it looks at `durable`, so one of the two sees the other.
        if self.present.load(Ordering::SeqCst) > 0 {
            self.usher.wake();
        }
    }

    /// Told by the journal when nothing more will become durable.
    pub fn fail(&self, cause: String) {
        // The first cause is the one that matters.
        let _ = self.failed.set(cause);
        self.usher.wake();
    }

    /// Why nothing more becomes durable, once that is so.
    pub fn failure(&self) -> Option<&str> {
        self.failed.get().map(String::as_str)
    }

    /// Waits until `revision` is durable. Dropping it gives up the wait, not the command.
    pub fn wait(&self, revision: u64) -> Durable<'_> {
        Durable {
            gate: self,
            revision,
            ticket: None,
        }
    }

    /// Polls as [`Gate::wait`] does, for streams that keep their own ticket.
    pub fn poll_wait(
        &self,
        revision: u64,
        ticket: &mut Option<u64>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), ApiError>> {
        if self.durable() >= revision {
            return Poll::Ready(Ok(()));
        }
        let mut waiting = self.lock();
        self.present
            .store(waiting.queue.len() + 1, Ordering::SeqCst);
        let outcome = match self.failed.get() {
            _ if self.durable.load(Ordering::SeqCst) >= revision => Some(Ok(())),
            Some(cause) => Some(Err(ApiError::JournalFailed(cause.clone()))),
            None => None,
        };
        if let Some(outcome) = outcome {
            self.present.store(waiting.queue.len(), Ordering::SeqCst);
            return Poll::Ready(outcome);
        }
        if let Some(waiter) =
            ticket.and_then(|own| waiting.queue.iter_mut().find(|waiter| waiter.ticket == own))
        {
            waiter.waker.clone_from(cx.waker());
            return Poll::Pending;
        }
        let own = waiting.next_ticket;
        waiting.next_ticket += 1;
        waiting.queue.push(Waiter {
            ticket: own,
            revision,
            waker: cx.waker().clone(),
        });
        *ticket = Some(own);
        Poll::Pending
    }

    /// The usher: one task a server. It ends when nothing more becomes durable, with the cause.
    pub async fn usher(&self) -> String {
        let mut ready = Vec::new();
        loop {
            let mut seen = (self.durable(), self.failed.get().is_some());
            self.let_in(seen, &mut ready);
            if let Some(cause) = self.failed.get() {
                return cause.clone();
            }
            std::future::poll_fn(|cx| {
                self.usher.register(cx.waker());
                let now = (self.durable(), self.failed.get().is_some());
                if now == seen {
                    return Poll::Pending;
                }
                seen = now;
                Poll::Ready(())
            })
            .await;
        }
    }

    fn let_in(&self, (durable, failed): (u64, bool), ready: &mut Vec<Waker>) {
        let mut waiting = self.lock();
        let mut at = 0;
        while let Some(waiter) = waiting.queue.get(at) {
            if failed || waiter.revision <= durable {
                ready.push(waiting.queue.swap_remove(at).waker);
            } else {
                at += 1;
            }
        }
        self.present.store(waiting.queue.len(), Ordering::SeqCst);
        drop(waiting);
        ready.drain(..).for_each(Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing under this lock can panic half-way.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A wait for durability.
#[derive(Debug)]
pub struct Durable<'a> {
    gate: &'a Gate,
    revision: u64,
    ticket: Option<u64>,
}

impl Future for Durable<'_> {
    type Output = Result<(), ApiError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (gate, revision) = (self.gate, self.revision);
        gate.poll_wait(revision, &mut self.ticket, cx)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn answers_leave_when_what_they_saw_is_durable() {
        let gate = Arc::new(Gate::new(10));
        tokio::spawn({
            let gate = Arc::clone(&gate);
            async move { gate.usher().await }
        });
        assert_eq!(gate.wait(10).await, Ok(()));
        let waits: Vec<_> = (11..200)
            .map(|revision| {
                let gate = Arc::clone(&gate);
                tokio::spawn(async move {
                    let result = gate.wait(revision).await;
                    (result, gate.durable() >= revision)
                })
            })
            .collect();
        std::thread::spawn({
            let gate = Arc::clone(&gate);
            move || {
                [50, 40, 199]
                    .into_iter()
                    .for_each(|revision| gate.reached(revision))
            }
        });
        for wait in waits {
            assert_eq!(wait.await.expect("no panic"), (Ok(()), true));
        }
        assert!(gate.lock().queue.is_empty());
    }

    #[tokio::test]
    async fn a_failed_journal_lets_nobody_wait_for_ever() {
        let gate = Arc::new(Gate::new(0));
        tokio::spawn({
            let gate = Arc::clone(&gate);
            async move { gate.usher().await }
        });
        let wait = tokio::spawn({
            let gate = Arc::clone(&gate);
            async move { gate.wait(1).await }
        });
        gate.fail("disk full".into());
        let failed = Err(ApiError::JournalFailed("disk full".into()));
        assert_eq!(wait.await.expect("no panic"), failed);
        assert_eq!(gate.wait(2).await, failed);
        assert_eq!(gate.wait(0).await, Ok(()));
    }
}
