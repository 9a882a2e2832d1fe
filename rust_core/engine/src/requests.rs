//! Answers remembered by request id, bounded; what falls out is rebuilt from the journal.

use std::collections::VecDeque;
use std::hash::BuildHasher;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use serde::{Deserialize, Serialize};

use crate::ids::UtcMillis;
use crate::reply::Reply;

/// An answer as it was first given.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Remembered {
    /// Journal position of the answer.
    pub revision: u64,
    /// Fingerprint of the command.
    pub fingerprint: u64,
    /// Engine time of the answer.
    pub time: UtcMillis,
    /// The answer.
    pub reply: Reply,
}

/// The newest answers, in the order in which they were given. New ones and those that fall out are touched where
/// memory is near anyway: only the index, four bytes an entry, is looked up at random.
#[derive(Clone, Debug)]
pub(crate) struct Requests {
    limit: usize,
    answers: VecDeque<(u128, Remembered)>,
    /// How many answers have fallen out: the n-th of all answers is `answers[n - dropped]`.
    dropped: u64,
    /// Low bits of the numbers of answers, by request id.
    index: HashTable<u32>,
    hasher: foldhash::fast::FixedState,
    /// Revision of the newest answer that fell out; 0 is none.
    pub forgotten_revision: u64,
}

impl Requests {
    pub fn new(limit: usize, hasher: foldhash::fast::FixedState) -> Self {
        Self {
            limit: limit.clamp(1, u32::MAX as usize),
            answers: VecDeque::new(),
            dropped: 0,
            index: HashTable::new(),
            hasher,
            forgotten_revision: 0,
        }
    }

    pub fn len(&self) -> usize {
        self.answers.len()
    }

    /// Place in `answers` of an answer by the low bits of its number.
    #[inline]
    fn place(dropped: u64, number: u32) -> usize {
        number.wrapping_sub(dropped as u32) as usize
    }

    fn find(&self, id: u128) -> Option<usize> {
        let hash = self.hasher.hash_one(id);
        let found = self.index.find(hash, |number| {
            self.answers[Self::place(self.dropped, *number)].0 == id
        });
        found.map(|number| Self::place(self.dropped, *number))
    }

    #[inline]
    pub fn get(&self, id: u128) -> Option<&Remembered> {
        self.find(id).map(|place| &self.answers[place].1)
    }

    pub fn insert(&mut self, id: u128, answer: Remembered) {
        let (answers, dropped, hasher) = (&mut self.answers, self.dropped, &self.hasher);
        let of = |number: &u32| Self::place(dropped, *number);
        let entry = self.index.entry(
            hasher.hash_one(id),
            |number| answers[of(number)].0 == id,
            |number| hasher.hash_one(answers[of(number)].0),
        );
        match entry {
            Entry::Occupied(known) => answers[of(known.get())].1 = answer,
            Entry::Vacant(free) => {
                free.insert(dropped.wrapping_add(answers.len() as u64) as u32);
                answers.push_back((id, answer));
            }
        }
        if self.answers.len() > self.limit {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        let Some((oldest, answer)) = self.answers.pop_front() else {
            return;
        };
        let number = self.dropped as u32;
        let hash = self.hasher.hash_one(oldest);
        if let Ok(entry) = self.index.find_entry(hash, |other| *other == number) {
            entry.remove();
        }
        self.dropped += 1;
        self.forgotten_revision = self.forgotten_revision.max(answer.revision);
    }

    /// Oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (u128, &Remembered)> {
        self.answers.iter().map(|(id, answer)| (*id, answer))
    }
}

/// When a version 7 UUID was made; `None` for other versions.
pub fn uuid7_time(id: u128) -> Option<UtcMillis> {
    let version = (id >> 76) & 0xf;
    let variant = (id >> 62) & 0b11;
    (version == 7 && variant == 0b10).then(|| UtcMillis::new((id >> 80) as i64))
}

/// A UUID in its usual form.
pub fn uuid_text(id: u128) -> String {
    let hex = format!("{id:032x}");
    format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn answer(revision: u64) -> Remembered {
        Remembered {
            revision,
            fingerprint: revision * 3,
            time: UtcMillis::ZERO,
            reply: Reply::Catalog,
        }
    }

    #[test]
    fn the_newest_answers_are_found_and_no_other() {
        let mut requests = Requests::new(50, foldhash::fast::FixedState::default());
        let mut order: Vec<u128> = Vec::new();
        let mut last: BTreeMap<u128, u64> = BTreeMap::new();
        let mut seed = 3u64;
        for revision in 1..5_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let id = u128::from(seed >> 33) % 120 + 1;
            requests.insert(id, answer(revision));
            if !order.contains(&id) {
                order.push(id);
                if order.len() > 50 {
                    let oldest = order.remove(0);
                    let forgotten = last.remove(&oldest).expect("it was there");
                    assert!(requests.forgotten_revision >= forgotten);
                }
            }
            last.insert(id, revision);
            for id in 1..=120 {
                let found = requests.get(id).map(|found| found.revision);
                assert_eq!(found, last.get(&id).copied(), "{id} at {revision}");
            }
            assert!(requests.iter().map(|(id, _)| id).eq(order.iter().copied()));
        }
    }
}
