//! Checks: lines in, results out.

use bespeak_engine::{
    Binding, Catalog, CheckAnswer, CheckLine, RuleOverride, State, Units, UtcMillis,
};
use bespeak_proto::v1 as pb;

use super::reply::refusal;
use super::{fields, item, location};
use crate::error::ApiError;

type Result<T> = std::result::Result<T, ApiError>;

/// Answers a line of a request, whose names move into the answer.
///
/// # Errors
/// Those of the line's fields.
#[inline]
pub fn answer(
    state: &State,
    line: &mut pb::CheckLine,
    rule: Option<RuleOverride>,
    with_staircase: bool,
) -> Result<pb::CheckResult> {
    let catalog = state.catalog();
    let asked = check_line(catalog, line, rule)?;
    let answer = state.check(&asked)?;
    let steps = if with_staircase {
        let from = asked.ship_time.unwrap_or(state.now());
        state.staircase_by(asked.item, asked.location, from, rule.as_ref())
    } else {
        Vec::new()
    };
    result(catalog, line, &asked, &answer, &steps)
}

/// A line of a request in the engine's terms.
///
/// # Errors
/// Those of the line's fields.
#[inline]
pub fn check_line(
    catalog: &Catalog,
    line: &pb::CheckLine,
    rule: Option<RuleOverride>,
) -> Result<CheckLine> {
    let item = item(catalog, &line.item)?;
    Ok(CheckLine {
        item,
        location: location(catalog, &line.location)?,
        quantity: catalog.to_base_exact(item, line.quantity, &line.unit)?,
        ship_time: fields::time("ship_time_ms", line.ship_time_ms)?,
        rule,
    })
}

fn result(
    catalog: &Catalog,
    line: &mut pb::CheckLine,
    asked: &CheckLine,
    answer: &CheckAnswer,
    steps: &[(UtcMillis, Units)],
) -> Result<pb::CheckResult> {
    Ok(pb::CheckResult {
        available: catalog.from_base_floor(asked.item, answer.available, &line.unit)?,
        in_full: answer.in_full,
        earliest_time_ms: answer.earliest.map(UtcMillis::get),
        staircase: staircase(catalog, asked, &line.unit, steps)?,
        binding: binding(answer.binding).into(),
        binding_time_ms: answer.binding_time.get(),
        hypothetical: answer.hypothetical,
        refusal: refusal(answer.refusal).into(),
        item: std::mem::take(&mut line.item),
        location: std::mem::take(&mut line.location),
    })
}

fn staircase(
    catalog: &Catalog,
    asked: &CheckLine,
    unit: &str,
    steps: &[(UtcMillis, Units)],
) -> Result<Vec<pb::AvailabilityStep>> {
    let step = |&(from, units): &(UtcMillis, Units)| {
        let available = catalog.from_base_floor(asked.item, units, unit)?;
        Ok(pb::AvailabilityStep {
            from_time_ms: from.get(),
            available,
        })
    };
    steps.iter().map(step).collect()
}

/// The constraint that binds, as callers see it.
pub fn binding(binding: Binding) -> pb::BindingConstraint {
    match binding {
        Binding::Supply => pb::BindingConstraint::Supply,
        Binding::LaterCommitment => pb::BindingConstraint::LaterCommitment,
        Binding::Buffer => pb::BindingConstraint::Buffer,
        Binding::NoPosition => pb::BindingConstraint::NoPosition,
    }
}

/// A step in base units.
pub fn step(&(from, available): &(UtcMillis, Units)) -> pb::AvailabilityStep {
    pb::AvailabilityStep {
        from_time_ms: from.get(),
        available: available.get(),
    }
}
