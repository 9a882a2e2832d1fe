//! What a policy counts of a plan.

use super::fair::Shares;
use crate::model::NO;
use crate::problem::Problem;
use crate::solution::{Policy, Terms};

/// Compares plans.
#[derive(Debug)]
pub(super) struct Goal<'a> {
    pub problem: &'a Problem,
    pub terms: &'a Terms,
    /// By line: tier.
    pub tier: Vec<u8>,
    /// By line: customer.
    pub customer: Vec<u32>,
    /// By customer: lines.
    pub wanted: Vec<u32>,
    /// Shares of short items.
    pub shares: Shares,
}

impl<'a> Goal<'a> {
    pub fn new(problem: &'a Problem, terms: &'a Terms) -> Self {
        let input = problem.input();
        let (mut tier, mut customer) = (Vec::new(), Vec::new());
        for order in &input.orders {
            for _ in order.lines.clone() {
                tier.push(order.tier);
                customer.push(order.customer);
            }
        }
        let mut wanted = vec![0; input.customers as usize];
        for &customer in &customer {
            wanted[customer as usize] += 1;
        }
        let shares = if terms.policy == Policy::FairShare {
            Shares::new(problem)
        } else {
            Shares::default()
        };
        Self {
            problem,
            terms,
            tier,
            customer,
            wanted,
            shares,
        }
    }

    /// What counts, the first part most; less is better.
    pub fn parts(&self, plan: &[u32]) -> Vec<f64> {
        let mut parts = vec![self.short_of_floors(plan)];
        match self.terms.policy {
            Policy::Cost => {}
            Policy::Tiers => {
                let mut unfilled = [0.0; crate::input::TIERS_MAX];
                for (&at, &tier) in plan.iter().zip(&self.tier) {
                    unfilled[tier as usize] += if at == NO { 1.0 } else { 0.0 };
                }
                parts.extend(unfilled);
            }
            Policy::FairShare => parts.push(self.shares.missing(self.problem.input(), plan)),
            Policy::MaxMin => parts.push(-self.lowest(&self.filled(plan))),
        }
        parts.push(self.problem.model.total(plan));
        parts
    }

    /// The better plan; the first where they are alike.
    pub fn better(&self, one: Vec<u32>, other: Vec<u32>) -> Vec<u32> {
        let (first, second) = (self.parts(&one), self.parts(&other));
        let less = second.iter().partial_cmp(first.iter());
        if less == Some(std::cmp::Ordering::Less) {
            other
        } else {
            one
        }
    }

    /// Lines that tiers are short of their floors, in all.
    pub fn short_of_floors(&self, plan: &[u32]) -> f64 {
        let floors = self.terms.floors.iter();
        floors
            .map(|floor| self.short_of(plan, floor.tier, floor.fill_ppm))
            .sum()
    }

    /// Lines that a tier is short of a share of its lines.
    pub fn short_of(&self, plan: &[u32], tier: u8, fill_ppm: u32) -> f64 {
        let (mut lines, mut filled) = (0u64, 0u64);
        for (&at, &of) in plan.iter().zip(&self.tier) {
            lines += u64::from(of == tier);
            filled += u64::from(of == tier && at != NO);
        }
        let needed = (lines * u64::from(fill_ppm)).div_ceil(1_000_000);
        needed.saturating_sub(filled) as f64
    }

    /// Lines that are served, by customer.
    pub fn filled(&self, plan: &[u32]) -> Vec<u32> {
        let mut filled = vec![0; self.wanted.len()];
        for (&at, &customer) in plan.iter().zip(&self.customer) {
            filled[customer as usize] += u32::from(at != NO);
        }
        filled
    }

    /// The lowest customer's share.
    pub fn lowest(&self, filled: &[u32]) -> f64 {
        filled
            .iter()
            .zip(&self.wanted)
            .filter(|&(_, &wanted)| wanted > 0)
            .map(|(&filled, &wanted)| f64::from(filled) / f64::from(wanted))
            .fold(1.0, f64::min)
    }
}
