//! The rest of today's demand, from what was expected of the day and what has sold so far.
//!
//! A position was expected to sell m in the day, of which the share e has passed while it was in stock and the share
//! r is still to come; it sold s. How far s differs from m·e is judged in four steps, each a gamma-Poisson posterior
//! mean (κ + sold) / (κ + expected) that stays near 1 while little was to be expected (James and Stein's shrinkage in
//! the form of Clayton and Kaldor 1987, Biometrics 43: a gamma prior of mean 1 and shape κ/φ, and sales of variance
//! φ times their mean):
//!
//! 1. everything together, then the location: hours in which all sell more are another course of the day, and are
//!    divided out;
//! 2. the item over its locations: what carries on for the rest of the day, as a promotion does;
//! 3. the position itself, which carries on too.
//!
//! The rest of the day is m · item · position · r. It varies with [`REST_DISPERSION`] times the dispersion of a day.

use foldhash::fast::FixedState;
use hashbrown::HashMap;

/// Strength of the pace of everything, and of a location, in units of dispersion.
const COMMON_STRENGTH: f64 = 20.0;
/// The same of an item.
const ITEM_STRENGTH: f64 = 15.0;
/// The same of a position.
const OWN_STRENGTH: f64 = 30.0;
/// Variance of the rest of a day over its mean, as a multiple of a whole day's.
pub const REST_DISPERSION: f64 = 1.25;

/// A position in the course of a day.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Pace {
    /// Its item.
    pub item: u32,
    /// Its location.
    pub location: u32,
    /// Demand expected of the day, units.
    pub mean: f64,
    /// Variance of a day's demand over its mean.
    pub dispersion: f64,
    /// Share of the day's demand that has passed while it was in stock.
    pub elapsed: f64,
    /// Share that is still to come.
    pub rest: f64,
    /// Units sold so far.
    pub sold: f64,
}

#[derive(Clone, Copy, Default)]
struct Sum {
    sold: f64,
    expected: f64,
}

impl Sum {
    fn add(&mut self, sold: f64, expected: f64) {
        self.sold += sold;
        self.expected += expected;
    }

    fn pace(self, strength: f64) -> f64 {
        (strength + self.sold) / (strength + self.expected)
    }
}

/// What all positions together say of the day.
#[derive(Default)]
pub struct Course {
    dispersion: f64,
    all: f64,
    locations: HashMap<u32, f64, FixedState>,
    items: HashMap<u32, f64, FixedState>,
}

impl Course {
    /// Judges the day by all positions.
    #[must_use]
    pub fn of(paces: &[Pace]) -> Self {
        let dispersion = dispersion(paces.iter().map(|pace| (pace.mean, pace.dispersion)));
        let mut all = Sum::default();
        for pace in paces {
            all.add(pace.sold, pace.mean * pace.elapsed);
        }
        let common = COMMON_STRENGTH * dispersion;
        let mut course = Self {
            dispersion,
            all: all.pace(common),
            ..Self::default()
        };
        let mut sums: HashMap<u32, Sum, FixedState> = HashMap::default();
        for pace in paces {
            let expected = pace.mean * pace.elapsed * course.all;
            let sum = sums.entry(pace.location).or_default();
            sum.add(pace.sold, expected);
        }
        course.locations = sums
            .drain()
            .map(|(id, sum)| (id, sum.pace(common)))
            .collect();
        for pace in paces {
            let expected = pace.mean * pace.elapsed * course.hours(pace.location);
            sums.entry(pace.item).or_default().add(pace.sold, expected);
        }
        let strength = ITEM_STRENGTH * dispersion;
        course.items = sums
            .drain()
            .map(|(id, sum)| (id, sum.pace(strength)))
            .collect();
        course
    }

    /// How much more than expected the hours so far brought at a location, for reasons of all items.
    fn hours(&self, location: u32) -> f64 {
        self.all * self.locations.get(&location).copied().unwrap_or(1.0)
    }

    /// Mean demand of the rest of the day, units.
    #[must_use]
    pub fn rest(&self, pace: &Pace) -> f64 {
        let item = self.items.get(&pace.item).copied().unwrap_or(1.0);
        let expected = pace.mean * pace.elapsed * self.hours(pace.location) * item;
        let strength = OWN_STRENGTH * pace.dispersion;
        let own = (strength + pace.sold) / (strength + expected);
        pace.mean * item * own * pace.rest
    }

    /// Dispersion of all positions together.
    #[must_use]
    pub fn dispersion(&self) -> f64 {
        self.dispersion
    }
}

/// Dispersion of many positions, each weighing as much as is expected of it; 1 where nothing is.
pub fn dispersion(of: impl Iterator<Item = (f64, f64)>) -> f64 {
    let mut sums = (0.0, 0.0);
    for (mean, dispersion) in of {
        sums = (sums.0 + mean * dispersion, sums.1 + mean);
    }
    if sums.1 > 0.0 { sums.0 / sums.1 } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(item: u32, mean: f64, sold: f64) -> Pace {
        Pace {
            item,
            location: 0,
            mean,
            dispersion: 1.0,
            elapsed: 0.4,
            rest: 0.6,
            sold,
        }
    }

    #[test]
    fn a_day_that_goes_as_expected_goes_on_so() {
        let paces = [pace(0, 10.0, 4.0), pace(1, 100.0, 40.0)];
        let course = Course::of(&paces);
        for pace in &paces {
            assert!((course.rest(pace) - 0.6 * pace.mean).abs() < 1e-9);
        }
    }

    #[test]
    fn what_sells_more_than_others_is_expected_to_go_on() {
        let mut paces: Vec<Pace> = (0..50).map(|item| pace(item, 100.0, 40.0)).collect();
        paces[0].sold = 80.0;
        let course = Course::of(&paces);
        let (fast, slow) = (course.rest(&paces[0]), course.rest(&paces[1]));
        assert!(fast > 75.0 && fast < 120.0, "{fast}");
        assert!((slow - 60.0).abs() < 2.0, "{slow}");
    }

    #[test]
    fn one_sale_of_little_says_little() {
        let paces: Vec<Pace> = (0..50)
            .map(|item| pace(item, 0.1, if item == 0 { 1.0 } else { 0.0 }))
            .collect();
        let course = Course::of(&paces);
        let rest = course.rest(&paces[0]);
        assert!(rest < 0.1 * 0.6 * 1.2, "{rest}");
    }

    #[test]
    fn without_anything_to_go_on_there_is_nothing() {
        let course = Course::of(&[]);
        assert_eq!(course.rest(&pace(3, 0.0, 5.0)), 0.0);
        assert_eq!(course.dispersion(), 1.0);
    }
}
