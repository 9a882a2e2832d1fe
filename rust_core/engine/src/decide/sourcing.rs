//! Which location serves which line.

use smallvec::SmallVec;

use super::hold::{Found, Part, Wanted};
use super::split::Split;
use super::{Lens, Scratch, time_refusal};
use crate::command::SourcingPolicy;
use crate::ids::{LocationId, Units, UtcMillis};
use crate::refusal::Refusal;

/// Lines and what was found for each.
pub(crate) struct Sourced {
    pub wanted: SmallVec<[Wanted; 1]>,
    pub found: SmallVec<[Found; 1]>,
}

/// How an order is to be sourced.
pub(crate) struct Request<'a> {
    pub lens: Lens<'a>,
    pub candidates: &'a [LocationId],
    pub policy: SourcingPolicy,
    pub max_packages: usize,
    pub min_split: Option<Units>,
    pub partial: bool,
    /// Look-ups that the search for the fewest packages may spend on one date.
    pub lookups: usize,
}

/// Finds locations for all lines; lines are judged in turn, each after what the earlier ones took.
pub(crate) fn source(request: &Request<'_>, wanted: &[Wanted]) -> SmallVec<[Found; 1]> {
    if request.policy == SourcingPolicy::FewestPackages
        && let Some(found) = fewest(request, wanted)
    {
        return found;
    }
    let limited = greedy(request, request.candidates, wanted, request.max_packages);
    if is_whole(&limited) || request.max_packages >= request.candidates.len() {
        return limited;
    }
    // The greedy choice spent its packages badly: another set of locations may do.
    if request.policy != SourcingPolicy::FewestPackages
        && let Some(found) = fewest(request, wanted)
    {
        return found;
    }
    limited
}

fn is_whole(found: &[Found]) -> bool {
    found.iter().all(|one| one.refusal.is_none())
}

/// The smallest set of locations that serves the whole order, in the order of the candidates; `None` when there
/// is none, or none was found within the look-ups allowed.
fn fewest(request: &Request<'_>, wanted: &[Wanted]) -> Option<SmallVec<[Found; 1]>> {
    let useful: SmallVec<[LocationId; 8]> = request
        .candidates
        .iter()
        .copied()
        .filter(|location| serves_any(request, wanted, *location))
        .collect();
    let most = request.max_packages.min(useful.len());
    let mut lookups = request.lookups;
    for size in 1..=most {
        let mut chosen: SmallVec<[usize; 8]> = (0..size).collect();
        loop {
            lookups = lookups.checked_sub(size * wanted.len())?;
            let set: SmallVec<[LocationId; 8]> = chosen.iter().map(|n| useful[*n]).collect();
            let found = greedy(request, &set, wanted, size);
            if is_whole(&found) {
                return Some(found);
            }
            if !next_combination(&mut chosen, useful.len()) {
                break;
            }
        }
    }
    None
}

fn serves_any(request: &Request<'_>, wanted: &[Wanted], location: LocationId) -> bool {
    let state = request.lens.state;
    wanted.iter().any(|line| {
        let latest = line.latest.max(line.ship_time);
        state.position_id(line.item, location).is_some_and(|id| {
            !request
                .lens
                .available(&Scratch::default(), id, latest)
                .is_zero()
        })
    })
}

/// Moves to the next ascending choice out of `n`; false after the last.
fn next_combination(chosen: &mut [usize], n: usize) -> bool {
    let size = chosen.len();
    for place in (0..size).rev() {
        if chosen[place] < n - size + place {
            chosen[place] += 1;
            for later in place + 1..size {
                chosen[later] = chosen[later - 1] + 1;
            }
            return true;
        }
    }
    false
}

fn greedy(
    request: &Request<'_>,
    candidates: &[LocationId],
    wanted: &[Wanted],
    max_packages: usize,
) -> SmallVec<[Found; 1]> {
    let mut scratch = Scratch::default();
    let mut used: SmallVec<[LocationId; 8]> = SmallVec::new();
    let mut all = SmallVec::new();
    for line in wanted {
        let found = source_line(request, candidates, &mut scratch, &used, max_packages, line);
        for part in &found.parts {
            if !used.contains(&part.location) {
                used.push(part.location);
            }
        }
        all.push(found);
    }
    all
}

fn source_line(
    request: &Request<'_>,
    candidates: &[LocationId],
    scratch: &mut Scratch,
    used: &[LocationId],
    max_packages: usize,
    line: &Wanted,
) -> Found {
    let lens = request.lens;
    let refusals = || {
        candidates
            .iter()
            .map(|location| time_refusal(lens, line, *location))
    };
    if let Some(refusal) = refusals().next().flatten()
        && refusals().all(|one| one.is_some())
    {
        return Found::refused(refusal);
    }
    let offers = offers(request, candidates, scratch, line);
    let open = |offer: &&Offer| used.len() < max_packages || used.contains(&offer.part.location);
    let allowed: SmallVec<[Offer; 8]> = offers.iter().filter(open).copied().collect();
    let split = request.min_split.map(|least| Split {
        offers: &allowed,
        used,
        packages: max_packages.saturating_sub(used.len()),
        smallest: least.get().max(1),
    });
    let mut parts = whole_line(request, scratch, &allowed, line);
    if parts.is_empty()
        && let Some(split) = &split
    {
        parts = split.whole(line.quantity);
    }
    if parts.is_empty() {
        let later = later_line(request, scratch, &allowed, line);
        parts = match (later, &split) {
            (Some(later), _) => SmallVec::from_buf([later]),
            (None, _) if !request.partial => SmallVec::new(),
            (None, Some(split)) => split.most(line.quantity),
            (None, None) => best_offer(&allowed).into_iter().collect(),
        };
    }
    let held: u64 = parts.iter().map(|part| part.quantity.get()).sum();
    let short = held < line.quantity.get();
    let refusal = short.then(|| line_refusal(request, candidates, scratch, &offers, line));
    for part in &parts {
        scratch.take(part.position, part.quantity, part.ship_time);
    }
    describe(request, scratch, &offers, line, parts, refusal)
}

