//! Days that are over: in files of a directory, or in memory.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::table::{DayTable, Label};
use super::{HistoryError, files};
use crate::limits::{HISTORY_DAYS, MEMORY_ROWS_MAX};

/// One day.
#[derive(Clone, Debug)]
enum Kept {
    Memory(Arc<DayTable>),
    File(Label),
}

/// All days.
#[derive(Debug)]
pub(crate) struct Shelf {
    /// Directory and journal; `None` keeps all in memory.
    home: Option<(PathBuf, [u8; 16])>,
    days: BTreeMap<i32, Kept>,
    rows: usize,
}

fn file_name(day: i32) -> String {
    format!("day-{day}.arrow")
}

/// The day of a file of this name.
pub fn day_of(name: &str) -> Option<i32> {
    name.strip_prefix("day-")?
        .strip_suffix(".arrow")?
        .parse()
        .ok()
}

impl Shelf {
    pub fn in_memory() -> Self {
        Self {
            home: None,
            days: BTreeMap::new(),
            rows: 0,
        }
    }

    /// Looks through a directory. Files that are torn, of another journal, or newer than its last durable record are
    /// removed; `true` when one was, so that the journal is asked again.
    pub fn open(dir: &Path, journal: [u8; 16], newest: u64) -> Result<(Self, bool), HistoryError> {
        files::make_dir(dir)?;
        let mut shelf = Self {
            home: Some((dir.to_owned(), journal)),
            ..Self::in_memory()
        };
        let mut removed = false;
        let entries = fs::read_dir(dir).map_err(|error| HistoryError::io("list", dir, &error))?;
        for entry in entries {
            let entry = entry.map_err(|error| HistoryError::io("list", dir, &error))?;
            let Some(day) = entry.file_name().to_str().and_then(day_of) else {
                continue;
            };
            let path = entry.path();
            let label = File::open(&path)
                .map_err(|error| error.to_string())
                .and_then(|file| DayTable::label_of(file, &journal));
            match label {
                Ok(label) if label.day == day && label.revision <= newest => {
                    shelf.days.insert(day, Kept::File(label));
                }
                other => {
                    let what = other
                        .err()
                        .unwrap_or_else(|| "it is of another time".to_owned());
                    tracing::warn!(file = %path.display(), what, "a day of demand is made again");
                    fs::remove_file(&path)
                        .map_err(|error| HistoryError::io("remove", &path, &error))?;
                    removed = true;
                }
            }
        }
        Ok((shelf, removed))
    }

    pub fn home(&self) -> Option<&(PathBuf, [u8; 16])> {
        self.home.as_ref()
    }

    /// Journal position up to which a day is complete; `None` when nothing is known of it.
    pub fn revision(&self, day: i32) -> Option<u64> {
        self.days.get(&day).map(|kept| match kept {
            Kept::Memory(table) => table.revision,
            Kept::File(label) => label.revision,
        })
    }

    /// Days that are kept, oldest first.
    pub fn days(&self) -> impl Iterator<Item = i32> + '_ {
        self.days.keys().copied()
    }

    /// Keeps a day, unless what is kept knows more, and lets go of what is too old.
    pub fn put(&mut self, table: DayTable) -> Result<(), HistoryError> {
        let day = table.day;
        if self
            .revision(day)
            .is_some_and(|known| known >= table.revision)
        {
            return Ok(());
        }
        let mut result = Ok(());
        let kept = match &self.home {
            None => Kept::Memory(Arc::new(table)),
            Some((dir, journal)) => {
                let written = table
                    .encode(journal)
                    .and_then(|bytes| files::replace(dir, &file_name(day), &[bytes]));
                match written {
                    Ok(()) => Kept::File(table.label()),
                    Err(error) => {
                        result = Err(error);
                        Kept::Memory(Arc::new(table))
                    }
                }
            }
        };
        if let Some(Kept::Memory(old)) = self.days.insert(day, kept) {
            self.rows -= old.rows();
        }
        if let Some(Kept::Memory(new)) = self.days.get(&day) {
            self.rows += new.rows();
        }
        result.and(self.prune())
    }

    fn prune(&mut self) -> Result<(), HistoryError> {
        let Some((&newest, _)) = self.days.last_key_value() else {
            return Ok(());
        };
        while let Some((&day, _)) = self.days.first_key_value()
            && (day <= newest - HISTORY_DAYS || (self.rows > MEMORY_ROWS_MAX && day != newest))
        {
            self.forget(day)?;
        }
        Ok(())
    }

    /// Removes a day.
    pub fn forget(&mut self, day: i32) -> Result<(), HistoryError> {
        match (self.days.remove(&day), &self.home) {
            (Some(Kept::Memory(table)), _) => self.rows -= table.rows(),
            (Some(Kept::File(_)), Some((dir, _))) => {
                let path = dir.join(file_name(day));
                fs::remove_file(&path)
                    .map_err(|error| HistoryError::io("remove", &path, &error))?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Writes days that could not be written before.
    pub fn write_again(&mut self) -> Result<(), HistoryError> {
        let Some((dir, journal)) = &self.home else {
            return Ok(());
        };
        for (day, kept) in &mut self.days {
            if let Kept::Memory(table) = kept {
                files::replace(dir, &file_name(*day), &[table.encode(journal)?])?;
                self.rows -= table.rows();
                *kept = Kept::File(table.label());
            }
        }
        Ok(())
    }

    /// Reads a day; `None` when nothing is known of it.
    ///
    /// # Errors
    /// `Damaged` for a file that is not what was written.
    pub fn get(&self, day: i32) -> Result<Option<Arc<DayTable>>, HistoryError> {
        let path = match (self.days.get(&day), &self.home) {
            (None, _) | (Some(Kept::File(_)), None) => return Ok(None),
            (Some(Kept::Memory(table)), _) => return Ok(Some(Arc::clone(table))),
            (Some(Kept::File(_)), Some((dir, journal))) => (dir.join(file_name(day)), journal),
        };
        let (path, journal) = path;
        let bytes = fs::read(&path).map_err(|error| HistoryError::io("read", &path, &error))?;
        match DayTable::decode(&bytes, journal) {
            Ok(table) => Ok(Some(Arc::new(table))),
            Err(what) => Err(HistoryError::Damaged { day, what }),
        }
    }
}
