//! The one door to the disk. Everything the journal keeps lies in one flat directory.
//!
//! [`FsStorage`] is the real thing; [`SimStorage`] is a disk in memory that forgets, tears and
//! reorders what was not synced, and fails on request.

mod fs;
mod sim;
mod sim_disk;

use std::io;

pub use fs::FsStorage;
pub use sim::{SimStorage, SyncKind};
pub use sim_disk::{CrashMode, Fault, FaultRule, OpKind, SECTOR_BYTES};

/// A directory of files.
pub trait Storage: Send + Sync {
    /// Names the directory in messages.
    fn describe(&self) -> String;
    /// Names of all files, in no order.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Creates `name` (which must not exist) with `len` bytes of written zeros. Neither the
    /// content nor the directory entry is durable before a sync.
    fn create(&self, name: &str, len: u64) -> io::Result<Box<dyn StorageFile>>;
    /// Opens an existing file; `write` asks for write access too.
    fn open(&self, name: &str, write: bool) -> io::Result<Box<dyn StorageFile>>;
    /// Renames `from` to `to`, replacing it.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes the directory's entries durable.
    fn sync_dir(&self) -> io::Result<()>;
    /// Takes the directory's single writer lock until the guard is dropped.
    ///
    /// # Errors
    /// `WouldBlock` when another writer holds it.
    fn lock(&self) -> io::Result<Box<dyn WriterLock>>;
}

/// Held while a writer owns a [`Storage`]; dropping it gives the lock back.
pub trait WriterLock: Send + Sync {}

/// An open file. All access is positional, so readers and the writer share it freely.
pub trait StorageFile: Send + Sync {
    /// Fills `buf` from `offset`.
    ///
    /// # Errors
    /// `UnexpectedEof` when the file ends first.
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()>;
    /// Writes all of `buf` at `offset`, growing the file if needed.
    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()>;
    /// Puts written bytes on the disk, and waits for them: a sync, which is still needed, then finds little left to do.
    /// It makes nothing durable and, unlike a sync, brings nobody else's sync to a halt.
    ///
    /// # Errors
    /// The bytes could not be written.
    fn write_out(&self, _offset: u64, _len: u64) -> io::Result<()> {
        Ok(())
    }
    /// Makes the content (and the length needed to read it) durable.
    fn sync_data(&self) -> io::Result<()>;
    /// Length in bytes.
    fn size(&self) -> io::Result<u64>;
    /// Cuts or extends the file to `len` bytes.
    fn truncate(&self, len: u64) -> io::Result<()>;
}

/// Reads the first `len` bytes of a file.
pub(crate) fn read_file(file: &dyn StorageFile, len: u64) -> io::Result<Vec<u8>> {
    let total = usize::try_from(len).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
    let mut data = vec![0; total];
    file.read_exact_at(&mut data, 0)?;
    Ok(data)
}
