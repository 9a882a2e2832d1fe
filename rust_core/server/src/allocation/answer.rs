//! What a caller is told of a plan.

use std::collections::HashSet;

use bespeak_allocation::CostParts;
use bespeak_allocation::input::{NONE, TIERS_MAX, Way};
use bespeak_allocation::tables;
use bespeak_proto::v1 as pb;
use bytes::Bytes;
use prost::Message;

use super::batch::Batch;
use super::hold::Outcome;
use super::solve::Found;
use super::terms::Terms;
use crate::compute::ipc;
use crate::convert::{fields, reply};
use crate::error::ApiError;

/// What padding may add where the names of places are longer, and those of services shorter, than was counted.
const PADDING_BYTES: usize = 256;

/// The parts of a cost, as callers see them.
pub fn costs(parts: &CostParts) -> pb::PlanCosts {
    pb::PlanCosts {
        package_minor: parts.package,
        freight_minor: parts.freight,
        handling_minor: parts.handling,
        late_minor: parts.late,
        unfilled_minor: parts.unfilled,
        lines_minor: parts.lines,
    }
}

/// Tells of a plan. Everything in it is recomputed from the choice.
///
/// # Errors
/// `Internal` when Arrow cannot hold the tables.
pub fn answer(
    batch: &Batch,
    choice: &[u32],
    found: &Found,
    terms: &Terms,
) -> Result<pb::AllocateResponse, ApiError> {
    let (problem, input) = (&batch.problem, batch.input());
    let parts = problem.costs(choice);
    let (plan, prices) = written(batch, choice, found)?;
    let filled = choice.iter().filter(|option| **option != NONE).count();
    Ok(pb::AllocateResponse {
        plan,
        objective_minor: parts.total,
        bound_minor: found.bound.min(parts.total),
        made_by: found.made_by.clone(),
        fallback: found.fallback,
        revision: batch.revision,
        costs: Some(costs(&parts)),
        fill_by_tier: fill_by_tier(batch, choice, terms),
        lowest_customer_fill_ppm: lowest_customer(batch, choice),
        packages: packages(batch, choice),
        orders: small(input.orders.len()),
        lines: small(input.lines.len()),
        lines_filled: small(filled),
        held: Vec::new(),
        prices,
        lines_late: lines_late(batch, choice),
    })
}

/// The plan and its prices as tables.
fn written(batch: &Batch, choice: &[u32], found: &Found) -> Result<(Bytes, Bytes), ApiError> {
    let (problem, names) = (&batch.problem, &batch.names);
    let wrong = |error: arrow_schema::ArrowError| ApiError::Internal(error.to_string());
    let plan = tables::plan_table(batch.input(), names, problem.options(), choice);
    let prices = tables::prices_table(names, found.scarce.iter().copied());
    Ok((
        ipc::write(&plan.map_err(wrong)?)?.into(),
        ipc::write(&prices.map_err(wrong)?)?.into(),
    ))
}

/// Bytes of the largest answer that holding a plan may end in. What no longer fits is planned again: each order that is to
/// be held may have all of its lines filled in the end, from where the names are longest.
///
/// # Errors
/// As [`answer`].
pub fn most_bytes(
    batch: &Batch,
    choice: &[u32],
    outcomes: &[Outcome],
    found: &Found,
) -> Result<usize, ApiError> {
    let names = &batch.names;
    let length = |way: &Way| {
        names.locations[way.location as usize].len() + names.services[way.service as usize].len()
    };
    let ways = (0u32..).zip(batch.problem.options());
    let longest = ways.max_by_key(|(_, way)| length(way));
    let longest = longest.map_or(NONE, |(option, _)| option);
    let (mut most, mut held) = (vec![NONE; batch.lines()], Vec::new());
    for ((order, name), outcome) in (0u32..).zip(&names.orders).zip(outcomes) {
        let lines = batch.lines_of(order);
        let is_planned = choice[lines.clone()].iter().any(|option| *option != NONE);
        if is_planned || outcome.tried {
            most[lines].fill(longest);
            held.push(longest_held(name));
        }
    }
    let (plan, prices) = written(batch, &most, found)?;
    let tier = pb::TierFill {
        tier: u32::MAX,
        lines: u32::MAX,
        lines_filled: u32::MAX,
        floor_ppm: u32::MAX,
        floor_met: true,
    };
    // A negative number takes the most bytes.
    let answer = pb::AllocateResponse {
        plan,
        objective_minor: -1,
        bound_minor: -1,
        made_by: found.made_by.clone(),
        fallback: true,
        revision: u64::MAX,
        costs: Some(pb::PlanCosts {
            package_minor: -1,
            freight_minor: -1,
            handling_minor: -1,
            late_minor: -1,
            unfilled_minor: -1,
            lines_minor: -1,
        }),
        fill_by_tier: vec![tier; TIERS_MAX],
        lowest_customer_fill_ppm: u32::MAX,
        packages: u32::MAX,
        orders: u32::MAX,
        lines: u32::MAX,
        lines_filled: u32::MAX,
        held,
        prices,
        lines_late: u32::MAX,
    };
    Ok(answer.encoded_len() + PADDING_BYTES)
}

