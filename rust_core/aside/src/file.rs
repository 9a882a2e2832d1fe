//! Files written beside the journal, on the same disk: in pieces, each on the disk before the next is written, with a rest
//! after each. A sync of promises then never queues behind more than one piece, and finds the disk free half of the time. The
//! pieces are not synced: each sync of a file that grows commits the file system's own journal, for which others wait.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::time::Instant;

use crate::rest::{Pace, rest_after};

/// Bytes of a piece: what a sync of promises may find in front of it.
pub const PIECE_BYTES: usize = 256 << 10;

/// Has a range of a file written to the disk, and waits for that. It is not durable by that. Where the system cannot, nothing
/// happens.
///
/// # Errors
/// Those of the disk.
pub fn write_out(file: &File, offset: u64, len: u64) -> io::Result<()> {
    let (Ok(offset), Ok(len)) = (i64::try_from(offset), i64::try_from(len)) else {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    };
    // SAFETY: a system call on an open file, without memory of ours.
    let failed = unsafe {
        libc::sync_file_range(
            file.as_raw_fd(),
            offset,
            len,
            libc::SYNC_FILE_RANGE_WAIT_BEFORE
                | libc::SYNC_FILE_RANGE_WRITE
                | libc::SYNC_FILE_RANGE_WAIT_AFTER,
        )
    } != 0;
    match failed.then(io::Error::last_os_error) {
        Some(error) if error.raw_os_error() != Some(libc::ENOSYS) => Err(error),
        _ => Ok(()),
    }
}

/// A new file that one thread writes from its beginning to its end, with rests by what the disk and the processor have done.
#[derive(Debug)]
pub struct PacedFile {
    file: File,
    pace: Pace,
    written: u64,
    /// So far it is on the disk.
    out: u64,
}

impl PacedFile {
    /// Takes an empty file.
    pub fn new(file: File) -> Self {
        Self {
            file,
            pace: Pace::new(),
            written: 0,
            out: 0,
        }
    }

    /// Makes it durable, of which nearly all is on the disk already.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }
}

impl Write for PacedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = PIECE_BYTES - (self.written - self.out) as usize;
        let written = self.file.write(&bytes[..bytes.len().min(room)])?;
        self.written += written as u64;
        if self.written - self.out == PIECE_BYTES as u64 {
            let began = Instant::now();
            write_out(&self.file, self.out, PIECE_BYTES as u64)?;
            self.out = self.written;
            if let Some(rest) = rest_after(began.elapsed()) {
                std::thread::sleep(rest);
            }
        }
        self.pace.rest();
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_whatever_the_size_of_the_writes() {
        let dir = tempfile::tempdir().expect("a directory");
        let data: Vec<u8> = (0..3 * PIECE_BYTES + 7)
            .map(|at| (at % 251) as u8)
            .collect();
        for size in [1_000, PIECE_BYTES, data.len()] {
            let path = dir.path().join(size.to_string());
            let mut file = PacedFile::new(File::create(&path).expect("a file"));
            for part in data.chunks(size) {
                file.write_all(part).expect("is written");
            }
            file.sync().expect("is synced");
            assert_eq!(file.out, 3 * PIECE_BYTES as u64);
            assert!(
                std::fs::read(&path).expect("is read") == data,
                "writes of {size}"
            );
        }
    }

    #[test]
    fn a_file_that_cannot_be_written_says_so() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("file");
        File::create(&path).expect("a file");
        let mut file = PacedFile::new(File::open(&path).expect("a file to read"));
        assert!(file.write(b"abc").is_err());
    }
}
