//! From an item and a location to their position.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;

use crate::ids::{ItemId, LocationId, PositionId};
use crate::index::{Index, fold};

/// Positions are never removed.
#[derive(Clone, Debug)]
pub(crate) struct PositionIndex {
    hasher: FixedState,
    index: Index,
}

impl PositionIndex {
    pub fn new(hasher: FixedState) -> Self {
        Self {
            hasher,
            index: Index::default(),
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
        let hash = self.hash(item, location);
        let found = self.index.find(hash, |number| is_it(PositionId(number)));
        found.map(PositionId)
    }

    /// The position that most likely has a key, without a look at positions: to ask for its memory.
    #[inline]
    pub fn guess(&self, item: ItemId, location: LocationId) -> Option<PositionId> {
        self.find(item, location, |_| true)
    }

    /// Asks for the memory of a look-up.
    #[inline]
    pub fn prefetch(&self, item: ItemId, location: LocationId) {
        self.index.prefetch(self.hash(item, location));
    }

    /// Makes room for so many more keys.
    pub fn reserve(&mut self, more: usize) {
        self.index.reserve(more);
    }

    /// Adds a key that is not there yet.
    pub fn insert(&mut self, item: ItemId, location: LocationId, position: PositionId) {
        self.index.insert(self.hash(item, location), position.0);
    }

    #[inline]
    fn hash(&self, item: ItemId, location: LocationId) -> u32 {
        let key = (u64::from(item.0) << 32) | u64::from(location.0);
        fold(self.hasher.hash_one(key))
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
