//! The one place where the interpreter is let go, and where failures become exceptions.

use bespeak_journal::JournalError;
use bespeak_server::store::{Seen, Store};
use bespeak_server::{ApiError, StartError};
use pyo3::prelude::*;

// Numbers of gRPC statuses.
const FAILED_PRECONDITION: i32 = 9;
const DATA_LOSS: i32 = 15;

/// Runs `act` without the interpreter, and gives its answer once what it saw is durable.
///
/// Other Python threads run meanwhile, also while this one waits for the partition's lock.
pub fn detached<T: Send>(
    py: Python<'_>,
    store: &Store,
    act: impl FnOnce() -> Seen<T> + Send,
) -> PyResult<T> {
    let answer = py.detach(|| {
        let Seen { result, revision } = act();
        until_durable(store, revision).and(result)
    });
    answer.map_err(|error| raised(py, &error))
}

/// Gives the answer of a call that took about a microsecond, which kept the interpreter: letting go of it is work of
/// the same order. Such a call may wait for the partition's lock with the interpreter held, for as long as one
/// command or one slice of a table of another thread takes; whoever holds the lock never waits for the interpreter,
/// so this wait ends. A wait for the disk lets go.
pub fn attached<T: Send>(py: Python<'_>, store: &Store, seen: Seen<T>) -> PyResult<T> {
    if store.gate().durable() < seen.revision {
        let revision = seen.revision;
        py.detach(|| until_durable(store, revision))
            .map_err(|error| raised(py, &error))?;
    }
    seen.result.map_err(|error| raised(py, &error))
}

/// Blocks until everything up to `revision` is durable.
fn until_durable(store: &Store, revision: u64) -> Result<(), ApiError> {
    Ok(store.partition().wait_durable(revision)?)
}

/// The exception for a failed call.
#[cold]
pub fn raised(py: Python<'_>, error: &ApiError) -> PyErr {
    let retry_after_ms = error
        .retry_after()
        .and_then(|delay| u64::try_from(delay.as_millis()).ok());
    exception(
        py,
        error.grpc() as i32,
        error.code(),
        &error.to_string(),
        retry_after_ms,
    )
}

/// The exception for an engine or server that did not start, or ended. No service was there to give it a code,
/// so it has its status's name.
#[cold]
pub fn not_started(py: Python<'_>, error: &StartError) -> PyErr {
    exception(
        py,
        FAILED_PRECONDITION,
        "FAILED_PRECONDITION",
        &error.to_string(),
        None,
    )
}

/// The exception for a journal that cannot be read.
#[cold]
pub fn journal_failed(py: Python<'_>, error: &JournalError) -> PyErr {
    let (status, code) = match error {
        JournalError::Damaged { .. } => (DATA_LOSS, "DATA_LOSS"),
        _ => (FAILED_PRECONDITION, "FAILED_PRECONDITION"),
    };
    exception(py, status, code, &error.to_string(), None)
}

fn exception(
    py: Python<'_>,
    status: i32,
    code: &str,
    message: &str,
    retry_after_ms: Option<u64>,
) -> PyErr {
    let made = py.import("bespeak.errors").and_then(|errors| {
        errors.call_method1("from_status", (status, code, message, retry_after_ms))
    });
    match made {
        Ok(error) => PyErr::from_value(error),
        Err(error) => error,
    }
}
