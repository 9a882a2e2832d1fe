//! Where the batches of a finished segment are. They are as many as syncs, too many to keep all of them in memory: one
//! of each 64 is kept, and a checksum of the 64, which are read from the file when they are asked for.

use crate::error::{IoContext, JournalError, Result};
use crate::format::get_u64;
use crate::storage::StorageFile;

/// Bytes of an entry: first revision and offset of a batch.
pub(super) const ENTRY_BYTES: usize = 16;
const GROUP: usize = 64;

/// The batches of an index file.
pub(super) struct Batches {
    /// Where they begin in the file.
    at: u64,
    count: usize,
    /// First revision and checksum of each group.
    groups: Vec<(u64, u32)>,
}

impl Batches {
    /// Of entries that lie at `at` in the file and have been checked.
    pub(super) fn new(at: u64, entries: &[u8]) -> Self {
        let groups = entries.chunks(GROUP * ENTRY_BYTES);
        Self {
            at,
            count: entries.len() / ENTRY_BYTES,
            groups: groups
                .map(|group| (get_u64(group, 0), crc32c::crc32c(group)))
                .collect(),
        }
    }

    /// Offset of the last batch that begins at `revision` or before it.
    ///
    /// # Errors
    /// I/O errors; `Damaged` when the file is not any more what it was.
    pub(super) fn find(
        &self,
        file: &dyn StorageFile,
        name: &str,
        revision: u64,
    ) -> Result<Option<u64>> {
        let after = self.groups.partition_point(|(first, _)| *first <= revision);
        let Some(number) = after.checked_sub(1) else {
            return Ok(None);
        };
        let entries = GROUP.min(self.count - number * GROUP);
        let mut group = vec![0; entries * ENTRY_BYTES];
        let at = self.at + (number * GROUP * ENTRY_BYTES) as u64;
        file.read_exact_at(&mut group, at).doing("read", name)?;
        if crc32c::crc32c(&group) != self.groups[number].1 {
            return Err(JournalError::damaged(name, at, "index checksum differs"));
        }
        let before = group.chunks_exact(ENTRY_BYTES).rev();
        Ok(before
            .map(|entry| (get_u64(entry, 0), get_u64(entry, 8)))
            .find(|(first, _)| *first <= revision)
            .map(|(_, offset)| offset))
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.groups.capacity() * size_of::<(u64, u32)>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{SimStorage, Storage};

    #[test]
    fn every_revision_is_found_in_its_batch() {
        for count in [0_u64, 1, 63, 64, 65, 128, 200] {
            let storage = SimStorage::new(1);
            let mut data = vec![7; 40];
            for number in 0..count {
                data.extend_from_slice(&(10 + 3 * number).to_le_bytes());
                data.extend_from_slice(&(512 * number).to_le_bytes());
            }
            let file = storage.create("list", 0).unwrap();
            file.write_all_at(&data, 0).unwrap();
            let batches = Batches::new(40, &data[40..]);
            let find = |revision| batches.find(file.as_ref(), "list", revision).unwrap();
            assert_eq!(find(9), None);
            for number in 0..count {
                for revision in 10 + 3 * number..13 + 3 * number {
                    assert_eq!(find(revision), Some(512 * number), "{count} {revision}");
                }
            }
        }
    }

    #[test]
    fn a_list_that_rots_is_told() {
        let storage = SimStorage::new(1);
        let data: Vec<u8> = (0..100_u64)
            .flat_map(|n| [n.to_le_bytes(), n.to_le_bytes()])
            .flatten()
            .collect();
        let file = storage.create("list", 0).unwrap();
        file.write_all_at(&data, 0).unwrap();
        let batches = Batches::new(0, &data);
        for offset in 64 * 16..data.len() as u64 {
            storage.corrupt("list", offset, 4).unwrap();
            assert!(batches.find(file.as_ref(), "list", 80).is_err());
            assert_eq!(batches.find(file.as_ref(), "list", 63).unwrap(), Some(63));
            storage.corrupt("list", offset, 4).unwrap();
        }
    }
}
