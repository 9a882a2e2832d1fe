//! Request ids of one segment, in memory.

use std::collections::HashMap;
use std::sync::OnceLock;

use crate::format::NO_REQUEST;

/// An id and the revision that carries it.
pub(crate) type IdEntry = ([u8; 16], u64);

/// Smallest and largest id of some.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Range {
    low: [u8; 16],
    high: [u8; 16],
}

impl Default for Range {
    fn default() -> Self {
        Self {
            low: [u8::MAX; 16],
            high: [0; 16],
        }
    }
}

impl Range {
    pub(crate) fn new(low: [u8; 16], high: [u8; 16]) -> Self {
        Self { low, high }
    }

    pub(crate) fn contains(&self, id: &[u8; 16]) -> bool {
        self.low <= *id && *id <= self.high
    }

    fn add(&mut self, id: &[u8; 16]) {
        self.low = self.low.min(*id);
        self.high = self.high.max(*id);
    }
}

/// Ids of the segment that is being written. Those that the engine still remembers are never looked for here, so
/// they are only put into a list; and what lies outside the range of all forgotten ones is no forgotten one, so they
/// are hashed only for what lies inside.
#[derive(Debug, Default)]
pub(crate) struct NewIds {
    entries: Vec<IdEntry>,
    /// So many of the entries are in `range`.
    ranged: usize,
    range: Range,
    /// So many of the entries are in `forgotten`.
    hashed: usize,
    forgotten: HashMap<[u8; 16], u64>,
}

impl NewIds {
    /// Adds the id of the next record, if it has one.
    pub(crate) fn push(&mut self, id: [u8; 16], revision: u64) {
        if id != NO_REQUEST {
            self.entries.push((id, revision));
        }
    }

    /// The newest revision up to `last` that carries `id`. `last` never falls from call to call.
    pub(crate) fn lookup(&mut self, id: &[u8; 16], last: u64) -> Option<u64> {
        while let Some((id, revision)) = self.entries.get(self.ranged)
            && *revision <= last
        {
            self.range.add(id);
            self.ranged += 1;
        }
        if !self.range.contains(id) {
            return None;
        }
        self.forgotten
            .extend(self.entries[self.hashed..self.ranged].iter().copied());
        self.hashed = self.ranged;
        let found = self.forgotten.get(id).copied();
        found.filter(|revision| *revision <= last)
    }

    /// Bytes that they take in memory.
    pub(crate) fn memory_bytes(&self) -> usize {
        (self.entries.capacity() + self.forgotten.capacity()) * size_of::<IdEntry>()
    }

    /// No more will come.
    pub(crate) fn freeze(self) -> Ids {
        Ids::new(self.entries)
    }
}

/// Ids of a finished segment.
#[derive(Debug, Default)]
pub(crate) struct Ids {
    entries: Vec<IdEntry>,
    range: Range,
    sorted: OnceLock<Vec<IdEntry>>,
}

impl Ids {
    /// From entries in order of their revisions.
    pub(crate) fn new(entries: Vec<IdEntry>) -> Self {
        let mut range = Range::default();
        for (id, _) in &entries {
            range.add(id);
        }
        Self {
            entries,
            range,
            sorted: OnceLock::new(),
        }
    }

    /// Bytes that they take in memory.
    pub(crate) fn memory_bytes(&self) -> usize {
        let sorted = self.sorted.get().map_or(0, Vec::capacity);
        (self.entries.capacity() + sorted) * size_of::<IdEntry>()
    }

    /// By id; of entries with the same id only the newest.
    pub(crate) fn sorted(&self) -> &[IdEntry] {
        self.sorted.get_or_init(|| {
            let mut sorted = self.entries.clone();
            // The newest first, because the first of equals is kept.
            sorted.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
            sorted.dedup_by(|later, kept| later.0 == kept.0);
            sorted
        })
    }

    /// The newest revision that carries `id`.
    pub(crate) fn lookup(&self, id: &[u8; 16]) -> Option<u64> {
        if !self.range.contains(id) {
            return None;
        }
        let sorted = self.sorted();
        let at = sorted.binary_search_by(|entry| entry.0.cmp(id)).ok()?;
        Some(sorted[at].1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u128) -> [u8; 16] {
        n.to_be_bytes()
    }

    #[test]
    fn new_ids_are_found_up_to_the_revision_asked() {
        let mut ids = NewIds::default();
        for (n, revision) in [(5, 1), (0, 2), (9, 3), (5, 4)] {
            ids.push(id(n), revision);
        }
        assert_eq!(ids.lookup(&id(5), 0), None);
        assert_eq!(ids.lookup(&id(5), 2), Some(1));
        assert_eq!(ids.lookup(&id(9), 2), None);
        assert_eq!(ids.lookup(&id(9), 3), Some(3));
        assert_eq!(ids.lookup(&id(5), 9), Some(4));
        assert_eq!(ids.lookup(&NO_REQUEST, 9), None);
    }

    #[test]
    fn frozen_ids_give_the_newest_revision() {
        let mut ids = NewIds::default();
        for (n, revision) in [(7, 10), (3, 11), (7, 12), (5, 13)] {
            ids.push(id(n), revision);
        }
        let ids = ids.freeze();
        assert_eq!(ids.sorted(), [(id(3), 11), (id(5), 13), (id(7), 12)]);
        for (n, found) in [
            (3, Some(11)),
            (7, Some(12)),
            (4, None),
            (2, None),
            (8, None),
        ] {
            assert_eq!(ids.lookup(&id(n)), found, "{n}");
        }
        assert_eq!(Ids::default().lookup(&id(1)), None);
    }
}
