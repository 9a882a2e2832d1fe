//! Shares of tiers that must be served: leaving their lines unfilled costs more and more until they are.

use super::goal::Goal;
use super::{MUST, Search, dear, keep};
use crate::model::NO;
use crate::solution::Policy;

/// Rounds at most; the last share of the time is for cost.
const ROUNDS: usize = 5;
const LAST_SHARE: f64 = 0.4;
/// The first round counts a line as this share of what is dear; each further one as so many times more.
const FIRST: f64 = 1.0 / 64.0;
const MORE: f64 = 8.0;

impl Search<'_> {
    pub(super) fn floors(&mut self, goal: &Goal<'_>, mut plan: Vec<u32>) -> Vec<u32> {
        let base = dear(&self.problem.model);
        let mut weight = [0.0; crate::input::TIERS_MAX];
        for round in 0..ROUNDS {
            let mut short = false;
            for floor in &self.terms.floors {
                if goal.short_of(&plan, floor.tier, floor.fill_ppm) > 0.0 {
                    short = true;
                    let weight = &mut weight[floor.tier as usize & (crate::input::TIERS_MAX - 1)];
                    *weight = if *weight == 0.0 {
                        FIRST * base
                    } else {
                        *weight * MORE
                    };
                }
            }
            if !short || self.budget.spent() {
                break;
            }
            // What the policy has served so far stays, except where a floor needs it.
            let kept = keep(&plan, FIRST * base / MORE, |_| true);
            let extra: Vec<f64> = goal
                .tier
                .iter()
                .zip(&kept)
                .map(|(&tier, kept)| weight[tier as usize] + kept)
                .collect();
            let share = (1.0 - LAST_SHARE) / (ROUNDS - round) as f64;
            plan = self.with(goal, &extra, plan, share);
        }
        let kept = self.needed(goal, &plan, base);
        self.with(goal, &kept, plan, 1.0)
    }

    /// What must stay of a plan: of each tier with a floor the lines that it needs, those that cost most to leave; of the
    /// others what the policy has served.
    fn needed(&self, goal: &Goal<'_>, plan: &[u32], base: f64) -> Vec<f64> {
        let only_cost = self.terms.policy == Policy::Cost;
        let mut kept = keep(plan, base, |_| !only_cost);
        let unfilled = &self.problem.model.unfilled;
        for floor in &self.terms.floors {
            let mut lines: Vec<usize> = (0..plan.len())
                .filter(|&line| goal.tier[line] == floor.tier && plan[line] != NO)
                .collect();
            lines.sort_by(|&one, &other| unfilled[other].total_cmp(&unfilled[one]));
            let of_tier = goal.tier.iter().filter(|&&tier| tier == floor.tier).count() as u64;
            let needed = (of_tier * u64::from(floor.fill_ppm)).div_ceil(1_000_000);
            for line in lines.into_iter().take(needed as usize) {
                kept[line] = MUST * base;
            }
        }
        kept
    }
}
