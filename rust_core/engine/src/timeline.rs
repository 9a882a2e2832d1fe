//! The planned movements of one position in time order, with the suffix minimum of their running sum kept
//! up to date, so that "what can be promised at t" is one look-up.
//!
//! Entries are sorted by (time, key) and a receipt's key is below every commitment's. So within one instant
//! supply comes before demand, and the running sum inside an instant never lies below both its ends: the
//! minimum over entries equals the minimum over instants.

mod chunk;
mod large;

pub(crate) use chunk::Chunk;
use large::Large;

use crate::ids::{ReceiptNo, ReservationId, UtcMillis};

/// Which receipt or which reservation line an entry stands for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct EntryKey(u64);

/// An entry's key taken apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum EntryRef {
    Receipt(ReceiptNo),
    Commitment(ReservationId, u16),
}

const COMMITMENT: u64 = 1 << 63;

impl EntryKey {
    pub fn receipt(no: ReceiptNo) -> Self {
        Self(no.0)
    }

    pub fn commitment(id: ReservationId, line: u16) -> Self {
        Self(COMMITMENT | (id.0 << 16) | u64::from(line))
    }

    #[inline]
    pub fn is_commitment(self) -> bool {
        self.0 & COMMITMENT != 0
    }

    pub fn unpack(self) -> EntryRef {
        if self.0 & COMMITMENT == 0 {
            EntryRef::Receipt(ReceiptNo(self.0))
        } else {
            EntryRef::Commitment(
                ReservationId((self.0 & !COMMITMENT) >> 16),
                (self.0 & 0xffff) as u16,
            )
        }
    }
}

/// One planned movement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Entry {
    pub time: UtcMillis,
    pub key: EntryKey,
    /// Units added; negative takes away. Zero for a receipt that does not count.
    pub quantity: i64,
}

/// What a check sees of a timeline.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Look {
    /// The lowest running sum from the time asked on.
    pub lowest: i64,
    /// The commitment after that time which takes it there; `None` when it is as low at the time asked and higher
    /// ever after.
    pub later: Option<UtcMillis>,
    /// The earliest instant from then on from which the running sum never falls below the level asked.
    pub earliest: Option<UtcMillis>,
}

/// Entries above which a timeline is kept in chunks.
const LARGE: usize = 256;

#[derive(Clone, Debug)]
pub(crate) enum Timeline {
    Small(Chunk),
    Large(Box<Large>),
}

impl Default for Timeline {
    fn default() -> Self {
        Self::Small(Chunk::default())
    }
}

impl Timeline {
    pub fn len(&self) -> usize {
        match self {
            Self::Small(chunk) => chunk.len(),
            Self::Large(large) => large.len(),
        }
    }

    /// The lowest running sum at or after `t`, counted from before the first entry.
    #[inline]
    pub fn lowest_from(&self, t: UtcMillis) -> i64 {
        match self {
            Self::Small(chunk) => chunk.lowest_from(t),
            Self::Large(large) => large.lowest_from(t),
        }
    }

    /// The lowest running sum from `t` on, what takes it there, and the earliest instant that keeps `level`.
    #[inline(always)]
    pub fn look(&self, t: UtcMillis, level: i64) -> Look {
        match self {
            Self::Small(chunk) => chunk.look(t, level),
            Self::Large(large) => self.look_far(large, t, level),
        }
    }

    #[inline(never)]
    fn look_far(&self, large: &Large, t: UtcMillis, level: i64) -> Look {
        let lowest = large.lowest_from(t);
        Look {
            lowest,
            later: self.last_low_commitment(t, lowest),
            earliest: self.earliest_at_least(t, level),
        }
    }

    /// Asks for the memory of a check; of a change also. A long timeline is left alone: its parts are many.
    #[inline]
    pub fn prefetch(&self, change: bool) {
        if let Self::Small(chunk) = self {
            chunk.prefetch(change);
        }
    }

