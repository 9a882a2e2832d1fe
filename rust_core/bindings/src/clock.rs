//! A clock that a simulation moves.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bespeak_journal::Clock;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// See `_core.pyi`.
#[pyclass(frozen, module = "bespeak._core")]
pub struct ManualClock {
    hands: Arc<Hands>,
}

/// Where the clock stands. Both of the journal's clocks are this one: what a simulation does is never a jump.
struct Hands(AtomicI64);

impl Clock for Hands {
    fn wall_ms(&self) -> i64 {
        self.0.load(Ordering::Acquire)
    }

    fn steady_ms(&self) -> i64 {
        self.wall_ms()
    }
}

impl ManualClock {
    /// The clock as the journal reads it.
    pub fn clock(&self) -> Arc<dyn Clock> {
        Arc::<Hands>::clone(&self.hands)
    }
}

#[pymethods]
impl ManualClock {
    #[new]
    fn new(now_ms: i64) -> PyResult<Self> {
        let clock = Self {
            hands: Arc::new(Hands(AtomicI64::new(0))),
        };
        clock.set_ms(now_ms)?;
        Ok(clock)
    }

    #[getter]
    fn now_ms(&self) -> i64 {
        self.hands.wall_ms()
    }

    fn set_ms(&self, now_ms: i64) -> PyResult<()> {
        if now_ms < 0 {
            return Err(PyValueError::new_err(format!(
                "now_ms is {now_ms}: give milliseconds since 1970"
            )));
        }
        self.hands.0.store(now_ms, Ordering::Release);
        Ok(())
    }

    fn advance_ms(&self, by_ms: i64) -> PyResult<i64> {
        let now_ms = self.now_ms().saturating_add(by_ms);
        self.set_ms(now_ms)?;
        Ok(now_ms)
    }

    fn __repr__(&self) -> String {
        format!("ManualClock(now_ms={})", self.now_ms())
    }
}
