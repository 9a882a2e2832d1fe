//! Facts of records that were made and are still to be counted, so that they need not be read back from the disk.

use std::collections::VecDeque;

use bespeak_demand::{Fact, History};
use bespeak_engine::Record;

/// Records that may wait in memory.
const RECORDS_MAX: usize = 65_536;
/// Facts of them, and lines of orders, that may wait: an order may have a thousand lines.
const PARTS_MAX: usize = 4 * RECORDS_MAX;
/// Records or facts that a queue keeps room for. One that had to take more, as when its thread came late, gives the rest
/// back.
const ROOM: usize = 16_384;

/// Records in order of revision. Those that found no room are missing: their journal has them.
#[derive(Default)]
pub(super) struct Queue {
    records: VecDeque<Waiting>,
    facts: VecDeque<Fact>,
    /// Of all records.
    parts: usize,
}

/// A record whose facts wait.
#[derive(Clone, Copy)]
struct Waiting {
    revision: u64,
    time_ms: i64,
    /// How many of the facts are its.
    facts: usize,
    /// These and their lines.
    parts: usize,
}

impl Queue {
    /// Whether no more may wait.
    pub fn is_full(&self) -> bool {
        self.records.len() >= RECORDS_MAX || self.parts >= PARTS_MAX
    }

    /// Adds the next record.
    pub fn push(&mut self, record: &Record) {
        let before = self.facts.len();
        let mut parts = 0;
        Fact::of(record, &mut |fact| {
            parts += 1;
            if let Fact::Held(_, _, lines) = &fact {
                parts += lines.len();
            }
            self.facts.push_back(fact);
        });
        self.parts += parts;
        self.records.push_back(Waiting {
            revision: record.revision,
            time_ms: record.time.get(),
            facts: self.facts.len() - before,
            parts,
        });
    }

    /// Revision of the first record from `next` on. What lies before it is dropped.
    pub fn first(&mut self, next: u64) -> Option<u64> {
        while let Some(record) = self.records.front().copied() {
            if record.revision >= next {
                return Some(record.revision);
            }
            self.records.pop_front();
            self.parts -= record.parts;
            self.facts.drain(..record.facts);
        }
        if self.records.capacity().max(self.facts.capacity()) > ROOM {
            *self = Self::default();
        }
        None
    }

    /// Counts at most `many` records that follow `history` without a gap, up to `last`.
    pub fn count(&mut self, history: &mut History, last: u64, many: u64) {
        for _ in 0..many {
            let next = history.revision() + 1;
            let Some(record) = self.records.front().copied() else {
                return;
            };
            if record.revision != next || record.revision > last {
                return;
            }
            self.records.pop_front();
            self.add(history, record);
        }
    }

    /// Counts all, whatever may be missing.
    pub fn count_all(mut self, history: &mut History) {
        while let Some(record) = self.records.pop_front() {
            self.add(history, record);
        }
    }

    fn add(&mut self, history: &mut History, record: Waiting) {
        self.parts -= record.parts;
        let mut facts = self.facts.drain(..record.facts);
        if let Err(error) = history.add(record.revision, record.time_ms, &mut facts) {
            tracing::warn!(%error, "a day of demand stays in memory");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use bespeak_engine::{
        Event, Held, HeldLine, Meta, PositionId, ReservationId, Units, UtcMillis,
    };

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
        assert_eq!((queue.records.len(), queue.facts.len()), (0, 0));
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
    fn few_orders_of_many_lines_fill_it() {
        let line = HeldLine {
            position: PositionId(0),
            quantity: Units::new(1).expect("a small quantity"),
            ship_time: UtcMillis::new(1_790_000_000_000),
        };
        let mut queue = Queue::default();
        let mut revision = 0;
        while !queue.is_full() {
            revision += 1;
            let held = Held {
                reservation: ReservationId(revision),
                lines: vec![line; 1_000].into(),
                expires_at: None,
                order_ref: "".into(),
                customer: "".into(),
                segment: "".into(),
                tier: 0,
            };
            queue.push(&Record {
                events: [Event::Held(held)].into_iter().collect(),
                ..record(revision)
            });
        }
        assert_eq!(revision, PARTS_MAX.div_ceil(1_001) as u64);
        assert_eq!(queue.first(revision), Some(revision));
        assert_eq!(queue.parts, 1_001);
        assert_eq!((queue.first(revision + 1), queue.parts), (None, 0));
        assert!(!queue.is_full());
    }

    #[test]
    fn no_more_are_counted_than_asked_for() {
        let mut history = History::in_memory();
        let mut queue = Queue::default();
        for revision in 1..=10 {
            queue.push(&record(revision));
        }
        queue.count(&mut history, 10, 4);
        assert_eq!((history.revision(), queue.records.len()), (4, 6));
        queue.count_all(&mut history);
        assert_eq!(history.revision(), 10);
    }
}
