//! From names to numbers, without a second copy of the names.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;

use crate::index::{Index, fold};

/// Names are never removed.
#[derive(Clone, Debug, Default)]
pub(crate) struct NameIndex {
    hasher: FixedState,
    index: Index,
}

impl NameIndex {
    pub fn new(hasher: FixedState) -> Self {
        Self {
            hasher,
            index: Index::default(),
        }
    }

    /// The number of a name.
    #[inline]
    pub fn find<'a>(&self, name: &str, name_of: impl Fn(u32) -> &'a str) -> Option<u32> {
        self.index
            .find(self.hash(name), |number| name_of(number) == name)
    }

    /// What is kept of a name's hash.
    #[inline]
    pub fn hash(&self, name: &str) -> u32 {
        fold(self.hasher.hash_one(name))
    }

    /// Asks for the memory of a look-up.
    #[inline]
    pub fn prefetch(&self, hash: u32) {
        self.index.prefetch(hash);
    }

    /// The number that most probably belongs to the name of a hash, without a look at the name it stands for.
    #[inline]
    pub fn guess(&self, hash: u32) -> Option<u32> {
        self.index.find(hash, |_| true)
    }

    /// Makes room for so many more names.
    pub fn reserve(&mut self, more: usize) {
        self.index.reserve(more);
    }

    /// Adds a name that is not there yet.
    pub fn insert(&mut self, name: &str, number: u32) {
        self.index.insert(self.hash(name), number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_and_no_other() {
        for seed in [0, 7] {
            let mut index = NameIndex::new(FixedState::with_seed(seed));
            let names: Vec<String> = (0..20_000).map(|n| format!("sku-{n}")).collect();
            let find = |index: &NameIndex, name: &str| index.find(name, |n| &names[n as usize]);
            for (number, name) in (0..).zip(&names) {
                assert_eq!(find(&index, name), None);
                index.insert(name, number);
            }
            for (number, name) in (0..).zip(&names) {
                assert_eq!(find(&index, name), Some(number));
                assert_eq!(find(&index, &format!("{name}x")), None);
            }
            let right = |name: &&String| {
                let guess = index.guess(index.hash(name));
                guess.is_some_and(|number| names[number as usize] == **name)
            };
            // Two of 20,000 hashes of 32 bits are equal once in twenty seeds.
            let guessed = names.iter().filter(right).count();
            assert!(guessed >= 19_998, "{guessed}");
        }
    }
}
