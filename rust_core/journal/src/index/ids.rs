//! Request ids of one segment, in memory.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::format::NO_REQUEST;

/// An id and the revision that carries it.
pub(crate) type IdEntry = ([u8; 16], u64);

/// Smallest and largest id of some.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Range {
    low: [u8; 16],
    high: [u8; 16],
}

impl Default for Range {
    fn default() -> Self {
        Self {
            low: [u8::MAX; 16],
            high: [0; 16],
        }
    }
}

impl Range {
    pub(crate) fn new(low: [u8; 16], high: [u8; 16]) -> Self {
        Self { low, high }
    }

    pub(crate) fn contains(&self, id: &[u8; 16]) -> bool {
        self.low <= *id && *id <= self.high
    }

    fn add(&mut self, id: &[u8; 16]) {
        self.low = self.low.min(*id);
        self.high = self.high.max(*id);
    }
}

/// Entries of one allocation: a list that grew as a whole would be copied while promises wait.
const CHUNK: usize = 1_024;
/// So many tables share the ids, a power of two: one that grows looks at each of its ids again.
const TABLES: usize = 64;

/// Ids of a segment, found by id.
///
/// Every id is hashed when it comes. To put it off until one is looked for, as few ever are, made whoever came first wait
/// until half a million of them were hashed or sorted: 50 ms.
#[derive(Debug)]
pub(crate) struct Ids {
    /// In order of their revisions; all chunks but the last are full.
    chunks: Vec<Vec<IdEntry>>,
    range: Range,
    /// Numbers of entries. Of an id that comes again, as one that was refused may, only the newest: a caller who sends one
    /// a million times makes no million alike.
    tables: Box<[HashTable<u32>]>,
    /// Callers choose their ids: at random, so that none can choose many that hash alike.
    hasher: RandomState,
}

impl Default for Ids {
    fn default() -> Self {
        Self {
            chunks: Vec::new(),
            range: Range::default(),
            tables: vec![HashTable::new(); TABLES].into(),
            hasher: RandomState::default(),
        }
    }
}

impl FromIterator<IdEntry> for Ids {
    /// From entries in order of their revisions.
    fn from_iter<I: IntoIterator<Item = IdEntry>>(entries: I) -> Self {
        let mut ids = Self::default();
        for (id, revision) in entries {
            ids.push(id, revision);
        }
        ids
    }
}

impl Ids {
    fn push(&mut self, id: [u8; 16], revision: u64) {
        let number = self.len() as u32;
        match self.chunks.last_mut() {
            Some(last) if last.len() < CHUNK => last.push((id, revision)),
            _ => {
                let mut next = Vec::with_capacity(CHUNK);
                next.push((id, revision));
                self.chunks.push(next);
            }
        }
        self.range.add(&id);
        let (chunks, hasher) = (&self.chunks, &self.hasher);
        let hash = hasher.hash_one(id);
        let known = self.tables[table_of(hash)].entry(
            hash,
            |number| entry(chunks, *number).0 == id,
            |number| hasher.hash_one(entry(chunks, *number).0),
        );
        known
            .and_modify(|newest| *newest = number)
            .or_insert(number);
    }

    /// With those that came again.
    pub(crate) fn len(&self) -> usize {
        let full = self.chunks.len().saturating_sub(1) * CHUNK;
        full + self.chunks.last().map_or(0, Vec::len)
    }

    /// Bytes that they take in memory.
    pub(crate) fn memory_bytes(&self) -> usize {
        let tables = self.tables.iter().map(HashTable::allocation_size);
        self.chunks.len() * CHUNK * size_of::<IdEntry>() + tables.sum::<usize>()
    }

    /// By id; of entries with the same id only the newest. It is work of tens of milliseconds: `rest` is called on the
    /// way while chunks are sorted, and whoever takes entries from it may rest after any.
    pub(crate) fn sorted(&self, rest: &mut dyn FnMut()) -> Sorted {
        let sort = |chunk: &Vec<IdEntry>| {
            let mut sorted = chunk.clone();
            // The newest first, because the first of equals is kept; the last is taken first.
            sorted.sort_unstable_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
            rest();
            sorted
        };
        let mut chunks: Vec<Vec<IdEntry>> = self.chunks.iter().map(sort).collect();
        let first = |(chunk, entries): (usize, &mut Vec<IdEntry>)| {
            let (id, revision) = entries.pop()?;
            Some(Reverse((id, Reverse(revision), chunk)))
        };
        Sorted {
            heads: chunks.iter_mut().enumerate().filter_map(first).collect(),
            chunks,
            last: None,
        }
    }

    /// The newest revision that carries `id`, if it is not after `last`.
    pub(crate) fn lookup(&self, id: &[u8; 16], last: u64) -> Option<u64> {
        if !self.range.contains(id) {
            return None;
        }
        self.find(id, last)
    }

    fn find(&self, id: &[u8; 16], last: u64) -> Option<u64> {
        let hash = self.hasher.hash_one(id);
        let is_it = |number: &u32| entry(&self.chunks, *number).0 == *id;
        let number = *self.tables[table_of(hash)].find(hash, is_it)?;
        let (_, newest) = *entry(&self.chunks, number);
        (newest <= last).then_some(newest)
    }
}

/// The next entry of a chunk, with the chunk's number: the smallest id first, and of equals the newest.
type Head = Reverse<([u8; 16], Reverse<u64>, usize)>;

