//! What a plan would be if something were different: planned on a changed copy of what is there.

use bespeak_allocation::input::{Costs, Input, Stock, Way};
use bespeak_allocation::tables::Names;
use bespeak_allocation::{COST_MAX, Problem};
use bespeak_proto::v1 as pb;
use pb::change::Change;

use super::answer;
use super::batch::{Batch, UNITS_MAX};
use super::plan;
use super::seats::aside;
use super::solve::{Caller, search};
use super::terms::Solver;
use crate::api::Api;
use crate::error::ApiError;

/// Changes of one question.
const CHANGES_MAX: usize = 1_000;
/// Parts of a factor.
const PPM: i64 = 1_000_000;
/// Largest factor of a cost.
const FACTOR_MAX: u32 = 1_000_000_000;

/// Plans a batch as it is, and as it would be.
///
/// # Errors
/// `InvalidArgument` for a batch or a change that makes no sense.
pub fn simulate(
    api: &Api,
    request: &pb::SimulateRequest,
    caller: &Caller<'_>,
    revision: &mut u64,
) -> Result<pb::SimulateResponse, ApiError> {
    let asked = super::dry(request.terms.as_ref())?;
    if request.changes.len() > CHANGES_MAX {
        let rule = "at most 1000 are allowed";
        return Err(ApiError::invalid("changes", request.changes.len(), rule));
    }
    let mut prepared = plan::prepare(api, &asked, revision)?;
    if let Solver::Worker(name) = &prepared.terms.solver
        && !name.is_empty()
    {
        let rule = "both plans are made by search: leave it empty";
        return Err(ApiError::invalid("terms.solver", name, rule));
    }
    let mut input = prepared.batch.input().clone();
    for (at, change) in request.changes.iter().enumerate() {
        apply(&mut input, &prepared.batch.names, change)
            .map_err(|error| error.inside("changes", at))?;
    }
    let half = prepared
        .terms
        .budget
        .saturating_sub(prepared.started.elapsed())
        / 2;
    let problem = aside(|| Problem::new(input))??;
    let terms = &prepared.terms;
    let plan = |problem: &Problem| search(problem, terms, caller, caller.until(half));
    let (found, changed) = (plan(&prepared.batch.problem)?, plan(&problem)?);
    let before = answer::answer(&prepared.batch, &found.choice, &found, terms)?;
    let options = prepared.batch.problem.options().to_vec();
    prepared.batch.problem = problem;
    let batch = &prepared.batch;
    let after = answer::answer(batch, &changed.choice, &changed, terms)?;
    Ok(pb::SimulateResponse {
        before: Some(before),
        after: Some(after),
        orders_changed: moved(batch, (&options, &found.choice), &changed.choice),
    })
}

/// Orders that are served otherwise. The two plans may number their ways differently.
fn moved(batch: &Batch, (options, before): (&[Way], &[u32]), after: &[u32]) -> Vec<String> {
    let place = |options: &[Way], option: u32| {
        let way = options.get(option as usize)?;
        Some((way.location, way.service))
    };
    let orders = (0u32..).zip(&batch.names.orders);
    let moved = orders.filter(|(order, _)| {
        let mut lines = batch.lines_of(*order);
        lines
            .any(|line| place(options, before[line]) != place(batch.problem.options(), after[line]))
    });
    moved.map(|(_, name)| name.clone()).collect()
}

fn apply(input: &mut Input, names: &Names, change: &pb::Change) -> Result<(), ApiError> {
    match &change.change {
        None => Err(ApiError::invalid(
            "change",
            "missing",
            "set one of its parts",
        )),
        Some(Change::CloseLocation(location)) => {
            let at = find("close_location", &names.locations, location)?;
            close(input, at);
            Ok(())
        }
        Some(Change::Stock(change)) => stock(input, names, change),
        Some(Change::Capacity(change)) => capacity(input, names, change),
        Some(Change::Cost(change)) => cost(input, names, change),
    }
}

