//! A queue that grows without copying what is in it.

use std::collections::VecDeque;
use std::ops::{Index, IndexMut};

const CHUNK: usize = 512;

/// First in, first out, in chunks: one buffer for all would be copied whole whenever it is full, which takes tens of
/// milliseconds where it is large.
#[derive(Clone, Debug)]
pub(crate) struct Queue<T> {
    /// All but the first and the last are full; none is empty.
    chunks: VecDeque<VecDeque<T>>,
    len: usize,
    /// The last that became empty: a queue that stays as long as it is asks for no memory.
    spare: VecDeque<T>,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self {
            chunks: VecDeque::new(),
            len: 0,
            spare: VecDeque::new(),
        }
    }
}

impl<T> Queue<T> {
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn push_back(&mut self, value: T) {
        self.len += 1;
        match self.chunks.back_mut() {
            Some(last) if last.len() < CHUNK => last.push_back(value),
            _ => {
                let mut next = std::mem::take(&mut self.spare);
                next.reserve_exact(CHUNK);
                next.push_back(value);
                self.chunks.push_back(next);
            }
        }
    }

    pub fn pop_front(&mut self) -> Option<T> {
        let first = self.chunks.front_mut()?;
        let value = first.pop_front()?;
        self.len -= 1;
        if first.is_empty() {
            self.spare = self.chunks.pop_front().unwrap_or_default();
        }
        Some(value)
    }

    /// First in, first.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flatten()
    }

    /// Chunk and place in it.
    #[inline]
    fn at(&self, place: usize) -> (usize, usize) {
        let first = self.chunks.front().map_or(0, VecDeque::len);
        match place.checked_sub(first) {
            None => (0, place),
            Some(behind) => (1 + behind / CHUNK, behind % CHUNK),
        }
    }
}

impl<T> Index<usize> for Queue<T> {
    type Output = T;

    #[inline]
    fn index(&self, place: usize) -> &T {
        let (chunk, place) = self.at(place);
        &self.chunks[chunk][place]
    }
}

impl<T> IndexMut<usize> for Queue<T> {
    #[inline]
    fn index_mut(&mut self, place: usize) -> &mut T {
        let (chunk, place) = self.at(place);
        &mut self.chunks[chunk][place]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_gives_what_one_buffer_gives() {
        for mut seed in 1..=8_u64 {
            let mut queue = Queue::default();
            let mut known = VecDeque::new();
            // Long and short ones, and one that is emptied again and again.
            let longest = [1, 3, CHUNK, CHUNK + 1, 3 * CHUNK + 7][seed as usize % 5];
            for value in 0..20_000_u64 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                queue.push_back(value);
                known.push_back(value);
                while known.len() > longest || (!known.is_empty() && seed >> 61 == 0) {
                    assert_eq!(queue.pop_front(), known.pop_front());
                }
                assert_eq!(queue.len(), known.len());
                if let Some(last) = known.len().checked_sub(1) {
                    let place = (seed >> 33) as usize % known.len();
                    for place in [0, place, last] {
                        assert_eq!(queue[place], known[place], "{place} of {}", known.len());
                    }
                    queue[place] += 1;
                    known[place] += 1;
                }
            }
            assert!(queue.iter().eq(known.iter()));
            while let Some(value) = known.pop_front() {
                assert_eq!(queue.pop_front(), Some(value));
            }
            assert_eq!(queue.pop_front(), None);
        }
    }

    #[test]
    fn one_that_stays_as_long_as_it_is_keeps_its_chunks() {
        let mut queue = Queue::default();
        for value in 0..100 * CHUNK {
            queue.push_back(value);
            if queue.len() > 2 * CHUNK {
                queue.pop_front();
            }
        }
        let room: usize = queue.chunks.iter().map(VecDeque::capacity).sum();
        assert!(room <= 3 * CHUNK, "{room}");
    }
}
