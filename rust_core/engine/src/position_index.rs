//! From an item and a location to their position, in one memory access.
//!
//! An open table with linear probing whose entries hold the whole key: a look-up waits for one cache line, where a
//! table with separate control bytes waits for two. Positions are never removed, so no entry is ever deleted.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;

use crate::ids::{ItemId, LocationId, PositionId};
use crate::prefetch;

/// Sixteen bytes, so that none lies across two cache lines.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(16))]
struct Entry {
    item: u32,
    location: u32,
    position: u32,
}

const FREE: u32 = u32::MAX;
const EMPTY: Entry = Entry {
    item: 0,
    location: 0,
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

    #[inline]
    pub fn find(&self, item: ItemId, location: LocationId) -> Option<PositionId> {
        let mask = self.entries.len() - 1;
        let mut at = self.start(item.0, location.0);
        loop {
            let entry = self.entries[at & mask];
            if entry.position == FREE {
                return None;
            }
            if entry.item == item.0 && entry.location == location.0 {
                return Some(PositionId(entry.position));
            }
            at += 1;
        }
    }

    /// Asks for the memory of a look-up.
    #[inline]
    pub fn prefetch(&self, item: ItemId, location: LocationId) {
        prefetch::line(&raw const self.entries[self.start(item.0, location.0)]);
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
            item: item.0,
            location: location.0,
            position: position.0,
        });
    }

    fn place(&mut self, entry: Entry) {
        let mask = self.entries.len() - 1;
        let mut at = self.start(entry.item, entry.location);
        while self.entries[at & mask].position != FREE {
            at += 1;
        }
        self.entries[at & mask] = entry;
    }

    #[inline]
    fn start(&self, item: u32, location: u32) -> usize {
        let key = (u64::from(item) << 32) | u64::from(location);
        let hash = self.hasher.hash_one(key);
        // The low bits choose the entry; the high ones are mixed in, whatever the hash does with small keys.
        (hash ^ (hash >> 32)) as usize & (self.entries.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_found_and_no_other() {
        for seed in [0, 7] {
            let mut index = PositionIndex::new(FixedState::with_seed(seed));
            let mut position = 0;
            for item in 0..300 {
                for location in (item % 3..90).step_by(3) {
                    let (item, location) = (ItemId(item), LocationId(location));
                    assert_eq!(index.find(item, location), None);
                    index.insert(item, location, PositionId(position));
                    assert_eq!(index.find(item, location), Some(PositionId(position)));
                    position += 1;
                }
            }
            let mut found = 0;
            for item in 0..301 {
                for location in 0..91 {
                    let here = index.find(ItemId(item), LocationId(location));
                    let there = item < 300 && location < 90 && location % 3 == item % 3;
                    assert_eq!(here.is_some(), there, "{item} {location}");
                    found += u32::from(here.is_some());
                }
            }
            assert_eq!(found, position);
        }
    }
}
