//! Files that are whole or absent: written aside, synced, renamed, and the directory synced.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use bespeak_aside::PacedFile;
use xxhash_rust::xxh3::Xxh3Default;

use super::HistoryError;

/// What a file is called while it is written.
const ASIDE: &str = "aside.new";
const MAGIC: &[u8; 8] = b"BSPDMD01";
const HEAD: usize = 8 + 16 + 8;

/// Makes the directory, and its entry survive a power loss.
pub fn make_dir(dir: &Path) -> Result<(), HistoryError> {
    fs::create_dir_all(dir).map_err(|error| HistoryError::io("create", dir, &error))?;
    if let Some(parent) = dir.parent() {
        sync_dir(parent)?;
    }
    sync_dir(dir)
}

/// Makes the directory's entries survive a power loss.
pub fn sync_dir(dir: &Path) -> Result<(), HistoryError> {
    let synced = File::open(dir).and_then(|dir| dir.sync_all());
    synced.map_err(|error| HistoryError::io("sync", dir, &error))
}

/// Writes a file whole, in place of the one before, at leisure: promises wait for what is in front of them at the disk.
pub fn replace(dir: &Path, name: &str, pieces: &[impl AsRef<[u8]>]) -> Result<(), HistoryError> {
    let (aside, path) = (dir.join(ASIDE), dir.join(name));
    let written = File::create(&aside).and_then(|file| {
        let mut file = PacedFile::new(file);
        for piece in pieces {
            file.write_all(piece.as_ref())?;
        }
        file.sync()
    });
    written.map_err(|error| HistoryError::io("write", &aside, &error))?;
    fs::rename(&aside, &path).map_err(|error| HistoryError::io("rename to", &path, &error))?;
    sync_dir(dir)
}

/// Puts a frame before the content of a checkpoint so that damage shows.
pub fn frame(journal: &[u8; 16], content: &mut Vec<Vec<u8>>) {
    let mut check = Xxh3Default::new();
    for piece in &*content {
        check.update(piece);
    }
    let head = [&MAGIC[..], journal, &check.digest().to_le_bytes()].concat();
    content.insert(0, head);
}

/// The content of a checkpoint of this journal; `None` when it is torn or another's.
pub fn unframe<'a>(journal: &[u8; 16], bytes: &'a [u8]) -> Option<&'a [u8]> {
    let (head, content) = bytes.split_at_checked(HEAD)?;
    let check = xxhash_rust::xxh3::xxh3_64(content).to_le_bytes();
    let sound = head[..8] == *MAGIC && head[8..24] == *journal && head[24..] == check;
    sound.then_some(content)
}
