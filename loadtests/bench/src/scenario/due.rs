//! Operations that are due and wait for a free worker.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

use tokio::sync::Semaphore;

use super::arrivals::Op;

struct Waiting {
    op: Op,
    intended: Instant,
    pushed: Instant,
}

/// What a worker is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work {
    pub op: Op,
    pub intended: Instant,
    /// When the generator made it due.
    pub pushed: Instant,
    /// Whether the worker waited for it, not it for the worker.
    pub waited: bool,
}

pub struct Due {
    queue: Mutex<VecDeque<Waiting>>,
    ready: Semaphore,
}

impl Default for Due {
    fn default() -> Self {
        Self {
            queue: Mutex::default(),
            ready: Semaphore::new(0),
        }
    }
}

impl Due {
    pub fn push(&self, op: Op, intended: Instant, pushed: Instant) {
        self.lock().push_back(Waiting {
            op,
            intended,
            pushed,
        });
        self.ready.add_permits(1);
    }

    /// Waits for the oldest that is due; `None` when the step is over.
    pub async fn next(&self) -> Option<Work> {
        let waited = match self.ready.try_acquire() {
            Ok(permit) => {
                permit.forget();
                false
            }
            Err(_) => {
                self.ready.acquire().await.ok()?.forget();
                true
            }
        };
        let found = self.lock().pop_front()?;
        Some(Work {
            op: found.op,
            intended: found.intended,
            pushed: found.pushed,
            waited,
        })
    }

    /// Ends the step: workers that wait get `None`.
    pub fn close(&self) {
        self.ready.close();
    }

    /// Takes what no worker has begun.
    pub fn rest(&self) -> Vec<(Op, Instant)> {
        self.lock().drain(..).map(|w| (w.op, w.intended)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Waiting>> {
        self.queue.lock().expect("no holder of this lock panics")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn what_is_due_comes_in_order_and_says_who_waited() {
        let due = Due::default();
        let first = Instant::now();
        let second = first + Duration::from_micros(3);
        due.push(Op::Check, first, first);
        due.push(Op::Supply, second, second);
        let work = due.next().await.unwrap();
        assert_eq!(
            (work.op, work.intended, work.waited),
            (Op::Check, first, false)
        );
        due.next().await.unwrap();
        let (work, ()) = tokio::join!(due.next(), async { due.push(Op::Finish, first, second) });
        let work = work.unwrap();
        assert_eq!(
            (work.op, work.pushed, work.waited),
            (Op::Finish, second, true)
        );
        due.push(Op::Reserve, second, second);
        due.close();
        assert_eq!(due.next().await, None);
        assert_eq!(due.rest(), [(Op::Reserve, second)]);
    }
}
