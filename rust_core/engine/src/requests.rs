//! Answers remembered by request id, bounded; what falls out is rebuilt from the journal.

use std::collections::VecDeque;
use std::hash::BuildHasher;

use hashbrown::hash_table::Entry;
use serde::{Deserialize, Serialize};

use crate::ids::UtcMillis;
use crate::limits::{FORGOTTEN_KEPT, REMEMBERED_BYTES};
use crate::queue::Queue;
use crate::reply::Reply;
use crate::split::Split;

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
    answers: Queue<(u128, Remembered)>,
    /// How many answers have fallen out: the n-th of all answers is `answers[n - dropped]`.
    dropped: u64,
    /// Low bits of the numbers of answers, by request id.
    index: Split<u32, 16>,
    hasher: foldhash::fast::FixedState,
    /// Revision of the newest answer that fell out; 0 is none.
    pub forgotten_revision: u64,
    /// Engine time of the newest answer that fell out; not part of a snapshot.
    pub forgotten_time: UtcMillis,
    /// The largest version 7 id whose answer fell out: such ids rise with the time at which they were made.
    pub forgotten_id: u128,
    /// Bytes that the answers hold beside their entries.
    bytes: usize,
    /// Ids and revisions of the last answers that fell out, oldest first.
    lately: VecDeque<(u128, u64)>,
    /// Revision up to which those that fell out may be missing in `lately`.
    lately_after: u64,
}

impl Requests {
    pub fn new(limit: usize, hasher: foldhash::fast::FixedState) -> Self {
        Self {
            limit: limit.clamp(1, u32::MAX as usize),
            answers: Queue::default(),
            dropped: 0,
            index: Split::default(),
            hasher,
            forgotten_revision: 0,
            forgotten_time: UtcMillis::ZERO,
            forgotten_id: 0,
            bytes: 0,
            lately: VecDeque::new(),
            lately_after: 0,
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
        let found = self.index.of(hash).find(hash, |number| {
            self.answers[Self::place(self.dropped, *number)].0 == id
        });
        found.map(|number| Self::place(self.dropped, *number))
    }

    #[inline]
    pub fn get(&self, id: u128) -> Option<&Remembered> {
        self.find(id).map(|place| &self.answers[place].1)
    }

    pub fn insert(&mut self, id: u128, answer: Remembered) {
        let bytes = answer.reply.bytes_beside();
        let (answers, dropped, hasher) = (&mut self.answers, self.dropped, &self.hasher);
        let of = |number: &u32| Self::place(dropped, *number);
        let hash = hasher.hash_one(id);
        let entry = self.index.of_mut(hash).entry(
            hash,
            |number| answers[of(number)].0 == id,
            |number| hasher.hash_one(answers[of(number)].0),
        );
        match entry {
            Entry::Occupied(known) => {
                let first = &mut answers[of(known.get())].1;
                self.bytes -= first.reply.bytes_beside();
                *first = answer;
            }
            Entry::Vacant(free) => {
                free.insert(dropped.wrapping_add(answers.len() as u64) as u32);
                answers.push_back((id, answer));
            }
        }
        self.bytes += bytes;
        // The newest stays, however large.
        while self.answers.len() > self.limit
            || (self.bytes > REMEMBERED_BYTES && self.answers.len() > 1)
        {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        let Some((oldest, answer)) = self.answers.pop_front() else {
            return;
        };
        let number = self.dropped as u32;
        let hash = self.hasher.hash_one(oldest);
        if let Ok(entry) = self
            .index
            .of_mut(hash)
            .find_entry(hash, |other| *other == number)
        {
            entry.remove();
        }
        self.dropped += 1;
        self.bytes -= answer.reply.bytes_beside();
        self.forgotten_revision = self.forgotten_revision.max(answer.revision);
        self.forgotten_time = self.forgotten_time.max(answer.time);
        if uuid7_time(oldest).is_some() {
            self.forgotten_id = self.forgotten_id.max(oldest);
        }
        if self.lately.len() >= FORGOTTEN_KEPT
            && let Some((_, revision)) = self.lately.pop_front()
        {
            self.lately_after = revision;
        }
        self.lately.push_back((oldest, answer.revision));
    }

    /// Whether the answer to `id` may have fallen out after that of `since` did.
    #[inline]
    pub fn forgot_since(&self, id: u128, since: u64) -> bool {
        self.forgotten_revision > since
            && (self.lately_after > since
                || self
                    .lately
                    .iter()
                    .rev()
                    .take_while(|(_, revision)| *revision > since)
                    .any(|(forgotten, _)| *forgotten == id))
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

    #[test]
    fn what_fell_out_lately_is_told_by_name() {
        let mut requests = Requests::new(10, foldhash::fast::FixedState::default());
        for revision in 1..=20 {
            requests.insert(u128::from(revision), answer(revision));
        }
        assert_eq!(requests.forgotten_revision, 10);
        for (id, since, told) in [
            (10, 9, true),
            (10, 10, false),
            (9, 8, true),
            (9, 9, false),
            (15, 0, false),
            (99, 0, false),
        ] {
            assert_eq!(requests.forgot_since(id, since), told, "{id} since {since}");
        }
        // Of what lies further back than is kept, anything may have fallen out.
        let last = 20 + FORGOTTEN_KEPT as u64;
        for revision in 21..=last {
            requests.insert(u128::from(revision), answer(revision));
        }
        assert!(requests.forgot_since(5_000, 9));
        assert!(!requests.forgot_since(5_000, 10));
    }

    #[test]
    fn large_answers_are_bounded_by_their_bytes() {
        use crate::ids::{ItemId, LocationId, Units};
        use crate::reply::{HoldReply, LineReply, Outcome, PartReply, ReservationState};
        let part = PartReply {
            location: LocationId(0),
            quantity: Units::ZERO,
            ship_time: UtcMillis::ZERO,
            line: 0,
        };
        let line = LineReply {
            item: ItemId(0),
            requested: Units::ZERO,
            parts: std::iter::repeat_n(part, 4).collect(),
            refusal: None,
            available: Units::ZERO,
            earliest: None,
        };
        let reply = Reply::Hold(HoldReply {
            outcome: Outcome::Full,
            reservation: None,
            state: ReservationState::Held,
            expires_at: UtcMillis::ZERO,
            lines: std::iter::repeat_n(line, crate::limits::MAX_LINES).collect(),
        });
        let one = reply.bytes_beside();
        assert!(one > 256 * 4 * size_of::<PartReply>());
        let fit = REMEMBERED_BYTES / one;
        let mut requests = Requests::new(usize::MAX, foldhash::fast::FixedState::default());
        for revision in 1..=fit as u64 + 10 {
            let reply = reply.clone();
            let answer = Remembered {
                reply,
                ..answer(revision)
            };
            requests.insert(u128::from(revision), answer);
        }
        assert_eq!((requests.len(), requests.forgotten_revision), (fit, 10));
        // Small ones take no room of theirs.
        for revision in 1..1_000 {
            requests.insert(1 << 64 | u128::from(revision), answer(revision));
        }
        assert_eq!(requests.len(), fit + 999);
    }
}
