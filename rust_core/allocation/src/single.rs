//! Offers of orders of one line: no package is shared, so that each is a cost of its own.

use crate::model::NO;
use crate::problem::Problem;

/// One way to serve an order of one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SingleOffer {
    /// The line.
    pub line: u32,
    /// By which option.
    pub option: u32,
    /// Cost of the line and its package.
    pub cost: i64,
    /// The limit of its stock that it counts against first, and then against those of the classes below.
    pub row: Option<u32>,
    /// The limit of its window.
    pub window: Option<u32>,
}

impl Problem {
    /// All offers of the orders of one line, order by order.
    pub fn single_offers(&self) -> Vec<SingleOffer> {
        let model = &self.model;
        let row = |slot: u32| Some(slot).filter(|slot| *slot != model.free());
        let mut offers = Vec::new();
        for order in model.orders.iter().filter(|order| order.lines == 1) {
            let weight = model.weight[order.line as usize];
            for at in 0..order.candidates as usize {
                let candidate = order.candidate as usize + at;
                let cell = order.cell(0, at);
                let (from, below) = model.range[candidate];
                let cost = model.cost[cell] + model.package[candidate];
                if model.option[candidate] == NO
                    || !cost.is_finite()
                    || weight < from
                    || weight >= below
                {
                    continue;
                }
                offers.push(SingleOffer {
                    line: order.line,
                    option: model.option[candidate],
                    cost: cost as i64,
                    row: row(model.slot[cell]),
                    window: row(model.window[candidate]),
                });
            }
        }
        offers
    }
}
