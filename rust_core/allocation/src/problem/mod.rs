//! A batch that is ready to be planned.

mod bind;
mod expand;
mod rules;
mod stock;
mod ways;

pub(crate) use expand::late_cost;
pub(crate) use ways::Ways;

use crate::input::{Costs, Input, Lane, NONE, Way};
use crate::model::{Model, NO};
use crate::validate::InputError;

/// What a limit is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowKind {
    /// Units of an item at a location that lines of that class and above take together.
    Stock {
        /// The item.
        item: u32,
        /// Where.
        location: u32,
        /// The lowest class that counts against it.
        class: u8,
    },
    /// Units that leave in a window.
    Window(u32),
}

/// A limit that all lines together could exceed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// What it is about.
    pub kind: RowKind,
    /// Units at most.
    pub limit: i64,
}

/// An input with its options, limits and costs expanded.
#[derive(Debug)]
pub struct Problem {
    input: Input,
    options: Vec<Way>,
    rows: Vec<Row>,
    pub(crate) ways: Ways,
    pub(crate) model: Model,
}

impl Problem {
    /// Checks the input, expands what may serve what, drops what never can or never should.
    ///
    /// # Errors
    /// The first number of the input that is out of range.
    pub fn new(input: Input) -> Result<Self, InputError> {
        input.check()?;
        let (ways, options) = Ways::new(&input)?;
        let (model, rows) = expand::expand(&input, &ways, &options)?;
        Ok(Self {
            input,
            options,
            rows,
            ways,
            model,
        })
    }

    /// What it was made from.
    pub fn input(&self) -> &Input {
        &self.input
    }

    /// The options that choices index.
    pub fn options(&self) -> &[Way] {
        &self.options
    }

    /// Limits that all lines together could exceed, in the order of prices.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The lane by which an option would serve an order; none where there is no such lane, or costs are said one by one.
    pub fn lane(&self, order: u32, option: u32) -> Option<&Lane> {
        let (Ways::Network(lanes), Costs::Network(network)) = (&self.ways, &self.input.costs)
        else {
            return None;
        };
        let zone = self.input.orders.get(order as usize)?.zone;
        let way = self.options.get(option as usize)?;
        let lane = lanes.find(zone, option, way)?;
        Some(&network.lanes[lane as usize])
    }

    /// Candidates of an order from options of its lines; what no candidate serves is left out.
    pub(crate) fn plan_of(&self, order: u32, choice: &[u32], plan: &mut [u32]) {
        let model = &self.model;
        let order = &model.orders[order as usize];
        let options = &model.option[order.candidate_range()];
        plan.fill(NO);
        for line in 0..choice.len() {
            if choice[line] == NONE {
                continue;
            }
            let weight: f64 = (0..choice.len())
                .filter(|&other| choice[other] == choice[line])
                .map(|other| model.weight[order.line as usize + other])
                .sum();
            let found = (0..options.len()).find(|&candidate| {
                let (from, below) = model.range[order.candidate as usize + candidate];
                options[candidate] == choice[line] && from <= weight && weight < below
            });
            if let Some(candidate) = found
                && model.cost[order.cell(line, candidate)].is_finite()
            {
                plan[line] = candidate as u32;
            }
        }
    }
}

/// Options of lines from candidates of their orders.
pub(crate) fn choice(model: &Model, plan: &[u32]) -> Vec<u32> {
    plan.iter()
        .zip(&model.order_of)
        .map(|(&candidate, &order)| match candidate {
            NO => NONE,
            _ => model.option[(model.orders[order as usize].candidate + candidate) as usize],
        })
        .collect()
}