fn find(field: &'static str, list: &[String], name: &str) -> Result<u32, ApiError> {
    Names::find(list, name).ok_or_else(|| {
        ApiError::invalid(
            field,
            name,
            "the batch has none of this name: name one that it has",
        )
    })
}

fn close(input: &mut Input, location: u32) {
    match &mut input.costs {
        Costs::Network(network) => network.lanes.retain(|lane| lane.location != location),
        Costs::Given(given) => {
            let options = &given.options;
            given
                .offers
                .retain(|offer| options[offer.option as usize].location != location);
        }
    }
}

/// Adds units to every limit of a position: what comes is not kept back.
fn stock(input: &mut Input, names: &Names, change: &pb::StockChange) -> Result<(), ApiError> {
    let item = find("stock.item", &names.items, &change.item)?;
    let location = find("stock.location", &names.locations, &change.location)?;
    let mut is_there = false;
    for row in &mut input.stock {
        if (row.item, row.location) == (item, location) {
            row.units = row.units.saturating_add(change.units).clamp(0, UNITS_MAX);
            is_there |= row.class == 0;
        }
    }
    if !is_there && change.units > 0 {
        input.stock.push(Stock {
            item,
            location,
            class: 0,
            units: change.units.min(UNITS_MAX),
        });
    }
    Ok(())
}

fn capacity(input: &mut Input, names: &Names, change: &pb::CapacityChange) -> Result<(), ApiError> {
    let location = find("capacity.location", &names.locations, &change.location)?;
    let mut windows = names.windows.iter();
    let window = windows.position(|(at, name)| *at == location && *name == change.window);
    let Some(window) = window else {
        let rule = "the location has no such window in the batch: name one that it has";
        return Err(ApiError::invalid("capacity.window", &change.window, rule));
    };
    if let Some(units) = change.units.filter(|units| *units < 0) {
        return Err(ApiError::invalid(
            "capacity.units",
            units,
            "it must be 0 or more",
        ));
    }
    input.windows[window] = change.units.map(|units| units.min(UNITS_MAX));
    Ok(())
}

fn cost(input: &mut Input, names: &Names, change: &pb::CostChange) -> Result<(), ApiError> {
    let any = |field, list: &[String], name: &str| match name {
        "" => Ok(None),
        name => find(field, list, name).map(Some),
    };
    let location = any("cost.location", &names.locations, &change.location)?;
    let service = any("cost.service", &names.services, &change.service)?;
    if change.factor_ppm > FACTOR_MAX {
        let rule = "it must be 0 to 1000000000, where 1000000 is as before";
        return Err(ApiError::invalid(
            "cost.factor_ppm",
            change.factor_ppm,
            rule,
        ));
    }
    let factor = i128::from(change.factor_ppm);
    let times = |cost: &mut i64| {
        let new = i128::from(*cost) * factor / i128::from(PPM);
        *cost = i64::try_from(new).unwrap_or(COST_MAX).min(COST_MAX);
    };
    let meant = |at: u32, by: u32| {
        location.is_none_or(|location| location == at)
            && service.is_none_or(|service| service == by)
    };
    match &mut input.costs {
        Costs::Network(network) => {
            let lanes = network.lanes.iter_mut();
            for lane in lanes.filter(|lane| meant(lane.location, lane.service)) {
                for tariff in &mut lane.breaks {
                    times(&mut tariff.package_minor);
                    times(&mut tariff.minor_per_kg);
                }
            }
        }
        Costs::Given(given) => {
            let options = &given.options;
            let meant = |option: u32| {
                let way = &options[option as usize];
                meant(way.location, way.service)
            };
            for offer in given.offers.iter_mut().filter(|offer| meant(offer.option)) {
                times(&mut offer.line_minor);
            }
            for package in given
                .packages
                .iter_mut()
                .filter(|package| meant(package.option))
            {
                times(&mut package.package_minor);
            }
        }
    }
    Ok(())
}
