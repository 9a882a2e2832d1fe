//! One run: prices of the limits, plans built at them, then ruin and ejection until the time is up.

use std::time::Instant;

use super::build::{Keys, build};
use super::cascade::Cascade;
use super::random::Random;
use super::ruin::Ruin;
use super::state::State;
use super::{Search, better};
use crate::bound::bound;
use crate::duals::Duals;
use crate::model::Model;
use crate::narrow::{narrowed, translate};

/// Share of the time that goes into prices at most.
const PRICES_SHARE: f64 = 0.35;
/// Steps of the prices: as many as that share of the time allows, at least and at most.
const PASSES: (f64, f64, f64) = (0.15, 150.0, 400.0);
/// An exact bound is made where so many times as much time is left as planning every order takes.
const EXACT_BOUND: u32 = 8;
/// Where prices are given, steps start at this share of their size, and are few.
const GIVEN_SCALE: f64 = 0.05;
const GIVEN_PASSES: u32 = 40;
/// Candidates of an order that the exchange looks at.
const CANDIDATES: usize = 16;
/// How a plan is built: weight of the bias as a share of the unfilled cost, and whether stakes order the orders.
const BUILDS: [(f64, bool); 4] = [(0.1, false), (0.1, true), (0.3, true), (0.3, false)];
/// Levels of the prices that the exchange plans at, in eighths.
const LEVELS: usize = 13;
/// Share of moves that ruin; the others eject.
const RUINS: f64 = 0.9;
/// Orders that one ejection moves.
const EJECTED_MAX: usize = 8;
/// Orders that one ruin takes out.
const RUINED: (usize, usize) = (2, 11);
/// Orders of which the one with most regret is ruined first.
const TOURNAMENT: usize = 4;
/// See [`Task::heat`].
pub(super) const HEAT: f64 = 0.06;

/// A plan, and the prices that led to it.
#[derive(Debug, Clone)]
pub(super) struct Found {
    /// Candidate by line.
    pub plan: Vec<u32>,
    /// By limit.
    pub prices: Vec<f64>,
}

/// What a run is about.
#[derive(Debug)]
pub(super) struct Task<'a> {
    /// What counts: the problem's model, or one with other unfilled costs.
    pub model: &'a Model,
    /// A feasible plan to improve.
    pub first: Vec<u32>,
    /// Prices to start from, by limit.
    pub prices: Option<Vec<f64>>,
    /// Share of the time left that it may take.
    pub share: f64,
    /// The costs are those of the problem: what is found is worth a note, the prices make a bound.
    pub real: bool,
    /// How much worse a move may be at first, as a share of what an order costs on average.
    pub heat: f64,
}

