//! The thread that syncs.

use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;

use crate::error::{IoContext, JournalError};

use super::config::SyncBy;
use super::core::Inner;

pub(super) fn start(inner: &Arc<Inner>) -> Result<JoinHandle<()>, JournalError> {
    let inner = Arc::clone(inner);
    std::thread::Builder::new()
        .name("journal-sync".to_owned())
        .spawn(move || run(&inner))
        .doing("start a thread for", "journal")
}

fn run(inner: &Inner) {
    let mut sealed = false;
    loop {
        let Ok(mut core) = inner.core() else { return };
        if core.closing {
            return;
        }
        let lazy = inner.config.sync_by == SyncBy::Waiter;
        let quiet = core.pending.is_empty();
        if quiet && sealed {
            core.idle = true;
            let woken = inner
                .work
                .wait(core)
                .unwrap_or_else(PoisonError::into_inner);
            let mut core = woken;
            core.idle = false;
            if !lazy {
                continue;
            }
            sealed = false;
            continue;
        }
        if quiet || lazy {
            // Woken early only by work that this thread is to do, or by the end.
            core.idle = !lazy;
            let (mut core, waited) = inner
                .work
                .wait_timeout(core, inner.config.seal_after)
                .unwrap_or_else(PoisonError::into_inner);
            core.idle = false;
            if core.closing || (!waited.timed_out() && !lazy) {
                continue;
            }
            let quiet = core.pending.is_empty();
            drop(core);
            let done = if quiet { inner.seal() } else { inner.flush() };
            if done.is_err() {
                return;
            }
            sealed = quiet;
            continue;
        }
        drop(core);
        if inner.flush().is_err() {
            return;
        }
        sealed = false;
    }
}
