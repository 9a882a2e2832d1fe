//! A history's files in a backup of its journal.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use super::book::Book;
use super::shelf::day_of;
use super::table::DayTable;
use super::{CHECKPOINT, HistoryError, files};

/// The files of a directory, in the order in which a copy made while it is written must take them: the checkpoint first,
/// so that every day is at least as new as it, as after a crash between the two. None where there is no directory.
///
/// # Errors
/// When the directory cannot be read.
pub fn files_to_copy(directory: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry?.file_name().into_string().unwrap_or_default();
        if name == CHECKPOINT || day_of(&name).is_some() {
            names.push(name);
        }
    }
    names.sort_unstable_by_key(|name| (name != CHECKPOINT, day_of(name)));
    Ok(names)
}

/// Removes from a copy what knows of records of its journal after `newest`, since that journal may go on otherwise:
/// the checkpoint and days. They are made again from the journal as far as it reaches. Returns how many days.
///
/// # Errors
/// `Io`.
pub fn rewind(directory: &Path, journal: [u8; 16], newest: u64) -> Result<usize, HistoryError> {
    let listed = files_to_copy(directory);
    let names = listed.map_err(|error| HistoryError::io("list", directory, &error))?;
    let mut days = 0;
    for name in names {
        let path = directory.join(&name);
        let read = |error: &io::Error| HistoryError::io("read", &path, error);
        let revision = if name == CHECKPOINT {
            let bytes = fs::read(&path).map_err(|error| read(&error))?;
            let content = files::unframe(&journal, &bytes);
            let book: Option<Book> = content.and_then(|bytes| postcard::from_bytes(bytes).ok());
            book.map(|book| book.revision())
        } else {
            let file = File::open(&path).map_err(|error| read(&error))?;
            let label = DayTable::label_of(file, &journal);
            label.ok().map(|label| label.revision)
        };
        // What cannot be read is of no use to the next start either.
        if revision.is_none_or(|revision| revision > newest) {
            days += usize::from(name != CHECKPOINT);
            fs::remove_file(&path).map_err(|error| HistoryError::io("remove", &path, &error))?;
        }
    }
    files::sync_dir(directory)?;
    Ok(days)
}
