//! A journal and what is kept beside it, copied together and brought back together.
//!
//! The forecasts and the journal are of one moment at which no push was under way: a restored server gives the
//! forecasts that this one gave, with the buffers made from them. The demand history is copied before, and reads the
//! rest from the journal at its start, as after a crash. Networks have no place in the journal: they are those of the
//! backup, whatever moment is restored.

use std::io;
use std::path::Path;
use std::sync::Arc;

use bespeak_demand::forecasts::ForecastError;
use bespeak_demand::forecasts::backup as forecast_files;
use bespeak_demand::{HistoryError, history_backup};
use bespeak_engine::UtcMillis;
use bespeak_journal::storage::{FsStorage, Storage};
use bespeak_journal::{
    BackupFile, BackupPoint, Beside, JournalError, Log, LogConfig, Manifest, PartitionError,
    RECORD_SCHEMA, RestoreReport, RestoreTo, copy_beside, read_manifest, restore_beside,
};

use crate::allocation::{Desk, files, networks};
use crate::forecasts::{self, Keeper};
use crate::store::Store;
use crate::{ApiError, demand};

/// A backup that cannot be made or brought back.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// There is no journal to copy.
    #[error("a partition in memory has nothing to back up")]
    InMemory,
    /// The journal's side, or a file beside it.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The partition has stopped.
    #[error(transparent)]
    Partition(#[from] PartitionError),
    /// Forecasts.
    #[error("forecasts: {0}")]
    Forecasts(#[from] ForecastError),
    /// Demand history.
    #[error("demand history: {0}")]
    Demand(#[from] HistoryError),
    /// A directory beside the journal.
    #[error("what lies beside the journal: {0}")]
    Io(#[from] io::Error),
}

impl From<BackupError> for ApiError {
    fn from(error: BackupError) -> Self {
        match error {
            BackupError::Journal(JournalError::NotEmpty { dir, found }) => {
                let value = format!("{dir}, where {found} lies");
                Self::invalid("directory", value, "it must not exist yet, or be empty")
            }
            BackupError::Partition(error) => error.into(),
            BackupError::Forecasts(error) => error.into(),
            other => Self::JournalFailed(other.to_string()),
        }
    }
}

/// Copies the journal of an open partition, and what is kept beside it, into an empty directory.
///
/// # Errors
/// `InMemory`; `NotEmpty`; what a disk says.
pub fn back_up(
    store: &Store,
    keeper: &Keeper,
    desk: &Desk,
    to: &Path,
) -> Result<Manifest, BackupError> {
    let journal = store.partition().journal().ok_or(BackupError::InMemory)?;
    let storage = empty(to)?;
    let Some(home) = store.home() else {
        return Ok(journal.backup(&storage)?);
    };
    // Before the moment of the journal: what the history knows is then in the journal's copy, too.
    let mut beside = history(home, to)?;
    let moment = || -> Result<BackupPoint, PartitionError> {
        store.partition().flush()?;
        Ok(journal.backup_point())
    };
    let point = if keeper.is_on_disk() {
        let (held, point) = keeper.hold_files(moment)?;
        beside.extend(copied(home, to, forecasts::DIRECTORY, &held.names)?);
        point?
    } else {
        beside.extend(forecasts_at_rest(home, to)?);
        moment()?
    };
    beside.extend(match desk.networks.is_on_disk() {
        true => desk.networks.copy(&to.join(networks::DIRECTORY))?,
        false => networks_at_rest(home, to)?,
    });
    Ok(point.copy(&storage, beside)?)
}

/// Copies a journal that nobody has open, and what is kept beside it, into an empty directory.
///
/// # Errors
/// `Locked` when it is open; `NotEmpty`; what a disk says.
pub fn back_up_at_rest(home: &Path, to: &Path) -> Result<Manifest, BackupError> {
    let config = LogConfig {
        schema: RECORD_SCHEMA,
        background: false,
        ..LogConfig::default()
    };
    let from: Arc<dyn Storage> = Arc::new(existing(home)?);
    let (log, _) = Log::open(from, config)?;
    let storage = empty(to)?;
    let mut beside = history(home, to)?;
    beside.extend(forecasts_at_rest(home, to)?);
    beside.extend(networks_at_rest(home, to)?);
    Ok(log.view().backup_point().copy(&storage, beside)?)
}

/// What was brought back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// Of the journal.
    pub journal: RestoreReport,
    /// Files of demand history, forecasts and networks.
    pub beside: usize,
    /// Days of demand that knew of later records: they are made again from the journal as far as it reaches.
    pub demand_days_left_out: usize,
    /// Positions' forecasts, of days and of totals, that were computed after the moment.
    pub forecasts_left_out: usize,
}

/// Makes a journal out of a backup in an empty directory, with what was kept beside it.
///
/// To its end all is as it was. Of an earlier moment are the journal and the demand history; forecasts are those that
/// were computed by then, as far as later ones had not replaced them; networks are the backup's.
///
/// # Errors
/// As [`bespeak_journal::restore`], and what a disk says.
pub fn restore(backup: &Path, to: &Path, moment: RestoreTo) -> Result<Restored, BackupError> {
    let source = existing(backup)?;
    let manifest = read_manifest(&source)?;
    let target: Arc<dyn Storage> = Arc::new(made(to)?);
    let journal = bespeak_journal::restore(&source, &target, moment)?;
    let mut files = [0; 3];
    let directories = [demand::DIRECTORY, forecasts::DIRECTORY, networks::DIRECTORY];
    for (directory, files) in directories.iter().zip(&mut files) {
        *files = restore_beside(backup, to, &manifest, directory)?.len();
    }
    let [of_demand, of_forecasts, _] = files;
    let mut restored = Restored {
        beside: files.iter().sum(),
        demand_days_left_out: 0,
        forecasts_left_out: 0,
        journal,
    };
    let newest = &restored.journal.newest;
    if of_demand > 0 && restored.journal.left_out > 0 {
        let directory = to.join(demand::DIRECTORY);
        restored.demand_days_left_out =
            history_backup::rewind(&directory, manifest.journal_id, newest.revision)?;
    }
    // Forecasts by day leave no record, so that a time may lie after the last record and before them.
    let until = match moment {
        RestoreTo::TimeMs(time_ms) => Some(time_ms),
        _ if restored.journal.left_out > 0 => Some(newest.time_ms),
        _ => None,
    };
    if let Some(until) = until.filter(|_| of_forecasts > 0) {
        let until = UtcMillis::new(i64::try_from(until).unwrap_or(i64::MAX));
        let directory = to.join(forecasts::DIRECTORY);
        restored.forecasts_left_out = forecast_files::rewind(&directory, until)?;
    }
    Ok(restored)
}

fn history(home: &Path, to: &Path) -> Result<Vec<BackupFile>, BackupError> {
    let names = history_backup::files_to_copy(&home.join(demand::DIRECTORY))?;
    let what = Beside {
        directory: demand::DIRECTORY,
        files: &names,
        // Days that are too old go while it is copied.
        may_go: true,
    };
    Ok(copy_beside(home, to, what)?)
}

fn forecasts_at_rest(home: &Path, to: &Path) -> Result<Vec<BackupFile>, BackupError> {
    let names = forecast_files::files_to_copy(&home.join(forecasts::DIRECTORY))?;
    copied(home, to, forecasts::DIRECTORY, &names)
}

fn networks_at_rest(home: &Path, to: &Path) -> Result<Vec<BackupFile>, BackupError> {
    let names = files::to_copy(&home.join(networks::DIRECTORY))?;
    copied(home, to, networks::DIRECTORY, &names)
}

fn copied(
    home: &Path,
    to: &Path,
    directory: &str,
    files: &[String],
) -> Result<Vec<BackupFile>, BackupError> {
    let what = Beside {
        directory,
        files,
        may_go: false,
    };
    Ok(copy_beside(home, to, what)?)
}

fn existing(directory: &Path) -> Result<FsStorage, BackupError> {
    Ok(FsStorage::existing(directory).map_err(|source| failed("open", directory, source))?)
}

fn made(directory: &Path) -> Result<FsStorage, BackupError> {
    Ok(FsStorage::new(directory).map_err(|source| failed("make", directory, source))?)
}

/// A directory with nothing in it, before anything is copied there.
fn empty(directory: &Path) -> Result<FsStorage, BackupError> {
    let storage = made(directory)?;
    if let Some(entry) = std::fs::read_dir(directory)?.next() {
        let dir = directory.display().to_string();
        let found = entry?.file_name().display().to_string();
        return Err(JournalError::NotEmpty { dir, found }.into());
    }
    Ok(storage)
}

fn failed(action: &'static str, directory: &Path, source: io::Error) -> JournalError {
    let file = directory.display().to_string();
    JournalError::Io {
        action,
        file,
        source,
    }
}
