//! `Reserve` on one date: every line in full, at the earliest time that is good for all of them.

use smallvec::SmallVec;

use super::hold::{Found, Part, Wanted};
use super::{Lens, Scratch, time_refusal};
use crate::ids::{LocationId, UtcMillis};
use crate::refusal::Refusal;

/// The order's date lies between the last wanted time of its lines and the first latest time that one of them names. A
/// line that names none goes with the order: it keeps the order back only where no other line names one either.
pub(crate) fn date_range(wanted: &[Wanted]) -> (UtcMillis, UtcMillis) {
    let start = wanted.iter().map(|line| line.ship_time).max();
    let start = start.unwrap_or(UtcMillis::ZERO);
    let named = wanted.iter().filter(|line| line.names_latest);
    let latest = named.map(|line| line.latest).min();
    (start, latest.unwrap_or(start).max(start))
}

/// A line that names no latest time goes with the order; one that does is not shipped later.
pub(crate) fn too_late(line: &Wanted, date: UtcMillis) -> bool {
    line.names_latest && date > line.latest
}

pub(crate) fn ship_complete(
    lens: Lens<'_>,
    wanted: &[(Wanted, LocationId)],
) -> SmallVec<[Found; 1]> {
    let lines: SmallVec<[Wanted; 1]> = wanted.iter().map(|(line, _)| *line).collect();
    let (mut date, latest) = date_range(&lines);
    let mut scratch = Scratch::default();
    let mut all: SmallVec<[Found; 1]> = SmallVec::new();
    // Availability never falls with time, so each line can only move the date out.
    for (line, at) in wanted {
        let found = on_or_after(lens, &scratch, line, *at, date, latest);
        for part in &found.parts {
            scratch.take(part.position, part.quantity, part.ship_time);
            date = date.max(part.ship_time);
        }
        all.push(found);
    }
    for (found, (line, at)) in all.iter_mut().zip(wanted) {
        for part in &mut found.parts {
            part.ship_time = date;
        }
        let dated = Wanted {
            ship_time: date,
            ..*line
        };
        // Another line moved the date out of this line's own reach.
        let refusal = match time_refusal(lens, &dated, *at) {
            None if too_late(line, date) => Some(Refusal::InsufficientStock),
            refusal => refusal,
        };
        if refusal.is_some() && found.refusal.is_none() {
            found.refusal = refusal;
            found.parts.clear();
        }
    }
    all
}

/// The line in full at the earliest time from the date on.
fn on_or_after(
    lens: Lens<'_>,
    scratch: &Scratch,
    line: &Wanted,
    at: LocationId,
    date: UtcMillis,
    latest: UtcMillis,
) -> Found {
    if let Some(refusal) = time_refusal(lens, line, at) {
        return Found::refused(refusal);
    }
    let Some(id) = lens.state.position_id(line.item, at) else {
        return Found {
            asked_at: Some(at),
            ..Found::refused(Refusal::InsufficientStock)
        };
    };
    let earliest = lens.earliest(scratch, id, date, line.quantity);
    let found = earliest.filter(|earliest| *earliest <= latest);
    if found.is_some() && !lens.has_room(scratch, id) {
        return Found::refused(Refusal::Limit);
    }
    let part = found.map(|ship_time| Part {
        position: id,
        location: at,
        quantity: line.quantity,
        ship_time,
    });
    Found {
        refusal: part.is_none().then_some(Refusal::InsufficientStock),
        parts: part.into_iter().collect(),
        available: lens.available(scratch, id, line.ship_time),
        earliest,
        asked_at: part.is_none().then_some(at),
    }
}
