//! Facts of records that were made and are still to be counted, so that they need not be read back from the disk.

use std::collections::VecDeque;

use bespeak_demand::{Fact, History};
use bespeak_engine::Record;

/// Records that a queue keeps room for. One that had to take more, as when its thread came late, gives the rest back.
const ROOM: usize = 8_192;

/// Records in order of revision. Those that found no room are missing: their journal has them.
#[derive(Default)]
pub(super) struct Queue {
    /// Revision, time, and how many of the facts are its.
    records: VecDeque<(u64, i64, usize)>,
    facts: VecDeque<Fact>,
}

impl Queue {
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Adds the next record.
    pub fn push(&mut self, record: &Record) {
        let before = self.facts.len();
        Fact::of(record, &mut |fact| self.facts.push_back(fact));
        let many = self.facts.len() - before;
        let (revision, time_ms) = (record.revision, record.time.get());
        self.records.push_back((revision, time_ms, many));
    }

    /// Revision of the first record from `next` on. What lies before it is dropped.
    pub fn first(&mut self, next: u64) -> Option<u64> {
        while let Some((revision, _, many)) = self.records.front() {
            if *revision >= next {
                return Some(*revision);
            }
            self.facts.drain(..*many);
            self.records.pop_front();
        }
        if self.records.capacity() > ROOM {
            *self = Self::default();
        }
        None
    }

    /// Counts at most `many` records that follow `history` without a gap, up to `last`.
    pub fn count(&mut self, history: &mut History, last: u64, many: u64) {
        for _ in 0..many {
            let next = history.revision() + 1;
            let Some((revision, time_ms, facts)) = self.records.front().copied() else {
                return;
            };
            if revision != next || revision > last {
                return;
            }
            self.records.pop_front();
            self.add(history, revision, time_ms, facts);
        }
    }

    /// Counts all, whatever may be missing.
    pub fn count_all(mut self, history: &mut History) {
        while let Some((revision, time_ms, facts)) = self.records.pop_front() {
            self.add(history, revision, time_ms, facts);
        }
    }

    fn add(&mut self, history: &mut History, revision: u64, time_ms: i64, many: usize) {
        let mut facts = self.facts.drain(..many);
        if let Err(error) = history.add(revision, time_ms, &mut facts) {
            tracing::warn!(%error, "a day of demand stays in memory");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use bespeak_engine::{Event, Meta, UtcMillis};

    fn record(revision: u64) -> Record {
        Record {
            revision,
            time: UtcMillis::new(1_790_000_000_000),
            meta: Meta::default(),
            fingerprint: 0,
            events: [Event::Ticked].into_iter().collect(),
            reply: None,
        }
    }

    #[test]
    fn what_follows_is_counted_and_nothing_behind_a_gap() {
        let mut history = History::in_memory();
        let mut queue = Queue::default();
        for revision in [1, 2, 3, 4, 8, 9] {
            queue.push(&record(revision));
        }
        assert_eq!(queue.first(1), Some(1));
        queue.count(&mut history, 3, 100);
        assert_eq!(history.revision(), 3, "the fourth is not durable");
        queue.count(&mut history, 9, 100);
        assert_eq!((history.revision(), queue.first(5)), (4, Some(8)));
        queue.count(&mut history, 9, 100);
        assert_eq!(history.revision(), 4, "the journal has what is missing");
        // It told more than was missing.
        for revision in 5..=8 {
            history
                .add(revision, 1_790_000_000_000, [])
                .expect("in memory");
        }
        assert_eq!(queue.first(9), Some(9));
        queue.count(&mut history, 9, 100);
        assert_eq!((history.revision(), queue.first(10)), (9, None));
        assert_eq!((queue.len(), queue.facts.len()), (0, 0));
    }

    #[test]
    fn a_queue_that_was_long_gives_its_room_back() {
        let mut history = History::in_memory();
        let mut queue = Queue::default();
        for revision in 1..=3 * ROOM as u64 {
            queue.push(&record(revision));
        }
        let last = 3 * ROOM as u64;
        queue.count(&mut history, last, last);
        assert_eq!((history.revision(), queue.first(last + 1)), (last, None));
        assert_eq!((queue.records.capacity(), queue.facts.capacity()), (0, 0));
    }

    #[test]
    fn no_more_are_counted_than_asked_for() {
        let mut history = History::in_memory();
        let mut queue = Queue::default();
        for revision in 1..=10 {
            queue.push(&record(revision));
        }
        queue.count(&mut history, 10, 4);
        assert_eq!((history.revision(), queue.len()), (4, 6));
        queue.count_all(&mut history);
        assert_eq!(history.revision(), 10);
    }
}
