//! A feasible plan that is being changed, order by order.

use crate::model::{Left, Model, NO};

/// A plan, what it leaves, and who holds what.
#[derive(Debug, Clone)]
pub(crate) struct State {
    /// Candidate by line.
    pub plan: Vec<u32>,
    /// By order.
    pub cost: Vec<f64>,
    pub total: f64,
    pub left: Left,
    /// By the first limit of each cell: orders that count against it, once a line.
    pub holders: Vec<Vec<u32>>,
}

impl State {
    /// Nothing is served.
    pub fn empty(model: &Model) -> Self {
        let cost: Vec<f64> = model
            .orders
            .iter()
            .map(|order| model.unfilled[order.line_range()].iter().sum())
            .collect();
        Self {
            plan: vec![NO; model.lines()],
            total: cost.iter().sum(),
            cost,
            left: Left::new(model),
            holders: vec![Vec::new(); model.limit.len()],
        }
    }

    pub fn of(model: &Model, plan: &[u32]) -> Self {
        let mut state = Self::empty(model);
        for (number, order) in model.orders.iter().enumerate() {
            let plan = &plan[order.line_range()];
            let cost = model.plan_cost(order, plan);
            state.place(model, number as u32, plan, cost);
        }
        state
    }

    /// Takes the plan of an order that has none.
    pub fn place(&mut self, model: &Model, number: u32, plan: &[u32], cost: f64) {
        let order = &model.orders[number as usize];
        model.uses(order, plan, |slot, units| {
            self.left.take(model, slot, units);
            self.holders[model.first[slot as usize] as usize].push(number);
        });
        self.plan[order.line_range()].copy_from_slice(plan);
        self.total += cost - self.cost[number as usize];
        self.cost[number as usize] = cost;
    }

    /// Gives up the plan of an order; its cost still counts until it is placed again.
    pub fn lift(&mut self, model: &Model, number: u32) {
        let order = &model.orders[number as usize];
        let plan = &mut self.plan[order.line_range()];
        model.uses(order, plan, |slot, units| {
            self.left.take(model, slot, -units);
            let holders = &mut self.holders[model.first[slot as usize] as usize];
            if let Some(at) = holders.iter().rposition(|&holder| holder == number) {
                holders.swap_remove(at);
            }
        });
        plan.fill(NO);
    }
}
