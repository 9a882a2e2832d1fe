//! The partition as the server uses it: one lock, and the revision that each answer must wait for.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use bespeak_engine::{Answer, Command, Meta, Settings, State, UtcMillis};

use crate::error::ApiError;
use crate::gate::Gate;
use crate::metrics::Observed;

/// An outcome, and the journal position that must be durable before anyone is told of it.
#[derive(Debug)]
pub struct Seen<T> {
    /// The answer or the failure.
    pub result: Result<T, ApiError>,
    /// What it saw.
    pub revision: u64,
}

impl<T> Seen<T> {
    /// A failure that saw nothing.
    pub fn failed(error: ApiError) -> Self {
        Self {
            result: Err(error),
            revision: 0,
        }
    }

    /// Changes the answer.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Seen<U> {
        Seen {
            result: self.result.map(change),
            revision: self.revision,
        }
    }
}

/// The partition.
#[derive(Debug)]
pub struct Store {
    state: Mutex<State>,
    gate: Gate,
}

impl Store {
    /// A partition in memory.
    pub fn memory(settings: Settings) -> Self {
        Self {
            state: Mutex::new(State::new(settings)),
            gate: Gate::new(0),
        }
    }

    /// Where answers wait for durability.
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Reads, with every due transition applied.
    #[inline]
    pub fn read<T>(&self, read: impl FnOnce(&State) -> Result<T, ApiError>) -> Seen<T> {
        let mut state = self.lock();
        state.advance(now(), &mut |_| {});
        Seen {
            result: read(&state),
            revision: state.revision(),
        }
    }

    /// Makes a command under the lock, executes it, and makes the answer before the lock is gone.
    pub fn write<T>(
        &self,
        meta: Result<Meta, ApiError>,
        command: impl FnOnce(&State) -> Result<Command, ApiError>,
        answer: impl FnOnce(&State, Answer) -> Result<T, ApiError>,
    ) -> Seen<T> {
        let meta = match meta {
            Ok(meta) => meta,
            Err(error) => return Seen::failed(error),
        };
        let mut state = self.lock();
        let result = command(&state)
            .and_then(|command| Ok(state.step(meta, &command, now(), &mut |_| {})?))
            .and_then(|done| answer(&state, done));
        let revision = state.revision();
        self.gate.reached(revision);
        Seen { result, revision }
    }

    /// Applies what time has brought, so that it is journaled and told even when nobody asks.
    pub fn sweep(&self) {
        let swept = self.read(|_| Ok(()));
        drop(swept);
    }

    /// Numbers for the metrics page.
    pub fn observe(&self) -> Observed {
        let stats = self.lock().stats();
        let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        Observed {
            serving: true,
            gauges: vec![
                ("positions", "Positions", count(stats.positions)),
                ("receipts", "Open receipts", count(stats.receipts)),
                (
                    "holds",
                    "Holds that are not confirmed",
                    i64::try_from(stats.held).unwrap_or(i64::MAX),
                ),
            ],
            ..Observed::default()
        }
    }

    /// Makes everything durable and lets go of the journal.
    ///
    /// # Errors
    /// When the last sync fails.
    pub fn close(&self) -> Result<(), ApiError> {
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn now() -> UtcMillis {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    UtcMillis::new(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
