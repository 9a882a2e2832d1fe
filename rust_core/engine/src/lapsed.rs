//! Holds that ran out and can no longer be taken again: told from what was fulfilled or released by their numbers.

use std::collections::BTreeMap;

use crate::ids::ReservationId;
use crate::limits::MAX_LAPSED_BLOCKS;

/// Numbers of one block, a bit each.
const BLOCK: u64 = 4_096;
const WORDS: usize = (BLOCK / 64) as usize;

/// Bits of the newest blocks of numbers in which a hold ran out: half a kilobyte for 4,096 reservations.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lapsed(BTreeMap<u64, Box<[u64]>>);

impl Lapsed {
    fn place(id: ReservationId) -> (u64, usize, u64) {
        let bit = id.0 % BLOCK;
        (id.0 / BLOCK, (bit / 64) as usize, 1 << (bit % 64))
    }

    pub fn contains(&self, id: ReservationId) -> bool {
        let (block, word, mask) = Self::place(id);
        let block = self.0.get(&block);
        block.is_some_and(|bits| bits[word] & mask != 0)
    }

    pub fn add(&mut self, id: ReservationId) {
        let (block, word, mask) = Self::place(id);
        let bits = self.0.entry(block);
        bits.or_insert_with(|| vec![0; WORDS].into())[word] |= mask;
        if self.0.len() > MAX_LAPSED_BLOCKS {
            self.0.pop_first();
        }
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = (u64, &[u64])> {
        self.0.iter().map(|(block, bits)| (*block, &**bits))
    }

    /// Takes a row of [`Lapsed::iter`] back; `None` for one that no table has.
    pub fn restore(&mut self, block: u64, bits: Box<[u64]>) -> Option<()> {
        (bits.len() == WORDS).then(|| self.0.insert(block, bits))?;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_blocks_are_kept() {
        let mut lapsed = Lapsed::default();
        let last = (MAX_LAPSED_BLOCKS as u64 + 3) * BLOCK;
        for id in (5..last).step_by(1_000) {
            lapsed.add(ReservationId(id));
        }
        assert_eq!(lapsed.len(), MAX_LAPSED_BLOCKS);
        assert!(!lapsed.contains(ReservationId(5)), "its block has gone");
        let id = last - 1 - (last - 1 - 5) % 1_000;
        assert!(lapsed.contains(ReservationId(id)));
        assert!(!lapsed.contains(ReservationId(id - 1)));
        let mut again = Lapsed::default();
        for (block, bits) in lapsed.iter() {
            assert_eq!(again.restore(block, bits.into()), Some(()));
        }
        assert!(again.contains(ReservationId(id)));
        assert_eq!(again.restore(1, Box::default()), None);
    }
}
