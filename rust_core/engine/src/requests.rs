//! Answers remembered by request id, bounded; what falls out is rebuilt from the journal.

use std::collections::VecDeque;

use hashbrown::HashMap;
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

#[derive(Clone, Debug)]
pub(crate) struct Requests {
    limit: usize,
    order: VecDeque<u128>,
    answers: HashMap<u128, Remembered, foldhash::fast::FixedState>,
    /// Revision of the newest answer that fell out; 0 is none.
    pub forgotten_revision: u64,
}

impl Requests {
    pub fn new(limit: usize, hasher: foldhash::fast::FixedState) -> Self {
        Self {
            limit: limit.max(1),
            order: VecDeque::new(),
            answers: HashMap::with_hasher(hasher),
            forgotten_revision: 0,
        }
    }

    pub fn len(&self) -> usize {
        self.order.len()
    }

    #[inline]
    pub fn get(&self, id: u128) -> Option<&Remembered> {
        self.answers.get(&id)
    }

    pub fn insert(&mut self, id: u128, answer: Remembered) {
        if self.order.len() >= self.limit
            && let Some(oldest) = self.order.pop_front()
            && let Some(forgotten) = self.answers.remove(&oldest)
        {
            self.forgotten_revision = self.forgotten_revision.max(forgotten.revision);
        }
        if self.answers.insert(id, answer).is_none() {
            self.order.push_back(id);
        }
    }

    /// Oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (u128, &Remembered)> {
        self.order
            .iter()
            .filter_map(|id| self.answers.get(id).map(|answer| (*id, answer)))
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
