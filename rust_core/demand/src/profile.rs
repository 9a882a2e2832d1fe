//! How a day's demand spreads over its hours, learned from days that are over.
//!
//! Four kinds of sums of units by hour: of everything, of each weekday, of each location, of each item. Older days weigh
//! less. The share of hour h for a location L, an item I and a weekday W is in proportion to
//! `l(h) · i(h)/a(h) · w(h)/a(h)`, where a is the spread of everything and l, i, w are those of L, I, W, each drawn
//! towards a as far as its sum is small.

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use crate::limits::{HOURS, PROFILED_ITEMS_MAX};

/// What a day keeps of its weight when the next one is learned.
const KEPT_A_DAY: f64 = 0.98;
/// The same for a weekday, from week to week.
const KEPT_A_WEEK: f64 = 0.9;
/// How much the spread of everything counts against a location's own, in units times dispersion.
const PLACE_PRIOR: f64 = 300.0;
/// The same for an item.
const ITEM_PRIOR: f64 = 75.0;
/// The same for a weekday.
const WEEKDAY_PRIOR: f64 = 100.0;
/// Least share that an hour can have of everything.
const SHARE_MIN: f64 = 1e-9;

/// Sums or shares by hour.
pub type Hours = [f64; HOURS];

/// What has been learned.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Profile {
    all: Hours,
    weekdays: [Hours; 7],
    places: Vec<Hours>,
    items: HashMap<u32, Hours, foldhash::fast::FixedState>,
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            all: [1.0 / HOURS as f64; HOURS],
            weekdays: [[0.0; HOURS]; 7],
            places: Vec::new(),
            items: HashMap::default(),
        }
    }
}

/// Units sold in one day by hour, of positions that were in stock all day.
#[derive(Default)]
pub struct Lesson {
    all: [i64; HOURS],
    places: HashMap<u32, [i64; HOURS], foldhash::fast::FixedState>,
    items: HashMap<u32, [i64; HOURS], foldhash::fast::FixedState>,
}

impl Lesson {
    /// Adds units of a position. Whole units, so that no result depends on the order.
    pub fn add(&mut self, item: u32, place: u32, hour: usize, units: i64) {
        self.all[hour] += units;
        self.places.entry(place).or_default()[hour] += units;
        self.items.entry(item).or_default()[hour] += units;
    }
}

fn add(sums: &mut Hours, units: &[i64; HOURS]) {
    for (sum, units) in sums.iter_mut().zip(units) {
        *sum += units.max(&0).unsigned_abs() as f64;
    }
}

fn fade(sums: &mut Hours, kept: f64) {
    for sum in sums {
        *sum *= kept;
    }
}

/// Shares of own sums that are drawn towards others.
fn drawn(own: &Hours, towards: &Hours, strength: f64) -> Hours {
    let total: f64 = own.iter().sum::<f64>() + strength;
    std::array::from_fn(|hour| (own[hour] + strength * towards[hour]) / total)
}

impl Profile {
    /// Learns a day.
    pub fn learn(&mut self, day: i32, lesson: &Lesson) {
        fade(&mut self.all, KEPT_A_DAY);
        add(&mut self.all, &lesson.all);
        let weekday = &mut self.weekdays[weekday(day)];
        fade(weekday, KEPT_A_WEEK);
        add(weekday, &lesson.all);
        for sums in &mut self.places {
            fade(sums, KEPT_A_DAY);
        }
        for sums in self.items.values_mut() {
            fade(sums, KEPT_A_DAY);
        }
        for (place, units) in &lesson.places {
            let place = *place as usize;
            if place >= self.places.len() {
                self.places.resize(place + 1, [0.0; HOURS]);
            }
            add(&mut self.places[place], units);
        }
        let mut items: Vec<_> = lesson.items.iter().collect();
        items.sort_unstable_by_key(|(item, _)| **item);
        for (item, units) in items {
            if self.items.len() < PROFILED_ITEMS_MAX || self.items.contains_key(item) {
                add(self.items.entry(*item).or_insert([0.0; HOURS]), units);
            }
        }
    }

    /// Shares of a day for all that is asked of one weekday, at a dispersion (variance over mean) of demand.
    pub fn of_day(&self, day: i32, dispersion: f64) -> Shares<'_> {
        let total: f64 = self.all.iter().sum();
        let all: Hours = std::array::from_fn(|hour| (self.all[hour] / total).max(SHARE_MIN));
        let weekday = drawn(
            &self.weekdays[weekday(day)],
            &all,
            WEEKDAY_PRIOR * dispersion,
        );
        Shares {
            profile: self,
            tilt: std::array::from_fn(|hour| weekday[hour] / all[hour]),
            all,
            dispersion,
        }
    }
}

/// The days of the week, in no named order.
fn weekday(day: i32) -> usize {
    day.rem_euclid(7) as usize
}

/// How the hours of one day share its demand.
pub struct Shares<'a> {
    profile: &'a Profile,
    all: Hours,
    tilt: Hours,
    dispersion: f64,
}

impl Shares<'_> {
    /// The shares at a location, before an item's own way.
    pub fn place(&self, place: u32) -> Hours {
        let none = [0.0; HOURS];
        let own = self.profile.places.get(place as usize).unwrap_or(&none);
        let drawn = drawn(own, &self.all, PLACE_PRIOR * self.dispersion);
        std::array::from_fn(|hour| drawn[hour] * self.tilt[hour])
    }

    /// The shares of an item at a location; they add up to 1.
    pub fn item(&self, place: &Hours, item: u32) -> Hours {
        let mut shares = match self.profile.items.get(&item) {
            None => *place,
            Some(own) => {
                let drawn = drawn(own, &self.all, ITEM_PRIOR * self.dispersion);
                std::array::from_fn(|hour| place[hour] * drawn[hour] / self.all[hour])
            }
        };
        let total: f64 = shares.iter().sum();
        for share in &mut shares {
            *share /= total;
        }
        shares
    }
}
