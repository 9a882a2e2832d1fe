//! Shares of short items by segment, pro rata of what is wanted; then what is left, by cost.

use std::collections::{BTreeMap, HashSet};

use super::goal::Goal;
use super::{HEAT, Search, dear, keep};
use crate::input::Input;
use crate::model::{Model, NO};
use crate::problem::Problem;

/// Units of short items that lines of each segment may take together.
#[derive(Debug, Default)]
pub(super) struct Shares {
    /// By item and segment; items that are not short are not here.
    units: BTreeMap<(u32, u32), i64>,
}

impl Shares {
    /// Splits the stock of each item that is short by largest remainder. Stock that can serve none of the lines makes no
    /// item plenty.
    pub fn new(problem: &Problem) -> Self {
        let input = problem.input();
        let useful = useful(&problem.model);
        let mut stock: BTreeMap<u32, i64> = BTreeMap::new();
        for row in &input.stock {
            if row.class == 0 && useful.contains(&(row.item, row.location)) {
                *stock.entry(row.item).or_default() += row.units;
            }
        }
        let mut wanted: BTreeMap<u32, BTreeMap<u32, i64>> = BTreeMap::new();
        for order in &input.orders {
            for line in &input.lines[order.lines.start as usize..order.lines.end as usize] {
                let by_segment = wanted.entry(line.item).or_default();
                *by_segment.entry(order.segment).or_default() += line.quantity;
            }
        }
        let mut units = BTreeMap::new();
        for (item, by_segment) in wanted {
            let all: i64 = by_segment.values().sum();
            let there = stock.get(&item).copied().unwrap_or(0);
            if all <= there {
                continue;
            }
            let wanted: Vec<i64> = by_segment.values().copied().collect();
            for (segment, share) in by_segment.keys().zip(split(there, &wanted)) {
                units.insert((item, *segment), share);
            }
        }
        Self { units }
    }

    /// Units that segments miss of their shares in a plan.
    pub fn missing(&self, input: &Input, plan: &[u32]) -> f64 {
        let mut left = self.units.clone();
        for order in &input.orders {
            for number in order.lines.clone() {
                let line = &input.lines[number as usize];
                if plan[number as usize] != NO
                    && let Some(left) = left.get_mut(&(line.item, order.segment))
                {
                    *left -= line.quantity;
                }
            }
        }
        left.values().map(|&left| left.max(0) as f64).sum()
    }

    /// A model in which lines also count against the shares.
    fn limited(&self, input: &Input, model: &Model) -> Model {
        let mut out = model.clone();
        let before = out.free();
        let rows: BTreeMap<(u32, u32), u32> = self.units.keys().copied().zip(before..).collect();
        out.limit.pop();
        out.first.pop();
        out.end.pop();
        out.limit
            .extend(self.units.values().map(|&units| units as f64));
        out.limit.push(f64::INFINITY);
        let free = out.free();
        out.first.extend(before..=free);
        out.end.extend(before + 1..=free + 1);
        for slot in out.slot.iter_mut().chain(&mut out.window) {
            if *slot == before {
                *slot = free;
            }
        }
        for order in &input.orders {
            for number in order.lines.clone() {
                let key = (input.lines[number as usize].item, order.segment);
                out.own[number as usize] = rows.get(&key).copied().unwrap_or(free);
            }
        }
        out
    }
}

/// Items and locations that some line can be served from.
fn useful(model: &Model) -> HashSet<(u32, u32)> {
    let mut useful = HashSet::new();
    for order in &model.orders {
        let places = &model.place[order.candidate_range()];
        for line in 0..order.lines as usize {
            let item = model.item[order.line as usize + line];
            let mut last = NO;
            for (candidate, &place) in places.iter().enumerate() {
                // Candidates of one location lie together.
                if place != last && model.cost[order.cell(line, candidate)].is_finite() {
                    useful.insert((item, place));
                    last = place;
                }
            }
        }
    }
    useful
}

/// Splits units in proportion to what is wanted: rounded down, then one more for the largest remainders.
fn split(units: i64, wanted: &[i64]) -> Vec<i64> {
    let all: i128 = wanted.iter().map(|&wanted| i128::from(wanted)).sum();
    let exact = |wanted: i64| i128::from(units) * i128::from(wanted);
    let mut shares: Vec<i64> = wanted
        .iter()
        .map(|&wanted| (exact(wanted) / all.max(1)) as i64)
        .collect();
    let mut left = units - shares.iter().sum::<i64>();
    let mut by_remainder: Vec<usize> = (0..wanted.len()).collect();
    by_remainder.sort_by_key(|&at| std::cmp::Reverse(exact(wanted[at]) % all.max(1)));
    for at in by_remainder {
        if left > 0 && wanted[at] > 0 {
            shares[at] += 1;
            left -= 1;
        }
    }
    shares
}

impl Search<'_> {
    pub(super) fn fair_share(&mut self, goal: &Goal<'_>, plan: Vec<u32>) -> Vec<u32> {
        let model = &self.problem.model;
        if goal.shares.units.is_empty() {
            return self.with(goal, &[], plan, 1.0);
        }
        let base = dear(model);
        let mut limited = goal.shares.limited(self.problem.input(), model);
        // Within the shares lines of short items come before all else.
        for line in 0..limited.lines() {
            if limited.own[line] != limited.free() {
                limited.unfilled[line] += base * limited.quantity[line].min(1e3);
            }
        }
        let fair = self.run(&limited, vec![NO; plan.len()], 0.5, HEAT);
        let plan = goal.better(plan, fair.clone());
        let kept = keep(&fair, base, |line| limited.own[line] != limited.free());
        let mut model = model.clone();
        for (unfilled, kept) in model.unfilled.iter_mut().zip(&kept) {
            *unfilled += kept;
        }
        let found = self.run(&model, fair, 1.0, HEAT);
        goal.better(plan, found)
    }
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn stock_is_split_by_largest_remainder() {
        for (units, wanted, shares) in [
            (10, vec![10, 10], vec![5, 5]),
            (5, vec![10, 10, 10], vec![2, 2, 1]),
            (7, vec![1, 2, 4], vec![1, 2, 4]),
            (3, vec![8, 1, 1], vec![3, 0, 0]),
            (4, vec![8, 1, 1], vec![3, 1, 0]),
            (0, vec![3, 4], vec![0, 0]),
            (1, vec![0, 4], vec![0, 1]),
        ] {
            assert_eq!(split(units, &wanted), shares, "{units} to {wanted:?}");
        }
    }
}