/// What is told of an order, in the most bytes that it takes.
fn longest_held(name: &str) -> pb::HeldOrder {
    pb::HeldOrder {
        order_id: name.to_owned(),
        // Seven bytes, as a time: more reservations than were ever made.
        reservation_id: (1 << 49) - 1,
        state: pb::ReservationState::Held.into(),
        expires_at_ms: fields::TIME_MS_MAX,
        replayed: true,
        replanned: 1,
        refusal: pb::Refusal::InsufficientStock.into(),
    }
}

fn small(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn fill_by_tier(batch: &Batch, choice: &[u32], terms: &Terms) -> Vec<pb::TierFill> {
    let (mut lines, mut filled) = ([0u32; TIERS_MAX], [0u32; TIERS_MAX]);
    for order in &batch.input().orders {
        let tier = usize::from(order.tier);
        for line in order.lines.clone() {
            lines[tier] += 1;
            filled[tier] += u32::from(choice[line as usize] != NONE);
        }
    }
    let tiers = (0..TIERS_MAX).filter(|tier| lines[*tier] > 0);
    let fill = tiers.map(|tier| {
        let floor = terms
            .floors
            .iter()
            .find(|floor| usize::from(floor.tier) == tier);
        let floor_ppm = floor.map_or(0, |floor| floor.fill_ppm);
        pb::TierFill {
            tier: small(tier),
            lines: lines[tier],
            lines_filled: filled[tier],
            floor_ppm,
            floor_met: u64::from(filled[tier]) * 1_000_000
                >= u64::from(lines[tier]) * u64::from(floor_ppm),
        }
    });
    fill.collect()
}

fn lowest_customer(batch: &Batch, choice: &[u32]) -> u32 {
    let mut counts = vec![(0u64, 0u64); batch.input().customers as usize];
    for order in &batch.input().orders {
        let count = &mut counts[order.customer as usize];
        for line in order.lines.clone() {
            count.0 += 1;
            count.1 += u64::from(choice[line as usize] != NONE);
        }
    }
    let shares = counts.iter().filter(|count| count.0 > 0);
    let lowest = shares
        .map(|(lines, filled)| filled * 1_000_000 / lines)
        .min();
    lowest.map_or(0, |ppm| u32::try_from(ppm).unwrap_or(0))
}

fn packages(batch: &Batch, choice: &[u32]) -> u32 {
    let mut count = 0;
    let mut used = HashSet::new();
    for order in &batch.input().orders {
        used.clear();
        let options = order.lines.clone().map(|line| choice[line as usize]);
        used.extend(options.filter(|option| *option != NONE));
        count += used.len();
    }
    small(count)
}

fn lines_late(batch: &Batch, choice: &[u32]) -> u32 {
    let mut late = 0;
    for (number, order) in (0u32..).zip(&batch.input().orders) {
        let Some(due) = order.due_days else { continue };
        for line in order.lines.clone() {
            let option = choice[line as usize];
            let lane = match option {
                NONE => None,
                _ => batch.problem.lane(number, option),
            };
            let days = lane.map(|lane| lane.transit_days[usize::from(order.tier)]);
            late += u32::from(days.is_some_and(|days| days > due));
        }
    }
    late
}

/// The lines of an order, served or not.
pub fn lines(batch: &Batch, order: u32, choice: &[u32]) -> Vec<pb::PlannedLine> {
    let (names, problem) = (&batch.names, &batch.problem);
    let lines = batch.lines_of(order).zip(choice);
    let planned = lines.map(|(line, option)| {
        let way = problem.options().get(*option as usize);
        let name = |list: &[String], at: Option<u32>| {
            at.map_or(String::new(), |at| list[at as usize].clone())
        };
        pb::PlannedLine {
            line: names.lines[line],
            location: name(&names.locations, way.map(|way| way.location)),
            service: name(&names.services, way.map(|way| way.service)),
            quantity: problem.input().lines[line].quantity,
        }
    });
    planned.collect()
}

/// What became of the orders that were tried.
pub fn held(batch: &Batch, outcomes: &[Outcome]) -> Vec<pb::HeldOrder> {
    let tried = batch.names.orders.iter().zip(outcomes);
    tried
        .filter(|(_, outcome)| outcome.tried)
        .map(|(name, outcome)| held_order(name, outcome))
        .collect()
}

/// What became of an order.
pub fn held_order(name: &str, outcome: &Outcome) -> pb::HeldOrder {
    let hold = outcome.held.as_ref();
    let reservation = hold.and_then(|hold| hold.reservation);
    pb::HeldOrder {
        order_id: name.to_owned(),
        reservation_id: reservation.map_or(0, |id| id.0),
        state: match hold {
            Some(hold) if reservation.is_some() => reply::state(hold.state).into(),
            _ => pb::ReservationState::Unspecified.into(),
        },
        expires_at_ms: hold.map_or(0, |hold| hold.expires_at.get()),
        replayed: outcome.replayed,
        replanned: outcome.replanned,
        refusal: reply::refusal(outcome.refusal).into(),
    }
}
