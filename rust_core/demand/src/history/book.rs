//! Demand as a fold over facts: what is known of each position, the days that can still change, and what late facts
//! change in days that are over.

mod count;

use std::collections::{BTreeMap, VecDeque};

use bespeak_engine::limits::DAY_MS;
use bespeak_engine::{PositionId, ReservationState, State, StockStatus};
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::place::Place;
use super::row::Row;
use super::table::{DayTable, minutes};
use crate::limits::{HISTORY_DAYS, LATE_ROWS_MAX, SEAL_AFTER_MS};
use crate::profile::{Lesson, Profile};

/// One item at one location.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Slot {
    pub item: u32,
    pub location: u32,
    /// The first day of which anything is known.
    pub first_day: i32,
    on_hand: i64,
    buffer: i64,
    committed: i64,
    /// Since when nothing is available.
    pub out_since: Option<i64>,
}

impl Slot {
    fn available(&self) -> i64 {
        self.on_hand
            .saturating_sub(self.buffer)
            .saturating_sub(self.committed)
    }
}

/// A reservation that is not finished.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Open {
    /// When its demand was counted; `None` while it is not.
    counted_at: Option<i64>,
    /// Whether its open units are taken from what is available.
    binds: bool,
    /// Slot, and units still open.
    lines: SmallVec<[(u32, i64); 1]>,
}

/// No slot is kept for it.
const UNTRACKED: u32 = u32::MAX;

#[derive(Clone, Default, Debug, Serialize, Deserialize)]
pub(crate) struct Book {
    revision: u64,
    now: i64,
    items: Vec<Box<str>>,
    places: Vec<Option<Place>>,
    slots: Vec<Slot>,
    #[serde(skip)]
    index: HashMap<(u32, u32), u32, FixedState>,
    /// Slot by position.
    positions: Vec<u32>,
    open: HashMap<u64, Open, FixedState>,
    /// Days that are not over everywhere, the first one first.
    first_open: Option<i32>,
    days: VecDeque<HashMap<u32, Row, FixedState>>,
    late: BTreeMap<(i32, u32), i64>,
    /// Changes that the last record made to days that are over: day, slot, units.
    #[serde(skip)]
    told_late: Vec<(i32, u32, i64)>,
    /// Days before it were not seen whole.
    known_from: i32,
    profile: Profile,
    untracked: u64,
}

fn utc_day(ms: i64) -> i32 {
    i32::try_from(ms.div_euclid(DAY_MS)).unwrap_or(i32::MAX / 2)
}

impl Book {
    /// Starts from a state that is taken as given: of what came before it nothing is known.
    pub fn from_state(state: &State) -> Self {
        let mut book = Self {
            revision: state.revision(),
            now: state.now().get(),
            ..Self::default()
        };
        if state.revision() == 0 {
            return book;
        }
        let catalog = state.catalog();
        book.items = catalog
            .items()
            .iter()
            .map(|item| item.name.clone())
            .collect();
        let locations = catalog.locations().iter();
        book.places = locations.map(|one| Some(Place::new(one.clone()))).collect();
        let today = utc_day(book.now);
        book.first_open = Some(today - 1);
        // In the first zones tomorrow has begun.
        book.known_from = today + 2;
        for (id, position) in state.positions() {
            book.position(id, position.item(), position.location());
            let on_hand = position.on_hand(StockStatus::Unrestricted);
            book.change(book.slot_of(id), |slot| {
                slot.on_hand = on_hand;
                slot.buffer = position.buffer().balance();
            });
        }
        for slot in &mut book.slots {
            slot.first_day = book.known_from;
        }
        for (id, reservation) in state.reservations() {
            let confirmed = reservation.state() == ReservationState::Confirmed;
            let binds = confirmed || reservation.state() == ReservationState::Held;
            let lines = reservation.lines().iter();
            let lines = lines.map(|line| (book.slot_of(line.position), line.open.balance()));
            let open = Open {
                counted_at: confirmed.then(|| reservation.created_at().get()),
                binds,
                lines: lines.collect(),
            };
            book.keep(id, open);
        }
        book
    }

    /// Makes a book read from a checkpoint usable.
    pub fn reindex(&mut self) {
        let rows = self.slots.iter().zip(0u32..);
        self.index = rows
            .map(|(slot, n)| ((slot.item, slot.location), n))
            .collect();
    }

    pub fn revision(&self) -> u64 {
        self.revision
    }

    pub fn now(&self) -> i64 {
        self.now
    }

    pub fn known_from(&self) -> i32 {
        self.known_from
    }

