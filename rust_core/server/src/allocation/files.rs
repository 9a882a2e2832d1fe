//! A directory of numbered files that are there whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const ENDING: &str = ".network";
const UNFINISHED: &str = ".part";
/// Digits of a checksum in a name.
const CHECKSUM_DIGITS: usize = 16;

/// A file that is what was written.
#[derive(Debug)]
pub struct Found {
    /// Its number.
    pub version: u64,
    /// Where it lies.
    pub path: PathBuf,
    /// What is in it.
    pub bytes: Vec<u8>,
}

/// Makes the directory where it is missing, removes what a crash left unfinished, and reads the rest.
///
/// # Errors
/// When the directory or a file cannot be read, or a file is not what its name says.
pub fn open(directory: &Path) -> io::Result<Vec<Found>> {
    fs::create_dir_all(directory)?;
    if let Some(parent) = directory.parent() {
        File::open(parent)?.sync_all()?;
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or("");
        if name.ends_with(UNFINISHED) {
            fs::remove_file(&path)?;
        } else if let Some((version, checksum)) = known(name) {
            let bytes = fs::read(&path)?;
            if self::checksum(&bytes) != checksum {
                let what = format!(
                    "{name} is damaged: restore it, or move it away and put the network again"
                );
                return Err(io::Error::new(io::ErrorKind::InvalidData, what));
            }
            found.push(Found {
                version,
                path,
                bytes,
            });
        }
    }
    found.sort_unstable_by_key(|file| file.version);
    Ok(found)
}

/// The files of a directory that nobody writes. None where there is no directory.
///
/// # Errors
/// When the directory cannot be read.
pub fn to_copy(directory: &Path) -> io::Result<Vec<String>> {
    if !directory.is_dir() {
        return Ok(Vec::new());
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name().into_string();
        names.extend(name.ok().filter(|name| known(name).is_some()));
    }
    names.sort_unstable();
    Ok(names)
}

fn known(name: &str) -> Option<(u64, String)> {
    let (version, checksum) = name.strip_suffix(ENDING)?.split_once('-')?;
    let whole = checksum.len() == CHECKSUM_DIGITS;
    whole.then_some((version.parse().ok()?, checksum.to_owned()))
}

fn checksum(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex()[..CHECKSUM_DIGITS].to_owned()
}

/// Writes a file aside, syncs it, and gives it its name.
///
/// # Errors
/// When the disk does not take it; nothing is left then.
pub fn write(directory: &Path, version: u64, bytes: &[u8]) -> io::Result<PathBuf> {
    let aside = directory.join(format!("{version:020}{UNFINISHED}"));
    let written = File::create(&aside).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    let path = directory.join(format!("{version:020}-{}{ENDING}", checksum(bytes)));
    let named = written
        .and_then(|()| fs::rename(&aside, &path))
        .and_then(|()| File::open(directory)?.sync_all());
    match named {
        Ok(()) => Ok(path),
        Err(error) => {
            // What is unfinished is removed at the next start, too.
            let _ = fs::remove_file(&aside);
            Err(error)
        }
    }
}

/// Removes a file that a newer one replaces. One that stays is outnumbered at the next start.
pub fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path) {
        tracing::warn!(path = %path.display(), %error, "an old network is left behind");
    }
}
