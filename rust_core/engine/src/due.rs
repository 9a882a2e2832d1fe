//! What time will bring, earliest first.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::ids::UtcMillis;

/// Times of keys in a heap. A key whose time has changed or gone leaves its old entry behind, which is dropped when
/// it comes up, or all at once when such entries are the most: most holds are confirmed long before their time, and
/// looking each up in an ordered set to take it out would cost more than all the rest of a confirmation.
#[derive(Clone, Debug)]
pub(crate) struct DueQueue<K: Ord> {
    heap: BinaryHeap<Reverse<(UtcMillis, K)>>,
    live: usize,
}

impl<K: Ord> Default for DueQueue<K> {
    fn default() -> Self {
        Self {
            heap: BinaryHeap::new(),
            live: 0,
        }
    }
}

/// Entries below which a queue is not worth cleaning.
const SMALL: usize = 1_024;

impl<K: Ord + Copy> DueQueue<K> {
    /// The earliest entry; always one that still holds.
    #[inline]
    pub fn first(&self) -> Option<(UtcMillis, K)> {
        self.heap.peek().map(|Reverse(entry)| *entry)
    }

    /// Makes room for so many more entries.
    pub fn reserve(&mut self, more: usize) {
        self.heap.reserve(more);
    }

    /// Notes a time for a key. `holds` tells whether a key still has that time.
    pub fn insert(&mut self, at: UtcMillis, key: K, holds: impl Fn(UtcMillis, K) -> bool) {
        self.live += 1;
        // A time that a key had, lost and has again may still be in the heap: one entry more does no harm, because
        // both hold or neither does, and `settle` drops both together.
        self.heap.push(Reverse((at, key)));
        self.settle(holds);
    }

    /// Notes that a key no longer has a time, or another one. Call after the change.
    pub fn forget(&mut self, holds: impl Fn(UtcMillis, K) -> bool) {
        self.live = self.live.saturating_sub(1);
        self.settle(holds);
    }

    fn settle(&mut self, holds: impl Fn(UtcMillis, K) -> bool) {
        while let Some(Reverse((at, key))) = self.heap.peek()
            && !holds(*at, *key)
        {
            self.heap.pop();
        }
        if self.heap.len() > SMALL && self.heap.len() / 4 > self.live {
            self.heap.retain(|Reverse((at, key))| holds(*at, *key));
            self.heap.shrink_to(2 * self.live);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// Against a map from key to time, with times that come back and keys that go.
    #[test]
    fn the_first_is_always_the_earliest_that_holds() {
        let mut queue = DueQueue::<u64>::default();
        let mut times: BTreeMap<u64, UtcMillis> = BTreeMap::new();
        let mut seed = 5u64;
        for n in 0..40_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let (key, at) = (
                (seed >> 33) % 3_000,
                UtcMillis::new((seed >> 50) as i64 % 900),
            );
            if times.remove(&key).is_some() {
                queue.forget(|at, key| times.get(&key) == Some(&at));
            }
            // At first most stay, then most go, so that the heap is cleaned too.
            if (seed >> 20) % 40_000 > n {
                times.insert(key, at);
                queue.insert(at, key, |at, key| times.get(&key) == Some(&at));
            }
            if n % 29 == 0 {
                let first = times.iter().map(|(key, at)| (*at, *key)).min();
                assert_eq!(queue.first(), first);
            }
            assert!(queue.heap.len() <= SMALL.max(4 * queue.live + 4));
            assert_eq!(queue.live, times.len());
        }
    }
}
