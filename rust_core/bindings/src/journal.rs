//! Journals on disk, without a partition on top: whether all of it is whole, what is in it, backup and restore.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bespeak_engine::{Event, Record};
use bespeak_journal::storage::{FsStorage, Storage};
use bespeak_journal::{JournalError, LogReader, Manifest, RestoreTo, decode_record, read_at_rest};
use bespeak_server::ApiError;
use bespeak_server::api::Api;
use bespeak_server::backup::{self, BackupError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::detach::{journal_failed, raised};

/// See `_core.pyi`.
#[pyfunction]
pub fn journal_verify(py: Python<'_>, directory: PathBuf) -> PyResult<Bound<'_, PyDict>> {
    let found = py.detach(|| bespeak_journal::verify(&open(directory)?));
    let report = found.map_err(|error| journal_failed(py, &error))?;
    let torn = report.unfinished.as_ref();
    let told = PyDict::new(py);
    told.set_item("segments", report.segments)?;
    told.set_item("records", report.records)?;
    told.set_item("oldest_revision", report.oldest_revision)?;
    told.set_item("newest_revision", report.newest_revision)?;
    told.set_item("snapshots", report.snapshots)?;
    told.set_item("stale_indexes", report.stale_indexes)?;
    told.set_item("torn_bytes", torn.map_or(0, |cut| cut.bytes))?;
    let place = torn.map(|cut| format!("{} at offset {}: {}", cut.segment, cut.offset, cut.what));
    told.set_item("torn_where", place.unwrap_or_default())?;
    Ok(told)
}

/// See `_core.pyi`.
#[pyfunction]
pub fn journal_verify_backup(py: Python<'_>, directory: PathBuf) -> PyResult<Bound<'_, PyDict>> {
    let found = py.detach(|| bespeak_journal::verify_backup(open(directory)?.as_ref()));
    manifest(py, &found.map_err(|error| journal_failed(py, &error))?)
}

/// See `_core.pyi`.
#[pyfunction]
pub fn journal_stats(py: Python<'_>, directory: PathBuf) -> PyResult<Bound<'_, PyDict>> {
    let found = py.detach(|| {
        let storage = open(directory)?;
        Ok((
            bespeak_journal::dir_stats(storage.as_ref())?,
            events(storage)?,
        ))
    });
    let (stats, events) = found.map_err(|error| journal_failed(py, &error))?;
    let told = PyDict::new(py);
    told.set_item("records", stats.records)?;
    told.set_item("batches", stats.batches)?;
    told.set_item("seals", stats.seals)?;
    told.set_item("oldest_revision", stats.oldest_revision)?;
    told.set_item("newest_revision", stats.newest_revision)?;
    told.set_item("oldest_time_ms", stats.oldest_time_ms)?;
    told.set_item("newest_time_ms", stats.newest_time_ms)?;
    told.set_item("epoch", stats.epoch)?;
    told.set_item("segments", stats.segments)?;
    told.set_item("segment_bytes", stats.segment_bytes)?;
    told.set_item("used_bytes", stats.used_bytes)?;
    told.set_item("payload_bytes", stats.payload_bytes)?;
    told.set_item("snapshots", stats.snapshots)?;
    told.set_item("indexes", stats.indexes)?;
    told.set_item("bytes", stats.bytes)?;
    told.set_item("events", events)?;
    Ok(told)
}

/// See `_core.pyi`.
#[pyfunction]
pub fn journal_backup(
    py: Python<'_>,
    directory: PathBuf,
    to: PathBuf,
) -> PyResult<Bound<'_, PyDict>> {
    let made = py.detach(|| backup::back_up_at_rest(&directory, &to));
    manifest(py, &made.map_err(|error| backup_failed(py, error))?)
}

/// See `_core.pyi`.
#[pyfunction]
#[pyo3(signature = (backup, to, *, revision = None, time_ms = None))]
pub fn journal_restore(
    py: Python<'_>,
    backup: PathBuf,
    to: PathBuf,
    revision: Option<u64>,
    time_ms: Option<u64>,
) -> PyResult<Bound<'_, PyDict>> {
    let moment = match (revision, time_ms) {
        (Some(revision), _) => RestoreTo::Revision(revision),
        (None, Some(time_ms)) => RestoreTo::TimeMs(time_ms),
        (None, None) => RestoreTo::End,
    };
    let made = py.detach(|| bespeak_server::backup::restore(&backup, &to, moment));
    let restored = made.map_err(|error| backup_failed(py, error))?;
    let told = PyDict::new(py);
    told.set_item("revision", restored.journal.newest.revision)?;
    told.set_item("time_ms", restored.journal.newest.time_ms)?;
    told.set_item("left_out", restored.journal.left_out)?;
    told.set_item("files_beside", restored.beside)?;
    told.set_item("demand_days_left_out", restored.demand_days_left_out)?;
    told.set_item("forecasts_left_out", restored.forecasts_left_out)?;
    Ok(told)
}

fn backup_failed(py: Python<'_>, error: BackupError) -> PyErr {
    match error {
        BackupError::Journal(error) => journal_failed(py, &error),
        other => raised(py, &other.into()),
    }
}

/// Copies the journal of an open engine, and what is kept beside it, into an empty directory; returns the revision and
/// the bytes.
///
/// # Errors
/// `NotConfigured` in memory, `InvalidArgument` when the directory is not empty, `JournalFailed` for the disk.
pub fn backup(api: &Api, to: &Path) -> Result<(u64, u64), ApiError> {
    let made = backup::back_up(api.store(), api.forecasts(), api.desk(), to);
    let manifest = made.map_err(|error| match error {
        BackupError::InMemory => ApiError::NotConfigured {
            what: "the journal",
            hint: "an engine in memory has nothing to back up: open it with a path",
        },
        BackupError::Journal(JournalError::NotEmpty { .. }) => {
            let directory = to.display().to_string();
            ApiError::invalid("directory", directory, "it must not exist yet, or be empty")
        }
        other => other.into(),
    })?;
    Ok((
        manifest.newest.revision,
        manifest.files.iter().map(|file| file.bytes).sum(),
    ))
}

fn manifest<'py>(py: Python<'py>, manifest: &Manifest) -> PyResult<Bound<'py, PyDict>> {
    let told = PyDict::new(py);
    told.set_item("revision", manifest.newest.revision)?;
    told.set_item("time_ms", manifest.newest.time_ms)?;
    told.set_item("files", manifest.files.len())?;
    told.set_item(
        "bytes",
        manifest.files.iter().map(|file| file.bytes).sum::<u64>(),
    )?;
    Ok(told)
}

