//! `Promise`: choose locations, check and hold in one step.

use smallvec::SmallVec;

use super::complete::{date_range, too_late};
use super::hold::{Found, Wanted, finish};
use super::sourcing::{Request, Sourced, source};
use super::terms::{check_override, check_terms, wanted_line};
use super::{Decision, Lens, budget, check_location};
use crate::command::{Candidates, FillPolicy, Meta, Promise};
use crate::ids::{LocationId, UtcMillis};
use crate::limits::{MAX_CANDIDATES, MAX_SOURCING_CELLS};
use crate::refusal::{EngineError, Refusal};
use crate::state::State;

pub(crate) fn promise(
    state: &State,
    meta: &Meta,
    promise: &Promise,
) -> Result<Decision, EngineError> {
    let Sourced { wanted, found } = plan(state, promise)?;
    finish(state, meta, &promise.terms, 0, &wanted, found)
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
    let lookups = budget::of_promise(state, promise, &candidates)?;
    let request = Request {
        lookups,
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

/// The whole order on one date, the earliest found between the last wanted and the first latest time that is named.
fn ship_complete(request: &Request<'_>, wanted: &[Wanted]) -> SmallVec<[Found; 1]> {
    // A line whose own time has passed is refused, whatever the date of the others.
    if wanted
        .iter()
        .any(|line| line.ship_time < request.lens.state.now())
    {
        return source(request, wanted);
    }
    let (start, latest) = date_range(wanted);
    let first = on_date(request, wanted, start);
    if is_whole(&first) {
        return first;
    }
    let Some((mut good, mut best)) = last_dates(request, wanted, latest)
        .into_iter()
        .filter(|date| *date > start)
        .map(|date| (date, on_date(request, wanted, date)))
        .find(|(_, found)| is_whole(found))
    else {
        return first;
    };
    let mut bad = start;
    while good.get() - bad.get() > 1 {
        let middle = UtcMillis::new(bad.get() + (good.get() - bad.get()) / 2);
        let found = on_date(request, wanted, middle);
        if is_whole(&found) {
            best = found;
            good = middle;
        } else {
            bad = middle;
        }
    }
    best
}

fn is_whole(found: &[Found]) -> bool {
    found.iter().all(|one| one.refusal.is_none())
}

fn on_date(request: &Request<'_>, wanted: &[Wanted], date: UtcMillis) -> SmallVec<[Found; 1]> {
    let dated: SmallVec<[Wanted; 1]> = wanted
        .iter()
        .map(|line| Wanted {
            ship_time: date,
            latest: date,
            ..*line
        })
        .collect();
    let mut found = source(request, &dated);
    for (one, line) in found.iter_mut().zip(wanted) {
        if one.refusal.is_none() && too_late(line, date) {
            one.refusal = Some(Refusal::InsufficientStock);
            one.parts.clear();
        }
    }
    found
}

/// Dates to try when the wanted one is not good, each as late as may be: stock only grows with time, but a date
/// past the horizon of a location loses that location.
fn last_dates(
    request: &Request<'_>,
    wanted: &[Wanted],
    latest: UtcMillis,
) -> SmallVec<[UtcMillis; 3]> {
    let horizons = |line: &Wanted| {
        let item = line.item;
        let at = request.candidates.iter();
        at.map(move |location| request.lens.horizon(item, *location))
    };
    // Past this, some line has no location left at all.
    let widest = wanted
        .iter()
        .filter_map(|line| horizons(line).max())
        .min()
        .unwrap_or(latest);
    let narrowest = wanted.iter().flat_map(horizons).min().unwrap_or(latest);
    let mut dates: SmallVec<[UtcMillis; 3]> = SmallVec::new();
    for date in [latest.min(widest), latest.min(narrowest)] {
        if !dates.contains(&date) {
            dates.push(date);
        }
    }
    dates
}
