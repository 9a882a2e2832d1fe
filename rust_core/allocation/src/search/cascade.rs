//! Ejection: an order takes what it wants, whoever held it looks for something else, and so on; kept where the sum is
//! less.

use super::random::Random;
use super::state::State;
use crate::model::{Left, Model};
use crate::planner::Planner;

/// Holders of a limit that are looked at, at most.
const HOLDERS_MAX: usize = 6;

#[derive(Debug)]
pub(crate) struct Cascade {
    planner: Planner,
    full: Left,
    /// Orders that were moved, with their old plans (lines one behind the other) and costs.
    moved: Vec<(u32, f64)>,
    old: Vec<u32>,
    is_moved: Vec<bool>,
    /// Orders that were put out, and what they are expected to cost.
    out: Vec<(u32, f64)>,
    over: Vec<u32>,
    holders: Vec<u32>,
    new: Vec<u32>,
}

impl Cascade {
    pub fn new(model: &Model) -> Self {
        Self {
            planner: Planner::default(),
            full: Left::new(model),
            moved: Vec::new(),
            old: Vec::new(),
            is_moved: vec![false; model.orders.len()],
            out: Vec::new(),
            over: Vec::new(),
            holders: Vec::new(),
            new: Vec::new(),
        }
    }

    /// Moves `start` and whoever must give way, `orders_max` in all; keeps it when the total rises by less than `worse`.
    pub fn run(
        &mut self,
        model: &Model,
        state: &mut State,
        random: &mut Random,
        start: u32,
        orders_max: usize,
        worse: f64,
        asked: &[f64],
    ) -> bool {
        let before = state.total;
        self.moved.clear();
        self.old.clear();
        self.out.clear();
        self.put_out(model, state, start);
        self.out.push((start, state.cost[start as usize]));
        // What the moved orders cost before, and now or as expected.
        let mut expected = 0.0;
        let mut done = true;
        let mut was = state.cost[start as usize];
        while let Some((number, _)) = self.out.pop() {
            let order = &model.orders[number as usize];
            self.planner.fit_or_pay(model, order, &state.left, asked);
            let unfilled = &model.unfilled[order.line_range()];
            let value = self.planner.solve(model, order, unfilled, &self.full);
            let pending: f64 = self.out.iter().map(|out| out.1).sum();
            if expected + value + pending >= was + worse {
                done = false;
                break;
            }
            self.new.clear();
            self.new.extend_from_slice(&self.planner.plan);
            let cost = model.plan_cost(order, &self.new);
            expected += cost;
            state.place(model, number, &self.new, cost);
            if !self.make_room(model, state, random, number, &mut was, orders_max, asked) {
                done = false;
                break;
            }
        }
        for &(number, _) in &self.moved {
            self.is_moved[number as usize] = false;
        }
        if done && state.total < before + worse {
            return true;
        }
        self.undo(model, state);
        state.total = before;
        false
    }

    fn put_out(&mut self, model: &Model, state: &mut State, number: u32) {
        let order = &model.orders[number as usize];
        self.moved.push((number, state.cost[number as usize]));
        self.old.extend_from_slice(&state.plan[order.line_range()]);
        self.is_moved[number as usize] = true;
        state.lift(model, number);
    }

    fn undo(&mut self, model: &Model, state: &mut State) {
        let mut end = self.old.len();
        for &(number, _) in self.moved.iter().rev() {
            state.lift(model, number);
        }
        for &(number, cost) in self.moved.iter().rev() {
            let start = end - model.orders[number as usize].lines as usize;
            state.place(model, number, &self.old[start..end], cost);
            end = start;
        }
    }

    /// Puts out holders of what the new plan of `number` overdraws, those that lose least.
    fn make_room(
        &mut self,
        model: &Model,
        state: &mut State,
        random: &mut Random,
        number: u32,
        was: &mut f64,
        orders_max: usize,
        asked: &[f64],
    ) -> bool {
        let order = &model.orders[number as usize];
        self.over.clear();
        let over = &mut self.over;
        model.uses(order, &self.new, |slot, _| {
            if state.left.free[slot as usize] < 0.0 {
                over.push(slot);
            }
        });
        for at in 0..self.over.len() {
            let slot = self.over[at];
            while state.left.free[slot as usize] < 0.0 {
                if self.moved.len() >= orders_max {
                    return false;
                }
                let Some((victim, value)) = self.cheapest_holder(model, state, random, slot, asked)
                else {
                    return false;
                };
                *was += state.cost[victim as usize];
                self.put_out(model, state, victim);
                self.out.push((victim, value));
            }
        }
        true
    }

    fn cheapest_holder(
        &mut self,
        model: &Model,
        state: &mut State,
        random: &mut Random,
        slot: u32,
        asked: &[f64],
    ) -> Option<(u32, f64)> {
        let row =
            (model.first[slot as usize]..=slot).find(|&row| state.left.left[row as usize] < 0.0)?;
        self.holders.clear();
        let cell = model.first[slot as usize] as usize;
        let all = &state.holders[cell];
        let offset = if all.is_empty() {
            0
        } else {
            random.below(all.len())
        };
        for at in 0..all.len() {
            let holder = all[(at + offset) % all.len()];
            if self.is_moved[holder as usize] || self.holders.contains(&holder) {
                continue;
            }
            self.holders.push(holder);
            if self.holders.len() >= HOLDERS_MAX {
                break;
            }
        }
        let mut best: Option<(u32, f64, f64)> = None;
        for at in 0..self.holders.len() {
            let holder = self.holders[at];
            let order = &model.orders[holder as usize];
            let plan = &state.plan[order.line_range()];
            // Only who counts against the limit that is overdrawn frees something of it.
            let mut counts = false;
            model.uses(order, plan, |used, _| {
                counts |= used >= row && model.first[used as usize] as usize == cell;
            });
            if !counts {
                continue;
            }
            model.uses(order, plan, |slot, units| {
                state.left.take(model, slot, -units);
            });
            self.planner.fit_or_pay(model, order, &state.left, asked);
            let unfilled = &model.unfilled[order.line_range()];
            let value = self.planner.solve(model, order, unfilled, &self.full);
            model.uses(order, plan, |slot, units| {
                state.left.take(model, slot, units);
            });
            let loss = value - state.cost[holder as usize];
            if best.is_none_or(|(.., least)| loss < least) {
                best = Some((holder, value, loss));
            }
        }
        best.map(|(holder, value, _)| (holder, value))
    }
}
