//! The lowest customer's share as high as can be: raised step by step, then cost.

use super::goal::Goal;
use super::{MUST, Search, dear, keep};
use crate::model::NO;

/// Steps at most; the last share of the time is for cost.
const STEPS: usize = 6;
const COST_SHARE: f64 = 0.3;

impl Search<'_> {
    pub(super) fn max_min(&mut self, goal: &Goal<'_>, mut plan: Vec<u32>) -> Vec<u32> {
        let base = dear(&self.problem.model);
        for step in 0..STEPS {
            let filled = goal.filled(&plan);
            let lowest = goal.lowest(&filled);
            if lowest >= 1.0 || self.budget.spent() {
                break;
            }
            let extra: Vec<f64> = plan
                .iter()
                .zip(&goal.customer)
                .map(|(&at, &customer)| {
                    let customer = customer as usize;
                    let wanted = f64::from(goal.wanted[customer]);
                    let now = f64::from(filled[customer]);
                    if now / wanted <= lowest {
                        MUST * base
                    } else if at != NO && (now - 1.0) / wanted <= lowest {
                        // Losing it would make this the lowest one.
                        4.0 * base
                    } else {
                        0.0
                    }
                })
                .collect();
            let share = (1.0 - COST_SHARE) / (STEPS - step) as f64;
            plan = self.with(goal, &extra, plan, share);
            if goal.lowest(&goal.filled(&plan)) <= lowest {
                break;
            }
        }
        let filled = goal.filled(&plan);
        let lowest = goal.lowest(&filled);
        let kept = keep(&plan, base, |line| {
            let customer = goal.customer[line] as usize;
            let wanted = f64::from(goal.wanted[customer]);
            (f64::from(filled[customer]) - 1.0) / wanted < lowest
        });
        self.with(goal, &kept, plan, 1.0)
    }
}
