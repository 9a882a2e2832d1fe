//! From a key's hash to a number, in one memory access.
//!
//! An open table with linear probing. An entry is the hash of a key and its number, eight to a cache line; whether the
//! key is the one asked for is seen where the number points to, which whoever asks is about to read anyway. No entry is
//! ever deleted.

use crate::prefetch;

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// All of it that is kept: its low bits choose the first entry, so that growing needs no keys.
    hash: u32,
    number: u32,
}

const FREE: u32 = u32::MAX;
const EMPTY: Entry = Entry {
    hash: 0,
    number: FREE,
};
const SMALLEST: usize = 16;

/// A table; its user knows how to hash a key.
#[derive(Clone, Debug)]
pub(crate) struct Index {
    /// A power of two of them, at most three quarters taken.
    entries: Vec<Entry>,
    taken: usize,
}

impl Default for Index {
    fn default() -> Self {
        Self {
            entries: vec![EMPTY; SMALLEST],
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
            if entry.number == FREE {
                return None;
            }
            if entry.hash == hash && is_it(entry.number) {
                return Some(entry.number);
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
            let grown = vec![EMPTY; needed.next_power_of_two()];
            let old = std::mem::replace(&mut self.entries, grown);
            for entry in old.into_iter().filter(|entry| entry.number != FREE) {
                self.place(entry);
            }
        }
    }

    /// Adds a key that is not there yet.
    pub fn insert(&mut self, hash: u32, number: u32) {
        self.reserve(1);
        self.taken += 1;
        self.place(Entry { hash, number });
    }

    fn place(&mut self, entry: Entry) {
        let mask = self.entries.len() - 1;
        let mut at = entry.hash as usize;
        while self.entries[at & mask].number != FREE {
            at += 1;
        }
        self.entries[at & mask] = entry;
    }
}
