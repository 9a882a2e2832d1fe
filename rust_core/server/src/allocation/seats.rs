//! Room for plans: few at once, on threads that stand back behind promises.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::ApiError;

/// Plans at once. Each has a core to itself, when there is one.
const SEATS: usize = 4;
/// What a caller without a seat is told to wait, milliseconds.
const RETRY_MS: u64 = 50;

/// Room for plans.
#[derive(Debug)]
pub struct Seats(Arc<Semaphore>);

impl Default for Seats {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(SEATS)))
    }
}

/// A place to plan.
pub type Seat = OwnedSemaphorePermit;

impl Seats {
    /// Takes a seat.
    ///
    /// # Errors
    /// `Overloaded`, at once.
    pub fn take(&self) -> Result<Seat, ApiError> {
        let full = |_| ApiError::Overloaded {
            what: "plans in progress",
            limit: SEATS as u64,
            retry_ms: RETRY_MS,
        };
        Arc::clone(&self.0).try_acquire_owned().map_err(full)
    }

    /// Waits for a seat.
    pub async fn wait(&self) -> Option<Seat> {
        Arc::clone(&self.0).acquire_owned().await.ok()
    }
}

/// Lets others at the partition: who waits for its lock is woken when it is let go, and would find it taken again by a
/// thread that goes on at once.
pub fn breathe() {
    std::thread::sleep(Duration::from_micros(1));
}

/// Runs work on a thread of its own that stands back behind promises. Only that thread is slowed: what holds the
/// partition's lock must not be.
///
/// # Errors
/// `Internal` when there is no thread for it, or the work panics.
pub fn aside<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, ApiError> {
    let lost = |what: &dyn std::fmt::Display| ApiError::Internal(format!("no plan: {what}"));
    let done = bespeak_aside::aside("bespeak-plan", work).map_err(|error| lost(&error))?;
    done.map_err(|_| lost(&"the search panicked"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seats_are_few_and_come_back() {
        let seats = Seats::default();
        let taken: Vec<Seat> = (0..SEATS).map(|_| seats.take().expect("a seat")).collect();
        let full = seats.take().expect_err("all are taken");
        assert_eq!(full.code(), "OVERLOADED");
        assert!(full.retry_after().is_some());
        drop(taken);
        assert!(seats.take().is_ok());
    }

    #[test]
    fn only_the_thread_of_the_plan_stands_back() {
        let mine = rustix::process::getpriority_process(None).expect("own priority");
        let its = aside(|| rustix::process::getpriority_process(None)).expect("a thread");
        assert_eq!(its.expect("its priority"), mine.max(10));
        assert_eq!(rustix::process::getpriority_process(None), Ok(mine));
    }

    #[test]
    fn a_search_that_panics_is_a_failed_call() {
        let lost = aside(|| panic!("on purpose")).expect_err("no result");
        assert_eq!(lost.code(), "INTERNAL");
    }
}
