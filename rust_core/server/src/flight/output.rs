//! Works on one table without keeping the runtime or the partition from others.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::RecordBatch;
use arrow_flight::PutResult;
use arrow_ipc::writer::StreamWriter;

use super::tickets::Exchange;
use crate::api::Api;
use crate::error::ApiError;
use crate::shared::Shared;
use crate::store::Seen;
use crate::tables::check::CheckJob;
use crate::tables::read::{Reader, Wanted};
use crate::tables::reserve::ReserveJob;
use crate::tables::supply::SupplyJob;
use crate::tables::{Job, crowded};

/// What the tables of one stream ask for.
pub(super) struct Work {
    shared: Arc<Shared>,
    api: Api,
    exchange: Exchange,
    trace_id: u128,
    /// When the caller stops waiting.
    deadline: Option<Instant>,
    /// Some table of the stream was worked on.
    has_begun: bool,
}

impl Work {
    pub fn new(
        shared: &Arc<Shared>,
        api: Api,
        exchange: Exchange,
        trace_id: u128,
        deadline: Option<Instant>,
    ) -> Self {
        Self {
            shared: Arc::clone(shared),
            api,
            exchange,
            trace_id,
            deadline,
            has_begun: false,
        }
    }

    /// Answers a table once what it saw is durable.
    ///
    /// # Errors
    /// A failure of the whole table; rows fail by themselves. Only the first table of a stream is refused as OVERLOADED,
    /// which says that nothing was done: later ones wait.
    pub async fn answer(&mut self, batch: &RecordBatch) -> Result<RecordBatch, ApiError> {
        not_draining(&self.shared)?;
        let _permit = match self.has_begun {
            false => self.shared.permit_owned()?,
            true => self.shared.permit_to_go_on(self.deadline).await?,
        };
        self.has_begun = true;
        let (api, trace_id) = (&self.api, self.trace_id);
        let limits = &self.shared.limits;
        let (rows, slice) = (
            limits.batch_rows,
            Duration::from_micros(limits.batch_slice_us),
        );
        let mut job: Box<dyn Job + Send + '_> = match self.exchange {
            Exchange::Check => Box::new(CheckJob::new(batch, rows)?),
            Exchange::Reserve => Box::new(ReserveJob::new(batch, rows, slice, trace_id)?),
            Exchange::Supply => Box::new(SupplyJob::new(batch, rows, slice, trace_id)?),
        };
        while !job.step(api) {
            if crowded(api) {
                api.store().gate().wait(job.revision()).await?;
            }
            tokio::task::yield_now().await;
        }
        let (answer, revision) = job.finish()?;
        api.store().gate().wait(revision).await?;
        Ok(answer)
    }
}

/// Begins to read a table.
///
/// # Errors
/// As [`Wanted::read`].
pub(super) async fn begin(api: &Api, wanted: Wanted) -> Result<Reader, ApiError> {
    if !wanted.reads_files() {
        return wanted.read(api);
    }
    let api = api.clone();
    off_the_runtime(move || wanted.read(&api)).await?
}

/// The next rows of a table, and the reader again.
///
/// # Errors
/// `Internal` when the task was lost.
pub(super) async fn next(
    api: &Api,
    mut reader: Reader,
    files: bool,
) -> Result<(Option<Seen<RecordBatch>>, Reader), ApiError> {
    if !files {
        return Ok((reader.next(api), reader));
    }
    let api = api.clone();
    off_the_runtime(move || (reader.next(&api), reader)).await
}

pub(super) async fn off_the_runtime<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| ApiError::Internal(error.to_string()))
}

/// Refuses new work while the server drains.
///
/// # Errors
/// `Draining`.
pub(super) fn not_draining(shared: &Shared) -> Result<(), ApiError> {
    if *shared.draining.borrow() {
        Err(ApiError::Draining)
    } else {
        Ok(())
    }
}

/// A table as an Arrow IPC stream.
///
/// # Errors
/// `Internal` when it cannot be written.
pub(super) fn ipc(batch: &RecordBatch) -> Result<Vec<u8>, ApiError> {
    let wrong = |error: arrow_schema::ArrowError| ApiError::Internal(error.to_string());
    let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema()).map_err(wrong)?;
    writer.write(batch).map_err(wrong)?;
    writer.into_inner().map_err(wrong)
}

/// The answers to a table that was put, halved until each message has at most so many bytes, or one row.
///
/// # Errors
/// As [`ipc`].
pub(super) fn put_results(batch: &RecordBatch, most: usize) -> Result<Vec<PutResult>, ApiError> {
    let bytes = ipc(batch)?;
    let rows = batch.num_rows();
    if bytes.len() <= most || rows < 2 {
        return Ok(vec![PutResult {
            app_metadata: bytes.into(),
        }]);
    }
    let half = rows / 2;
    let mut results = put_results(&batch.slice(0, half), most)?;
    results.extend(put_results(&batch.slice(half, rows - half), most)?);
    Ok(results)
}
