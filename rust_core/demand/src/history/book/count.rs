//! What each fact changes.

use bespeak_engine::{ItemId, Location, LocationId, PositionId, ReservationId};
use hashbrown::HashMap;

use super::super::fact::Fact;
use super::super::place::Place;
use super::super::row::Row;
use super::{Book, Open, Slot, UNTRACKED};
use crate::limits::{POSITIONS_MAX, RESERVATIONS_MAX};

impl Book {
    /// Counts a fact of the record taken up last.
    pub fn count(&mut self, fact: Fact) {
        match fact {
            Fact::Item(id, name) => set(&mut self.items, id.index(), name),
            Fact::Place(id, location) => self.put_place(id, *location),
            Fact::Position(id, item, location) => self.position(id, item, location),
            Fact::Buffer(id, units) => {
                self.change(self.slot_of(id), |slot| slot.buffer = units);
            }
            Fact::Counted(id, units) => {
                self.change(self.slot_of(id), |slot| slot.on_hand = units);
            }
            Fact::Moved(id, units) => self.change(self.slot_of(id), |slot| {
                slot.on_hand = slot.on_hand.saturating_add(units);
            }),
            Fact::Sale(id, units, at) => self.sell(self.slot_of(id), at.get().min(self.now), units),
            Fact::Held(id, confirmed, lines) => {
                let lines = lines.iter();
                let lines =
                    lines.map(|line| (self.slot_of(line.position), line.quantity.balance()));
                let open = Open {
                    counted_at: confirmed.then_some(self.now),
                    binds: true,
                    lines: lines.collect(),
                };
                if confirmed {
                    self.sell_lines(&open.lines);
                }
                self.keep(id, open);
            }
            Fact::Confirmed(id) => self.confirm(id),
            Fact::Fulfilled(id, line, units) => self.line(id, line, units, true),
            Fact::Released(id, line, units) => self.line(id, line, units, false),
            Fact::Expired(id) => {
                if let Some(mut open) = self.open.remove(&id.0) {
                    self.bind(&open, -1);
                    open.binds = false;
                    self.open.insert(id.0, open);
                }
            }
            Fact::Gone(id) => {
                if let Some(open) = self.open.remove(&id.0) {
                    self.bind(&open, -1);
                }
            }
            Fact::Unmet(item, location, units) => self.miss(item, location, units),
        }
    }

    fn put_place(&mut self, id: LocationId, location: Location) {
        set(&mut self.places, id.index(), Some(Place::new(location)));
    }

    pub(super) fn slot_of(&self, id: PositionId) -> u32 {
        self.positions.get(id.index()).copied().unwrap_or(UNTRACKED)
    }

    pub(super) fn position(&mut self, id: PositionId, item: ItemId, location: LocationId) {
        let slot = self.slot_at(item, location);
        if id.index() >= self.positions.len() {
            self.positions.resize(id.index() + 1, UNTRACKED);
        }
        self.positions[id.index()] = slot;
    }

    /// The slot of an item at a location, new when it is the first that is heard of it.
    fn slot_at(&mut self, item: ItemId, location: LocationId) -> u32 {
        if let Some(slot) = self.index.get(&(item.0, location.0)) {
            return *slot;
        }
        let now = self.now;
        let (Some(Some(place)), true) = (
            self.places.get_mut(location.index()),
            self.slots.len() < POSITIONS_MAX,
        ) else {
            self.untracked += 1;
            return UNTRACKED;
        };
        let first_day = place.day(now).number;
        let slot = self.slots.len() as u32;
        self.slots.push(Slot {
            item: item.0,
            location: location.0,
            first_day,
            on_hand: 0,
            buffer: 0,
            committed: 0,
            out_since: Some(now),
        });
        self.index.insert((item.0, location.0), slot);
        slot
    }

    /// Changes what is available, and notes when that begins or ends a spell without stock.
    pub(super) fn change(&mut self, slot: u32, change: impl FnOnce(&mut Slot)) {
        let now = self.now;
        let Some(place) = self.slots.get_mut(slot as usize) else {
            return;
        };
        change(place);
        match (place.available() > 0, place.out_since) {
            (false, None) => place.out_since = Some(now),
            (true, Some(since)) => {
                place.out_since = None;
                let location = place.location;
                self.add_spell(slot, location, since, now);
            }
            _ => {}
        }
    }

