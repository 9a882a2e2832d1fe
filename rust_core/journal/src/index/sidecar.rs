//! The index file beside a finished segment. It can always be built again from the segment, so a
//! missing, stale or damaged one is only work, never a loss.

use bespeak_aside::Pace;

use crate::error::{IoContext, JournalError, Result};
use crate::format::{ChainHash, get_array, get_u16, get_u32, get_u64, parse_numbered, put};
use crate::storage::{Storage, StorageFile};

use super::batches::{Batches, ENTRY_BYTES as ENTRY_OF_BATCH};
use super::bloom::Bloom;
use super::ids::Range;
use super::{FrameList, Ids};

const MAGIC: &[u8; 8] = b"BSPKINDX";
const VERSION: u16 = 1;
const HEADER_LEN: usize = 128;
const PAGE_BYTES: usize = 4096;
const ENTRY_BYTES: usize = 24;
const PAGE_CRC_AT: usize = PAGE_BYTES - 4;
const PAGE_ENTRIES: usize = PAGE_CRC_AT / ENTRY_BYTES;

/// Name of the index beside the segment that starts at `revision`.
pub(crate) fn sidecar_name(revision: u64) -> String {
    format!("journal-{revision:020}.idx")
}

/// The revision in an index's name, if it is one.
pub(crate) fn sidecar_revision(name: &str) -> Option<u64> {
    parse_numbered(name, "journal-", ".idx")
}

/// What an index is made from, and what it must agree with.
#[derive(Debug, Clone)]
pub(crate) struct SidecarSource {
    pub journal_id: [u8; 16],
    pub first_revision: u64,
    /// Chain value at the end of the segment.
    pub end_chain: ChainHash,
}

/// An index file, open.
pub(crate) struct Sidecar {
    source: SidecarSource,
    name: String,
    file: Box<dyn StorageFile>,
    ids: u64,
    /// First id of each page.
    fences: Vec<[u8; 16]>,
    range: Range,
    bloom: Bloom,
    batches: Batches,
}

impl std::fmt::Debug for Sidecar {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Sidecar")
            .field("name", &self.name)
            .field("ids", &self.ids)
            .finish()
    }
}

/// The file's content. Of half a million ids it is long work: `rest` is called on the way.
fn encode(
    source: &SidecarSource,
    ids: &Ids,
    frames: &FrameList,
    rest: &mut dyn FnMut(),
) -> Vec<u8> {
    let mut bloom = Bloom::with_room_for(ids.len() as u64, &source.journal_id);
    let mut fences = Vec::new();
    // Pages are not copied as they become more.
    let pages = 1 + ids.len().div_ceil(PAGE_ENTRIES);
    let mut data = Vec::with_capacity(pages * PAGE_BYTES);
    data.resize(PAGE_BYTES, 0);
    let mut sorted = ids.sorted(rest).peekable();
    let mut count: u64 = 0;
    while let Some((first, _)) = sorted.peek() {
        let number = fences.len() / first.len();
        fences.extend_from_slice(first);
        let mut page = vec![0; PAGE_BYTES];
        for (slot, (id, revision)) in sorted.by_ref().take(PAGE_ENTRIES).enumerate() {
            bloom.insert(&id);
            put(&mut page, slot * ENTRY_BYTES, &id);
            put(&mut page, slot * ENTRY_BYTES + 16, &revision.to_le_bytes());
            count += 1;
        }
        let crc = page_crc(number, &page);
        put(&mut page, PAGE_CRC_AT, &crc.to_le_bytes());
        data.extend_from_slice(&page);
        rest();
    }
    let mut frame_bytes = Vec::with_capacity(frames.len() * ENTRY_OF_BATCH);
    for (revision, offset) in frames {
        frame_bytes.extend_from_slice(&revision.to_le_bytes());
        frame_bytes.extend_from_slice(&offset.to_le_bytes());
    }
    put(&mut data, 0, MAGIC);
    put(&mut data, 12, &VERSION.to_le_bytes());
    put(&mut data, 16, &count.to_le_bytes());
    put(&mut data, 24, &(frames.len() as u64).to_le_bytes());
    put(&mut data, 32, &source.first_revision.to_le_bytes());
    put(&mut data, 40, &(bloom.bytes().len() as u64).to_le_bytes());
    put(&mut data, 48, &source.journal_id);
    put(&mut data, 64, &source.end_chain);
    put(&mut data, 96, &crc32c::crc32c(&fences).to_le_bytes());
    put(&mut data, 100, &crc32c::crc32c(bloom.bytes()).to_le_bytes());
    put(&mut data, 104, &crc32c::crc32c(&frame_bytes).to_le_bytes());
    let crc = crc32c::crc32c(&data[12..HEADER_LEN]);
    put(&mut data, 8, &crc.to_le_bytes());
    data.extend_from_slice(&fences);
    data.extend_from_slice(bloom.bytes());
    data.extend_from_slice(&frame_bytes);
    data
}

