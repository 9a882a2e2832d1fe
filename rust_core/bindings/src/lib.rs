//! The extension module `bespeak._core`: convert, detach, call, convert back. What it offers is documented
//! in `rust_core/python/bespeak/_core.pyi`.

mod clock;
mod results;

use pyo3::prelude::*;

#[pymodule]
mod _core {
    #[pymodule_export]
    use crate::clock::ManualClock;
    #[pymodule_export]
    use crate::results::{AvailabilityStep, CheckResult};
}
