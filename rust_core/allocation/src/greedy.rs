//! The rule engine that plans are measured against: each order in turn, from the nearest location that has all of
//! it, else split over as few locations as that finds.

use std::time::{Duration, Instant};

use crate::model::{Left, Model, NO, Order};
use crate::planner::Planner;
use crate::problem::{Problem, choice};
use crate::solution::Solution;

impl Problem {
    /// Orders one by one: all of an order from the nearest location that has all its lines; else from the nearest of
    /// those that have most lines of it, until nothing more can be served. The nearest is where a package costs least.
    /// Of a location's services the one that costs least serves, lateness included. No order is looked at again.
    pub fn greedy(&self) -> Solution {
        let start = Instant::now();
        let mut left = Left::new(&self.model);
        let plan = nearest(&self.model, &mut left, || false);
        let cost = self.model.total(&plan) as i64;
        Solution {
            choice: choice(&self.model, &plan),
            cost,
            bound: 0,
            prices: vec![0.0; self.model.rows()],
            trace: vec![(since(start), cost)],
        }
    }
}

pub(crate) fn since(start: Instant) -> Duration {
    start.elapsed()
}

/// The rule engine's plan: candidate by line. Takes it from what is left. Nothing more is served once it is told to stop.
pub(crate) fn nearest(model: &Model, left: &mut Left, stop: impl Fn() -> bool) -> Vec<u32> {
    let mut plan = vec![NO; model.lines()];
    let mut rule = Rule {
        planner: Planner::default(),
        used: Vec::new(),
        nothing: vec![0.0; model.limit.len()],
    };
    for order in &model.orders {
        rule.serve(model, order, left, &mut plan[order.line_range()], &stop);
    }
    plan
}

struct Rule {
    planner: Planner,
    used: Vec<u32>,
    /// No limit asks anything.
    nothing: Vec<f64>,
}

impl Rule {
    fn serve(
        &mut self,
        model: &Model,
        order: &Order,
        left: &mut Left,
        plan: &mut [u32],
        stop: &impl Fn() -> bool,
    ) {
        let mut served = 0;
        self.used.clear();
        while served < plan.len() && (self.used.len() as u32) < order.packages && !stop() {
            self.planner.fit(model, order, left, &self.nothing);
            let Some(candidate) = self.next(model, order, left, plan) else {
                break;
            };
            let width = order.candidates as usize;
            let mut some = false;
            for (line, now) in plan.iter_mut().enumerate() {
                let at = order.line as usize + line;
                let slots = [
                    model.slot[order.cell(line, candidate)],
                    model.window[order.candidate as usize + candidate],
                    model.own[at],
                ];
                let units = model.quantity[at];
                let fits = *now == NO
                    && self.planner.cost[line * width + candidate].is_finite()
                    && slots.iter().all(|&slot| units <= left.free[slot as usize]);
                if !fits {
                    continue;
                }
                for slot in slots {
                    if slot != model.free() {
                        left.take(model, slot, units);
                    }
                }
                *now = candidate as u32;
                served += 1;
                some = true;
            }
            self.used
                .push(model.option[order.candidate as usize + candidate]);
            if !some {
                break;
            }
        }
        let stands = !order.ranged || in_range(model, order, plan);
        if (order.complete && served < plan.len()) || !stands {
            left.give_plan(model, order, plan);
            plan.fill(NO);
        }
    }

    /// The candidate that serves most of the open lines; of those the one at the nearest location that costs least.
    fn next(&self, model: &Model, order: &Order, left: &Left, plan: &[u32]) -> Option<usize> {
        let width = order.candidates as usize;
        let start = order.candidate as usize;
        let mut best: Option<(usize, f64, f64, usize)> = None;
        let (mut place, mut nearest) = (NO, 0.0);
        for candidate in 0..width {
            let at = start + candidate;
            if model.option[at] == NO {
                break;
            }
            if model.place[at] != place {
                place = model.place[at];
                nearest = model.package[at];
                for other in at + 1..order.candidate_range().end {
                    if model.place[other] != place {
                        break;
                    }
                    nearest = model.package[other].min(nearest);
                }
            }
            if self.used.contains(&model.option[at]) {
                continue;
            }
            let room = left.free[model.window[at] as usize];
            let (mut lines, mut units, mut weight, mut cost) = (0, 0.0, 0.0, model.package[at]);
            for (line, &taken) in plan.iter().enumerate() {
                let each = self.planner.cost[line * width + candidate];
                let number = order.line as usize + line;
                if taken == NO && each.is_finite() && units + model.quantity[number] <= room {
                    lines += 1;
                    units += model.quantity[number];
                    weight += model.weight[number];
                    cost += each;
                }
            }
            let (from, below) = model.range[at];
            if lines == 0 || weight < from || weight >= below {
                continue;
            }
            let better = best.is_none_or(|(most, distance, sum, _)| {
                lines > most
                    || (lines == most
                        && (nearest < distance || (nearest == distance && cost < sum)))
            });
            if better {
                best = Some((lines, nearest, cost, candidate));
            }
        }
        best.map(|(.., candidate)| candidate)
    }
}

/// Whether every package has the weight of its range.
fn in_range(model: &Model, order: &Order, plan: &[u32]) -> bool {
    plan.iter().all(|&candidate| {
        if candidate == NO {
            return true;
        }
        let weight: f64 = (0..plan.len())
            .filter(|&line| plan[line] == candidate)
            .map(|line| model.weight[order.line as usize + line])
            .sum();
        let (from, below) = model.range[(order.candidate + candidate) as usize];
        from <= weight && weight < below
    })
}
