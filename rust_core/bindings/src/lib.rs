//! The extension module `bespeak._core`: convert, detach, call, convert back. What it offers is documented
//! in `rust_core/python/bespeak/_core.pyi`.

mod allocation;
mod call;
mod clock;
mod detach;
mod engine;
mod journal;
mod results;
mod server;
mod tables;

use pyo3::prelude::*;

/// Serves the extension's own memory, not Python's: less work a call than the C library's, and large pages for the
/// tables that are looked up at random.
#[global_allocator]
static ALLOCATOR: bespeak_memory::Allocator = bespeak_memory::Allocator;

#[pymodule]
mod _core {
    #[pymodule_export]
    use crate::allocation::AllocationProblem;
    #[pymodule_export]
    use crate::clock::ManualClock;
    #[pymodule_export]
    use crate::engine::EmbeddedEngine;
    #[pymodule_export]
    use crate::journal::{
        JournalDump, journal_backup, journal_restore, journal_stats, journal_verify,
        journal_verify_backup,
    };
    #[pymodule_export]
    use crate::results::{AvailabilityStep, CheckResult};
    #[pymodule_export]
    use crate::server::Server;

    #[pymodule_export]
    #[expect(non_upper_case_globals, reason = "the name that Python expects")]
    const __version__: &str = env!("CARGO_PKG_VERSION");

    #[pymodule_init]
    #[expect(clippy::unnecessary_wraps, reason = "the form that PyO3 expects")]
    fn set_up(_module: &pyo3::Bound<'_, pyo3::types::PyModule>) -> pyo3::PyResult<()> {
        bespeak_memory::keep_huge_pages_whole();
        Ok(())
    }
}
