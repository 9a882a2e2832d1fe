//! `Promise`: choose locations, check and hold in one step.

use smallvec::SmallVec;

use super::hold::{Found, Lens, Wanted, check_override, check_terms, finish, wanted_line};
use super::sourcing::{Request, Sourced, source};
use super::{Decision, check_location};
use crate::command::{Candidates, FillPolicy, Meta, Promise};
use crate::ids::{LocationId, UtcMillis};
use crate::limits::{MAX_CANDIDATES, MAX_SOURCING_CELLS};
use crate::refusal::EngineError;
use crate::state::State;

pub(crate) fn promise(
    state: &State,
    meta: &Meta,
    promise: &Promise,
) -> Result<Decision, EngineError> {
    let Sourced { wanted, found } = plan(state, promise)?;
    finish(state, meta, &promise.terms, &wanted, found)
}

/// Checks a promise and finds where it would come from.
pub(crate) fn plan(state: &State, promise: &Promise) -> Result<Sourced, EngineError> {
    check_terms(state, &promise.terms, promise.lines.len())?;
    let candidates = candidates(state, promise)?;
    let mut wanted: SmallVec<[Wanted; 1]> = SmallVec::new();
    for line in &promise.lines {
        wanted.push(wanted_line(
            state,
            line.item,
            line.quantity,
            line.ship_time,
            line.latest,
        )?);
        if promise.terms.rule.is_some() {
            for location in &candidates {
                check_override(state, line.item, *location, promise.terms.rule.as_ref())?;
            }
        }
    }
    if wanted.len() * candidates.len() > MAX_SOURCING_CELLS {
        return Err(EngineError::InvalidArgument {
            field: "lines",
            value: format!("{} lines over {} locations", wanted.len(), candidates.len()),
            rule: "lines times locations may be at most 16384",
        });
    }
    let request = Request {
        lens: Lens {
            state,
            rule: promise.terms.rule.as_ref(),
        },
        candidates: &candidates,
        policy: promise.sourcing,
        max_packages: promise
            .max_packages
            .map_or(candidates.len(), |most| most as usize),
        min_split: promise.min_split,
        partial: promise.terms.fill == FillPolicy::Partial,
    };
    let found = match promise.terms.fill {
        FillPolicy::ShipComplete => ship_complete(&request, &wanted),
        _ => source(&request, &wanted),
    };
    Ok(Sourced { wanted, found })
}

/// The candidate locations of a promise, in its order.
pub(crate) fn candidates(
    state: &State,
    promise: &Promise,
) -> Result<SmallVec<[LocationId; 8]>, EngineError> {
    let named: &[LocationId] = match &promise.candidates {
        Candidates::Locations(locations) => locations,
        Candidates::Region(region) => match state.catalog().regions().get(region.index()) {
            Some(region) => &region.locations,
            None => return Err(EngineError::UnknownRegion(format!("number {}", region.0))),
        },
    };
    if named.is_empty() || named.len() > MAX_CANDIDATES {
        return Err(EngineError::InvalidArgument {
            field: "locations",
            value: format!("{} locations", named.len()),
            rule: "1 to 256 candidates are allowed",
        });
    }
    let mut distinct: SmallVec<[LocationId; 8]> = SmallVec::new();
    for location in named {
        check_location(state, *location)?;
        if !distinct.contains(location) {
            distinct.push(*location);
        }
    }
    Ok(distinct)
}

/// The whole order on one date, the earliest found between the last wanted and the first latest time.
fn ship_complete(request: &Request<'_>, wanted: &[Wanted]) -> SmallVec<[Found; 1]> {
    let start = wanted
        .iter()
        .map(|line| line.ship_time)
        .max()
        .unwrap_or(UtcMillis::ZERO);
    let latest = wanted
        .iter()
        .map(|line| line.latest)
        .min()
        .unwrap_or(start)
        .max(start);
    let on = |date: UtcMillis| {
        let dated: SmallVec<[Wanted; 1]> = wanted
            .iter()
            .map(|line| Wanted {
                ship_time: date,
                latest: date,
                ..*line
            })
            .collect();
        source(request, &dated)
    };
    let whole = |found: &[Found]| found.iter().all(|one| one.refusal.is_none());
    // A line whose own time has passed is refused, whatever the date of the others.
    if wanted
        .iter()
        .any(|line| line.ship_time < request.lens.state.now())
    {
        return source(request, wanted);
    }
    let first = on(start);
    if whole(&first) {
        return first;
    }
    let mut best = on(latest);
    if !whole(&best) {
        return first;
    }
    let (mut bad, mut good) = (start.get(), latest.get());
    while good - bad > 1 {
        let middle = bad + (good - bad) / 2;
        let found = on(UtcMillis::new(middle));
        if whole(&found) {
            best = found;
            good = middle;
        } else {
            bad = middle;
        }
    }
    best
}
