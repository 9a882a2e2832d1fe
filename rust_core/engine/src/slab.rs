//! Storage whose cost is what it holds: slots in fixed chunks, and an index by rising ids.

use std::collections::VecDeque;

const CHUNK: usize = 4_096;
const PAGE: usize = 512;
const NONE: u32 = u32::MAX;

/// Values in slots. Chunks are allocated whole, so growth neither copies nor doubles.
#[derive(Clone, Debug)]
pub(crate) struct Slab<T> {
    chunks: Vec<Vec<Option<T>>>,
    free: Vec<u32>,
    len: usize,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self {
            chunks: Vec::new(),
            free: Vec::new(),
            len: 0,
        }
    }
}

impl<T> Slab<T> {
    pub fn len(&self) -> usize {
        self.len
    }

    /// Bytes that it takes.
    pub fn memory(&self) -> usize {
        self.chunks.len() * CHUNK * size_of::<Option<T>>() + self.free.capacity() * size_of::<u32>()
    }

    pub fn insert(&mut self, value: T) -> u32 {
        self.len += 1;
        if let Some(slot) = self.free.pop() {
            self.chunks[slot as usize / CHUNK][slot as usize % CHUNK] = Some(value);
            return slot;
        }
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let chunk = self.chunks.len() - 1;
        let slots = &mut self.chunks[chunk];
        slots.push(Some(value));
        (chunk * CHUNK + slots.len() - 1) as u32
    }

    pub fn get(&self, slot: u32) -> Option<&T> {
        self.chunks
            .get(slot as usize / CHUNK)?
            .get(slot as usize % CHUNK)?
            .as_ref()
    }

    pub fn get_mut(&mut self, slot: u32) -> Option<&mut T> {
        self.chunks
            .get_mut(slot as usize / CHUNK)?
            .get_mut(slot as usize % CHUNK)?
            .as_mut()
    }

    pub fn remove(&mut self, slot: u32) -> Option<T> {
        let value = self
            .chunks
            .get_mut(slot as usize / CHUNK)?
            .get_mut(slot as usize % CHUNK)?
            .take()?;
        self.free.push(slot);
        self.len -= 1;
        Some(value)
    }
}

/// From ids that rise by one to slots. A page goes when its last id does, and its place with those before it: ids are never
/// used again, and what is left of those long gone would be looked through, copied and kept for ever.
#[derive(Clone, Debug, Default)]
pub(crate) struct PagedIndex {
    /// Number of the first page.
    first: usize,
    pages: VecDeque<Option<Box<Page>>>,
}

#[derive(Clone, Debug)]
struct Page {
    slots: [u32; PAGE],
    used: u32,
}

impl PagedIndex {
    pub fn get(&self, id: u64) -> Option<u32> {
        let place = self.place(id)?;
        let page = self.pages.get(place)?.as_ref()?;
        let slot = page.slots[id as usize % PAGE];
        (slot != NONE).then_some(slot)
    }

    pub fn insert(&mut self, id: u64, slot: u32) {
        let number = id as usize / PAGE;
        if self.pages.is_empty() {
            self.first = number;
        }
        while number < self.first {
            self.pages.push_front(None);
            self.first -= 1;
        }
        let place = number - self.first;
        if place >= self.pages.len() {
            self.pages.resize(place + 1, None);
        }
        let page = self.pages[place].get_or_insert_with(|| {
            Box::new(Page {
                slots: [NONE; PAGE],
                used: 0,
            })
        });
        let place = &mut page.slots[id as usize % PAGE];
        if *place == NONE {
            page.used += 1;
        }
        *place = slot;
    }

    pub fn remove(&mut self, id: u64) -> Option<u32> {
        let place = self.place(id)?;
        let entry = self.pages.get_mut(place)?;
        let page = entry.as_mut()?;
        let slot = std::mem::replace(&mut page.slots[id as usize % PAGE], NONE);
        if slot == NONE {
            return None;
        }
        page.used -= 1;
        if page.used == 0 {
            *entry = None;
            while self.pages.front().is_some_and(Option::is_none) {
                self.pages.pop_front();
                self.first += 1;
            }
        }
        Some(slot)
    }

    /// Where the page of an id lies, if it does.
    #[inline]
    fn place(&self, id: u64) -> Option<usize> {
        (usize::try_from(id).ok()? / PAGE).checked_sub(self.first)
    }