fn page_crc(number: usize, page: &[u8]) -> u32 {
    crc32c::crc32c_append(number as u32, &page[..PAGE_CRC_AT])
}

impl Sidecar {
    /// Writes the index aside and renames it into place. It need not be durable: an index that a power loss tore does
    /// not check, and is made again. Where promises are made beside it, it is put on the disk at leisure all the
    /// same: the kernel would write megabytes at once some time later, in front of a sync of theirs.
    pub(crate) fn write(
        storage: &dyn Storage,
        source: &SidecarSource,
        ids: &Ids,
        frames: &FrameList,
        paced: bool,
    ) -> Result<Self> {
        let name = sidecar_name(source.first_revision);
        let aside = format!("{name}.tmp");
        if storage.list().doing("list", &name)?.contains(&aside) {
            storage.remove(&aside).doing("remove", &aside)?;
        }
        let file = storage.create(&aside, 0).doing("create", &aside)?;
        let mut pace = paced.then(Pace::new);
        let data = encode(source, ids, frames, &mut || {
            if let Some(pace) = &mut pace {
                pace.rest();
            }
        });
        let written = if paced {
            crate::paced::write_all_at(file.as_ref(), &data, 0)
        } else {
            file.write_all_at(&data, 0)
        };
        written.doing("write", &aside)?;
        storage.rename(&aside, &name).doing("name", &name)?;
        Self::open(storage, source)
    }

    /// Opens the index of a segment and checks that it belongs to it.
    ///
    /// # Errors
    /// I/O errors (`NotFound` among them) and `Damaged`: build it again then.
    pub(crate) fn open(storage: &dyn Storage, source: &SidecarSource) -> Result<Self> {
        let name = sidecar_name(source.first_revision);
        let file = storage.open(&name, false).doing("open", &name)?;
        let read = |len: u64, at: u64, crc: Option<u32>| -> Result<Vec<u8>> {
            let total = file.size().doing("read", &name)?;
            if len > total || at > total - len {
                return Err(JournalError::damaged(&name, at, "index is cut short"));
            }
            let mut data = vec![0; len as usize];
            file.read_exact_at(&mut data, at).doing("read", &name)?;
            match crc {
                Some(crc) if crc != crc32c::crc32c(&data) => {
                    Err(JournalError::damaged(&name, at, "index checksum differs"))
                }
                _ => Ok(data),
            }
        };
        let header = read(HEADER_LEN as u64, 0, None)?;
        let bad = &header[..8] != MAGIC
            || get_u32(&header, 8) != crc32c::crc32c(&header[12..])
            || get_u16(&header, 12) != VERSION;
        if bad {
            return Err(JournalError::damaged(&name, 0, "no good index header"));
        }
        let belongs = get_u64(&header, 32) == source.first_revision
            && get_array(&header, 48) == source.journal_id
            && get_array(&header, 64) == source.end_chain;
        if !belongs {
            return Err(JournalError::damaged(&name, 32, "index of another segment"));
        }
        // Counts come from a header whose checksum holds, and lengths are checked against the file.
        let ids = get_u64(&header, 16);
        let total = file.size().doing("read", &name)?;
        if [16, 24, 40]
            .into_iter()
            .any(|at| get_u64(&header, at) > total)
        {
            return Err(JournalError::damaged(&name, 16, "index is cut short"));
        }
        let pages = ids.div_ceil(PAGE_ENTRIES as u64);
        let fences_at = PAGE_BYTES as u64 * (1 + pages);
        let fences = read(pages * 16, fences_at, Some(get_u32(&header, 96)))?;
        let bloom_at = fences_at + pages * 16;
        let bloom_bytes = get_u64(&header, 40);
        let bloom = read(bloom_bytes, bloom_at, Some(get_u32(&header, 100)))?;
        let batches_at = bloom_at + bloom_bytes;
        let batches_len = get_u64(&header, 24) * ENTRY_OF_BATCH as u64;
        let batches = read(batches_len, batches_at, Some(get_u32(&header, 104)))?;
        if bloom.is_empty() {
            return Err(JournalError::damaged(
                &name,
                bloom_at,
                "index has no filter",
            ));
        }
        let mut sidecar = Self {
            source: source.clone(),
            ids,
            range: Range::default(),
            fences: fences.chunks_exact(16).map(|id| get_array(id, 0)).collect(),
            bloom: Bloom::from_bytes(bloom, &source.journal_id),
            batches: Batches::new(batches_at, &batches),
            file,
            name,
        };
        if let (Some(low), Some(last)) = (sidecar.fences.first(), pages.checked_sub(1)) {
            let page = sidecar.read_page(last as usize)?;
            let slot = (ids - 1) as usize % PAGE_ENTRIES;
            sidecar.range = Range::new(*low, get_array(&page, slot * ENTRY_BYTES));
        }
        Ok(sidecar)
    }

