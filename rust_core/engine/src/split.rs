//! Hash tables that grow without keeping everybody waiting.

use hashbrown::HashTable;

/// A hash table in so many parts, a power of two; its user chooses one by the hash of a key. A table that grows, or
/// clears away what was removed, looks at each of its entries again, and a million of them at once would be a wait that
/// everybody sees.
#[derive(Clone, Debug)]
pub(crate) struct Split<T, const TABLES: usize>(Box<[HashTable<T>]>);

impl<T: Clone, const TABLES: usize> Default for Split<T, TABLES> {
    fn default() -> Self {
        Self(vec![HashTable::new(); TABLES].into())
    }
}

impl<T, const TABLES: usize> Split<T, TABLES> {
    /// The middle bits choose: a table goes by the lowest and the highest ones.
    fn at(hash: u64) -> usize {
        (hash >> 40) as usize % TABLES
    }

    pub fn of(&self, hash: u64) -> &HashTable<T> {
        &self.0[Self::at(hash)]
    }

    pub fn of_mut(&mut self, hash: u64) -> &mut HashTable<T> {
        &mut self.0[Self::at(hash)]
    }

    /// Makes room for so many more, and for the tables being unequal.
    pub fn reserve(&mut self, more: usize, hash_of: impl Fn(&T) -> u64) {
        // A few find room as they come.
        if more >= TABLES * 8 {
            let each = more / TABLES;
            for table in &mut self.0 {
                table.reserve(each + each / 8, &hash_of);
            }
        }
    }
}