/// How many events of each kind there are.
fn events(storage: Arc<dyn Storage>) -> Result<BTreeMap<&'static str, u64>, JournalError> {
    let mut counted = BTreeMap::new();
    let mut reader = read_at_rest(storage, None)?;
    while let Some(found) = reader.next()? {
        for event in &decode_record(&found)?.events {
            *counted.entry(name(event)).or_default() += 1;
        }
    }
    Ok(counted)
}

/// See `_core.pyi`.
#[pyclass(module = "bespeak._core")]
pub struct JournalDump {
    reader: LogReader,
}

#[pymethods]
impl JournalDump {
    #[new]
    fn new(py: Python<'_>, directory: PathBuf, from_revision: Option<u64>) -> PyResult<Self> {
        let reader = py.detach(|| read_at_rest(open(directory)?, from_revision));
        Ok(Self {
            reader: reader.map_err(|error| journal_failed(py, &error))?,
        })
    }

    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__(&mut self, py: Python<'_>) -> PyResult<Option<String>> {
        let next = py.detach(|| match self.reader.next()? {
            Some(found) => decode_record(&found).map(|record| Some(json(&record))),
            None => Ok(None),
        });
        next.map_err(|error| journal_failed(py, &error))
    }
}

fn json(record: &Record) -> String {
    // Every field is a plain value, which JSON can hold.
    serde_json::to_string(record).unwrap_or_else(|error| format!("{{\"error\": \"{error}\"}}"))
}

/// A directory that must be there.
fn open(directory: PathBuf) -> Result<Arc<dyn Storage>, JournalError> {
    let file = directory.display().to_string();
    match FsStorage::existing(directory) {
        Ok(storage) => Ok(Arc::new(storage)),
        Err(source) => Err(JournalError::Io {
            action: "open",
            file,
            source,
        }),
    }
}

fn name(event: &Event) -> &'static str {
    match event {
        Event::ItemPut(..) => "item_put",
        Event::LocationPut(..) => "location_put",
        Event::RegionPut(..) => "region_put",
        Event::LanePut(..) => "lane_put",
        Event::RulePut(..) => "rule_put",
        Event::PositionCreated(..) => "position_created",
        Event::BufferSet(..) => "buffer_set",
        Event::Counted { .. } | Event::CountTaken { .. } => "counted",
        Event::Moved { .. } => "moved",
        Event::ReceiptScheduled { .. } => "receipt_scheduled",
        Event::ReceiptChanged(..) => "receipt_changed",
        Event::ReceiptReceived { .. } => "receipt_received",
        Event::ReceiptClosed(..) => "receipt_closed",
        Event::ReceiptOverdue(..) => "receipt_overdue",
        Event::Held(..) => "held",
        Event::HeldUnder(..) => "held_under",
        Event::HeldSince(..) => "held_since",
        Event::Extended(..) => "extended",
        Event::Confirmed(..) => "confirmed",
        Event::Reacquired(..) => "reacquired",
        Event::Fulfilled(..) => "fulfilled",
        Event::Released(..) => "released",
        Event::Expired(..) => "expired",
        Event::Forgotten(..) | Event::Lapsed(..) => "forgotten",
        Event::ShockRaised { .. } => "shock_raised",
        Event::ShockResolved(..) => "shock_resolved",
        Event::DemandUnmet { .. } => "demand_unmet",
        Event::ReceiptsJudged(..) => "receipts_judged",
        Event::BufferPolicyPut(..) => "buffer_policy_put",
        Event::BuffersDerived(_) => "buffers_derived",
        Event::Ticked => "ticked",
        Event::NumberKept => "number_kept",
        Event::MovedBeforeCount { .. } => "moved_before_count",
    }
}