impl Search<'_> {
    /// Improves the plan of a task.
    pub(super) fn improve(&mut self, task: Task<'_>) -> Found {
        let model = task.model;
        let until = Instant::now() + self.budget.left().mul_f64(task.share);
        let stop = |budget: &crate::solution::Budget<'_>| budget.spent() || Instant::now() >= until;
        let given = task.prices.is_some();
        let mut duals = Duals::new(
            model,
            task.prices.unwrap_or_else(|| vec![0.0; model.rows()]),
        );
        let mut plan = task.first;
        if stop(self.budget) || model.orders.is_empty() {
            return Found {
                plan,
                prices: duals.best,
            };
        }
        let begun = Instant::now();
        if !duals.start(model, || stop(self.budget)) {
            return Found {
                plan,
                prices: duals.best,
            };
        }
        let pass = begun.elapsed();
        let left = until.saturating_duration_since(begun).as_secs_f64();
        let most = PRICES_SHARE * left;
        let scale = if given { GIVEN_SCALE } else { 1.0 };
        let budget = self.budget;
        let passes = PASSES.0 * left / pass.as_secs_f64().max(1e-9);
        let passes = passes.clamp(PASSES.1, PASSES.2) as u32;
        let passes = if given {
            passes.min(GIVEN_PASSES)
        } else {
            passes
        };
        let spent = || {
            if budget.spent() {
                return 1.0;
            }
            begun.elapsed().as_secs_f64() / most.max(1e-9)
        };
        duals.run(model, passes, scale, spent, || stop(budget));
        if task.real {
            self.bound = self.bound.max(duals.certain());
            // Where there is time the bound is made exact: a plan that costs no more ends the search.
            if Instant::now() + EXACT_BOUND * pass < until {
                self.bound = self.bound.max(bound(model, &duals.best) as f64);
            }
        }
        // A plan from scratch takes longer than planning every order once.
        if stop(self.budget) || Instant::now() + pass >= until {
            return Found {
                plan,
                prices: duals.best,
            };
        }
        let mut asked = Vec::new();
        model.prefix(&duals.best, &mut asked);
        let share = self.bias(model).unwrap_or_else(|| duals.shares());
        let mut cost = model.total(&plan);
        let mut keys = Keys::new(model, &duals.values, &share);
        for (weight, by_stake) in BUILDS {
            let sequence = keys.sequence(by_stake);
            let Some(built) = build(model, sequence, &asked, &share, weight, || stop(budget))
            else {
                break;
            };
            if built.total < cost {
                cost = built.total;
                plan = built.plan;
                if task.real {
                    self.note(cost);
                }
            }
        }
        // To begin exchanging takes about as long as planning every order twice.
        if stop(self.budget) || Instant::now() + 2 * pass >= until {
            return Found {
                plan,
                prices: duals.best,
            };
        }
        let narrow = narrowed(model, &asked, CANDIDATES, &plan);
        let begin = translate(model, &narrow, &plan);
        let found = self.exchange(
            &narrow,
            &duals,
            &asked,
            begin,
            until,
            (task.real, task.heat),
        );
        Found {
            plan: better(model, plan, translate(&narrow, model, &found)),
            prices: duals.best,
        }
    }

    /// Exchanges until the time is up; returns the best plan.
    fn exchange(
        &mut self,
        model: &Model,
        duals: &Duals,
        asked: &[f64],
        begin: Vec<u32>,
        until: Instant,
        (real, task_heat): (bool, f64),
    ) -> Vec<u32> {
        let mut state = State::of(model, &begin);
        let (mut best, mut cost) = (begin, state.total);
        let levels: Vec<Vec<f64>> = (0..LEVELS)
            .map(|level| {
                asked
                    .iter()
                    .map(|price| price * level as f64 / 8.0)
                    .collect()
            })
            .collect();
        let mut random = Random::new(self.terms.seed);
        let mut cascade = Cascade::new(model);
        let mut ruin = Ruin::new(model);
        ruin.note_all(model, &state, &duals.values, asked);
        let heat = task_heat * cost / model.orders.len() as f64;
        let begun = Instant::now();
        let all = until
            .saturating_duration_since(begun)
            .as_secs_f64()
            .max(1e-9);
        let orders = model.orders.len();
        // The best plan is copied when the next move would leave it.
        let mut at_best = true;
        loop {
            let now = Instant::now();
            if now >= until || self.budget.spent() || (real && cost <= self.bound) {
                break;
            }
            let progress = ((now - begun).as_secs_f64() / all).min(1.0);
            let worse = heat * (1.0 - progress) * -random.unit().max(1e-9).ln();
            if at_best && state.total <= cost {
                best.copy_from_slice(&state.plan);
                at_best = false;
            }
            let changed = if random.unit() < RUINS {
                let first = ruin.most_regret(&mut random, orders, TOURNAMENT);
                let size = RUINED.0 + random.below(RUINED.1 - RUINED.0 + 1);
                ruin.choose(model, &state, &mut random, size, first);
                let level = &levels[random.below(9)];
                ruin.run(
                    model,
                    &mut state,
                    &mut random,
                    level,
                    worse,
                    &duals.values,
                    asked,
                )
            } else {
                let first = random.below(orders) as u32;
                let level = &levels[4 + random.below(LEVELS - 4)];
                cascade.run(
                    model,
                    &mut state,
                    &mut random,
                    first,
                    EJECTED_MAX,
                    worse,
                    level,
                )
            };
            if changed && state.total < cost {
                cost = state.total;
                at_best = true;
                if real {
                    self.note(cost);
                }
            }
        }
        if at_best && state.total <= cost {
            best.copy_from_slice(&state.plan);
        }
        best
    }
}
