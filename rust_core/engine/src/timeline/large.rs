//! A long timeline as a list of chunks: a change costs one chunk and one pass over the list of chunks.

use super::{Chunk, Entry, EntryKey};
use crate::ids::UtcMillis;

/// Entries at which a chunk is split.
const CHUNK: usize = 512;

#[derive(Clone, Debug)]
struct Part {
    chunk: Chunk,
    sum: i64,
    /// Running sum before the chunk.
    base: i64,
    /// Lowest running sum in any later chunk; `i64::MAX` for the last.
    later: i64,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Large {
    parts: Vec<Part>,
    len: usize,
}

impl Large {
    pub fn from_chunk(chunk: Chunk) -> Self {
        let len = chunk.len();
        let sum = chunk.sum();
        let mut large = Self {
            parts: vec![Part {
                chunk,
                sum,
                base: 0,
                later: i64::MAX,
            }],
            len,
        };
        large.refresh();
        large
    }

    /// From entries in order.
    pub fn from_sorted(entries: &[Entry]) -> Self {
        let mut large = Self {
            parts: Vec::new(),
            len: entries.len(),
        };
        for entries in entries.chunks(CHUNK / 2) {
            let mut chunk = Chunk::default();
            chunk.reserve(entries.len());
            chunk.extend_sorted(entries);
            large.parts.push(Part {
                sum: chunk.sum(),
                chunk,
                base: 0,
                later: i64::MAX,
            });
        }
        large.refresh();
        large
    }

    pub fn to_chunk(&self) -> Chunk {
        let mut chunk = Chunk::default();
        for entry in self.iter() {
            chunk.insert(entry);
        }
        chunk
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn lowest_from(&self, t: UtcMillis) -> i64 {
        let n = self
            .parts
            .partition_point(|part| part.chunk.first_time() <= t);
        if n == 0 {
            return self
                .parts
                .first()
                .map_or(0, |part| part.chunk.lowest_of(0).min(part.later).min(0));
        }
        let part = &self.parts[n - 1];
        let inside = part
            .chunk
            .lowest_of(part.chunk.count_until(t).saturating_sub(1));
        part.later.min(part.base.saturating_add(inside))
    }

    pub fn first_with_suffix(&self, level: i64) -> Option<UtcMillis> {
        let n = self.parts.partition_point(|part| {
            let last = part.chunk.lowest_of(part.chunk.len() - 1);
            part.later.min(part.base + last) < level
        });
        let part = self.parts.get(n)?;
        part.chunk.first_with_suffix(part.base, part.later, level)
    }

    pub fn last_before(&self, end: UtcMillis) -> Option<(UtcMillis, EntryKey)> {
        let n = self
            .parts
            .partition_point(|part| part.chunk.first_time() < end)
            .checked_sub(1)?;
        self.parts[n].chunk.last_before(end)
    }

    pub fn insert(&mut self, entry: Entry) {
        let n = self
            .part_of(entry.time, entry.key)
            .min(self.parts.len().saturating_sub(1));
        let part = &mut self.parts[n];
        part.chunk.insert(entry);
        part.sum += entry.quantity;
        self.len += 1;
        if part.chunk.len() > CHUNK {
            let later = part.chunk.split();
            part.sum = part.chunk.sum();
            let sum = later.sum();
            self.parts.insert(
                n + 1,
                Part {
                    chunk: later,
                    sum,
                    base: 0,
                    later: i64::MAX,
                },
            );
        }
        self.refresh();
    }

    pub fn remove(&mut self, time: UtcMillis, key: EntryKey) -> bool {
        let n = self.part_of(time, key);
        let Some(part) = self.parts.get_mut(n) else {
            return false;
        };
        if !part.chunk.remove(time, key) {
            return false;
        }
        part.sum = part.chunk.sum();
        self.len -= 1;
        if part.chunk.len() == 0 && self.parts.len() > 1 {
            self.parts.remove(n);
        }
        self.refresh();
        true
    }

    pub fn set_quantity(&mut self, time: UtcMillis, key: EntryKey, quantity: i64) -> bool {
        let n = self.part_of(time, key);
        let Some(part) = self.parts.get_mut(n) else {
            return false;
        };
        if !part.chunk.set_quantity(time, key, quantity) {
            return false;
        }
        part.sum = part.chunk.sum();
        self.refresh();
        true
    }

    pub fn iter(&self) -> impl Iterator<Item = Entry> + '_ {
        self.parts.iter().flat_map(|part| part.chunk.iter())
    }

    /// The first chunk that ends at or after the entry.
    fn part_of(&self, time: UtcMillis, key: EntryKey) -> usize {
        self.parts
            .partition_point(|part| !part.chunk.ends_after(time, key))
    }

    fn refresh(&mut self) {
        let mut base = 0;
        for part in &mut self.parts {
            part.base = base;
            base += part.sum;
        }
        let mut later = i64::MAX;
        for part in self.parts.iter_mut().rev() {
            part.later = later;
            if part.chunk.len() > 0 {
                later = later.min(part.base + part.chunk.lowest_of(0));
            }
        }
    }
}
