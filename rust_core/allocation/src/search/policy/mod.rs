//! Who comes first in a shortage: runs of the same search with other costs of leaving lines unfilled.
//!
//! What a policy counts is a goal, compared part by part, cost last. Of all plans that a run returns the best by the
//! goal is kept, so that none is worse than the rule engine's.

mod fair;
mod floors;
mod goal;
mod max_min;
mod tiers;

use super::Search;
use super::improve::{Found, HEAT, Task};
use crate::model::{Model, NO};
use crate::solution::Policy;
use goal::Goal;

/// Share of the time for the plan that costs least, where the policy is another.
const COST_SHARE: f64 = 0.2;
/// How much dearer than anything real it is to lose a line that must stay.
const MUST: f64 = 64.0;

impl Search<'_> {
    /// Plans by the policy of the terms; `first` is the rule engine's plan.
    pub(super) fn by_policy(&mut self, first: Vec<u32>) -> Found {
        let model = &self.problem.model;
        let goal = Goal::new(self.problem, self.terms);
        let started = match self.start(model) {
            Some(start) => goal.better(first, start),
            None => first,
        };
        let only_cost = self.terms.policy == Policy::Cost && self.terms.floors.is_empty();
        let prices = self.terms.prices.as_deref();
        let prices = prices.map(|prices| self.problem.prices(Some(prices)));
        let mut found = self.improve(Task {
            model,
            first: started.clone(),
            prices,
            share: if only_cost { 1.0 } else { COST_SHARE },
            real: true,
            heat: HEAT,
        });
        if only_cost {
            return found;
        }
        found.plan = goal.better(started, found.plan);
        found.plan = match self.terms.policy {
            Policy::Cost => found.plan,
            Policy::Tiers => self.tiers(&goal, found.plan),
            Policy::FairShare => self.fair_share(&goal, found.plan),
            Policy::MaxMin => self.max_min(&goal, found.plan),
        };
        if !self.terms.floors.is_empty() {
            found.plan = self.floors(&goal, found.plan);
        }
        found
    }

    /// Improves a plan where leaving lines unfilled costs more, by line; keeps the better one by the goal.
    fn with(&mut self, goal: &Goal<'_>, extra: &[f64], plan: Vec<u32>, share: f64) -> Vec<u32> {
        self.with_heat(goal, extra, plan, share, HEAT)
    }

    fn with_heat(
        &mut self,
        goal: &Goal<'_>,
        extra: &[f64],
        plan: Vec<u32>,
        share: f64,
        heat: f64,
    ) -> Vec<u32> {
        let mut model = self.problem.model.clone();
        for (unfilled, extra) in model.unfilled.iter_mut().zip(extra) {
            *unfilled += extra;
        }
        let found = self.run(&model, plan.clone(), share, heat);
        goal.better(plan, found)
    }

    fn run(&mut self, model: &Model, first: Vec<u32>, share: f64, heat: f64) -> Vec<u32> {
        let task = Task {
            model,
            first,
            prices: None,
            share,
            real: false,
            heat,
        };
        self.improve(task).plan
    }
}

/// More than what serving or leaving any one line costs, by far.
fn dear(model: &Model) -> f64 {
    let served = model.cost.iter().filter(|cost| cost.is_finite());
    let most = served
        .chain(&model.package)
        .chain(&model.unfilled)
        .fold(1.0f64, |most, &cost| most.max(cost));
    16.0 * most
}

/// By line: `dear` where the plan serves it and `must` says so, else nothing.
fn keep(plan: &[u32], dear: f64, must: impl Fn(usize) -> bool) -> Vec<f64> {
    plan.iter()
        .enumerate()
        .map(|(line, &at)| if at != NO && must(line) { dear } else { 0.0 })
        .collect()
}
