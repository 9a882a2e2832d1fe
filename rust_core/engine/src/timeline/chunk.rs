//! A sorted run of entries with the suffix minimum of the running sum, counted from before its first entry.

use super::{Entry, EntryKey, Look};
use crate::ids::UtcMillis;
use crate::prefetch;

/// What a check reads, all of it: kept apart so that it fits few cache lines.
#[derive(Clone, Copy, Debug)]
struct Hot {
    stamp: Stamp,
    /// Lowest running sum at this entry or a later one of the chunk.
    lowest: i64,
}

/// Twice an entry's time, and one more for a commitment: rises as the entries do, and tells the kind of an entry
/// without a look at its key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Stamp(i64);

impl Stamp {
    #[inline]
    fn new(time: UtcMillis, key: EntryKey) -> Self {
        // Saturating, because a damaged journal may hold any time.
        let first = Self::from(time).0;
        Self(first.saturating_add(i64::from(key.is_commitment())))
    }

    /// The last stamp of an instant.
    #[inline]
    fn until(t: UtcMillis) -> Self {
        Self(t.get().saturating_mul(2).saturating_add(1))
    }

    /// The first stamp of an instant.
    #[inline]
    fn from(t: UtcMillis) -> Self {
        Self(t.get().saturating_mul(2))
    }

    #[inline]
    fn time(self) -> UtcMillis {
        UtcMillis::new(self.0 >> 1)
    }

    #[inline]
    fn is_commitment(self) -> bool {
        self.0 & 1 == 1
    }
}

#[derive(Clone, Copy, Debug)]
struct Cold {
    quantity: i64,
    key: EntryKey,
}

/// `hot` lies first: it shares a cache line with what a check reads of the position.
#[derive(Clone, Debug, Default)]
#[repr(C)]
pub(crate) struct Chunk {
    hot: Vec<Hot>,
    cold: Vec<Cold>,
}

/// Below this many entries a branch-free count beats a binary search: its loads do not wait for each other.
const LINEAR: usize = 32;

impl Chunk {
    #[inline]
    pub fn len(&self) -> usize {
        self.hot.len()
    }

    /// Entries at or before `t`.
    #[inline]
    pub fn count_until(&self, t: UtcMillis) -> usize {
        let last = Stamp::until(t);
        if self.hot.len() <= LINEAR {
            let until = self.hot.iter().map(|hot| usize::from(hot.stamp <= last));
            until.sum()
        } else {
            self.hot.partition_point(|hot| hot.stamp <= last)
        }
    }

    #[inline]
    pub fn lowest_from(&self, t: UtcMillis) -> i64 {
        match self.count_until(t) {
            0 => self.hot.first().map_or(0, |hot| hot.lowest.min(0)),
            n => self.hot[n - 1].lowest,
        }
    }

    /// The lowest running sum from `t` on, the commitment after `t` that takes it there last, and the first instant
    /// from `t` on from which it never falls below `level` again.
    #[inline]
    pub fn look(&self, t: UtcMillis, level: i64) -> Look {
        let (n, below) = self.count_until_and_below(t, level);
        let lowest = match n {
            0 => self.hot.first().map_or(0, |hot| hot.lowest.min(0)),
            n => self.hot[n - 1].lowest,
        };
        let earliest = if lowest >= level {
            Some(t)
        } else {
            self.hot.get(below).map(|hot| hot.stamp.time())
        };
        let rest = &self.hot[n..];
        // Most often all that follows stays higher, and nothing else has to be read.
        let later = match rest.first() {
            Some(next) if next.lowest <= lowest => self.last_commitment(n, lowest),
            _ => None,
        };
        Look {
            lowest,
            later,
            earliest,
        }
    }

    /// Entries at or before `t`, and entries from which on the running sum falls below `level`: two counts in one pass
    /// without a branch, so that the processor runs ahead to the next check while memory is on its way.
    #[inline]
    fn count_until_and_below(&self, t: UtcMillis, level: i64) -> (usize, usize) {
        let last = Stamp::until(t);
        if self.hot.len() > LINEAR {
            let below = self.hot.partition_point(|hot| hot.lowest < level);
            return (self.count_until(t), below);
        }
        let (mut until, mut below) = (0, 0);
        for hot in &self.hot {
            until += usize::from(hot.stamp <= last);
            below += usize::from(hot.lowest < level);
        }
        (until, below)
    }

    /// Asks for the memory of a check; of a change also.
    #[inline]
    pub fn prefetch(&self, change: bool) {
        const LINES: usize = 4;
        prefetch::slice(&self.hot, LINES);
        if change {
            prefetch::slice(&self.cold, LINES);
        }
    }

    /// The last commitment from the `n`-th entry on at which the running sum is as low as `lowest`. A receipt that
    /// does not count leaves the sum where an earlier commitment took it.
    fn last_commitment(&self, n: usize, lowest: i64) -> Option<UtcMillis> {
        let low = self.hot[n..]
            .iter()
            .take_while(|hot| hot.lowest <= lowest)
            .count();
        (n..n + low)
            .rev()
            .map(|at| self.hot[at].stamp)
            .find(|stamp| stamp.is_commitment())
            .map(Stamp::time)
    }

    /// Lowest running sum from the `n`-th entry on; `i64::MAX` past the end.
    #[inline]
    pub fn lowest_of(&self, n: usize) -> i64 {
        self.hot.get(n).map_or(i64::MAX, |hot| hot.lowest)
    }