    fn last_low_commitment(&self, t: UtcMillis, lowest: i64) -> Option<UtcMillis> {
        // From here on the sum stays higher, so the entry before it is the one that takes it lowest.
        let end = self.earliest_at_least(t, lowest + 1);
        let mut before = end.unwrap_or(UtcMillis::MAX);
        while let Some((time, key)) = self.last_before(before)
            && time > t
        {
            if key.is_commitment() {
                return Some(time);
            }
            before = time;
        }
        None
    }

    /// The earliest instant from `t` on from which the running sum never falls below `level` again;
    /// `None` when it always does. `t` itself where it holds already.
    pub fn earliest_at_least(&self, t: UtcMillis, level: i64) -> Option<UtcMillis> {
        if self.lowest_from(t) >= level {
            return Some(t);
        }
        match self {
            Self::Small(chunk) => chunk.first_with_suffix(0, i64::MAX, level),
            Self::Large(large) => large.first_with_suffix(level),
        }
        .filter(|found| *found > t)
    }

    /// The last entry before `end`.
    pub fn last_before(&self, end: UtcMillis) -> Option<(UtcMillis, EntryKey)> {
        match self {
            Self::Small(chunk) => chunk.last_before(end),
            Self::Large(large) => large.last_before(end),
        }
    }

    pub fn insert(&mut self, entry: Entry) {
        match self {
            Self::Small(chunk) if chunk.len() >= LARGE => {
                let mut large = Box::new(Large::from_chunk(std::mem::take(chunk)));
                large.insert(entry);
                *self = Self::Large(large);
            }
            Self::Small(chunk) => chunk.insert(entry),
            Self::Large(large) => large.insert(entry),
        }
    }

    /// Takes an entry out; false when there is none.
    #[must_use]
    pub fn remove(&mut self, time: UtcMillis, key: EntryKey) -> bool {
        match self {
            Self::Small(chunk) => chunk.remove(time, key),
            Self::Large(large) => {
                let found = large.remove(time, key);
                if large.len() <= LARGE / 2 {
                    *self = Self::Small(large.to_chunk());
                }
                found
            }
        }
    }

    /// Sets the quantity of an entry; false when there is none.
    #[must_use]
    pub fn set_quantity(&mut self, time: UtcMillis, key: EntryKey, quantity: i64) -> bool {
        match self {
            Self::Small(chunk) => chunk.set_quantity(time, key, quantity),
            Self::Large(large) => large.set_quantity(time, key, quantity),
        }
    }

    /// Makes room in an empty timeline for entries that are then pushed in any order and [`Timeline::settle`]d; and for an
    /// eighth more. What comes and goes then moves nothing: a snapshot's second state would take new memory for nearly
    /// every position, and leave the heap in pieces.
    pub fn reserve(&mut self, count: usize) {
        if let Self::Small(chunk) = self {
            chunk.reserve(count + count / 8);
        }
    }

    /// Asks for the memory where the next entry is pushed.
    pub fn prefetch_end(&self) {
        if let Self::Small(chunk) = self {
            chunk.prefetch_end();
        }
    }

    /// Adds an entry out of order; nothing may be asked before [`Timeline::settle`].
    pub fn push(&mut self, entry: Entry) {
        match self {
            Self::Small(chunk) => chunk.push(entry),
            Self::Large(large) => large.insert(entry),
        }
    }

    /// Puts the entries that were pushed in order; `scratch` saves an allocation a timeline.
    pub fn settle(&mut self, scratch: &mut Vec<Entry>) {
        let Self::Small(chunk) = self else { return };
        chunk.take_sorted(scratch);
        if scratch.len() > LARGE {
            *self = Self::Large(Box::new(Large::from_sorted(scratch)));
        } else {
            chunk.extend_sorted(scratch);
        }
    }

    /// All entries in order.
    pub fn iter(&self) -> Box<dyn Iterator<Item = Entry> + '_> {
        match self {
            Self::Small(chunk) => Box::new(chunk.iter()),
            Self::Large(large) => Box::new(large.iter()),
        }
    }
}

#[cfg(test)]
mod tests;
