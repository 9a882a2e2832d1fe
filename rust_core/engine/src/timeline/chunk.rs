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
    /// Running sum up to this entry and with it: a change reaches only the entries behind it, however many lie before.
    sum: i64,
    key: EntryKey,
}

/// No suffix minimum: that of an entry whose own was not worked out yet.
const UNKNOWN: i64 = i64::MIN;

/// Room for so many more entries is kept however few there are; beyond it, for half as many as there are.
const SPARE_KEPT: usize = 6;
/// Room for more entries after the rest was given back.
const SPARE: usize = 2;

/// A copy with little room to spare. Shrinking in place would leave the allocator's block as large as it was.
fn with_spare<T: Copy>(values: &[T]) -> Vec<T> {
    let mut copy = Vec::with_capacity(values.len() + SPARE);
    copy.extend_from_slice(values);
    copy
}

/// `hot` lies first: it shares a cache line with what a check reads of the position.
#[derive(Clone, Debug, Default)]
#[repr(C)]
pub(crate) struct Chunk {
    hot: Vec<Hot>,
    cold: Vec<Cold>,
}

impl Chunk {
    #[inline]
    pub fn len(&self) -> usize {
        self.hot.len()
    }

    /// Entries at or before `t`.
    #[inline(always)]
    pub fn count_until(&self, t: UtcMillis) -> usize {
        let last = Stamp::until(t);
        // The steps of the search wait for each other, but not for memory one after the other; and they do not branch,
        // so that the processor runs on to what comes after them.
        prefetch::four_lines(self.hot.as_ptr());
        let mut first = 0;
        let mut size = self.hot.len();
        if size == 0 {
            return 0;
        }
        while size > 1 {
            let half = size / 2;
            let middle = first + half;
            let later = self.hot[middle].stamp <= last;
            first = std::hint::select_unpredictable(later, middle, first);
            size -= half;
        }
        first + usize::from(self.hot[first].stamp <= last)
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
    #[inline(always)]
    pub fn look(&self, t: UtcMillis, level: i64) -> Look {
        let n = self.count_until(t);
        let lowest = match n {
            0 => self.hot.first().map_or(0, |hot| hot.lowest.min(0)),
            n => self.hot[n - 1].lowest,
        };
        // Most often the quantity can be had at once, and nothing else has to be looked for.
        let earliest = if lowest >= level {
            Some(t)
        } else {
            self.first_from(n, level)
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

    /// Time of the first entry from the `n`-th on from which the running sum never falls below `level`.
    #[inline(never)]
    fn first_from(&self, n: usize, level: i64) -> Option<UtcMillis> {
        let rest = &self.hot[n..];
        let below = rest.partition_point(|hot| hot.lowest < level);
        rest.get(below).map(|hot| hot.stamp.time())
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
    #[inline(never)]
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
        self.before(self.cold.len())
    }

    /// Running sum before the `at`-th entry.
    #[inline]
    fn before(&self, at: usize) -> i64 {
        at.checked_sub(1).map_or(0, |last| self.cold[last].sum)
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
        let before = self.before(at);
        let stamp = Stamp::new(entry.time, entry.key);
        self.hot.insert(at, Hot { stamp, lowest: 0 });
        let (sum, key) = (before, entry.key);
        self.cold.insert(at, Cold { sum, key });
        self.shift(at, entry.quantity);
        self.hot[at].lowest = self.lowest_of(at + 1).min(self.cold[at].sum);
        self.refresh(at);
    }

    pub fn remove(&mut self, time: UtcMillis, key: EntryKey) -> bool {
        let Ok(at) = self.find(time, key) else {
            return false;
        };
        let quantity = self.cold[at].sum - self.before(at);
        self.hot.remove(at);
        self.cold.remove(at);
        self.shift(at, -quantity);
        self.refresh(at);
        self.give_back();
        true
    }

    /// Gives back the room of a rush that is over. Otherwise each position would keep that of its busiest moment ever,
    /// and a server's memory would grow until all have had theirs.
    fn give_back(&mut self) {
        let len = self.hot.len();
        // Well apart from what an insertion adds: what comes and goes at the edge is not moved each time.
        if self.hot.capacity() > len + (len / 2).max(SPARE_KEPT) {
            self.hot = with_spare(&self.hot);
            self.cold = with_spare(&self.cold);
        }
    }

    pub fn set_quantity(&mut self, time: UtcMillis, key: EntryKey, quantity: i64) -> bool {
        let Ok(at) = self.find(time, key) else {
            return false;
        };
        let old = self.cold[at].sum - self.before(at);
        self.shift(at, quantity - old);
        self.refresh(at);
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

    /// Adds an entry out of order: [`Chunk::take_sorted`] and [`Chunk::extend_sorted`] must follow. Until then the
    /// place of the running sum holds the quantity.
    pub fn push(&mut self, entry: Entry) {
        self.hot.push(Hot {
            stamp: Stamp::new(entry.time, entry.key),
            lowest: UNKNOWN,
        });
        self.cold.push(Cold {
            sum: entry.quantity,
            key: entry.key,
        });
    }

    /// Takes all entries out, in order, and keeps the room they had.
    pub fn take_sorted(&mut self, entries: &mut Vec<Entry>) {
        entries.clear();
        let pushed = self.hot.iter().zip(&self.cold);
        entries.extend(pushed.map(|(hot, cold)| Entry {
            time: hot.stamp.time(),
            key: cold.key,
            quantity: cold.sum,
        }));
        entries.sort_unstable_by_key(|entry| (entry.time, entry.key));
        self.hot.clear();
        self.cold.clear();
    }

    /// Adds entries that come after all that are there, in order.
    pub fn extend_sorted(&mut self, entries: &[Entry]) {
        let mut sum = self.sum();
        for entry in entries {
            sum += entry.quantity;
            self.push(Entry {
                quantity: sum,
                ..*entry
            });
        }
        self.refresh(self.hot.len());
    }

    /// Adds to the running sums of the `at`-th entry and all behind it.
    fn shift(&mut self, at: usize, by: i64) {
        for (hot, cold) in self.hot[at..].iter_mut().zip(&mut self.cold[at..]) {
            hot.lowest += by;
            cold.sum += by;
        }
    }

    /// Carries the suffix minimum on to the entries before the `at`-th, as far as it changes there.
    fn refresh(&mut self, at: usize) {
        let mut lowest = self.lowest_of(at);
        for (hot, cold) in self.hot[..at].iter_mut().zip(&self.cold[..at]).rev() {
            lowest = lowest.min(cold.sum);
            if hot.lowest == lowest {
                break;
            }
            hot.lowest = lowest;
        }
    }

    /// Entries for which there is room.
    #[cfg(test)]
    pub fn room(&self) -> usize {
        self.hot.capacity().max(self.cold.capacity())
    }

    /// Splits the later half off.
    pub fn split(&mut self) -> Self {
        let at = self.hot.len() / 2;
        let mut later = Self {
            hot: self.hot.split_off(at),
            cold: self.cold.split_off(at),
        };
        later.shift(0, -self.sum());
        self.refresh(at);
        later
    }

    pub fn iter(&self) -> impl Iterator<Item = Entry> + '_ {
        let entries = self.hot.iter().zip(&self.cold);
        entries.scan(0, |before, (hot, cold)| {
            let quantity = cold.sum - *before;
            *before = cold.sum;
            Some(Entry {
                time: hot.stamp.time(),
                key: cold.key,
                quantity,
            })
        })
    }
}
