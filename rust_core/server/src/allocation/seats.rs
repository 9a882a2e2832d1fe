//! Room for plans: few at once, on threads that stand back behind promises.

use std::time::Duration;

use crate::error::ApiError;
use crate::seats::Few;

/// Plans. Each has a core to itself, when there is one.
#[derive(Debug)]
pub(crate) struct Plans;

impl Few for Plans {
    const WHAT: &'static str = "plans in progress";
    const SEATS: usize = 4;
    const RETRY_MS: u64 = 50;
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
