//! Orders of many lines: packages are opened while that saves something, then closed where that does.

use super::Planner;
use crate::model::{Left, Model, NO, Order};

#[derive(Debug, Default)]
pub(super) struct Scratch {
    saved: Vec<f64>,
    now: Vec<f64>,
    at: Vec<u32>,
    open: Vec<u32>,
    /// Candidates that did not pay when they were opened.
    failed: Vec<u32>,
    taken: Vec<(u32, f64)>,
    best: Vec<u32>,
}

/// Opening and closing rounds at most.
const ROUNDS_MAX: usize = 4;
/// Packages that may not pay when they are opened, in one round.
const FAILED_MAX: usize = 256;

impl Planner {
    pub(super) fn many(
        &mut self,
        model: &Model,
        order: &Order,
        unfilled: &[f64],
        left: &Left,
    ) -> f64 {
        let mut scratch = std::mem::take(&mut self.many);
        let nothing: f64 = unfilled.iter().sum();
        let mut best = nothing;
        scratch.best.clear();
        scratch.best.resize(unfilled.len(), NO);
        // An order that must be complete is first planned as if it were dear to leave a line unfilled.
        let need = if order.complete {
            self.cost
                .iter()
                .filter(|cost| cost.is_finite())
                .fold(1.0 + nothing, |sum: f64, &cost| sum.max(cost))
                + model.package[order.candidate_range()].iter().sum::<f64>()
        } else {
            0.0
        };
        scratch.now.clear();
        scratch.now.extend(unfilled.iter().map(|cost| cost + need));
        scratch.at.clear();
        scratch.at.resize(unfilled.len(), NO);
        scratch.open.clear();
        for _ in 0..ROUNDS_MAX {
            let opened = self.open_packages(model, order, left, &mut scratch);
            let closed = self.close_packages(model, order, unfilled, need, left, &mut scratch);
            if !opened && !closed {
                break;
            }
        }
        self.right_ranges(model, order, &mut scratch.at);
        let width = order.candidates as usize;
        let complete = scratch.at.iter().all(|&at| at != NO);
        let mut cost = 0.0;
        for (line, &at) in scratch.at.iter().enumerate() {
            cost += match at {
                NO => unfilled[line],
                _ => self.cost[line * width + at as usize],
            };
        }
        scratch.open.clear();
        for &at in &scratch.at {
            if at != NO && !scratch.open.contains(&at) {
                scratch.open.push(at);
                cost += model.package[order.candidate as usize + at as usize];
            }
        }
        if cost < best && (complete || !order.complete) {
            best = cost;
            scratch.best.copy_from_slice(&scratch.at);
        }
        self.plan.copy_from_slice(&scratch.best);
        self.many = scratch;
        best
    }

    fn open_packages(
        &self,
        model: &Model,
        order: &Order,
        left: &Left,
        scratch: &mut Scratch,
    ) -> bool {
        let width = order.candidates as usize;
        let package = &model.package[order.candidate_range()];
        let mut some = false;
        scratch.failed.clear();
        while (scratch.open.len() as u32) < order.packages {
            scratch.saved.clear();
            scratch.saved.extend(package.iter().map(|cost| -cost));
            for (line, &now) in scratch.now.iter().enumerate() {
                let row = &self.cost[line * width..][..width];
                for (saved, &cost) in scratch.saved.iter_mut().zip(row) {
                    *saved += if cost < now { now - cost } else { 0.0 };
                }
            }
            for &open in &scratch.open {
                scratch.saved[open as usize] = 0.0;
            }
            for &failed in &scratch.failed {
                scratch.saved[failed as usize] = 0.0;
            }
            // The estimate does not know that what is left is shared: where it was wrong the next best is tried.
            let opened = loop {
                let most = scratch
                    .saved
                    .iter()
                    .enumerate()
                    .max_by(|one, other| one.1.total_cmp(other.1));
                let Some((at, _)) = most.filter(|most| *most.1 > 0.0) else {
                    break false;
                };
                if self.open_one(model, order, left, scratch, at as u32) {
                    break true;
                }
                scratch.saved[at] = 0.0;
                scratch.failed.push(at as u32);
                if scratch.failed.len() >= FAILED_MAX {
                    break false;
                }
            };
            if !opened {
                break;
            }
            some = true;
        }
        some
    }

    /// Opens a package with the lines that save most by it; not where that does not pay.
    fn open_one(
        &self,
        model: &Model,
        order: &Order,
        left: &Left,
        scratch: &mut Scratch,
        candidate: u32,
    ) -> bool {
        let width = order.candidates as usize;
        let mut lines: Vec<(f64, usize)> = Vec::new();
        for (line, &now) in scratch.now.iter().enumerate() {
            let cost = self.cost[line * width + candidate as usize];
            if cost < now {
                lines.push((now - cost, line));
            }
        }
        lines.sort_unstable_by(|one, other| other.0.total_cmp(&one.0));
        let before = scratch.at.clone();
        let mut saved = -model.package[order.candidate as usize + candidate as usize];
        scratch.tally(model, order);
        for (gain, line) in lines {
            let old = std::mem::replace(&mut scratch.at[line], NO);
            if scratch.moves(model, order, left, line, old, candidate) {
                scratch.at[line] = candidate;
                saved += gain;
            } else {
                scratch.at[line] = old;
            }
        }
        if saved <= 0.0 {
            scratch.at = before;
            return false;
        }
        for line in 0..scratch.at.len() {
            if scratch.at[line] == candidate {
                scratch.now[line] = self.cost[line * width + candidate as usize];
            }
        }
        scratch.open.push(candidate);
        true
    }

