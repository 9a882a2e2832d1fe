//! From a key's hash to a number, in one memory access.
//!
//! An open table with linear probing. An entry is the hash of a key and its number, eight to a cache line; whether the
//! key is the one asked for is seen where the number points to, which whoever asks is about to read anyway. No entry is
//! ever deleted.

use crate::prefetch;

/// A hash above, a number plus one below; a free entry is 0, so that a new table need not be written.
type Entry = u64;

fn entry(hash: u32, number: u32) -> Entry {
    u64::from(hash) << 32 | (u64::from(number) + 1)
}

/// The hash of an entry: its low bits choose the first entry, so that growing needs no keys.
fn hash_of(entry: Entry) -> u32 {
    (entry >> 32) as u32
}

const SMALLEST: usize = 16;

/// So many parts share the keys, by the highest bits of their hashes: one that grows moves all of its keys, and ten
/// million of them at once would be a wait that everybody sees.
const PARTS: usize = 256;
const PART_SHIFT: u32 = u32::BITS - PARTS.ilog2();

/// A table; its user knows how to hash a key. Numbers are below `u32::MAX`.
#[derive(Clone, Debug)]
pub(crate) struct Index {
    parts: Box<[Part; PARTS]>,
}

#[derive(Clone, Debug)]
struct Part {
    /// None before the first key, then a power of two of them, at most three quarters taken.
    entries: Vec<Entry>,
    taken: usize,
}

impl Default for Index {
    fn default() -> Self {
        let empty = [const {
            Part {
                entries: Vec::new(),
                taken: 0,
            }
        }; PARTS];
        Self {
            parts: Box::new(empty),
        }
    }
}

/// What is kept of a hash: both halves count, whatever the hash does with small keys.
#[inline]
pub(crate) fn fold(hash: u64) -> u32 {
    (hash ^ (hash >> 32)) as u32
}

impl Index {
    /// The number of a key with this hash; `is_it` tells whether a number is that key's.
    #[inline]
    pub fn find(&self, hash: u32, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let entries = &self.parts[(hash >> PART_SHIFT) as usize].entries;
        let mask = entries.len().wrapping_sub(1);
        let mut at = hash as usize;
        loop {
            // Nothing is found where there are no entries at all.
            let entry = *entries.get(at & mask)?;
            if entry == 0 {
                return None;
            }
            let number = (entry as u32).wrapping_sub(1);
            if hash_of(entry) == hash && is_it(number) {
                return Some(number);
            }
            at += 1;
        }
    }

    /// Asks for the memory of a look-up.
    #[inline]
    pub fn prefetch(&self, hash: u32) {
        let entries = &self.parts[(hash >> PART_SHIFT) as usize].entries;
        if let Some(entry) = entries.get(hash as usize & entries.len().wrapping_sub(1)) {
            prefetch::line(&raw const *entry);
        }
    }

    /// Makes room for so many more keys, and for the parts being unequal.
    pub fn reserve(&mut self, more: usize) {
        // A few find room as they come.
        if more >= PARTS * SMALLEST {
            let each = more / PARTS;
            for part in self.parts.iter_mut() {
                part.reserve(each + each / 8);
            }
        }
    }

    /// Adds a key that is not there yet.
    pub fn insert(&mut self, hash: u32, number: u32) {
        let part = &mut self.parts[(hash >> PART_SHIFT) as usize];
        part.reserve(1);
        part.taken += 1;
        part.place(entry(hash, number));
    }
}

impl Part {
    fn reserve(&mut self, more: usize) {
        let needed = ((self.taken + more) * 4 / 3 + 1).max(SMALLEST);
        if needed > self.entries.len() {
            let grown = vec![0; needed.next_power_of_two()];
            let old = std::mem::replace(&mut self.entries, grown);
            for entry in old.into_iter().filter(|entry| *entry != 0) {
                self.place(entry);
            }
        }
    }

    fn place(&mut self, entry: Entry) {
        let mask = self.entries.len() - 1;
        let mut at = hash_of(entry) as usize;
        while self.entries[at & mask] != 0 {
            at += 1;
        }
        self.entries[at & mask] = entry;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_hashes_are_told_apart_also_around_the_end() {
        let mut index = Index::default();
        // All begin at the last of 16 entries.
        let keys = [(15, 0), (15, 1), (u32::MAX, 2), (15, 3), (31, 4)];
        for (hash, number) in keys {
            assert_eq!(index.find(hash, |found| found == number), None);
            index.insert(hash, number);
        }
        for (hash, number) in keys {
            assert_eq!(index.find(hash, |found| found == number), Some(number));
        }
        assert_eq!(index.find(15, |_| true), Some(0));
        assert_eq!(index.find(15, |found| found == 2), None, "of another hash");
        assert_eq!(index.find(47, |_| true), None);
    }

    #[test]
    fn room_changes_nothing_but_the_size() {
        let mut index = Index::default();
        let spread = |number: u32| (number % 7) << PART_SHIFT;
        let room = |index: &Index| -> Vec<usize> {
            let sizes = index.parts.iter().map(|part| part.entries.len());
            sizes.take(8).collect()
        };
        for number in 0..98 {
            index.insert(spread(number), number);
            if number == 48 {
                assert_eq!(room(&index), [16, 16, 16, 16, 16, 16, 16, 0]);
                index.reserve(PARTS);
                assert_eq!(room(&index), [16, 16, 16, 16, 16, 16, 16, 0]);
                index.reserve(100 * PARTS);
                assert_eq!(room(&index), [256, 256, 256, 256, 256, 256, 256, 256]);
            }
        }
        assert_eq!(room(&index), [256, 256, 256, 256, 256, 256, 256, 256]);
        for number in 0..98 {
            let hash = spread(number);
            assert_eq!(index.find(hash, |found| found == number), Some(number));
        }
    }
}
