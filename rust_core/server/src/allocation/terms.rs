//! How a request wants to be planned: everything in it but the tables.

use std::time::Duration;

use bespeak_allocation::{Floor, Policy};
use bespeak_proto::v1 as pb;

use crate::convert::fields;
use crate::error::ApiError;

/// Time for a plan when none is asked. Up to it the server plans itself, unless a solver is named.
const BUDGET_MS: i64 = 250;
/// Longest time for a plan.
const BUDGET_MS_MAX: i64 = 600_000;
/// Name of the search of this process.
pub const SEARCH: &str = "search";
/// Who made a plan of this process.
pub const MADE_BY: &str = "search@1";

/// Who plans.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Solver {
    /// This process.
    Search,
    /// The worker, by the solver of this name; "" is the worker's choice.
    Worker(String),
}

/// How to plan.
#[derive(Debug, Clone)]
pub struct Terms {
    /// Who plans.
    pub solver: Solver,
    /// Time for it.
    pub budget: Duration,
    /// Who gets scarce stock.
    pub policy: Policy,
    /// Fill that tiers should have.
    pub floors: Vec<Floor>,
    /// The prices are kept for promises.
    pub publish: bool,
}

impl Terms {
    /// Reads them.
    ///
    /// # Errors
    /// `InvalidArgument` naming the field.
    pub fn read(request: &pb::AllocateRequest) -> Result<Self, ApiError> {
        let ms = match request.budget_ms {
            0 => BUDGET_MS,
            ms if (1..=BUDGET_MS_MAX).contains(&ms) => ms,
            ms => return Err(ApiError::invalid("budget_ms", ms, "it must be 0 to 600000")),
        };
        fields::optional_name("solver", &request.solver)?;
        let solver = match request.solver.as_str() {
            SEARCH => Solver::Search,
            "" if ms <= BUDGET_MS => Solver::Search,
            name => Solver::Worker(name.to_owned()),
        };
        Ok(Self {
            solver,
            budget: Duration::from_millis(ms.unsigned_abs()),
            policy: policy(request.shortage)?,
            floors: floors(&request.floors)?,
            publish: request.publish_prices,
        })
    }
}

fn policy(value: i32) -> Result<Policy, ApiError> {
    Ok(
        match fields::known::<pb::ShortagePolicy>("shortage", value)? {
            pb::ShortagePolicy::Unspecified | pb::ShortagePolicy::Cost => Policy::Cost,
            pb::ShortagePolicy::Tiers => Policy::Tiers,
            pb::ShortagePolicy::FairShare => Policy::FairShare,
            pb::ShortagePolicy::MaxMin => Policy::MaxMin,
        },
    )
}

fn floors(asked: &[pb::TierFloor]) -> Result<Vec<Floor>, ApiError> {
    let mut floors: Vec<Floor> = Vec::new();
    for (at, floor) in asked.iter().enumerate() {
        let field = |name: &str| format!("floors[{at}].{name}");
        let tier = match u8::try_from(floor.tier) {
            Ok(tier) if usize::from(tier) < bespeak_allocation::input::TIERS_MAX => tier,
            _ => {
                return Err(ApiError::invalid(
                    field("tier"),
                    floor.tier,
                    "it must be 0 to 7",
                ));
            }
        };
        if floor.fill_ppm > 1_000_000 {
            let rule = "it must be 0 to 1000000";
            return Err(ApiError::invalid(field("fill_ppm"), floor.fill_ppm, rule));
        }
        if floors.iter().any(|known| known.tier == tier) {
            return Err(ApiError::invalid(
                field("tier"),
                tier,
                "it has a floor already: keep one",
            ));
        }
        floors.push(Floor {
            tier,
            fill_ppm: floor.fill_ppm,
        });
    }
    Ok(floors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_budgets_are_planned_here_and_large_ones_by_the_worker() {
        for (solver, budget_ms, planned_by) in [
            ("", 0, Solver::Search),
            ("", 250, Solver::Search),
            ("", 251, Solver::Worker(String::new())),
            ("search", 60_000, Solver::Search),
            (
                "column-generation",
                10,
                Solver::Worker("column-generation".into()),
            ),
        ] {
            let request = pb::AllocateRequest {
                solver: solver.into(),
                budget_ms,
                ..Default::default()
            };
            let terms = Terms::read(&request).expect("terms that make sense");
            assert_eq!(terms.solver, planned_by, "{solver:?} in {budget_ms}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        let floor = |tier, fill_ppm| pb::TierFloor { tier, fill_ppm };
        for (request, field) in [
            (
                pb::AllocateRequest {
                    budget_ms: -1,
                    ..Default::default()
                },
                "budget_ms",
            ),
            (
                pb::AllocateRequest {
                    budget_ms: 600_001,
                    ..Default::default()
                },
                "budget_ms",
            ),
            (
                pb::AllocateRequest {
                    shortage: 77,
                    ..Default::default()
                },
                "shortage",
            ),
            (
                pb::AllocateRequest {
                    floors: vec![floor(8, 1)],
                    ..Default::default()
                },
                "floors[0].tier",
            ),
            (
                pb::AllocateRequest {
                    floors: vec![floor(0, 1), floor(1, 1_000_001)],
                    ..Default::default()
                },
                "floors[1].fill_ppm",
            ),
            (
                pb::AllocateRequest {
                    floors: vec![floor(2, 1), floor(2, 1)],
                    ..Default::default()
                },
                "floors[1].tier",
            ),
        ] {
            let error = Terms::read(&request).expect_err(field).to_string();
            assert!(error.starts_with(field), "{error}");
        }
    }
}
