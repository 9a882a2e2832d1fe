//! What a choice costs, recomputed from the input alone.

use crate::input::{Costs, NONE};
use crate::problem::{Problem, Ways, late_cost};

/// The parts of a choice's cost, in minor units.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CostParts {
    /// Packages.
    pub package: i64,
    /// By the kilogram.
    pub freight: i64,
    /// Picking and packing.
    pub handling: i64,
    /// Lateness.
    pub late: i64,
    /// Lines that are not served.
    pub unfilled: i64,
    /// Lines, where costs are said one by one.
    pub lines: i64,
    /// All of them.
    pub total: i64,
}

impl CostParts {
    fn add(&mut self, other: &Self) {
        self.package += other.package;
        self.freight += other.freight;
        self.handling += other.handling;
        self.late += other.late;
        self.unfilled += other.unfilled;
        self.lines += other.lines;
        self.total += other.total;
    }
}

impl Problem {
    /// What a choice costs: option by line, [`NONE`] where it is not served. Exact.
    pub fn costs(&self, choice: &[u32]) -> CostParts {
        let mut sum = CostParts::default();
        for order in 0..self.input().orders.len() as u32 {
            let range = self.input().orders[order as usize].lines.clone();
            sum.add(&self.order_costs(order, &choice[range.start as usize..range.end as usize]));
        }
        sum
    }

    /// What the choice of an order's lines costs.
    pub fn order_costs(&self, order: u32, choice: &[u32]) -> CostParts {
        let input = self.input();
        let row = &input.orders[order as usize];
        let mut parts = CostParts::default();
        for (at, (&option, number)) in choice.iter().zip(row.lines.clone()).enumerate() {
            let line = &input.lines[number as usize];
            if option == NONE {
                parts.unfilled += line.unfilled_minor;
                continue;
            }
            let opens = !choice[..at].contains(&option);
            match (&self.ways, &input.costs) {
                (Ways::Network(_), Costs::Network(network)) => {
                    let Some(lane) = self.lane(order, option) else {
                        continue;
                    };
                    let weight: i64 = choice
                        .iter()
                        .zip(row.lines.clone())
                        .filter(|&(&other, _)| other == option)
                        .map(|(_, number)| input.lines[number as usize].weight_g)
                        .sum();
                    let tariff = lane
                        .breaks
                        .iter()
                        .rev()
                        .find(|tariff| tariff.from_g <= weight);
                    let Some(tariff) = tariff else { continue };
                    if opens {
                        parts.package += tariff.package_minor;
                    }
                    parts.freight += tariff.minor_per_kg * line.weight_g / 1000;
                    parts.handling +=
                        network.handling_minor[lane.location as usize] * line.quantity;
                    parts.late += late_cost(row, lane.transit_days[row.tier as usize]).unwrap_or(0);
                }
                (Ways::Given(offers), _) => {
                    if opens {
                        parts.package += offers.package(order as usize, option);
                    }
                    parts.lines += offers.find(number as usize, option).unwrap_or(0);
                }
                (Ways::Network(_), Costs::Given(_)) => {}
            }
        }
        parts.total = parts.package
            + parts.freight
            + parts.handling
            + parts.late
            + parts.unfilled
            + parts.lines;
        parts
    }
}