    /// A spell without stock has ended. Days that are over have their part of it already.
    fn add_spell(&mut self, slot: u32, location: u32, since: i64, now: i64) {
        let Some(first) = self.first_open else { return };
        let Some(Some(place)) = self.places.get_mut(location as usize) else {
            return;
        };
        let last = place.day(now);
        let from = place.today(since).max(first);
        for number in from..=last.number {
            let Some(Some(place)) = self.places.get(location as usize) else {
                return;
            };
            let day = place.numbered(number);
            if let Some(row) = self.row_mut(number, slot) {
                row.add_spell(&day, since, now);
            }
        }
    }

    /// The row of a day that is not over; `None` when it is.
    fn row_mut(&mut self, day: i32, slot: u32) -> Option<&mut Row> {
        let at = usize::try_from(day.checked_sub(self.first_open?)?).ok()?;
        // Not later than tomorrow: what is told is of now or before.
        while self.days.len() <= at {
            self.days.push_back(HashMap::default());
        }
        Some(self.days.get_mut(at)?.entry(slot).or_default())
    }

    /// Counts units as sold at an instant, or takes them back.
    fn sell(&mut self, slot: u32, at: i64, units: i64) {
        let Some(location) = self.slots.get(slot as usize).map(|slot| slot.location) else {
            return;
        };
        let Some(Some(place)) = self.places.get_mut(location as usize) else {
            return;
        };
        let day = place.day(at);
        match self.row_mut(day.number, slot) {
            Some(row) => row.sell(day.hour(at), units),
            None => self.told_late.push((day.number, slot, units)),
        }
    }

    fn sell_lines(&mut self, lines: &[(u32, i64)]) {
        for (slot, units) in lines {
            self.sell(*slot, self.now, *units);
        }
    }

    /// Takes the open units of a reservation from what is available, or gives them back.
    fn bind(&mut self, open: &Open, sign: i64) {
        if !open.binds {
            return;
        }
        for (slot, units) in &open.lines {
            self.change(*slot, |place| {
                place.committed = place.committed.saturating_add(sign * units);
            });
        }
    }

    pub(super) fn keep(&mut self, id: ReservationId, open: Open) {
        if self.open.len() >= RESERVATIONS_MAX {
            self.untracked += 1;
            return;
        }
        self.bind(&open, 1);
        self.open.insert(id.0, open);
    }

    fn confirm(&mut self, id: ReservationId) {
        let Some(mut open) = self.open.remove(&id.0) else {
            return;
        };
        if open.counted_at.is_none() {
            open.counted_at = Some(self.now);
            self.sell_lines(&open.lines);
        }
        if !open.binds {
            open.binds = true;
            self.bind(&open, 1);
        }
        self.open.insert(id.0, open);
    }

    /// Units of a line left, or were given back.
    fn line(&mut self, id: ReservationId, line: u32, units: i64, left: bool) {
        let Some(open) = self.open.get_mut(&id.0) else {
            return;
        };
        let (counted_at, binds) = (open.counted_at, open.binds);
        let Some((slot, rest)) = open.lines.get_mut(line as usize) else {
            return;
        };
        *rest -= units;
        let slot = *slot;
        if open.lines.iter().all(|(_, rest)| *rest <= 0) {
            self.open.remove(&id.0);
        }
        if binds {
            self.change(slot, |place| {
                place.committed = place.committed.saturating_sub(units);
            });
        }
        match (counted_at, left) {
            // What leaves without having been confirmed is demand all the same.
            (None, true) => self.sell(slot, self.now, units),
            (Some(at), false) => self.sell(slot, at, -units),
            _ => {}
        }
    }

    fn miss(&mut self, item: ItemId, location: LocationId, units: u64) {
        let slot = self.slot_at(item, location);
        let now = self.now;
        let Some(Some(place)) = self.places.get_mut(location.index()) else {
            return;
        };
        let day = place.day(now).number;
        if slot != UNTRACKED
            && let Some(row) = self.row_mut(day, slot)
        {
            row.unmet = row.unmet.saturating_add(units);
        }
    }
}

fn set<T: Default + Clone>(all: &mut Vec<T>, at: usize, value: T) {
    if at >= all.len() {
        all.resize(at + 1, T::default());
    }
    all[at] = value;
}
