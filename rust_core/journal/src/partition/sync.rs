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
    let by_thread = inner.config.sync_by == SyncBy::Thread;
    let mut sealed = false;
    // What had been done when the others were last left alone for the time of a seal.
    let mut seen = 0;
    loop {
        let Ok(mut core) = inner.core() else { return };
        if core.closing {
            return;
        }
        let quiet = core.pending.is_empty();
        if !quiet && (by_thread || core.urgent) {
            drop(core);
            if inner.flush().is_err() {
                return;
            }
            sealed = false;
            continue;
        }
        if quiet && sealed && (by_thread || core.state.revision() == seen) {
            core.idle = true;
            core = inner
                .work
                .wait(core)
                .unwrap_or_else(PoisonError::into_inner);
            core.idle = false;
            sealed = by_thread;
            continue;
        }
        // Woken early only by work that this thread is to do, or by the end.
        core.idle = by_thread;
        let (mut core, waited) = inner
            .work
            .wait_timeout(core, inner.config.seal_after)
            .unwrap_or_else(PoisonError::into_inner);
        core.idle = false;
        if core.closing || !waited.timed_out() {
            continue;
        }
        let quiet = core.pending.is_empty();
        let revision = core.state.revision();
        drop(core);
        let done = if !quiet {
            // Nobody has waited for these.
            inner.flush()
        } else if by_thread || revision == seen {
            inner.seal()
        } else {
            Ok(())
        };
        if done.is_err() {
            return;
        }
        sealed = quiet && (by_thread || revision == seen);
        seen = revision;
    }
}
