//! The next segment: zeros that are written ahead of its use, in step with how full the one before it is.

use std::sync::atomic::{AtomicU64, Ordering};

use bespeak_aside::PIECE_BYTES;

use crate::error::{IoContext, JournalError, Result};
use crate::paced;
use crate::storage::{Storage, StorageFile};

/// A file of zeros under a passing name.
pub(crate) type Prepared = (String, Box<dyn StorageFile>);

/// Parts of a segment in which is told how much of it is due.
pub(crate) const WHOLE: u64 = 1_024;

/// How much of the next segment is due when so much of the one in use is filled: a little more each, so that no time is
/// worse for a sync of promises than another, and all of it at three quarters.
pub(crate) fn due(filled: u64, of: u64) -> u64 {
    (filled * WHOLE / (of - of / 4)).min(WHOLE)
}

/// The next segment.
#[derive(Default)]
pub(crate) enum Next {
    #[default]
    Nobodys,
    Asked(u64),
    Begun(Begun),
    /// The thread writes a piece.
    Busy,
    Failed(JournalError),
}

/// A file that is zeros as far as `written`.
pub(crate) struct Begun {
    name: String,
    file: Box<dyn StorageFile>,
    pub written: u64,
    bytes: u64,
}

impl Next {
    /// Whether less is written than so many parts of it.
    pub fn lacks(&self, due: u64) -> bool {
        let (written, bytes) = match self {
            Self::Asked(bytes) => (0, *bytes),
            Self::Begun(begun) => (begun.written, begun.bytes),
            Self::Nobodys | Self::Busy | Self::Failed(_) => return false,
        };
        written < bytes * due / WHOLE
    }

    /// Writes one more piece.
    pub fn step(self, storage: &dyn Storage, number: &AtomicU64) -> Result<Self> {
        let mut begun = match self {
            Next::Asked(bytes) => Begun::new(storage, number, bytes)?,
            Next::Begun(begun) => begun,
            other => return Ok(other),
        };
        match begun.piece() {
            Ok(()) => Ok(Next::Begun(begun)),
            Err(error) => {
                // Of a full disk it may be what is missing. What cannot be removed is removed by the next start.
                let _ = storage.remove(&begun.name);
                Err(error)
            }
        }
    }
}

impl Begun {
    fn new(storage: &dyn Storage, number: &AtomicU64, bytes: u64) -> Result<Self> {
        let name = next_name(number);
        let file = storage.create(&name, 0).doing("create", &name)?;
        Ok(Self {
            name,
            file,
            written: 0,
            bytes,
        })
    }

    fn piece(&mut self) -> Result<()> {
        let len = (self.bytes - self.written).min(PIECE_BYTES as u64);
        paced::piece(self.file.as_ref(), &vec![0; len as usize], self.written)
            .doing("write zeros to", &self.name)?;
        self.written += len;
        if self.written == self.bytes {
            // With all of it on the disk, the sync of the header that comes later finds nothing to do.
            self.file.sync_data().doing("sync", &self.name)?;
        }
        Ok(())
    }

    /// Writes what zeros are missing, as fast as the disk takes them. The sync of the header, which comes next, makes
    /// them durable.
    pub fn finish(mut self) -> Result<Prepared> {
        let piece = vec![0; PIECE_BYTES.min(usize::try_from(self.bytes).unwrap_or(PIECE_BYTES))];
        while self.written < self.bytes {
            let len = (self.bytes - self.written).min(piece.len() as u64);
            let data = &piece[..len as usize];
            self.file
                .write_all_at(data, self.written)
                .doing("write zeros to", &self.name)?;
            self.written += len;
        }
        Ok((self.name, self.file))
    }
}

fn next_name(number: &AtomicU64) -> String {
    format!(
        "prepared-{:020}.tmp",
        number.fetch_add(1, Ordering::Relaxed)
    )
}

/// Writes a file of zeros, so that writing records into it later changes no metadata. The sync of
/// its header makes it durable.
pub(crate) fn prepare(storage: &dyn Storage, number: &AtomicU64, bytes: u64) -> Result<Prepared> {
    let name = next_name(number);
    let file = storage
        .create(&name, bytes)
        .doing("write zeros to", &name)?;
    Ok((name, file))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::SimStorage;

    #[test]
    fn the_next_segment_is_ready_when_this_one_is_three_quarters_full() {
        assert_eq!(due(0, 4_000), 0);
        assert_eq!(due(1_500, 4_000), WHOLE / 2);
        assert_eq!(due(3_000, 4_000), WHOLE);
        assert_eq!(due(4_000, 4_000), WHOLE);
        // The largest segment that there is.
        assert_eq!(due(u64::from(u32::MAX), u64::from(u32::MAX)), WHOLE);
    }

    #[test]
    fn zeros_are_written_in_step_with_the_segment_in_use() {
        let bytes = 64 * PIECE_BYTES as u64;
        let disk = SimStorage::new(1);
        let number = AtomicU64::new(1);
        let mut next = Next::Asked(bytes);
        for filled in 0..=100 {
            let mut pieces = 0;
            while next.lacks(due(filled, 100)) {
                next = next.step(&disk, &number).expect("a piece");
                pieces += 1;
            }
            let written = match &next {
                Next::Begun(begun) => begun.written,
                _ => 0,
            };
            assert!(pieces <= 1, "{pieces} pieces at once at {filled} %");
            assert!(
                (written + bytes / WHOLE) * 75 >= bytes * filled.min(75),
                "{written} at {filled} %"
            );
        }
    }
}
