//! The files of forecasts in a backup of the journal that they lie beside.

use std::io;
use std::path::Path;

use bespeak_engine::UtcMillis;

use super::directory::{self, Directory};
use super::past::PREFIX;
use super::store::Forecasts;
use super::{ForecastError, Kind, file};

/// The files of all that was kept at one moment. None of them is removed while this is held.
#[derive(Debug)]
pub struct HeldFiles<'a> {
    forecasts: &'a Forecasts,
    /// Their names; none in memory.
    pub names: Vec<String>,
}

impl Drop for HeldFiles<'_> {
    fn drop(&mut self) {
        self.forecasts.files().holds -= 1;
    }
}

impl Forecasts {
    /// Holds the files of what is kept now. `at_once` is called at the same moment: nothing is kept or removed until it
    /// returns.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn hold_files<T>(
        &self,
        at_once: impl FnOnce() -> T,
    ) -> Result<(HeldFiles<'_>, T), ForecastError> {
        let mut files = self.files();
        let names = match self.directory() {
            Some(directory) => names(directory)?,
            None => Vec::new(),
        };
        let made = at_once();
        files.holds += 1;
        drop(files);
        let forecasts = self;
        Ok((HeldFiles { forecasts, names }, made))
    }
}

fn names(directory: &Directory) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for prefix in prefixes() {
        for kept in directory.files(prefix)? {
            let name = kept.path.file_name().and_then(|name| name.to_str());
            names.extend(name.map(str::to_owned));
        }
    }
    Ok(names)
}

fn prefixes() -> impl Iterator<Item = &'static str> {
    Kind::ALL.into_iter().map(Kind::table).chain([PREFIX])
}

/// The files of a directory that nobody writes. None where there is no directory.
///
/// # Errors
/// When the directory cannot be read.
pub fn files_to_copy(path: &Path) -> io::Result<Vec<String>> {
    if !path.is_dir() {
        return Ok(Vec::new());
    }
    names(&Directory::existing(path))
}

/// Takes out of a copy what was computed after `until`. Returns how many positions' forecasts, of days and of totals,
/// that were; forecasts that those had replaced are not in a copy, and not brought back.
///
/// # Errors
/// `Disk`; `Damaged`.
pub fn rewind(path: &Path, until: UtcMillis) -> Result<usize, ForecastError> {
    let directory = Directory::existing(path);
    let mut left_out = 0;
    for prefix in prefixes() {
        for kept in directory.files(prefix)? {
            let Some(part) = file::up_to(&kept, until)? else {
                continue;
            };
            if prefix != PREFIX {
                left_out += part.left_out;
            }
            if !part.batches.is_empty() {
                directory.write(prefix, kept.number, |out| file::copy(&part, out))?;
            }
            directory::remove(&kept.path)?;
        }
    }
    directory.sync()?;
    Ok(left_out)
}
