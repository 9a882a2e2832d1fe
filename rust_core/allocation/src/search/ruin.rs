//! Large neighbourhoods: orders that compete are taken out together and planned anew one by one, in another sequence.
//!
//! Schrimpf and others, "Record breaking optimization results using the ruin and recreate principle", Journal of
//! Computational Physics 159 (2000).

use super::random::Random;
use super::state::State;
use crate::model::Model;
use crate::planner::Planner;

/// Share of steps of a walk to orders that want the same item, served or not; the others go to holders of a limit.
const WANTERS: f64 = 0.6;
/// Orders that one step of a walk adds at most.
const TOGETHER: usize = 4;

#[derive(Debug)]
pub(crate) struct Ruin {
    planner: Planner,
    set: Vec<u32>,
    is_in: Vec<bool>,
    keys: Vec<(f64, u32)>,
    /// Orders by item that they want, and where those of each item start.
    wanters: Vec<u32>,
    start: Vec<u32>,
    /// By order: the least that it can cost.
    least: Vec<f64>,
    /// By order: what its plan costs and pays more than its best one.
    regret: Vec<f64>,
    new: Vec<u32>,
    new_costs: Vec<f64>,
}

impl Ruin {
    pub fn new(model: &Model) -> Self {
        let (wanters, start) = wanters(model);
        Self {
            planner: Planner::default(),
            set: Vec::new(),
            is_in: vec![false; model.orders.len()],
            keys: Vec::new(),
            wanters,
            start,
            least: least(model),
            regret: vec![0.0; model.orders.len()],
            new: Vec::new(),
            new_costs: Vec::new(),
        }
    }

    /// Orders that compete with `first`, by random walks over the limits of what they could use.
    pub fn choose(
        &mut self,
        model: &Model,
        state: &State,
        random: &mut Random,
        size: usize,
        first: u32,
    ) {
        for &order in &self.set {
            self.is_in[order as usize] = false;
        }
        self.set.clear();
        self.add(first);
        let mut fails = 0;
        while self.set.len() < size && fails < 30 {
            let from = self.set[random.below(self.set.len())];
            let order = &model.orders[from as usize];
            if order.lines == 0 || order.candidates == 0 {
                fails += 1;
                continue;
            }
            let line = random.below(order.lines as usize);
            if random.unit() < WANTERS {
                let item = model.item[order.line as usize + line] as usize;
                let range = self.start[item] as usize..self.start[item + 1] as usize;
                let wanters = std::mem::take(&mut self.wanters);
                fails += usize::from(!self.add_some(&wanters[range], random, size));
                self.wanters = wanters;
                continue;
            }
            let candidate = random.below(order.candidates as usize);
            let place = order.cell(line, candidate);
            if !model.cost[place].is_finite() {
                fails += 1;
                continue;
            }
            let mut slot = model.slot[place];
            if slot == model.free() || random.below(8) == 0 {
                slot = model.window[order.candidate as usize + candidate];
            }
            if slot == model.free() {
                fails += 1;
                continue;
            }
            let holders = &state.holders[model.first[slot as usize] as usize];
            fails += usize::from(!self.add_some(holders, random, size));
        }
    }

    /// Adds a few of those, from a random one on; whether any was new.
    fn add_some(&mut self, from: &[u32], random: &mut Random, size: usize) -> bool {
        let before = self.set.len();
        if !from.is_empty() {
            let offset = random.below(from.len());
            for at in 0..from.len().min(TOGETHER) {
                if self.set.len() < size {
                    self.add(from[(at + offset) % from.len()]);
                }
            }
        }
        self.set.len() > before
    }

    fn add(&mut self, order: u32) {
        if !std::mem::replace(&mut self.is_in[order as usize], true) {
            self.set.push(order);
        }
    }

