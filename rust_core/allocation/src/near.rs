//! Plans of each order that are nearly its best at prices: the columns that an integer choice is made from.

use crate::input::NONE;
use crate::model::{EXACT_LINES, Left, NO};
use crate::planner::Planner;
use crate::problem::Problem;

impl Problem {
    /// Visits, order by order, plans whose value at prices is less than `slack` above the order's best, at most
    /// `each_max` of an order, the best ones: the order, options of its lines and the value. An order of more than
    /// [`EXACT_LINES`] lines has one. Stops where a visit returns false.
    pub fn near_plans(
        &self,
        prices: &[f64],
        slack: f64,
        each_max: usize,
        mut visit: impl FnMut(u32, &[u32], f64) -> bool,
    ) {
        let model = &self.model;
        let (mut planner, left) = (Planner::default(), Left::new(model));
        let mut asked = Vec::new();
        model.prefix(&self.prices(Some(prices)), &mut asked);
        let mut kept: Vec<(f64, Vec<u32>)> = Vec::new();
        for (number, order) in (0u32..).zip(&model.orders) {
            planner.price(model, order, &asked);
            let unfilled = &model.unfilled[order.line_range()];
            kept.clear();
            if order.lines as usize > EXACT_LINES || order.lines == 0 {
                let value = planner.solve(model, order, unfilled, &left);
                kept.push((value, planner.plan.clone()));
            } else {
                let best = planner.relaxed(model, order, unfilled, &left);
                let mut below = best + slack;
                planner.visit(model, order, unfilled, &left, below, |value, plan| {
                    kept.push((value, plan.to_vec()));
                    if kept.len() >= each_max.max(1) * 2 {
                        below = cut(&mut kept, each_max).min(below);
                    }
                    below
                });
                cut(&mut kept, each_max);
            }
            let options = &model.option[order.candidate_range()];
            for (value, plan) in &mut kept {
                for candidate in plan.iter_mut() {
                    *candidate = match *candidate {
                        NO => NONE,
                        at => options[at as usize],
                    };
                }
                if !visit(number, plan, *value) {
                    return;
                }
            }
        }
    }
}

/// Keeps the best; returns what the last of them costs.
fn cut(kept: &mut Vec<(f64, Vec<u32>)>, most: usize) -> f64 {
    kept.sort_by(|a, b| a.0.total_cmp(&b.0));
    kept.truncate(most.max(1));
    kept.last().map_or(f64::INFINITY, |last| last.0)
}
