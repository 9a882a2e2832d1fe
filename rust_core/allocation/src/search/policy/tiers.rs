//! Tiers in their order: as many lines of the first as can be, then of the next, then cost.

use super::goal::Goal;
use super::{HEAT, MUST, Search, dear, keep};

/// A line of a tier counts as much as so many of the next one: first few, so that exchanges between tiers are found,
/// then as many as no line is ever worth.
const RATIOS: [(f64, f64); 2] = [(4.0, HEAT), (64.0, 0.0)];
/// Share of the time that is left for each.
const TIERS_SHARE: f64 = 0.4;
/// Sums stay whole in an `f64` up to here.
const WHOLE: f64 = 4_503_599_627_370_496.0;

impl Search<'_> {
    pub(super) fn tiers(&mut self, goal: &Goal<'_>, plan: Vec<u32>) -> Vec<u32> {
        let model = &self.problem.model;
        let base = dear(model);
        let mut present: Vec<u8> = goal.tier.clone();
        present.sort_unstable_by(|one, other| other.cmp(one));
        present.dedup();
        let steps = present.len().saturating_sub(1).max(1) as f64;
        let room = WHOLE / (base * model.lines().max(1) as f64);
        let most = room.max(1.0).powf(1.0 / steps).max(4.0);
        let mut plan = plan;
        for (ratio, heat) in RATIOS {
            let ratio = ratio.min(most);
            let weight = |tier: u8| {
                let rank = present.iter().position(|&known| known == tier).unwrap_or(0);
                base * ratio.powi(rank as i32)
            };
            let extra: Vec<f64> = goal.tier.iter().map(|&tier| weight(tier)).collect();
            plan = self.with_heat(goal, &extra, plan, TIERS_SHARE, heat);
        }
        // Who is served stays so; how is a matter of cost.
        let kept = keep(&plan, MUST * base, |_| true);
        self.with(goal, &kept, plan, 1.0)
    }
}
