//! A plan from scratch: orders one by one at prices, each exactly within what is left.
//!
//! Prices alone leave ties; what the plans of the last prices did most often breaks them, which comes close to rounding
//! a solution of the linear relaxation.

use super::state::State;
use crate::model::{Model, Order};
use crate::planner::Planner;

/// In which sequence orders are planned.
#[derive(Debug)]
pub(super) struct Keys {
    /// By order: how sure its plan is, and what is at stake.
    keys: Vec<(f64, f64)>,
    sequence: Vec<u32>,
}

impl Keys {
    /// `values` are what best plans cost and pay, by order; `share` how often a line was on a candidate, by matrix cell.
    pub fn new(model: &Model, values: &[f64], share: &[f64]) -> Self {
        let keys = model
            .orders
            .iter()
            .zip(values)
            .map(|(order, value)| {
                let unfilled: f64 = model.unfilled[order.line_range()].iter().sum();
                (sure(order, share), unfilled - value)
            })
            .collect();
        Self {
            keys,
            sequence: (0..model.orders.len() as u32).collect(),
        }
    }

    /// Sure ones first, or those for which most is at stake, weighted with how sure they are.
    pub fn sequence(&mut self, by_stake: bool) -> &[u32] {
        let keys = &self.keys;
        let key = |order: u32| {
            let (sure, stake) = keys[order as usize];
            if by_stake { sure * stake } else { sure }
        };
        self.sequence
            .sort_unstable_by(|&one, &other| key(other).total_cmp(&key(one)).then(one.cmp(&other)));
        &self.sequence
    }
}

/// The share of the most frequent candidates of an order's lines.
fn sure(order: &Order, share: &[f64]) -> f64 {
    let width = order.candidates as usize;
    let cells = &share[order.matrix_range()];
    let sum: f64 = (0..order.lines as usize)
        .map(|line| {
            cells[line * width..][..width]
                .iter()
                .fold(0.0, |most: f64, &share| most.max(share))
        })
        .sum();
    sum / f64::from(order.lines.max(1))
}

/// Plans the orders in that sequence at prices (prefix sums), drawn by `weight` to what was frequent; none where it was
/// told to stop.
pub(super) fn build(
    model: &Model,
    sequence: &[u32],
    asked: &[f64],
    share: &[f64],
    weight: f64,
    mut stop: impl FnMut() -> bool,
) -> Option<State> {
    let mut state = State::empty(model);
    let mut planner = Planner::default();
    for (at, &number) in sequence.iter().enumerate() {
        if at % 64 == 63 && stop() {
            return None;
        }
        let order = &model.orders[number as usize];
        let unfilled = &model.unfilled[order.line_range()];
        planner.fit(model, order, &state.left, asked);
        let width = order.candidates as usize;
        for (line, unfilled) in unfilled.iter().enumerate() {
            let drawn = weight * unfilled;
            let share = &share[order.cell(line, 0)..][..width];
            for (cost, share) in planner.cost[line * width..][..width].iter_mut().zip(share) {
                *cost -= share * drawn;
            }
        }
        planner.solve(model, order, unfilled, &state.left);
        let cost = model.plan_cost(order, &planner.plan);
        state.place(model, number, &planner.plan, cost);
    }
    Some(state)
}
