//! Bulk work on Arrow tables: the same answers as the unary methods, a row at a time.
//!
//! A job takes a table and is stepped until it is done; between two steps others get the partition. The Flight
//! service steps jobs on the runtime, the embedded engine steps them in the caller's thread. The schemas are
//! described in docs/reference/flight.md.

pub mod check;
pub mod columns;
pub mod demand;
pub mod dump;
pub mod read;
pub mod reserve;
pub mod supply;
mod supply_answers;

use arrow_array::RecordBatch;

use crate::api::Api;
use crate::error::ApiError;

/// Work on one table.
pub trait Job {
    /// Does a slice of the work; true once all is done.
    fn step(&mut self, api: &Api) -> bool;

    /// Journal position that the rows done so far have seen.
    fn revision(&self) -> u64;

    /// The answers, one row for each row of the table, and the journal position that they saw.
    ///
    /// # Errors
    /// A failure of the whole table; rows fail by themselves.
    fn finish(self: Box<Self>) -> Result<(RecordBatch, u64), ApiError>;
}

/// Steps a job to its end in this thread. The answers may leave when the revision is durable.
///
/// # Errors
/// A failure of the whole table.
pub fn run(mut job: Box<dyn Job + '_>, api: &Api) -> Result<(RecordBatch, u64), ApiError> {
    while !job.step(api) {
        if crowded(api) {
            api.store().partition().wait_durable(job.revision())?;
        }
    }
    job.finish()
}

/// Records that may wait for a sync before a job waits as well, so that unary writes keep their place.
const PENDING_RECORDS: usize = 16_384;

/// Whether so much waits for the disk that a job should wait too.
pub(crate) fn crowded(api: &Api) -> bool {
    api.store().partition().pending().0 > PENDING_RECORDS
}

fn made(error: &arrow_schema::ArrowError) -> ApiError {
    ApiError::Internal(error.to_string())
}
