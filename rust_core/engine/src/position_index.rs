//! From an item and a location to their position, in one memory access beside the position's own.
//!
//! An open table with linear probing. An entry is the hash of a key and the position, eight to a cache line; whether the
//! key is the one asked for is seen in the position, which whoever asks is about to read anyway. Positions are never
//! removed, so no entry is ever deleted.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;

use crate::ids::{ItemId, LocationId, PositionId};
use crate::prefetch;

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// All of it that is kept: its low bits choose the first entry, so that growing needs no keys.
    hash: u32,
    position: u32,
}

const FREE: u32 = u32::MAX;
const EMPTY: Entry = Entry {
    hash: 0,
    position: FREE,
};
const SMALLEST: usize = 16;

#[derive(Clone, Debug)]
pub(crate) struct PositionIndex {
    hasher: FixedState,
    /// A power of two of them, at most three quarters taken.
    entries: Vec<Entry>,
    taken: usize,
}

impl PositionIndex {
    pub fn new(hasher: FixedState) -> Self {
        Self {
            hasher,
            entries: vec![EMPTY; SMALLEST],
            taken: 0,
        }
    }

    /// The position of a key; `is_it` tells whether a position has that key.
    #[inline]
    pub fn find(
        &self,
        item: ItemId,
        location: LocationId,
        is_it: impl Fn(PositionId) -> bool,
    ) -> Option<PositionId> {
        let mask = self.entries.len() - 1;
        let hash = self.hash(item, location);
        let mut at = hash as usize;
        loop {
            let entry = self.entries[at & mask];
            if entry.position == FREE {
                return None;
            }
            if entry.hash == hash && is_it(PositionId(entry.position)) {
                return Some(PositionId(entry.position));
            }
            at += 1;
        }
    }

    /// The position that most likely has a key, without a look at positions: to ask for its memory.
    #[inline]
    pub fn guess(&self, item: ItemId, location: LocationId) -> Option<PositionId> {
        self.find(item, location, |_| true)
    }

    /// Asks for the memory of a look-up.
    #[inline]
    pub fn prefetch(&self, item: ItemId, location: LocationId) {
        let at = self.hash(item, location) as usize & (self.entries.len() - 1);
        prefetch::line(&raw const self.entries[at]);
    }

    /// Adds a key that is not there yet.
    pub fn insert(&mut self, item: ItemId, location: LocationId, position: PositionId) {
        if (self.taken + 1) * 4 > self.entries.len() * 3 {
            let more = vec![EMPTY; self.entries.len() * 2];
            let old = std::mem::replace(&mut self.entries, more);
            for entry in old.into_iter().filter(|entry| entry.position != FREE) {
                self.place(entry);
            }
        }
        self.taken += 1;
        self.place(Entry {
            hash: self.hash(item, location),
            position: position.0,
        });
    }

    fn place(&mut self, entry: Entry) {
        let mask = self.entries.len() - 1;
        let mut at = entry.hash as usize;
        while self.entries[at & mask].position != FREE {
            at += 1;
        }
        self.entries[at & mask] = entry;
    }

    #[inline]
    fn hash(&self, item: ItemId, location: LocationId) -> u32 {
        let key = (u64::from(item.0) << 32) | u64::from(location.0);
        let hash = self.hasher.hash_one(key);
        // Both halves count, whatever the hash does with small keys.
        (hash ^ (hash >> 32)) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Key = (ItemId, LocationId);

    fn find(index: &PositionIndex, keys: &[Key], key: Key) -> Option<PositionId> {
        index.find(key.0, key.1, |id| keys[id.index()] == key)
    }

    #[test]
    fn every_key_is_found_and_no_other() {
        for seed in [0, 7] {
            let mut index = PositionIndex::new(FixedState::with_seed(seed));
            let mut keys = Vec::new();
            for item in 0..300 {
                for location in (item % 3..90).step_by(3) {
                    let key = (ItemId(item), LocationId(location));
                    let position = PositionId(keys.len() as u32);
                    assert_eq!(find(&index, &keys, key), None);
                    index.insert(key.0, key.1, position);
                    keys.push(key);
                    assert_eq!(find(&index, &keys, key), Some(position));
                }
            }
            let mut found = 0;
            for item in 0..301 {
                for location in 0..91 {
                    let here = find(&index, &keys, (ItemId(item), LocationId(location)));
                    let there = item < 300 && location < 90 && location % 3 == item % 3;
                    assert_eq!(here.is_some(), there, "{item} {location}");
                    found += usize::from(here.is_some());
                }
            }
            assert_eq!(found, keys.len());
        }
    }
}
