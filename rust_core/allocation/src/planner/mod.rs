//! The best plan of one order, given what each line costs on each candidate and what is left.
//!
//! Up to [`EXACT_LINES`] lines a plan is exact: the cheapest candidate of every subset of lines, then the cheapest
//! partition of the lines into packages. Where packages of a plan interfere (they share what is left of a limit, or
//! are two weight ranges of one option), a search over partitions with the partition's cost as its bound finds the best one
//! that stands. Orders of more lines are planned by opening and closing packages.

mod enumerate;
mod many;
mod subsets;
mod vector;

use crate::model::{EXACT_LINES, Left, Model, NO, Order};

/// Subsets of the lines of an order that is planned exactly.
const SUBSETS: usize = 1 << EXACT_LINES;

/// A planner with its scratch space; plans one order at a time.
#[derive(Debug, Default)]
pub(crate) struct Planner {
    /// Lines × candidates: what a line costs on a candidate; infinite where it cannot be.
    pub cost: Vec<f64>,
    /// The plan of the last order: candidate by line.
    pub plan: Vec<u32>,
    /// No plan of the last order costs less; the plan itself may where it is not exact.
    pub bound: f64,
    package: Vec<f64>,
    subsets: subsets::Tables,
    found: enumerate::Walk,
    many: many::Scratch,
}

