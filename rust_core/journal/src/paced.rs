//! Large writes beside the journal: in pieces, each on the disk before the next is written, with a rest after each. A sync
//! of promises then never queues behind more than one piece, and finds the disk free half of the time. The pieces are not
//! synced: each sync of a file that grows commits the file system's own journal, for which others wait.

use std::io;
use std::time::{Duration, Instant};

use bespeak_aside::{PIECE_BYTES, rest_after};

use crate::storage::StorageFile;

/// Writes one piece, to the disk. Returns how long that took.
pub(crate) fn piece(file: &dyn StorageFile, data: &[u8], offset: u64) -> io::Result<Duration> {
    let began = Instant::now();
    file.write_all_at(data, offset)?;
    file.write_out(offset, data.len() as u64)?;
    Ok(began.elapsed())
}

/// Writes all of `data`, at leisure. A sync makes it durable.
pub(crate) fn write_all_at(file: &dyn StorageFile, data: &[u8], offset: u64) -> io::Result<()> {
    let mut at = offset;
    for part in data.chunks(PIECE_BYTES) {
        let took = piece(file, part, at)?;
        at += part.len() as u64;
        if let Some(rest) = rest_after(took) {
            std::thread::sleep(rest);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::storage::{FsStorage, Storage};

    /// Notes what is done to a file.
    struct Noted(Box<dyn StorageFile>, Mutex<Vec<(&'static str, u64, u64)>>);

    impl Noted {
        fn note(&self, what: &'static str, offset: u64, len: u64) {
            self.1.lock().expect("a list").push((what, offset, len));
        }
    }

    impl StorageFile for Noted {
        fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
            self.0.read_exact_at(buf, offset)
        }

        fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
            self.note("write", offset, buf.len() as u64);
            self.0.write_all_at(buf, offset)
        }

        fn write_out(&self, offset: u64, len: u64) -> io::Result<()> {
            self.note("out", offset, len);
            self.0.write_out(offset, len)
        }

        fn sync_data(&self) -> io::Result<()> {
            self.note("sync", 0, 0);
            self.0.sync_data()
        }

        fn size(&self) -> io::Result<u64> {
            self.0.size()
        }

        fn truncate(&self, len: u64) -> io::Result<()> {
            self.0.truncate(len)
        }
    }

    #[test]
    fn every_piece_is_on_the_disk_before_the_next() {
        let dir = tempfile::tempdir().expect("a directory");
        let storage = FsStorage::new(dir.path()).expect("a journal's directory");
        let file = Noted(
            storage.create("large", 0).expect("a file"),
            Mutex::default(),
        );
        let data: Vec<u8> = (0..2 * PIECE_BYTES + 7).map(|at| at as u8).collect();
        write_all_at(&file, &data, 5).expect("is written");
        let mut read = vec![0; data.len()];
        file.read_exact_at(&mut read, 5).expect("is read");
        assert!(read == data, "what was written is not what is read");
        let piece = PIECE_BYTES as u64;
        assert_eq!(
            *file.1.lock().expect("a list"),
            [
                ("write", 5, piece),
                ("out", 5, piece),
                ("write", 5 + piece, piece),
                ("out", 5 + piece, piece),
                ("write", 5 + 2 * piece, 7),
                ("out", 5 + 2 * piece, 7),
            ]
        );
    }
}
