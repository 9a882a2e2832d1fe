//! The anytime search: prices, plans built at them, then exchange until the time is up.
//!
//! Every step ends in a feasible plan, and the best so far is what is returned whenever the budget ends.

mod build;
mod cascade;
mod improve;
mod orders;
mod policy;
mod random;
mod ruin;
mod state;

use std::time::{Duration, Instant};

use crate::greedy::nearest;
use crate::model::{Left, Model, NO};
use crate::problem::{Problem, choice};
use crate::solution::{Budget, Solution, Terms};

/// Time that the rule engine's plan gets whatever the budget: most take far less, and are made whole.
const FIRST_LEAST: Duration = Duration::from_secs(1);
/// Improvements by a smaller share are not noted; the last cost always is.
const NOTED: f64 = 1e-5;

impl Problem {
    /// Plans within the budget: always feasible, never dearer than [`Problem::greedy`] by what the policy counts, where that is
    /// made within a second.
    pub fn search(&self, terms: &Terms, budget: &Budget<'_>) -> Solution {
        let begun = Instant::now();
        let model = &self.model;
        let mut left = Left::new(model);
        let first = nearest(model, &mut left, || {
            begun.elapsed() > FIRST_LEAST && budget.spent()
        });
        let mut search = Search {
            problem: self,
            terms,
            budget,
            begun,
            trace: vec![(begun.elapsed(), model.total(&first) as i64)],
            bound: 0.0,
        };
        let found = search.by_policy(first);
        let cost = model.total(&found.plan) as i64;
        if search.trace.last().is_none_or(|last| last.1 != cost) {
            search.trace.push((begun.elapsed(), cost));
        }
        let bound = search.bound.clamp(0.0, 9e18) as i64;
        debug_assert!(bound <= cost, "a bound of {bound} above a cost of {cost}");
        let mut prices = found.prices;
        prices.truncate(self.rows().len());
        prices.resize(self.rows().len(), 0.0);
        Solution {
            choice: choice(model, &found.plan),
            cost,
            bound,
            prices,
            trace: search.trace,
        }
    }
}

/// A search that is going on.
#[derive(Debug)]
struct Search<'a> {
    problem: &'a Problem,
    terms: &'a Terms,
    budget: &'a Budget<'a>,
    begun: Instant,
    trace: Vec<(Duration, i64)>,
    /// A lower bound of the cost, from floating point with a margin for its rounding.
    bound: f64,
}

impl Search<'_> {
    /// Notes what the best plan costs now, where that is worth a note.
    fn note(&mut self, cost: f64) {
        let last = self
            .trace
            .last()
            .map_or(f64::INFINITY, |last| last.1 as f64);
        if cost < last * (1.0 - NOTED) {
            self.trace.push((self.begun.elapsed(), cost as i64));
        }
    }

    /// The plan that the terms start from, where it is feasible.
    fn start(&self, model: &Model) -> Option<Vec<u32>> {
        let choice = self.terms.start.as_ref()?;
        if choice.len() != model.lines() {
            return None;
        }
        let mut plan = vec![NO; model.lines()];
        let mut left = Left::new(model);
        for (number, order) in model.orders.iter().enumerate() {
            let range = order.line_range();
            let of_order = &mut plan[range.clone()];
            self.problem
                .plan_of(number as u32, &choice[range], of_order);
            let served = of_order.iter().filter(|&&at| at != NO).count();
            let packages = (0..of_order.len())
                .filter(|&line| of_order[line] != NO && !of_order[..line].contains(&of_order[line]))
                .count();
            if (order.complete && served < of_order.len()) || packages > order.packages as usize {
                of_order.fill(NO);
            }
            left.take_plan(model, order, of_order);
        }
        left.feasible().then_some(plan)
    }

    /// How often each line is on each candidate in the fractional plans of the terms.
    fn bias(&self, model: &Model) -> Option<Vec<f64>> {
        let bias = self.terms.bias.as_ref()?;
        let mut share = vec![0.0; model.cost.len()];
        for (number, choice, weight) in bias {
            let Some(order) = model.orders.get(*number as usize) else {
                continue;
            };
            if choice.len() != order.lines as usize {
                continue;
            }
            let mut plan = vec![NO; choice.len()];
            self.problem.plan_of(*number, choice, &mut plan);
            for (line, &candidate) in plan.iter().enumerate() {
                if candidate != NO {
                    share[order.cell(line, candidate as usize)] += weight.clamp(0.0, 1.0);
                }
            }
        }
        Some(share)
    }
}

/// The better of two plans by what the model counts.
fn better(model: &Model, one: Vec<u32>, other: Vec<u32>) -> Vec<u32> {
    if model.total(&other) < model.total(&one) {
        other
    } else {
        one
    }
}
