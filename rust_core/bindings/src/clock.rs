//! A clock that a simulation moves.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// See `_core.pyi`.
#[pyclass(frozen, module = "bespeak._core")]
pub struct ManualClock {
    now_ms: Arc<AtomicI64>,
}

#[pymethods]
impl ManualClock {
    #[new]
    #[pyo3(signature = (now_ms))]
    fn new(now_ms: i64) -> PyResult<Self> {
        let clock = Self {
            now_ms: Arc::new(AtomicI64::new(0)),
        };
        clock.set_ms(now_ms)?;
        Ok(clock)
    }

    #[getter]
    fn now_ms(&self) -> i64 {
        self.now_ms.load(Ordering::Acquire)
    }

    fn set_ms(&self, now_ms: i64) -> PyResult<()> {
        if now_ms < 0 {
            return Err(PyValueError::new_err(format!(
                "now_ms is {now_ms}: give milliseconds since 1970"
            )));
        }
        self.now_ms.store(now_ms, Ordering::Release);
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
