//! The cheapest candidate of every subset of an order's lines, and the cheapest partition into them.

use super::SUBSETS;
use super::vector::{self, Lane};
use crate::model::{EXACT_LINES, LANES, Left, Model, NO, Order};

/// What does not go through the whole-vector pass: candidates that cannot take every subset.
#[derive(Debug, Clone, Copy)]
pub(super) struct Narrow {
    pub candidate: u32,
    /// Units that fit into its window.
    pub room: f64,
    /// Its costs by line.
    pub cost: [f64; EXACT_LINES],
}

/// Tables over subsets of lines, as bits.
#[derive(Debug)]
pub(super) struct Tables {
    sums: Box<[Lane; SUBSETS]>,
    least: Box<[Lane; SUBSETS]>,
    /// Cheapest package of a subset.
    pub best: [f64; SUBSETS],
    /// Cheapest plan of a subset; what it leaves unfilled included.
    pub rest: [f64; SUBSETS],
    /// First package of that plan; 0 leaves the lowest line unfilled.
    cut: [u8; SUBSETS],
    /// The same with at most so many packages, where that matters.
    within: Vec<([f64; SUBSETS], [u8; SUBSETS])>,
    /// Units of a subset.
    pub units: [f64; SUBSETS],
    weight: [f64; SUBSETS],
    pub narrow: Vec<Narrow>,
    /// Of one candidate: cost of each subset.
    single: [f64; SUBSETS],
    /// Of each candidate: cost of one subset.
    column: Vec<f64>,
    /// Nothing is served: better than serving an order that must be complete.
    nothing: bool,
}

impl Default for Tables {
    fn default() -> Self {
        Self {
            sums: Box::new([[0.0; LANES]; SUBSETS]),
            least: Box::new([[0.0; LANES]; SUBSETS]),
            best: [0.0; SUBSETS],
            rest: [0.0; SUBSETS],
            cut: [0; SUBSETS],
            within: Vec::new(),
            units: [0.0; SUBSETS],
            weight: [0.0; SUBSETS],
            narrow: Vec::new(),
            single: [0.0; SUBSETS],
            column: Vec::new(),
            nothing: false,
        }
    }
}

impl Tables {
    /// Fills `best` and `rest`. Takes candidates that cannot take every subset out of `cost`, into `narrow`.
    pub fn fill(
        &mut self,
        cost: &mut [f64],
        package: &[f64],
        model: &Model,
        order: &Order,
        unfilled: &[f64],
        left: &Left,
    ) {
        let lines = order.lines as usize;
        self.set_narrow_apart(cost, model, order, left);
        vector::subsets(
            cost,
            package,
            lines,
            self.sums.as_mut_slice(),
            self.least.as_mut_slice(),
            &mut self.best,
        );
        for at in 0..self.narrow.len() {
            let narrow = self.narrow[at];
            let candidate = order.candidate as usize + narrow.candidate as usize;
            let plain = !order.ranged && !order.repeats;
            self.single[0] = package[narrow.candidate as usize];
            let mut bit = 1;
            for line in 0..lines {
                for subset in bit..2 * bit {
                    let sum = self.single[subset - bit] + narrow.cost[line];
                    self.single[subset] = sum;
                    if sum < self.best[subset]
                        && self.units[subset] <= narrow.room
                        && (plain
                            || (in_range(self.weight[subset], model.range[candidate])
                                && (!order.repeats
                                    || self.cells_take(model, order, &narrow, subset, left))))
                    {
                        self.best[subset] = sum;
                    }
                }
                bit *= 2;
            }
        }
        self.partition(order, unfilled);
    }

    fn measure(&mut self, model: &Model, order: &Order) {
        (self.units[0], self.weight[0]) = (0.0, 0.0);
        for subset in 1..1usize << order.lines {
            let line = order.line as usize + subset.trailing_zeros() as usize;
            let without = subset & (subset - 1);
            self.units[subset] = self.units[without] + model.quantity[line];
            self.weight[subset] = self.weight[without] + model.weight[line];
        }
    }

    fn set_narrow_apart(&mut self, cost: &mut [f64], model: &Model, order: &Order, left: &Left) {
        self.narrow.clear();
        let lines = order.lines as usize;
        let width = order.candidates as usize;
        let all: f64 = model.quantity[order.line_range()].iter().sum();

        let room =
            model.window[order.candidate_range()]
                .iter()
                .fold(f64::INFINITY, |room, &window| {
                    let free = left.free[window as usize];
                    if free < room { free } else { room }
                });
        if room >= all && !order.ranged && !order.repeats {
            return;
        }
        self.measure(model, order);
        for candidate in 0..width {
            let at = order.candidate as usize + candidate;
            let room = left.free[model.window[at] as usize];
            if room >= all && !order.ranged && !order.repeats {
                continue;
            }
            let mut apart = Narrow {
                candidate: candidate as u32,
                room,
                cost: [f64::INFINITY; EXACT_LINES],
            };
            let mut some = false;
            for line in 0..lines {
                let place = &mut cost[line * width + candidate];
                some |= place.is_finite();
                apart.cost[line] = std::mem::replace(place, f64::INFINITY);
            }
            if some {
                self.narrow.push(apart);
            }
        }
    }

    fn cells_take(
        &self,
        model: &Model,
        order: &Order,
        narrow: &Narrow,
        subset: usize,
        left: &Left,
    ) -> bool {
        let slot = |line: usize| model.slot[order.cell(line, narrow.candidate as usize)];
        bits(subset).all(|line| {
            let units: f64 = bits(subset)
                .filter(|&other| slot(other) == slot(line))
                .map(|other| model.quantity[order.line as usize + other])
                .sum();
            units <= left.free[slot(line) as usize]
        })
    }