    /// Plans the chosen orders anew at prices (prefix sums); keeps it when the total rises by less than `worse`.
    pub fn run(
        &mut self,
        model: &Model,
        state: &mut State,
        random: &mut Random,
        asked: &[f64],
        worse: f64,
        values: &[f64],
        prices: &[f64],
    ) -> bool {
        self.keys.clear();
        let how = random.below(3);
        // What the set costs now, and at least.
        let (mut before, mut rest) = (0.0, 0.0);
        for &number in &self.set {
            let order = &model.orders[number as usize];
            let plan = &state.plan[order.line_range()];
            state.left.give_plan(model, order, plan);
            before += state.cost[number as usize];
            rest += self.least[number as usize];
            let stake: f64 = model.unfilled[order.line_range()].iter().sum();
            let units: f64 = model.quantity[order.line_range()].iter().sum();
            let noise = random.unit();
            let key = match how {
                0 => noise,
                1 => -stake * (0.5 + noise),
                _ => -stake / units * (0.5 + noise),
            };
            self.keys.push((key, number));
        }
        self.keys
            .sort_unstable_by(|one, other| one.0.total_cmp(&other.0));
        self.new.clear();
        self.new_costs.clear();
        let mut spent = 0.0;
        for at in 0..self.keys.len() {
            let number = self.keys[at].1;
            let order = &model.orders[number as usize];
            self.planner.fit(model, order, &state.left, asked);
            let unfilled = &model.unfilled[order.line_range()];
            self.planner.solve(model, order, unfilled, &state.left);
            let cost = model.plan_cost(order, &self.planner.plan);
            spent += cost;
            rest -= self.least[number as usize];
            if spent + rest >= before + worse {
                break;
            }
            state.left.take_plan(model, order, &self.planner.plan);
            self.new.extend_from_slice(&self.planner.plan);
            self.new_costs.push(cost);
        }
        let done = self.new_costs.len() == self.keys.len();
        let mut start = 0;
        for at in 0..self.new_costs.len() {
            let order = &model.orders[self.keys[at].1 as usize];
            let end = start + order.lines as usize;
            state.left.give_plan(model, order, &self.new[start..end]);
            start = end;
        }
        for &number in &self.set {
            let order = &model.orders[number as usize];
            state
                .left
                .take_plan(model, order, &state.plan[order.line_range()]);
        }
        if !done {
            return false;
        }
        for &number in &self.set {
            state.lift(model, number);
        }
        let mut start = 0;
        for at in 0..self.keys.len() {
            let number = self.keys[at].1;
            let end = start + model.orders[number as usize].lines as usize;
            state.place(model, number, &self.new[start..end], self.new_costs[at]);
            self.note(model, state, number, values, prices);
            start = end;
        }
        true
    }

    /// Notes every order's regret, at prices (prefix sums) at which best plans cost and pay `values`.
    pub fn note_all(&mut self, model: &Model, state: &State, values: &[f64], prices: &[f64]) {
        for number in 0..model.orders.len() as u32 {
            self.note(model, state, number, values, prices);
        }
    }

    /// The order with most regret of a few random ones.
    pub fn most_regret(&self, random: &mut Random, orders: usize, tries: usize) -> u32 {
        let mut first = random.below(orders);
        for _ in 1..tries {
            let other = random.below(orders);
            if self.regret[other] > self.regret[first] {
                first = other;
            }
        }
        first as u32
    }

    fn note(&mut self, model: &Model, state: &State, number: u32, values: &[f64], prices: &[f64]) {
        let order = &model.orders[number as usize];
        let mut pays = state.cost[number as usize] - values[number as usize];
        model.uses(order, &state.plan[order.line_range()], |slot, units| {
            pays += prices[slot as usize] * units;
        });
        self.regret[number as usize] = pays;
    }
}

/// Orders by item, and where those of each item start.
fn wanters(model: &Model) -> (Vec<u32>, Vec<u32>) {
    let items = model.item.iter().max().map_or(0, |&item| item as usize + 1);
    let mut start = vec![0u32; items + 1];
    for &item in &model.item {
        start[item as usize + 1] += 1;
    }
    for item in 0..items {
        start[item + 1] += start[item];
    }
    let mut next = start.clone();
    let mut wanters = vec![0; model.item.len()];
    for (line, &item) in model.item.iter().enumerate() {
        wanters[next[item as usize] as usize] = model.order_of[line];
        next[item as usize] += 1;
    }
    (wanters, start)
}

/// The least that each order can cost.
fn least(model: &Model) -> Vec<f64> {
    let mut planner = Planner::default();
    let full = crate::model::Left::new(model);
    let nothing = vec![0.0; model.limit.len()];
    model
        .orders
        .iter()
        .map(|order| {
            planner.price(model, order, &nothing);
            planner.solve(model, order, &model.unfilled[order.line_range()], &full)
        })
        .collect()
}