    pub fn first_open(&self) -> Option<i32> {
        self.first_open
    }

    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// The position of each slot; `None` for one that was asked for and never had stock.
    pub fn positions_of_slots(&self) -> Vec<Option<PositionId>> {
        let mut found = vec![None; self.slots.len()];
        for (slot, id) in self.positions.iter().zip(0u32..) {
            if let Some(place) = found.get_mut(*slot as usize) {
                *place = Some(PositionId(id));
            }
        }
        found
    }

    /// The slot of each position; one that is not there for a position that is not followed.
    pub fn slots_of_positions(&self) -> &[u32] {
        &self.positions
    }

    pub fn find(&self, item: u32, location: u32) -> Option<u32> {
        self.index.get(&(item, location)).copied()
    }

    pub fn item_name(&self, item: u32) -> &str {
        self.items.get(item as usize).map_or("", |name| name)
    }

    pub fn place(&self, location: u32) -> Option<&Place> {
        self.places.get(location as usize)?.as_ref()
    }

    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    pub fn untracked(&self) -> u64 {
        self.untracked
    }

    pub fn row(&self, day: i32, slot: u32) -> Option<&Row> {
        let at = usize::try_from(day.checked_sub(self.first_open?)?).ok()?;
        self.days.get(at)?.get(&slot)
    }

    /// Units that are still to be added to the rows of a day that is over, by slot.
    pub fn late(&self, day: i32) -> impl Iterator<Item = (u32, i64)> + '_ {
        let all = self.late.range((day, 0)..=(day, u32::MAX));
        all.map(|((_, slot), units)| (*slot, *units))
    }

    /// Changes that the last record made to days that are over. They count once they are [`Book::keep_late`].
    pub fn take_told_late(&mut self) -> Vec<(i32, u32, i64)> {
        std::mem::take(&mut self.told_late)
    }

    pub fn keep_late(&mut self, day: i32, slot: u32, units: i64) {
        *self.late.entry((day, slot)).or_default() += units;
        if self.late.len() > LATE_ROWS_MAX {
            self.late.pop_first();
        }
    }

    pub fn late_days(&self) -> Vec<i32> {
        let mut days: Vec<i32> = self.late.keys().map(|(day, _)| *day).collect();
        days.dedup();
        days
    }

    pub fn forget_late(&mut self, day: i32) {
        let mut later = self.late.split_off(&(day, 0));
        let mut after = later.split_off(&(day.saturating_add(1), 0));
        self.late.append(&mut after);
    }

    /// Lets a position be known from an earlier day on, which a kept table of that day shows.
    pub fn known_since(&mut self, item: u32, location: u32, day: i32) {
        if let Some(slot) = self.find(item, location)
            && let Some(slot) = self.slots.get_mut(slot as usize)
        {
            slot.first_day = slot.first_day.min(day);
        }
    }

    /// Takes up the next record: days that are over by its time are given out.
    pub fn begin(&mut self, revision: u64, time_ms: i64, over: &mut dyn FnMut(DayTable)) {
        let first = *self.first_open.get_or_insert_with(|| {
            self.known_from = utc_day(time_ms) - 1;
            utc_day(time_ms) - 1
        });
        let mut day = first;
        // After a pause longer than the history nothing of it would be kept.
        let last = utc_day(time_ms - SEAL_AFTER_MS) - 1;
        while day <= last {
            if last - day < HISTORY_DAYS {
                let table = self.seal(day);
                if day >= self.known_from {
                    over(table);
                }
            } else {
                self.days.pop_front();
            }
            day += 1;
            self.first_open = Some(day);
        }
        self.revision = revision;
        self.now = time_ms;
    }

    /// Ends a day that is over everywhere.
    fn seal(&mut self, day: i32) -> DayTable {
        let mut rows = self.days.pop_front().unwrap_or_default();
        let mut table = DayTable {
            day,
            revision: self.revision,
            ..DayTable::default()
        };
        let mut lesson = Lesson::default();
        let bounds: Vec<_> = self
            .places
            .iter()
            .map(|place| place.as_ref().map(|place| place.numbered(day)))
            .collect();
        for (slot, n) in self.slots.iter().zip(0u32..) {
            let (Some(Some(bounds)), true) =
                (bounds.get(slot.location as usize), slot.first_day <= day)
            else {
                continue;
            };
            let mut row = rows.remove(&n).unwrap_or_default();
            if let Some(since) = slot.out_since {
                row.add_spell(bounds, since, bounds.end);
            }
            let out = row.out_ms();
            if out == 0 {
                for (hour, units) in &row.hours {
                    lesson.add(slot.item, slot.location, usize::from(*hour), *units);
                }
            }
            let minutes = minutes(out);
            if row.sold != 0 || row.unmet != 0 || minutes != 0 || slot.first_day == day {
                table.push((slot.item, slot.location), row.sold, row.unmet, minutes);
            }
        }
        self.profile.learn(day, &lesson);
        table
    }
}
