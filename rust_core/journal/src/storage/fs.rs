//! Files of the operating system: pread, pwrite, fdatasync.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::{Storage, StorageFile, WriterLock};

/// Zeros are written in pieces of this size and synced every [`SYNC_EVERY_BYTES`], so that
/// preparing a segment never queues one large write in front of a commit, and the sync of its
/// header finds little left to write.
const ZERO_CHUNK_BYTES: usize = 1 << 20;
const SYNC_EVERY_BYTES: u64 = 4 << 20;
/// Bytes of one read. The kernel copies what it has in memory without a look at who else waits for the processor, and
/// reading a whole segment kept promises waiting for 40 ms.
const READ_BYTES: usize = 64 << 10;
const LOCK_FILE: &str = "LOCK";

/// A journal directory on a file system.
#[derive(Debug, Clone)]
pub struct FsStorage {
    dir: PathBuf,
}

impl FsStorage {
    /// Uses `dir`, creating it if it is missing. An empty one is made to survive a power loss, whoever created it.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn new(dir: impl Into<PathBuf>) -> io::Result<Self> {
        let dir = dir.into();
        make_durable(&dir, &mut |parent| File::open(parent)?.sync_all())?;
        Ok(Self { dir })
    }

    /// Uses an existing `dir`.
    ///
    /// # Errors
    /// `NotFound` when it is not a directory.
    pub fn existing(dir: impl Into<PathBuf>) -> io::Result<Self> {
        let dir = dir.into();
        if !fs::metadata(&dir)?.is_dir() {
            return Err(io::Error::from(io::ErrorKind::NotADirectory));
        }
        Ok(Self { dir })
    }

    /// The directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

/// Creates a directory with all that leads to it, and has every directory synced in which a new one was entered. The
/// entry of an empty directory may be new too: somebody else created it just now.
fn make_durable(dir: &Path, sync: &mut dyn FnMut(&Path) -> io::Result<()>) -> io::Result<()> {
    let parent = match dir.parent() {
        // The root, or the working directory, which are there.
        None => return Ok(()),
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
    };
    match fs::create_dir(dir) {
        Ok(()) => sync(parent),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if fs::read_dir(dir)?.next().is_some() {
                return Ok(());
            }
            match sync(parent) {
                // Whoever gave the directory did not let this process see where it lies.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
                synced => synced,
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound && parent != Path::new(".") => {
            make_durable(parent, sync)?;
            make_durable(dir, sync)
        }
        Err(error) => Err(error),
    }
}

impl Storage for FsStorage {
    fn describe(&self) -> String {
        self.dir.display().to_string()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            if let Ok(name) = entry.file_name().into_string()
                && name != LOCK_FILE
                && entry.file_type()?.is_file()
            {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn create(&self, name: &str, len: u64) -> io::Result<Box<dyn StorageFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(self.path(name))?;
        let zeros = vec![0; ZERO_CHUNK_BYTES.min(usize::try_from(len).unwrap_or(ZERO_CHUNK_BYTES))];
        let mut offset = 0;
        while offset < len {
            let piece = (len - offset).min(zeros.len() as u64);
            file.write_all_at(&zeros[..piece as usize], offset)?;
            offset += piece;
            if offset.is_multiple_of(SYNC_EVERY_BYTES) || offset == len {
                file.sync_data()?;
            }
        }
        Ok(Box::new(FsFile { file }))
    }

    fn open(&self, name: &str, write: bool) -> io::Result<Box<dyn StorageFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(write)
            .open(self.path(name))?;
        Ok(Box::new(FsFile { file }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path(name))
    }

    fn sync_dir(&self) -> io::Result<()> {
        File::open(&self.dir)?.sync_all()
    }

    fn lock(&self) -> io::Result<Box<dyn WriterLock>> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(self.path(LOCK_FILE))?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(FsLock { _file: file })),
            Err(TryLockError::WouldBlock) => Err(io::Error::from(io::ErrorKind::WouldBlock)),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

/// The kernel drops the lock with the file, also when the process is killed.
struct FsLock {
    _file: File,
}

impl WriterLock for FsLock {}

struct FsFile {
    file: File,
}

impl StorageFile for FsFile {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let mut at = offset;
        for piece in buf.chunks_mut(READ_BYTES) {
            self.file.read_exact_at(piece, at)?;
            at += piece.len() as u64;
        }
        Ok(())
    }

    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(buf, offset)
    }

    fn write_out(&self, offset: u64, len: u64) -> io::Result<()> {
        bespeak_aside::write_out(&self.file, offset, len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn synced(dir: &Path) -> Vec<PathBuf> {
        let mut synced = Vec::new();
        let made = make_durable(dir, &mut |parent| {
            synced.push(parent.to_owned());
            Ok(())
        });
        made.expect("is made");
        synced
    }

    #[test]
    fn every_directory_that_leads_to_a_new_journal_is_synced() {
        let root = tempfile::tempdir().expect("a directory");
        let root = root.path();
        fs::write(root.join("other"), "").expect("a file");
        let journal = root.join("data/shop/journal");
        assert_eq!(
            synced(&journal),
            [root.to_owned(), root.join("data"), root.join("data/shop")]
        );
        assert_eq!(
            synced(&journal),
            [root.join("data/shop")],
            "still empty: a power loss may have come before the sync"
        );
        fs::write(journal.join("LOCK"), "").expect("a file");
        assert!(synced(&journal).is_empty(), "it has been used before");
        let given = root.join("given");
        fs::create_dir(&given).expect("a directory");
        assert_eq!(synced(&given), [root.to_owned()], "somebody else made it");
    }

    #[test]
    fn what_is_no_directory_is_refused() {
        let root = tempfile::tempdir().expect("a directory");
        let file = root.path().join("file");
        fs::write(&file, "").expect("a file");
        assert!(FsStorage::new(&file).is_err());
        assert!(FsStorage::new(file.join("journal")).is_err());
    }
}
