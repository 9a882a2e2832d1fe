//! What is kept beside a journal, in directories below its own: copied with it, and brought back with it.

use std::io;
use std::path::Path;

use crate::error::{IoContext, Result};
use crate::storage::{FsStorage, Storage};

use super::restore::check_same;
use super::{BackupFile, Manifest, copy, copy_file, must_be_empty};

/// Files of one directory beside a journal.
#[derive(Debug, Clone, Copy)]
pub struct Beside<'a> {
    /// The directory's name.
    pub directory: &'a str,
    /// The files, in the order in which they are to be copied.
    pub files: &'a [String],
    /// Whether one that is gone by now is passed over; otherwise that is an error.
    pub may_go: bool,
}

/// Copies files beside the journal of one directory into the same place of another, and syncs them.
///
/// # Errors
/// `NotEmpty`; I/O errors.
pub fn copy_beside(from: &Path, to: &Path, what: Beside<'_>) -> Result<Vec<BackupFile>> {
    if what.files.is_empty() {
        return Ok(Vec::new());
    }
    let source = open(&from.join(what.directory))?;
    let target = made(&to.join(what.directory))?;
    let mut copied = Vec::with_capacity(what.files.len());
    for name in what.files {
        // One that is replaced meanwhile is read to its end as it was.
        let file = match source.open(name, false) {
            Err(error) if what.may_go && error.kind() == io::ErrorKind::NotFound => continue,
            other => other.doing("open", name)?,
        };
        let bytes = file.size().doing("measure", name)?;
        let file = copy_file(file.as_ref(), &target, name, bytes, bytes)?;
        copied.push(BackupFile {
            name: format!("{}/{}", what.directory, file.name),
            ..file
        });
    }
    target.sync_dir().doing("sync", what.directory)?;
    Ok(copied)
}

/// Copies the files of one directory out of a backup and checks them against its manifest; returns their names without
/// the directory's.
///
/// # Errors
/// `NotEmpty`; `Damaged` naming the file; I/O errors.
pub fn restore_beside(
    backup: &Path,
    to: &Path,
    manifest: &Manifest,
    directory: &str,
) -> Result<Vec<String>> {
    let inside = |file: &BackupFile| {
        let name = file.name.strip_prefix(directory)?.strip_prefix('/')?;
        Some(name.to_owned())
    };
    let target = match to.join(directory) {
        // A directory that is there although nothing goes into it would be taken for the journal's.
        path if path.exists() => made(&path)?,
        _ if !manifest.files.iter().any(|file| inside(file).is_some()) => return Ok(Vec::new()),
        path => made(&path)?,
    };
    let mut restored = Vec::new();
    for file in &manifest.files {
        let Some(name) = inside(file) else { continue };
        let source = open(&backup.join(directory))?;
        let copied = copy(&source, &target, &name, file.bytes, file.bytes)?;
        check_same(file, &copied)?;
        restored.push(name);
    }
    target.sync_dir().doing("sync", directory)?;
    Ok(restored)
}

fn open(path: &Path) -> Result<FsStorage> {
    FsStorage::existing(path).doing("open", &path.display().to_string())
}

/// A directory that is empty, made where there is none.
fn made(path: &Path) -> Result<FsStorage> {
    let storage = FsStorage::new(path).doing("make", &path.display().to_string())?;
    must_be_empty(&storage)?;
    Ok(storage)
}