    /// Closes packages whose lines cost less elsewhere.
    fn close_packages(
        &self,
        model: &Model,
        order: &Order,
        unfilled: &[f64],
        need: f64,
        left: &Left,
        scratch: &mut Scratch,
    ) -> bool {
        let width = order.candidates as usize;
        let mut some = false;
        let mut at = 0;
        while at < scratch.open.len() {
            let closing = scratch.open[at];
            let before = (scratch.at.clone(), scratch.now.clone());
            let mut change = -model.package[order.candidate as usize + closing as usize];
            scratch.tally(model, order);
            for (line, &held) in before.0.iter().enumerate() {
                if held != closing {
                    continue;
                }
                let (mut to, mut cost) = (NO, unfilled[line] + need);
                for other in 0..scratch.open.len() {
                    let candidate = scratch.open[other];
                    let there = self.cost[line * width + candidate as usize];
                    if candidate != closing
                        && there < cost
                        && scratch.fits(model, order, left, line, closing, candidate)
                    {
                        (to, cost) = (candidate, there);
                    }
                }
                scratch.shift(model, order, line, closing, to);
                change += cost - scratch.now[line];
                scratch.at[line] = to;
                scratch.now[line] = cost;
            }
            if change < 0.0 {
                scratch.open.swap_remove(at);
                some = true;
            } else {
                (scratch.at, scratch.now) = before;
                at += 1;
            }
        }
        some
    }

    /// Moves packages to the weight range that they have become.
    fn right_ranges(&self, model: &Model, order: &Order, plan: &mut [u32]) {
        if !order.ranged {
            return;
        }
        let options = &model.option[order.candidate_range()];
        let before = plan.to_vec();
        for line in 0..plan.len() {
            if before[line] == NO {
                continue;
            }
            let option = options[before[line] as usize];
            let weight: f64 = (0..plan.len())
                .filter(|&other| before[other] != NO && options[before[other] as usize] == option)
                .map(|other| model.weight[order.line as usize + other])
                .sum();
            let right = (0..options.len()).find(|&at| {
                let (from, below) = model.range[order.candidate as usize + at];
                options[at] == option && from <= weight && weight < below
            });
            plan[line] = right.map_or(NO, |at| at as u32);
        }
    }
}

impl Scratch {
    /// Counts what the plan takes of each limit.
    fn tally(&mut self, model: &Model, order: &Order) {
        let mut taken = std::mem::take(&mut self.taken);
        taken.clear();
        model.uses(order, &self.at, |slot, units| taken.push((slot, units)));
        taken.sort_unstable_by_key(|row| row.0);
        taken.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            if same {
                kept.1 += next.1;
            }
            same
        });
        self.taken = taken;
    }

    fn slots(model: &Model, order: &Order, line: usize, candidate: u32) -> [u32; 3] {
        if candidate == NO {
            return [model.free(); 3];
        }
        [
            model.slot[order.cell(line, candidate as usize)],
            model.window[order.candidate as usize + candidate as usize],
            model.own[order.line as usize + line],
        ]
    }

    /// Whether a line may go from one candidate to another.
    fn fits(
        &self,
        model: &Model,
        order: &Order,
        left: &Left,
        line: usize,
        from: u32,
        to: u32,
    ) -> bool {
        let units = model.quantity[order.line as usize + line];
        let held = Self::slots(model, order, line, from);
        Self::slots(model, order, line, to).into_iter().all(|slot| {
            let taken = match self.taken.binary_search_by_key(&slot, |row| row.0) {
                Ok(at) => self.taken[at].1,
                Err(_) => 0.0,
            };
            held.contains(&slot) || taken + units <= left.free[slot as usize]
        })
    }

    fn shift(&mut self, model: &Model, order: &Order, line: usize, from: u32, to: u32) {
        let units = model.quantity[order.line as usize + line];
        for (candidate, units) in [(from, -units), (to, units)] {
            for slot in Self::slots(model, order, line, candidate) {
                if slot == model.free() {
                    continue;
                }
                match self.taken.binary_search_by_key(&slot, |row| row.0) {
                    Ok(at) => self.taken[at].1 += units,
                    Err(at) => self.taken.insert(at, (slot, units)),
                }
            }
        }
    }

    fn moves(
        &mut self,
        model: &Model,
        order: &Order,
        left: &Left,
        line: usize,
        from: u32,
        to: u32,
    ) -> bool {
        let fits = self.fits(model, order, left, line, from, to);
        if fits {
            self.shift(model, order, line, from, to);
        }
        fits
    }
}