impl Planner {
    /// Calls `fill` with each line's number, costs and limits, and where its costs go.
    fn each_line(
        &mut self,
        model: &Model,
        order: &Order,
        mut fill: impl FnMut(usize, vector::Row<'_>, &mut [f64]),
    ) {
        let width = order.candidates as usize;
        let range = order.matrix_range();
        self.cost.resize(range.len(), 0.0);
        let window = &model.window[order.candidate_range()];
        for line in 0..order.lines as usize {
            let start = range.start + line * width;
            let row = vector::Row {
                cost: &model.cost[start..start + width],
                slot: &model.slot[start..start + width],
                window,
            };
            let out = &mut self.cost[line * width..][..width];
            fill(order.line as usize + line, row, out);
        }
    }

    /// Sets the costs to those of the model plus what the limits ask. `asked` are prefix sums by [`Model::prefix`].
    pub fn price(&mut self, model: &Model, order: &Order, asked: &[f64]) {
        self.each_line(model, order, |line, row, out| {
            let own = asked[model.own[line] as usize];
            vector::price(row, model.quantity[line], own, asked, out);
        });
    }

    /// Sets the costs to those of the model plus what the limits ask, where a line fits into what is left.
    pub fn fit(&mut self, model: &Model, order: &Order, left: &Left, asked: &[f64]) {
        let free = left.free.as_slice();
        self.each_line(model, order, |line, row, out| {
            let own = model.own[line] as usize;
            if model.quantity[line] > free[own] {
                out.fill(f64::INFINITY);
            } else {
                vector::fit(row, model.quantity[line], free, asked, asked[own], out);
            }
        });
    }

    /// Sets the costs to those of the model; where a line does not fit into what is left it pays what the limits ask, for
    /// whoever has to give way.
    pub fn fit_or_pay(&mut self, model: &Model, order: &Order, left: &Left, asked: &[f64]) {
        let free = left.free.as_slice();
        self.each_line(model, order, |line, row, out| {
            let own = model.own[line] as usize;
            let pays = if model.quantity[line] <= free[own] {
                0.0
            } else {
                asked[own]
            };
            vector::pay(row, model.quantity[line], free, asked, pays, out);
        });
    }

    /// Plans an order at the costs that are set; `unfilled` by line of the order. Returns what the plan costs; the plan
    /// is in `plan`. It fits into what is left as a whole, where its lines do one by one.
    pub fn solve(&mut self, model: &Model, order: &Order, unfilled: &[f64], left: &Left) -> f64 {
        let lines = order.lines as usize;
        self.plan.clear();
        self.plan.resize(lines, NO);
        let value = match lines {
            0 => 0.0,
            1 if !order.ranged => self.single(model, order, unfilled[0]),
            _ if lines <= EXACT_LINES => self.exact(model, order, unfilled, left),
            _ => {
                let value = self.many(model, order, unfilled, left);
                self.bound = f64::NEG_INFINITY;
                return value;
            }
        };
        self.bound = value;
        if lines > 1 && !enumerate::stands(model, order, &self.plan, left) {
            return self.settle(model, order, unfilled, left);
        }
        value
    }

    /// Sets the costs to whole parts of a minor unit, prices included; `asked` are whole parts. What pays more than any
    /// order costs is left out: leaving it unfilled is better.
    pub fn scaled(&mut self, model: &Model, order: &Order, asked: &[f64], parts: f64, most: f64) {
        self.cost.clear();
        let width = order.candidates as usize;
        let windows = &model.window[order.candidate_range()];
        for line in 0..order.lines as usize {
            let at = order.line as usize + line;
            let start = order.matrix as usize + line * width;
            for candidate in 0..width {
                let slot = model.slot[start + candidate] as usize;
                let pays = model.quantity[at]
                    * (asked[slot]
                        + asked[windows[candidate] as usize]
                        + asked[model.own[at] as usize]);
                self.cost.push(if pays > most {
                    f64::INFINITY
                } else {
                    model.cost[start + candidate] * parts + pays
                });
            }
        }
    }

    /// Lower bound of an order's plan at the costs that are set, packages counted `share` times and rounded down.
    pub fn least(
        &mut self,
        model: &Model,
        order: &Order,
        unfilled: &[f64],
        left: &Left,
        share: f64,
    ) -> f64 {
        if order.lines == 0 {
            return 0.0;
        }
        self.package.clear();
        self.package.extend(
            model.package[order.candidate_range()]
                .iter()
                .map(|cost| (cost * share).floor()),
        );
        self.subsets
            .fill(&mut self.cost, &self.package, model, order, unfilled, left);
        self.subsets.value(order, unfilled)
    }

    /// For each candidate, what the best plan that has a package of it costs more than the best plan, at the costs that
    /// are set. Only for orders that are planned exactly.
    pub fn regrets(
        &mut self,
        model: &Model,
        order: &Order,
        unfilled: &[f64],
        left: &Left,
        out: &mut Vec<(f64, u32)>,
    ) {
        let value = self.relaxed(model, order, unfilled, left);
        let width = order.candidates as usize;
        let all = (1usize << order.lines) - 1;
        out.clear();
        for candidate in 0..width {
            let package = model.package[order.candidate as usize + candidate];
            let mut least = f64::INFINITY;
            for subset in 1..=all {
                let sum =
                    subsets::sum_of(package, subset, |line| self.cost[line * width + candidate]);
                least = least.min(sum + self.subsets.rest[all ^ subset]);
            }
            out.push((least - value, candidate as u32));
        }
        for narrow in &self.subsets.narrow {
            let package = model.package[(order.candidate + narrow.candidate) as usize];
            let mut least = f64::INFINITY;
            for subset in 1..=all {
                let sum = subsets::sum_of(package, subset, |line| narrow.cost[line]);
                least = least.min(sum + self.subsets.rest[all ^ subset]);
            }
            out[narrow.candidate as usize].0 = least - value;
        }
    }

    fn single(&mut self, model: &Model, order: &Order, unfilled: f64) -> f64 {
        let package = &model.package[order.candidate_range()];
        let least = vector::single(&self.cost, package);
        if least >= unfilled {
            return unfilled;
        }
        let found = self
            .cost
            .iter()
            .zip(package)
            .position(|(cost, package)| cost + package == least);
        self.plan[0] = found.map_or(NO, |at| at as u32);
        least
    }

    /// The cheapest plan where its packages do not interfere.
    fn exact(&mut self, model: &Model, order: &Order, unfilled: &[f64], left: &Left) -> f64 {
        let value = self.relaxed(model, order, unfilled, left);
        self.subsets
            .recover(&self.cost, model, order, &mut self.plan);
        value
    }

    /// Least cost of an order where its packages do not interfere: a lower bound of its plan. Only for orders that are
    /// planned exactly.
    pub fn relaxed(&mut self, model: &Model, order: &Order, unfilled: &[f64], left: &Left) -> f64 {
        let package = &model.package[order.candidate_range()];
        self.subsets
            .fill(&mut self.cost, package, model, order, unfilled, left);
        self.subsets.value(order, unfilled)
    }
}
