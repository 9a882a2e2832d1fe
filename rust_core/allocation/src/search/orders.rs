//! Orders one at a time, at prices.

use crate::input::NONE;
use crate::model::{Left, NO};
use crate::planner::Planner;
use crate::problem::Problem;
use crate::solution::{OrderPlan, Plans};

impl Problem {
    /// The best plan of every order for itself, at prices by row: exact up to [`crate::EXACT_LINES`] lines. Reuses what
    /// `out` holds.
    pub fn best_plans(&self, prices: &[f64], out: &mut Plans) {
        let model = &self.model;
        let (mut planner, left) = (Planner::default(), Left::new(model));
        let mut asked = Vec::new();
        model.prefix(&self.prices(Some(prices)), &mut asked);
        out.values.clear();
        out.choice.clear();
        for order in &model.orders {
            planner.price(model, order, &asked);
            let unfilled = &model.unfilled[order.line_range()];
            out.values
                .push(planner.solve(model, order, unfilled, &left));
            let options = &model.option[order.candidate_range()];
            out.choice
                .extend(planner.plan.iter().map(|&candidate| match candidate {
                    NO => NONE,
                    _ => options[candidate as usize],
                }));
        }
    }

    /// The rows that the options of an order's lines count against, and units; each row once.
    pub fn use_of(&self, order: u32, choice: &[u32], out: &mut Vec<(u32, i64)>) {
        out.clear();
        let model = &self.model;
        let mut plan = vec![NO; choice.len()];
        self.plan_of(order, choice, &mut plan);
        model.uses(&model.orders[order as usize], &plan, |slot, units| {
            for row in model.first[slot as usize]..=slot {
                out.push((row, units as i64));
            }
        });
        out.sort_unstable();
        out.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            if same {
                kept.1 += next.1;
            }
            same
        });
    }

    /// Plans one order at prices by row (none are 0), within what is left of each row: exact up to
    /// [`crate::EXACT_LINES`] lines.
    pub fn plan_order(&self, order: u32, left: &[i64], prices: &[f64]) -> OrderPlan {
        let model = &self.model;
        let row = &model.orders[order as usize];
        let mut room = Left {
            left: left.iter().map(|&units| units as f64).collect(),
            free: vec![0.0; model.limit.len()],
        };
        room.left.resize(model.rows(), 0.0);
        room.left.push(f64::INFINITY);
        room.refresh(model);
        let mut planner = Planner::default();
        let mut asked = Vec::new();
        model.prefix(&self.prices(Some(prices)), &mut asked);
        planner.fit(model, row, &room, &asked);
        let unfilled = &model.unfilled[row.line_range()];
        let value = planner.solve(model, row, unfilled, &room);
        let options = &model.option[row.candidate_range()];
        let choice = planner
            .plan
            .iter()
            .map(|&candidate| match candidate {
                NO => NONE,
                _ => options[candidate as usize],
            })
            .collect();
        OrderPlan {
            value,
            cost: model.plan_cost(row, &planner.plan) as i64,
            choice,
        }
    }

    /// Prices that are numbers and not below 0, one for each row.
    pub(crate) fn prices(&self, given: Option<&[f64]>) -> Vec<f64> {
        let mut prices: Vec<f64> = given
            .unwrap_or_default()
            .iter()
            .map(|&price| if price > 0.0 { price.min(1e15) } else { 0.0 })
            .collect();
        prices.resize(self.model.rows(), 0.0);
        prices
    }
}
