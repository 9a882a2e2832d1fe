//! All plans of an order below a cost, by walking over partitions of its lines into packages.

use super::subsets::{Tables, bits, sum_of};
use super::{Planner, SUBSETS};
use crate::model::{Left, Model, NO, Order};

/// Steps of one walk at most; what was found until then counts.
const STEPS_MAX: usize = 20_000;

#[derive(Debug, Default)]
pub(super) struct Walk {
    plan: Vec<u32>,
}

struct Step<'a, F> {
    model: &'a Model,
    order: &'a Order,
    unfilled: &'a [f64],
    cost: &'a [f64],
    tables: &'a Tables,
    plan: &'a mut Vec<u32>,
    below: f64,
    steps: usize,
    /// Takes a plan and its cost; returns what the next must be below.
    visit: F,
}

impl<F: FnMut(f64, &[u32]) -> f64> Step<'_, F> {
    fn walk(&mut self, open: usize, spent: f64, packages: u32) {
        if open == 0 {
            self.below = (self.visit)(spent, self.plan);
            return;
        }
        if self.steps == 0 {
            return;
        }
        self.steps -= 1;
        let low = open & open.wrapping_neg();
        let line = open.trailing_zeros() as usize;
        let others = open ^ low;
        if packages > 0 {
            let mut part = others;
            loop {
                let (subset, rest) = (part | low, others ^ part);
                if spent + self.tables.best[subset] + self.tables.rest[rest] < self.below {
                    self.packages(subset, rest, spent, packages);
                }
                if part == 0 {
                    break;
                }
                part = (part - 1) & others;
            }
        }
        let sum = spent + self.unfilled[line];
        if !self.order.complete && sum + self.tables.rest[others] < self.below {
            self.plan[line] = NO;
            self.walk(others, sum, packages);
        }
    }

    fn packages(&mut self, subset: usize, rest: usize, spent: f64, packages: u32) {
        let width = self.order.candidates as usize;
        let start = self.order.candidate as usize;
        let after = self.tables.rest[rest];
        for at in 0..width {
            let sum = sum_of(self.model.package[start + at], subset, |line| {
                self.cost[line * width + at]
            });
            if spent + sum + after < self.below {
                self.place(subset, at as u32, rest, spent + sum, packages);
            }
        }
        for at in 0..self.tables.narrow.len() {
            let narrow = self.tables.narrow[at];
            if !self.tables.takes(self.model, self.order, &narrow, subset) {
                continue;
            }
            let package = self.model.package[start + narrow.candidate as usize];
            let sum = sum_of(package, subset, |line| narrow.cost[line]);
            if spent + sum + after < self.below {
                self.place(subset, narrow.candidate, rest, spent + sum, packages);
            }
        }
    }

    fn place(&mut self, subset: usize, candidate: u32, rest: usize, spent: f64, packages: u32) {
        for line in bits(subset) {
            self.plan[line] = candidate;
        }
        self.walk(rest, spent, packages - 1);
    }
}

impl Planner {
    /// Visits the plans that cost less than `below`, which each visit may lower, of an order that [`Planner::relaxed`]
    /// was just called for. Plans whose packages interfere are left out. An order that must be complete is also
    /// visited with nothing served.
    pub fn visit(
        &mut self,
        model: &Model,
        order: &Order,
        unfilled: &[f64],
        left: &Left,
        below: f64,
        mut visit: impl FnMut(f64, &[u32]) -> f64,
    ) {
        let lines = order.lines as usize;
        debug_assert!(1 << lines <= SUBSETS);
        let mut plan = std::mem::take(&mut self.found.plan);
        plan.clear();
        plan.resize(lines, NO);
        let mut below = below;
        let nothing: f64 = unfilled.iter().sum();
        if order.complete && nothing < below {
            below = visit(nothing, &plan);
        }
        let stands = |plan: &[u32]| stands(model, order, plan, left);
        let mut step = Step {
            model,
            order,
            unfilled,
            cost: &self.cost,
            tables: &self.subsets,
            plan: &mut plan,
            below,
            steps: STEPS_MAX,
            visit: |cost: f64, plan: &[u32]| {
                if stands(plan) {
                    below = visit(cost, plan);
                }
                below
            },
        };
        step.walk((1 << lines) - 1, 0.0, order.packages);
        self.found.plan = plan;
    }

    /// The best plan that stands.
    pub(super) fn settle(
        &mut self,
        model: &Model,
        order: &Order,
        unfilled: &[f64],
        left: &Left,
    ) -> f64 {
        let mut best: f64 = unfilled.iter().sum();
        let mut plan = std::mem::take(&mut self.plan);
        plan.fill(NO);
        self.visit(model, order, unfilled, left, best, |cost, found| {
            best = cost;
            plan.copy_from_slice(found);
            cost
        });
        self.plan = plan;
        best
    }
}

/// Whether the packages of a plan do not interfere.
pub(super) fn stands(model: &Model, order: &Order, plan: &[u32], left: &Left) -> bool {
    if !order.ranged && !order.repeats && apart(model, order, plan, left) {
        return true;
    }
    let start = order.candidate as usize;
    for (line, &candidate) in plan.iter().enumerate() {
        if candidate == NO {
            continue;
        }
        let at = candidate as usize;
        let option = model.option[start + at];
        let slot = model.slot[order.cell(line, at)];
        let window = model.window[start + at];
        let own = model.own[order.line as usize + line];
        let (mut in_cell, mut in_window, mut in_own) = (0.0, 0.0, 0.0);
        let mut in_package = 0.0;
        for (other, &chosen) in plan.iter().enumerate() {
            if chosen == NO {
                continue;
            }
            let quantity = model.quantity[order.line as usize + other];
            let chosen_at = chosen as usize;
            if chosen != candidate && model.option[start + chosen_at] == option {
                return false;
            }
            if chosen == candidate {
                in_package += model.weight[order.line as usize + other];
            }
            if model.slot[order.cell(other, chosen_at)] == slot {
                in_cell += quantity;
            }
            if model.window[start + chosen_at] == window {
                in_window += quantity;
            }
            if model.own[order.line as usize + other] == own {
                in_own += quantity;
            }
        }
        // Two packages of one candidate are one, which may be too heavy for its tariff.
        let (from, below) = model.range[start + at];
        if in_package < from || in_package >= below {
            return false;
        }
        if in_cell > left.free[slot as usize]
            || in_window > left.free[window as usize]
            || in_own > left.free[own as usize]
        {
            return false;
        }
    }
    true
}

/// Whether a glance shows that a plan stands: no line has a limit of its own, and what lines share a window would fit
/// into it with all the others. (A package that is too large for a window may have been cut into two of the same.)
fn apart(model: &Model, order: &Order, plan: &[u32], left: &Left) -> bool {
    let free = model.free();
    let windows = &model.window[order.candidate_range()];
    let all: f64 = model.quantity[order.line_range()].iter().sum();
    (0..plan.len()).all(|line| {
        let at = plan[line];
        if at == NO {
            return true;
        }
        let window = windows[at as usize];
        let shared = |&other: &u32| other != NO && windows[other as usize] == window;
        model.own[order.line as usize + line] == free
            && (left.free[window as usize] >= all || !plan[..line].iter().any(shared))
    })
}