    /// Ids from `first` on, in rising order, with their slots.
    pub fn iter_from(&self, first: u64) -> impl Iterator<Item = (u64, u32)> + '_ {
        let (skipped, base) = (self.place(first).unwrap_or(0), self.first);
        self.pages
            .iter()
            .enumerate()
            .skip(skipped)
            .filter_map(|(n, page)| page.as_ref().map(|page| (n, page)))
            .flat_map(move |(n, page)| {
                page.slots
                    .iter()
                    .enumerate()
                    .filter(|(_, slot)| **slot != NONE)
                    .map(move |(k, slot)| (((base + n) * PAGE + k) as u64, *slot))
            })
            .skip_while(move |(id, _)| *id < first)
    }
}

/// A slab found by rising ids.
#[derive(Clone, Debug)]
pub(crate) struct Table<T> {
    slab: Slab<T>,
    index: PagedIndex,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self {
            slab: Slab::default(),
            index: PagedIndex::default(),
        }
    }
}

impl<T> Table<T> {
    pub fn len(&self) -> usize {
        self.slab.len()
    }

    #[inline]
    pub fn get(&self, id: u64) -> Option<&T> {
        self.slab.get(self.index.get(id)?)
    }

    #[inline]
    pub fn get_mut(&mut self, id: u64) -> Option<&mut T> {
        self.slab.get_mut(self.index.get(id)?)
    }

    pub fn insert(&mut self, id: u64, value: T) -> u32 {
        let slot = self.slab.insert(value);
        self.index.insert(id, slot);
        slot
    }

    pub fn remove(&mut self, id: u64) -> Option<T> {
        let slot = self.index.remove(id)?;
        self.slab.remove(slot)
    }

    /// In rising order of the ids.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &T)> + '_ {
        self.iter_from(0)
    }

    /// From `first` on, in rising order of the ids.
    pub fn iter_from(&self, first: u64) -> impl Iterator<Item = (u64, &T)> + '_ {
        self.index
            .iter_from(first)
            .filter_map(|(id, slot)| self.slab.get(slot).map(|value| (id, value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn table_equals_a_map() {
        let mut table = Table::default();
        let mut map = BTreeMap::new();
        let mut seed = 7u64;
        for id in 0..5_000u64 {
            table.insert(id, id * 3);
            map.insert(id, id * 3);
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let victim = (seed >> 33) % (id + 1);
            assert_eq!(table.remove(victim), map.remove(&victim));
        }
        assert_eq!(table.len(), map.len());
        assert!(table.iter().map(|(id, value)| (id, *value)).eq(map.clone()));
        for first in [0, 1, 511, 512, 2_049, 4_999, 5_000, u64::MAX] {
            let ids = table.iter_from(first).map(|(id, _)| id);
            assert!(
                ids.eq(map.range(first..).map(|(id, _)| *id)),
                "from {first}"
            );
        }
        assert_eq!(table.get(5_000), None);
        assert_eq!(table.get(u64::MAX), None);
    }

    #[test]
    fn the_index_keeps_nothing_of_ids_long_gone() {
        let mut table = Table::default();
        for id in 0..1_000_000_u64 {
            table.insert(id, id);
            if id >= 100 {
                assert_eq!(table.remove(id - 100), Some(id - 100));
            }
            assert!(table.index.pages.len() <= 2, "at {id}");
        }
        assert_eq!(table.get(999_899), None);
        assert_eq!(table.remove(7), None);
        assert_eq!(table.iter().map(|(id, _)| id).next(), Some(999_900));
    }

    #[test]
    fn ids_may_come_in_any_order() {
        let mut table = Table::default();
        for id in [5_000, 4_999, 700, 9_000, 0, 8_000] {
            table.insert(id, id);
        }
        let ids: Vec<u64> = table.iter().map(|(id, _)| id).collect();
        assert_eq!(ids, [0, 700, 4_999, 5_000, 8_000, 9_000]);
        for id in [0, 700, 4_999, 9_000, 5_000, 8_000] {
            assert_eq!(table.remove(id), Some(id));
        }
        table.insert(3, 4);
        assert_eq!(table.get(3), Some(&4));
        assert_eq!(table.len(), 1);
    }
}