/// Entries of sorted chunks, merged.
pub(crate) struct Sorted {
    /// Largest first.
    chunks: Vec<Vec<IdEntry>>,
    /// One of each.
    heads: BinaryHeap<Head>,
    last: Option<[u8; 16]>,
}

impl Iterator for Sorted {
    type Item = IdEntry;

    fn next(&mut self) -> Option<IdEntry> {
        loop {
            let mut head = self.heads.peek_mut()?;
            let Reverse((id, Reverse(revision), chunk)) = *head;
            match self.chunks[chunk].pop() {
                Some((next, revision)) => *head = Reverse((next, Reverse(revision), chunk)),
                None => {
                    PeekMut::pop(head);
                }
            }
            if self.last.replace(id) != Some(id) {
                return Some((id, revision));
            }
        }
    }
}

fn entry(chunks: &[Vec<IdEntry>], number: u32) -> &IdEntry {
    &chunks[number as usize / CHUNK][number as usize % CHUNK]
}

/// The middle bits choose: a table goes by the lowest and the highest ones.
fn table_of(hash: u64) -> usize {
    (hash >> 40) as usize % TABLES
}

/// Ids of the segment that is being written. Those that the engine still remembers are never looked for here, and what
/// lies outside the range of all forgotten ones is no forgotten one: most new ids are told by that alone.
#[derive(Debug, Default)]
pub(crate) struct NewIds {
    ids: Ids,
    /// So many of the entries are in `range`.
    ranged: usize,
    range: Range,
}

impl NewIds {
    /// Adds the id of the next record, if it has one.
    pub(crate) fn push(&mut self, id: [u8; 16], revision: u64) {
        if id != NO_REQUEST {
            self.ids.push(id, revision);
        }
    }

    /// The newest revision that carries `id`, if it is not after `last`, which never falls from call to call.
    pub(crate) fn lookup(&mut self, id: &[u8; 16], last: u64) -> Option<u64> {
        while self.ranged < self.ids.len()
            && let (id, revision) = entry(&self.ids.chunks, self.ranged as u32)
            && *revision <= last
        {
            self.range.add(id);
            self.ranged += 1;
        }
        if !self.range.contains(id) {
            return None;
        }
        self.ids.find(id, last)
    }

    /// Bytes that they take in memory.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.ids.memory_bytes()
    }

    /// No more will come.
    pub(crate) fn freeze(self) -> Ids {
        self.ids
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn id(n: u128) -> [u8; 16] {
        n.to_be_bytes()
    }

    #[test]
    fn new_ids_are_found_unless_they_came_after_the_revision_asked() {
        let mut ids = NewIds::default();
        for (n, revision) in [(5, 1), (0, 2), (9, 3), (5, 4)] {
            ids.push(id(n), revision);
        }
        assert_eq!(ids.lookup(&id(5), 0), None);
        assert_eq!(ids.lookup(&id(5), 2), None, "it came again");
        assert_eq!(ids.lookup(&id(9), 2), None);
        assert_eq!(ids.lookup(&id(9), 3), Some(3));
        assert_eq!(ids.lookup(&id(5), 9), Some(4));
        assert_eq!(ids.lookup(&NO_REQUEST, 9), None);
    }

    #[test]
    fn frozen_ids_give_the_newest_revision_unless_it_is_after_the_one_asked() {
        let mut ids = NewIds::default();
        for (n, revision) in [(7, 10), (3, 11), (7, 12), (5, 13)] {
            ids.push(id(n), revision);
        }
        let ids = ids.freeze();
        let sorted: Vec<IdEntry> = ids.sorted(&mut || {}).collect();
        assert_eq!(sorted, [(id(3), 11), (id(5), 13), (id(7), 12)]);
        for (n, last, found) in [
            (3, 99, Some(11)),
            (7, 99, Some(12)),
            (7, 11, None),
            (4, 99, None),
            (2, 99, None),
            (8, 99, None),
        ] {
            assert_eq!(ids.lookup(&id(n), last), found, "{n}, not after {last}");
        }
        assert_eq!(Ids::default().lookup(&id(1), 99), None);
    }

    #[test]
    fn many_are_found_as_a_map_finds_them() {
        let (mut ids, mut known) = (NewIds::default(), BTreeMap::new());
        let mut seed = 11_u64;
        for revision in 1..=3 * CHUNK as u64 + 5 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            // Some come again, and are looked for before.
            let n = u128::from(seed >> 33) % 10_000 + 1;
            let last = revision - revision.min(500);
            let before = known.insert(n, revision).filter(|before| *before <= last);
            assert_eq!(ids.lookup(&id(n), last), before, "{n}, not after {last}");
            ids.push(id(n), revision);
        }
        let all = u64::MAX;
        for n in 1..=10_000 {
            assert_eq!(ids.lookup(&id(n), all), known.get(&n).copied(), "{n}");
        }
        let frozen = ids.freeze();
        let sorted: Vec<IdEntry> = known.iter().map(|(n, at)| (id(*n), *at)).collect();
        let mut rests = 0;
        assert!(frozen.sorted(&mut || rests += 1).eq(sorted));
        assert_eq!(rests, 4, "one a chunk");
        for n in 1..=10_000 {
            assert_eq!(frozen.lookup(&id(n), all), known.get(&n).copied(), "{n}");
        }
        assert_eq!(frozen.len(), 3 * CHUNK + 5);
    }
}
