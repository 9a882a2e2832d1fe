//! Stops asking a worker that does not answer.
//!
//! ```text
//! closed ──failures in a row──► open ──time──► half open ──success──► closed
//!                                ▲                │
//!                                └────failure─────┘
//! ```

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A circuit breaker. Time comes from the caller.
#[derive(Debug)]
pub struct Breaker {
    limit: u32,
    pause: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Closed {
        failures: u32,
    },
    Open {
        until: Instant,
    },
    /// One call is on its way to find out.
    HalfOpen {
        since: Instant,
    },
}

impl Breaker {
    /// Opens after `limit` failures in a row, for `pause`.
    pub fn new(limit: u32, pause: Duration) -> Self {
        Self {
            limit: limit.max(1),
            pause,
            state: Mutex::new(State::Closed { failures: 0 }),
        }
    }

    /// Whether a call may be made now. In the half-open state one caller is let through to find out.
    pub fn allows(&self, now: Instant) -> bool {
        let mut state = self.lock();
        match *state {
            State::Closed { .. } => true,
            State::Open { until } if now < until => false,
            // A probe that never came back does not keep the circuit open for ever.
            State::HalfOpen { since } if now < since + self.pause => false,
            State::Open { .. } | State::HalfOpen { .. } => {
                *state = State::HalfOpen { since: now };
                true
            }
        }
    }

    /// A call was answered.
    pub fn succeeded(&self) {
        *self.lock() = State::Closed { failures: 0 };
    }

    /// A call failed or was late.
    pub fn failed(&self, now: Instant) {
        let mut state = self.lock();
        *state = match *state {
            State::Closed { failures } if failures + 1 < self.limit => State::Closed {
                failures: failures + 1,
            },
            _ => State::Open {
                until: now + self.pause,
            },
        };
    }

    /// A call ended without a word on how the worker is: the next one finds out.
    pub fn undecided(&self) {
        let mut state = self.lock();
        if let State::HalfOpen { since } = *state {
            *state = State::Open { until: since };
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_circuit_opens_probes_and_closes() {
        let pause = Duration::from_secs(5);
        let breaker = Breaker::new(2, pause);
        let start = Instant::now();
        breaker.failed(start);
        assert!(breaker.allows(start), "one failure is no reason");
        breaker.succeeded();
        breaker.failed(start);
        assert!(breaker.allows(start), "only failures in a row count");
        breaker.failed(start);
        assert!(!breaker.allows(start) && !breaker.allows(start + pause / 2));
        let later = start + pause;
        assert!(breaker.allows(later), "one may find out");
        assert!(!breaker.allows(later), "and only one");
        breaker.failed(later);
        assert!(!breaker.allows(later + pause / 2));
        let again = later + pause;
        assert!(breaker.allows(again));
        breaker.succeeded();
        assert!(breaker.allows(again) && breaker.allows(again));
    }

    #[test]
    fn a_probe_that_tells_nothing_is_followed_by_another_at_once() {
        let pause = Duration::from_secs(5);
        let breaker = Breaker::new(1, pause);
        let start = Instant::now();
        breaker.undecided();
        assert!(breaker.allows(start), "a closed circuit stays closed");
        breaker.failed(start);
        breaker.undecided();
        assert!(!breaker.allows(start), "an open one stays open");
        assert!(breaker.allows(start + pause));
        breaker.undecided();
        assert!(breaker.allows(start + pause));
        assert!(!breaker.allows(start + pause));
    }

    #[test]
    fn a_lost_probe_is_followed_by_another() {
        let pause = Duration::from_secs(5);
        let breaker = Breaker::new(1, pause);
        let start = Instant::now();
        breaker.failed(start);
        assert!(breaker.allows(start + pause));
        assert!(!breaker.allows(start + pause));
        assert!(breaker.allows(start + pause * 2));
    }
}