/// What one location could give to a line at its wanted time.
#[derive(Clone, Copy)]
pub(super) struct Offer {
    pub part: Part,
}

fn offers(
    request: &Request<'_>,
    candidates: &[LocationId],
    scratch: &Scratch,
    line: &Wanted,
) -> SmallVec<[Offer; 8]> {
    let state = request.lens.state;
    candidates
        .iter()
        .filter(|location| time_refusal(request.lens, line, **location).is_none())
        .filter_map(|location| {
            state
                .position_id(line.item, *location)
                .map(|id| (*location, id))
        })
        .filter(|(_, id)| request.lens.has_room(scratch, *id))
        .map(|(location, position)| Offer {
            part: Part {
                position,
                location,
                quantity: request.lens.available(scratch, position, line.ship_time),
                ship_time: line.ship_time,
            },
        })
        .collect()
}

/// The line in full from one location.
fn whole_line(
    request: &Request<'_>,
    scratch: &Scratch,
    allowed: &[Offer],
    line: &Wanted,
) -> SmallVec<[Part; 1]> {
    let now = allowed
        .iter()
        .find(|offer| offer.part.quantity >= line.quantity);
    let found = match (now, request.policy) {
        (Some(offer), _) => Some(Part {
            quantity: line.quantity,
            ..offer.part
        }),
        (None, SourcingPolicy::Earliest) => allowed
            .iter()
            .filter_map(|offer| dated(request, scratch, offer, line))
            .min_by_key(|part| part.ship_time),
        (None, _) => None,
    };
    found.into_iter().collect()
}

/// The line in full from the first location that can do it by its latest time.
fn later_line(
    request: &Request<'_>,
    scratch: &Scratch,
    allowed: &[Offer],
    line: &Wanted,
) -> Option<Part> {
    allowed
        .iter()
        .find_map(|offer| dated(request, scratch, offer, line))
}

fn dated(request: &Request<'_>, scratch: &Scratch, offer: &Offer, line: &Wanted) -> Option<Part> {
    if line.latest <= line.ship_time {
        return None;
    }
    request
        .lens
        .earliest(scratch, offer.part.position, line.ship_time, line.quantity)
        .filter(|at| *at <= line.latest)
        .map(|at| Part {
            quantity: line.quantity,
            ship_time: at,
            ..offer.part
        })
}

/// The location that can give most; the first of equals.
fn best_offer(allowed: &[Offer]) -> Option<Part> {
    let most = allowed
        .iter()
        .map(|offer| offer.part.quantity)
        .max()
        .filter(|most| !most.is_zero())?;
    allowed
        .iter()
        .find(|offer| offer.part.quantity == most)
        .map(|offer| offer.part)
}

/// Why a line is short: in precedence, too little stock, the limits of splitting, positions that are full.
fn line_refusal(
    request: &Request<'_>,
    candidates: &[LocationId],
    scratch: &Scratch,
    offers: &[Offer],
    line: &Wanted,
) -> Refusal {
    let lens = request.lens;
    let together: u64 = offers.iter().map(|offer| offer.part.quantity.get()).sum();
    if together >= line.quantity.get() {
        return Refusal::SplitLimit;
    }
    let full: u64 = candidates
        .iter()
        .filter(|location| time_refusal(lens, line, **location).is_none())
        .filter_map(|location| lens.state.position_id(line.item, *location))
        .filter(|id| !lens.has_room(scratch, *id))
        .map(|id| lens.available(scratch, id, line.ship_time).get())
        .sum();
    if together + full >= line.quantity.get() {
        Refusal::Limit
    } else {
        Refusal::InsufficientStock
    }
}

fn describe(
    request: &Request<'_>,
    scratch: &Scratch,
    offers: &[Offer],
    line: &Wanted,
    parts: SmallVec<[Part; 1]>,
    refusal: Option<Refusal>,
) -> Found {
    if refusal.is_none() {
        let earliest: Option<UtcMillis> = parts.iter().map(|part| part.ship_time).max();
        return Found {
            parts,
            refusal,
            available: line.quantity,
            earliest,
            asked_at: None,
        };
    }
    let mut without = scratch.clone();
    without.rewind(scratch.len() - parts.len());
    let earliest = offers
        .iter()
        .filter_map(|offer| {
            request
                .lens
                .earliest(&without, offer.part.position, line.ship_time, line.quantity)
        })
        .min();
    let quantities = offers.iter().map(|offer| offer.part.quantity);
    let available = if request.min_split.is_some() {
        Units::new(quantities.map(Units::get).sum()).unwrap_or(line.quantity)
    } else {
        quantities.max().unwrap_or(Units::ZERO)
    };
    Found {
        parts,
        refusal,
        available,
        earliest,
        asked_at: request.candidates.first().copied(),
    }
}