    /// Running sum over the whole chunk.
    pub fn sum(&self) -> i64 {
        self.cold.iter().map(|cold| cold.quantity).sum()
    }

    pub fn first_time(&self) -> UtcMillis {
        self.hot
            .first()
            .map_or(UtcMillis::MAX, |hot| hot.stamp.time())
    }

    /// Time of the first entry with `base + lowest` (and what follows the chunk, `later`) at least `level`.
    pub fn first_with_suffix(&self, base: i64, later: i64, level: i64) -> Option<UtcMillis> {
        if later < level {
            return None;
        }
        let n = self.hot.partition_point(|hot| base + hot.lowest < level);
        self.hot.get(n).map(|hot| hot.stamp.time())
    }

    fn find(&self, time: UtcMillis, key: EntryKey) -> Result<usize, usize> {
        let stamp = Stamp::new(time, key);
        let mut low = 0;
        let mut high = self.hot.len();
        while low < high {
            let middle = (low + high) / 2;
            // Keys lie apart, and most stamps differ.
            let order = self.hot[middle].stamp.cmp(&stamp);
            match order.then_with(|| self.cold[middle].key.cmp(&key)) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Equal => return Ok(middle),
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        Err(low)
    }

    /// The last entry before `end`.
    pub fn last_before(&self, end: UtcMillis) -> Option<(UtcMillis, EntryKey)> {
        let n = self
            .hot
            .partition_point(|hot| hot.stamp < Stamp::from(end))
            .checked_sub(1)?;
        Some((self.hot[n].stamp.time(), self.cold[n].key))
    }

    /// True when the entry lies before the chunk's last one.
    pub fn ends_after(&self, time: UtcMillis, key: EntryKey) -> bool {
        match (self.hot.last(), self.cold.last()) {
            (Some(hot), Some(cold)) => (hot.stamp, cold.key) >= (Stamp::new(time, key), key),
            _ => false,
        }
    }

    pub fn insert(&mut self, entry: Entry) {
        let at = match self.find(entry.time, entry.key) {
            Ok(at) | Err(at) => at,
        };
        if self.hot.len() == self.hot.capacity() {
            // Doubling would waste half of the memory of ten million short timelines.
            let more = (self.hot.len() / 2).clamp(2, 64);
            self.hot.reserve_exact(more);
            self.cold.reserve_exact(more);
        }
        self.hot.insert(
            at,
            Hot {
                stamp: Stamp::new(entry.time, entry.key),
                lowest: 0,
            },
        );
        self.cold.insert(
            at,
            Cold {
                quantity: entry.quantity,
                key: entry.key,
            },
        );
        self.refresh();
    }

    pub fn remove(&mut self, time: UtcMillis, key: EntryKey) -> bool {
        let Ok(at) = self.find(time, key) else {
            return false;
        };
        self.hot.remove(at);
        self.cold.remove(at);
        self.refresh();
        true
    }

    pub fn set_quantity(&mut self, time: UtcMillis, key: EntryKey, quantity: i64) -> bool {
        let Ok(at) = self.find(time, key) else {
            return false;
        };
        self.cold[at].quantity = quantity;
        self.refresh();
        true
    }

    /// Makes room for so many entries, exactly.
    pub fn reserve(&mut self, more: usize) {
        self.hot.reserve_exact(more);
        self.cold.reserve_exact(more);
    }

    /// Asks for the memory where the next entry goes.
    pub fn prefetch_end(&self) {
        prefetch::line(self.hot.as_ptr_range().end);
        prefetch::line(self.cold.as_ptr_range().end);
    }

    /// Adds an entry out of order: [`Chunk::take_sorted`] and [`Chunk::extend_sorted`] must follow.
    pub fn push(&mut self, entry: Entry) {
        self.hot.push(Hot {
            stamp: Stamp::new(entry.time, entry.key),
            lowest: 0,
        });
        self.cold.push(Cold {
            quantity: entry.quantity,
            key: entry.key,
        });
    }

    /// Takes all entries out, in order, and keeps the room they had.
    pub fn take_sorted(&mut self, entries: &mut Vec<Entry>) {
        entries.clear();
        entries.extend(self.iter());
        entries.sort_unstable_by_key(|entry| (entry.time, entry.key));
        self.hot.clear();
        self.cold.clear();
    }

    /// Adds entries that come after all that are there, in order.
    pub fn extend_sorted(&mut self, entries: &[Entry]) {
        for entry in entries {
            self.push(*entry);
        }
        self.refresh();
    }

    /// Works the suffix minimum out anew. A chunk is short: this is cheaper than anything cleverer.
    fn refresh(&mut self) {
        let mut sum = 0;
        for (hot, cold) in self.hot.iter_mut().zip(&self.cold) {
            sum += cold.quantity;
            hot.lowest = sum;
        }
        let mut lowest = i64::MAX;
        for hot in self.hot.iter_mut().rev() {
            lowest = lowest.min(hot.lowest);
            hot.lowest = lowest;
        }
    }

    /// Splits the later half off.
    pub fn split(&mut self) -> Self {
        let at = self.hot.len() / 2;
        let mut later = Self {
            hot: self.hot.split_off(at),
            cold: self.cold.split_off(at),
        };
        later.refresh();
        self.refresh();
        later
    }

    pub fn iter(&self) -> impl Iterator<Item = Entry> + '_ {
        self.hot.iter().zip(&self.cold).map(|(hot, cold)| Entry {
            time: hot.stamp.time(),
            key: cold.key,
            quantity: cold.quantity,
        })
    }
}
