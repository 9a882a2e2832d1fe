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

/// A table; its user knows how to hash a key. Numbers are below `u32::MAX`.
#[derive(Clone, Debug)]
pub(crate) struct Index {
    /// A power of two of them, at most three quarters taken.
    entries: Vec<Entry>,
    taken: usize,
}

impl Default for Index {
    fn default() -> Self {
        Self {
            entries: vec![0; SMALLEST],
            taken: 0,
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
        let mask = self.entries.len() - 1;
        let mut at = hash as usize;
        loop {
            let entry = self.entries[at & mask];
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
        let at = hash as usize & (self.entries.len() - 1);
        prefetch::line(&raw const self.entries[at]);
    }

    /// Makes room for so many more keys.
    pub fn reserve(&mut self, more: usize) {
        let needed = (self.taken + more) * 4 / 3 + 1;
        if needed > self.entries.len() {
            let grown = vec![0; needed.next_power_of_two()];
            let old = std::mem::replace(&mut self.entries, grown);
            for entry in old.into_iter().filter(|entry| *entry != 0) {
                self.place(entry);
            }
        }
    }

    /// Adds a key that is not there yet.
    pub fn insert(&mut self, hash: u32, number: u32) {
        self.reserve(1);
        self.taken += 1;
        self.place(entry(hash, number));
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
        for number in 0..100 {
            index.insert(number % 7, number);
            if number == 50 {
                index.reserve(1_000);
                assert_eq!(index.entries.len(), 2_048);
            }
        }
        assert_eq!(index.entries.len(), 2_048);
        for number in 0..100 {
            assert_eq!(
                index.find(number % 7, |found| found == number),
                Some(number)
            );
        }
    }
}