    fn partition(&mut self, order: &Order, unfilled: &[f64]) {
        let all = ((1usize << order.lines) - 1) as u8;
        let (best, rest, cut) = (&self.best, &mut self.rest, &mut self.cut);
        rest[0] = 0.0;
        // Subsets are bytes: they index tables of 256 without a check.
        for subset in 1..=all {
            let low = subset & subset.wrapping_neg();
            let others = subset ^ low;
            let mut least = f64::INFINITY;
            let mut first = 0;
            if !order.complete {
                let line = subset.trailing_zeros() as usize;
                least = rest[usize::from(others)] + unfilled[line];
            }
            let mut part = others;
            loop {
                let sum = best[usize::from(part | low)] + rest[usize::from(others ^ part)];
                if sum < least {
                    least = sum;
                    first = part | low;
                }
                if part == 0 {
                    break;
                }
                part = (part - 1) & others;
            }
            rest[usize::from(subset)] = least;
            cut[usize::from(subset)] = first;
        }
        self.within.clear();
        if order.packages < order.lines {
            self.partition_within(order, unfilled);
        }
    }

    fn partition_within(&mut self, order: &Order, unfilled: &[f64]) {
        let size = 1usize << order.lines;
        for packages in 0..=order.packages as usize {
            let (mut rest, mut cut) = ([f64::INFINITY; SUBSETS], [0u8; SUBSETS]);
            rest[0] = 0.0;
            for subset in 1..size {
                let low = subset & subset.wrapping_neg();
                let others = subset ^ low;
                let mut least = f64::INFINITY;
                if !order.complete {
                    least = rest[others] + unfilled[subset.trailing_zeros() as usize];
                }
                if let Some(fewer) = packages.checked_sub(1) {
                    let mut part = others;
                    loop {
                        let sum = self.best[part | low] + self.within[fewer].0[others ^ part];
                        if sum < least {
                            least = sum;
                            cut[subset] = (part | low) as u8;
                        }
                        if part == 0 {
                            break;
                        }
                        part = (part - 1) & others;
                    }
                }
                rest[subset] = least;
            }
            self.within.push((rest, cut));
        }
    }

    /// Cost of the cheapest plan.
    pub fn value(&mut self, order: &Order, unfilled: &[f64]) -> f64 {
        let all = (1usize << order.lines) - 1;
        let served = match self.within.last() {
            Some((rest, _)) => rest[all],
            None => self.rest[all],
        };
        let nothing = sum_of(0.0, all, |line| unfilled[line]);
        self.nothing = order.complete && nothing <= served;
        if self.nothing { nothing } else { served }
    }

    /// The cheapest plan, by line.
    pub fn recover(&mut self, cost: &[f64], model: &Model, order: &Order, plan: &mut [u32]) {
        plan.fill(NO);
        if self.nothing {
            return;
        }
        let mut subset = (1usize << order.lines) - 1;
        let mut packages = self.within.len();
        while subset != 0 {
            let first = match packages.checked_sub(1) {
                Some(at) => self.within[at].1[subset],
                None => self.cut[subset],
            } as usize;
            if first == 0 {
                subset &= subset - 1;
                continue;
            }
            let candidate = self.cheapest(cost, model, order, first);
            for line in bits(first) {
                plan[line] = candidate;
            }
            subset ^= first;
            packages = packages.saturating_sub(1);
        }
    }

    /// The candidate that makes `best` of a subset.
    fn cheapest(&mut self, cost: &[f64], model: &Model, order: &Order, subset: usize) -> u32 {
        let wanted = self.best[subset];
        let width = order.candidates as usize;
        let package = &model.package[order.candidate_range()];
        self.column.clear();
        self.column.extend_from_slice(package);
        for line in bits(subset) {
            let row = &cost[line * width..][..width];
            for (sum, cost) in self.column.iter_mut().zip(row) {
                *sum += cost;
            }
        }
        let wide = self.column.iter().position(|&sum| sum == wanted);
        if let Some(at) = wide {
            return at as u32;
        }
        self.narrow
            .iter()
            .find(|narrow| {
                let at = order.candidate as usize + narrow.candidate as usize;
                takes(
                    self.units[subset],
                    self.weight[subset],
                    narrow,
                    model.range[at],
                ) && sum_of(model.package[at], subset, |line| narrow.cost[line]) == wanted
            })
            .map_or(NO, |narrow| narrow.candidate)
    }

    /// Whether a narrow candidate takes a subset, by its window and weight range.
    pub fn takes(&self, model: &Model, order: &Order, narrow: &Narrow, subset: usize) -> bool {
        let at = order.candidate as usize + narrow.candidate as usize;
        takes(
            self.units[subset],
            self.weight[subset],
            narrow,
            model.range[at],
        )
    }
}

fn in_range(weight: f64, range: (f64, f64)) -> bool {
    range.0 <= weight && weight < range.1
}

fn takes(units: f64, weight: f64, narrow: &Narrow, range: (f64, f64)) -> bool {
    units <= narrow.room && in_range(weight, range)
}

/// Lines of a subset.
pub(super) fn bits(subset: usize) -> impl Iterator<Item = usize> {
    let mut left = subset;
    std::iter::from_fn(move || {
        if left == 0 {
            return None;
        }
        let bit = left.trailing_zeros() as usize;
        left &= left - 1;
        Some(bit)
    })
}

/// A package and its lines, from the first line to the last: sums of the same subset are the same to the bit.
pub(super) fn sum_of(package: f64, subset: usize, cost: impl Fn(usize) -> f64) -> f64 {
    bits(subset).fold(package, |sum, line| sum + cost(line))
}
