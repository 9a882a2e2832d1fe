//! Whole tables: in by the Arrow C stream, out the same way. Nothing of a row becomes a Python object.

use std::time::Duration;

use arrow_array::{RecordBatch, RecordBatchReader};
use arrow_schema::SchemaRef;
use bespeak_server::ApiError;
use bespeak_server::api::Api;
use bespeak_server::tables::read::Wanted;
use bespeak_server::tables::{Job, check, reserve, run, supply};
use pyo3::prelude::*;
use pyo3_arrow::PyTable;

use crate::detach::raised;

/// Rows worked on as one batch: large tables are cut, so that the server's limits on a batch hold here too.
const BATCH_ROWS: usize = 65_536;
/// Longest time that a batch holds the partition before others get it.
const SLICE: Duration = Duration::from_micros(500);
/// A table inside a process is part of no trace.
const NO_TRACE: u128 = 0;

/// What can be done with a table.
#[derive(Clone, Copy)]
pub enum Work {
    Check,
    Reserve,
    Supply,
}

impl Work {
    /// The work of this name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "check" => Some(Self::Check),
            "reserve" => Some(Self::Reserve),
            "supply" => Some(Self::Supply),
            _ => None,
        }
    }

    fn job<'a>(self, batch: &'a RecordBatch) -> Result<Box<dyn Job + 'a>, ApiError> {
        Ok(match self {
            Self::Check => Box::new(check::CheckJob::new(batch, BATCH_ROWS)?),
            Self::Reserve => Box::new(reserve::ReserveJob::new(
                batch, BATCH_ROWS, SLICE, NO_TRACE,
            )?),
            Self::Supply => Box::new(supply::SupplyJob::new(batch, BATCH_ROWS, SLICE, NO_TRACE)?),
        })
    }

    fn schema(self) -> SchemaRef {
        match self {
            Self::Check => SchemaRef::clone(&check::SCHEMA),
            Self::Reserve => SchemaRef::clone(&reserve::SCHEMA),
            Self::Supply => SchemaRef::clone(&supply::SCHEMA),
        }
    }
}

/// Does the work on every batch of a table without the interpreter, and gives the answers once all of what they
/// saw is durable.
pub fn exchange(
    py: Python<'_>,
    api: &Api,
    work: Work,
    rows: Box<dyn RecordBatchReader + Send>,
) -> PyResult<PyTable> {
    let answers = py
        .detach(|| all(api, work, rows))
        .map_err(|error| raised(py, &error))?;
    PyTable::try_new(answers, work.schema())
}

fn all(
    api: &Api,
    work: Work,
    rows: Box<dyn RecordBatchReader + Send>,
) -> Result<Vec<RecordBatch>, ApiError> {
    let mut answers = Vec::new();
    let mut seen = 0;
    // An empty table is looked at as well: its columns may be wrong.
    let empty = RecordBatch::new_empty(rows.schema());
    drop(work.job(&empty)?);
    for batch in rows {
        let batch = batch
            .map_err(|error| ApiError::invalid("table", error, "its batches must be readable"))?;
        for start in (0..batch.num_rows()).step_by(BATCH_ROWS) {
            let part = batch.slice(start, BATCH_ROWS.min(batch.num_rows() - start));
            let (answer, revision) = run(work.job(&part)?, api)?;
            answers.push(answer);
            seen = seen.max(revision);
        }
    }
    api.store().partition().wait_durable(seen)?;
    Ok(answers)
}

/// Reads a table without the interpreter, and gives it once all of what it saw is durable.
pub fn dump(py: Python<'_>, api: &Api, wanted: &Wanted) -> PyResult<PyTable> {
    let read = || {
        let schema = wanted.schema()?;
        let mut reader = wanted.read(api)?;
        let (mut batches, mut revision) = (Vec::new(), 0);
        while let Some(seen) = reader.next(api) {
            revision = revision.max(seen.revision);
            batches.push(seen.result?);
        }
        api.store().partition().wait_durable(revision)?;
        Ok((batches, schema))
    };
    let (batches, schema) = py
        .detach(read)
        .map_err(|error: ApiError| raised(py, &error))?;
    PyTable::try_new(batches, schema)
}