    /// The revision of `id` in this segment.
    ///
    /// # Errors
    /// I/O errors; `Damaged` when the page that would hold it does not check.
    pub(crate) fn lookup(&self, id: &[u8; 16]) -> Result<Option<u64>> {
        if !self.range.contains(id) || !self.bloom.may_contain(id) {
            return Ok(None);
        }
        let Some(number) = self
            .fences
            .partition_point(|fence| fence <= id)
            .checked_sub(1)
        else {
            return Ok(None);
        };
        let page = self.read_page(number)?;
        let before = (number * PAGE_ENTRIES) as u64;
        let entries = (self.ids - before).min(PAGE_ENTRIES as u64) as usize;
        let (mut low, mut high) = (0, entries);
        while low < high {
            let middle = usize::midpoint(low, high);
            match page[middle * ENTRY_BYTES..middle * ENTRY_BYTES + 16].cmp(id) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => {
                    return Ok(Some(get_u64(&page, middle * ENTRY_BYTES + 16)));
                }
            }
        }
        Ok(None)
    }

    fn read_page(&self, number: usize) -> Result<Vec<u8>> {
        let mut page = vec![0; PAGE_BYTES];
        let at = (PAGE_BYTES * (1 + number)) as u64;
        self.file
            .read_exact_at(&mut page, at)
            .doing("read", &self.name)?;
        if page_crc(number, &page) != get_u32(&page, PAGE_CRC_AT) {
            return Err(JournalError::damaged(
                &self.name,
                at,
                "index page checksum differs",
            ));
        }
        Ok(page)
    }

    /// Reads all pages.
    pub(crate) fn check_pages(&self) -> Result<()> {
        (0..self.fences.len()).try_for_each(|number| self.read_page(number).map(|_| ()))
    }

    /// What the index was made from.
    pub(crate) fn source(&self) -> &SidecarSource {
        &self.source
    }

    /// Offset of the batch of the segment that holds `revision`.
    ///
    /// # Errors
    /// I/O errors; `Damaged` when the file is not any more what it was.
    pub(crate) fn batch_of(&self, revision: u64) -> Result<Option<u64>> {
        self.batches.find(self.file.as_ref(), &self.name, revision)
    }

    /// Bytes that it takes in memory.
    pub(crate) fn memory_bytes(&self) -> usize {
        let fences = self.fences.capacity() * size_of::<[u8; 16]>();
        fences + self.bloom.bytes().len() + self.batches.memory_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::SimStorage;

    fn source() -> SidecarSource {
        SidecarSource {
            journal_id: [1; 16],
            first_revision: 10,
            end_chain: [2; 32],
        }
    }

    #[test]
    fn finds_every_id_and_no_other() {
        let storage = SimStorage::new(1);
        for count in [0_u64, 1, 169, 170, 171, 1000] {
            let id = |n: u64| {
                *blake3::hash(&n.to_le_bytes())
                    .as_bytes()
                    .first_chunk()
                    .unwrap()
            };
            let ids = (0..count).map(|n| (id(n), n + 10)).collect();
            let written =
                Sidecar::write(&storage, &source(), &ids, &vec![(10, 512)], false).unwrap();
            let opened = Sidecar::open(&storage, &source()).unwrap();
            for sidecar in [&written, &opened] {
                assert!((0..count).all(|n| sidecar.lookup(&id(n)).unwrap() == Some(n + 10)));
                assert!((count..count + 500).all(|n| sidecar.lookup(&id(n)).unwrap().is_none()));
                assert_eq!(sidecar.batch_of(10).unwrap(), Some(512));
            }
        }
    }

    #[test]
    fn a_flipped_bit_never_hides_an_id() {
        let id = |n: u64| {
            *blake3::hash(&n.to_le_bytes())
                .as_bytes()
                .first_chunk()
                .unwrap()
        };
        let ids = (0..20).map(|n| (id(n), n + 10)).collect();
        let storage = SimStorage::new(1);
        let name = sidecar_name(10);
        Sidecar::write(&storage, &source(), &ids, &vec![(10, 512)], false).unwrap();
        let len = storage.open(&name, false).unwrap().size().unwrap();
        for offset in 0..len {
            for bit in 0..8 {
                storage.corrupt(&name, offset, 1 << bit).unwrap();
                if let Ok(sidecar) = Sidecar::open(&storage, &source()) {
                    for n in 0..20 {
                        let found = sidecar.lookup(&id(n));
                        assert!(!matches!(found, Ok(None)), "byte {offset} bit {bit}");
                        assert!(found.is_err() || found.unwrap() == Some(n + 10));
                    }
                    assert_eq!(sidecar.batch_of(10).unwrap(), Some(512));
                }
                storage.corrupt(&name, offset, 1 << bit).unwrap();
            }
        }
    }

    #[test]
    fn another_segments_index_is_refused() {
        let storage = SimStorage::new(1);
        Sidecar::write(&storage, &source(), &Ids::default(), &Vec::new(), false).unwrap();
        let other = SidecarSource {
            end_chain: [3; 32],
            ..source()
        };
        assert!(matches!(
            Sidecar::open(&storage, &other),
            Err(JournalError::Damaged { .. })
        ));
    }
}
