//! Room for work of which few go on at once.

use std::marker::PhantomData;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::ApiError;

/// A kind of work of which few go on at once.
pub(crate) trait Few {
    /// What it is, for a caller who is refused.
    const WHAT: &'static str;
    /// How many at once.
    const SEATS: usize;
    /// What a caller without a seat is told to wait, milliseconds.
    const RETRY_MS: u64;
}

/// Room for one kind of work.
#[derive(Debug)]
pub(crate) struct Seats<F>(Arc<Semaphore>, PhantomData<F>);

/// A place; it comes back when it is dropped.
pub(crate) type Seat = OwnedSemaphorePermit;

impl<F: Few> Default for Seats<F> {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(F::SEATS)), PhantomData)
    }
}

impl<F: Few> Seats<F> {
    /// Takes a seat.
    ///
    /// # Errors
    /// `Overloaded`, at once.
    pub fn take(&self) -> Result<Seat, ApiError> {
        let full = |_| ApiError::Overloaded {
            what: F::WHAT,
            limit: F::SEATS as u64,
            retry_ms: F::RETRY_MS,
        };
        Arc::clone(&self.0).try_acquire_owned().map_err(full)
    }

    /// Waits for a seat.
    pub async fn wait(&self) -> Option<Seat> {
        Arc::clone(&self.0).acquire_owned().await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Tea;

    impl Few for Tea {
        const WHAT: &'static str = "cups of tea";
        const SEATS: usize = 3;
        const RETRY_MS: u64 = 50;
    }

    #[test]
    fn seats_are_few_and_come_back() {
        let seats = Seats::<Tea>::default();
        let taken: Vec<Seat> = (0..3).map(|_| seats.take().expect("a seat")).collect();
        let full = seats.take().expect_err("all are taken");
        assert_eq!(full.code(), "OVERLOADED");
        assert!(full.to_string().contains("cups of tea"), "{full}");
        assert!(full.retry_after().is_some());
        drop(taken);
        assert!(seats.take().is_ok());
    }
}
