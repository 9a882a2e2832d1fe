//! `Reserve`: check and hold at given locations, and what it shares with `Promise`.

use smallvec::SmallVec;

use super::complete::ship_complete;
use super::terms::{check_override, check_terms, wanted_line};
use super::{Decision, Lens, Scratch, budget, check_location, time_refusal_at};
use crate::command::{FillPolicy, HoldTerms, Meta, Reserve};
use crate::event::{Event, Held, HeldLine};
use crate::ids::{ItemId, LocationId, PositionId, ReservationId, Units, UtcMillis};
use crate::limits::{MAX_PARTS, MAX_RESERVATIONS};
use crate::refusal::{EngineError, Refusal};
use crate::reply::{HoldReply, LineReply, Outcome, PartReply, Reply, ReservationState};
use crate::state::State;

/// A line with its times worked out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub item: ItemId,
    pub quantity: Units,
    pub ship_time: UtcMillis,
    /// The ship time where the request names no latest one.
    pub latest: UtcMillis,
    pub names_latest: bool,
}

/// What was found for a line.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub parts: SmallVec<[Part; 1]>,
    pub refusal: Option<Refusal>,
    pub available: Units,
    pub earliest: Option<UtcMillis>,
    /// Where demand that was not met is counted.
    pub asked_at: Option<LocationId>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    pub position: PositionId,
    pub location: LocationId,
    pub quantity: Units,
    pub ship_time: UtcMillis,
}

impl Found {
    pub fn refused(refusal: Refusal) -> Self {
        Self {
            parts: SmallVec::new(),
            refusal: Some(refusal),
            available: Units::ZERO,
            earliest: None,
            asked_at: None,
        }
    }

    pub fn held(&self) -> u64 {
        self.parts.iter().map(|part| part.quantity.get()).sum()
    }
}

pub(crate) fn reserve(
    state: &State,
    meta: &Meta,
    reserve: &Reserve,
) -> Result<Decision, EngineError> {
    check_terms(state, &reserve.terms, reserve.lines.len())?;
    let mut wanted: SmallVec<[Wanted; 1]> = SmallVec::new();
    for line in &reserve.lines {
        check_location(state, line.location)?;
        wanted.push(wanted_line(
            state,
            line.item,
            line.quantity,
            line.ship_time,
            line.latest,
        )?);
        check_override(state, line.item, line.location, reserve.terms.rule.as_ref())?;
    }
    if reserve.terms.rule.is_some() {
        budget::of_reserve(state, &reserve.lines)?;
    }
    let lens = Lens {
        state,
        rule: reserve.terms.rule.as_ref(),
    };
    let mut found: SmallVec<[Found; 1]> = SmallVec::new();
    if reserve.terms.fill == FillPolicy::ShipComplete {
        let located = wanted.iter().zip(&reserve.lines);
        let located: SmallVec<[(Wanted, LocationId); 1]> = located
            .map(|(line, asked)| (*line, asked.location))
            .collect();
        found = ship_complete(lens, &located);
    } else {
        let partial = reserve.terms.fill == FillPolicy::Partial;
        let mut scratch = Scratch::default();
        for (line, asked) in wanted.iter().zip(&reserve.lines) {
            let one = reserve_line(lens, &mut scratch, line, asked.location, partial);
            found.push(one);
        }
    }
    finish(state, meta, &reserve.terms, 0, &wanted, found)
}

pub(super) fn reserve_line(
    lens: Lens<'_>,
    scratch: &mut Scratch,
    line: &Wanted,
    at: LocationId,
    partial: bool,
) -> Found {
    let id = lens.state.position_id(line.item, at);
    if let Some(refusal) = time_refusal_at(lens, line, id, at) {
        return Found::refused(refusal);
    }
    let Some(id) = id else {
        return Found {
            asked_at: Some(at),
            ..Found::refused(Refusal::InsufficientStock)
        };
    };
    let available = lens.available(scratch, id, line.ship_time);
    if available >= line.quantity {
        if !lens.has_room(scratch, id) {
            return Found::refused(Refusal::Limit);
        }
        scratch.take(id, line.quantity, line.ship_time);
        let part = Part {
            position: id,
            location: at,
            quantity: line.quantity,
            ship_time: line.ship_time,
        };
        return Found {
            parts: SmallVec::from_buf([part]),
            refusal: None,
            available,
            earliest: Some(line.ship_time),
            asked_at: None,
        };
    }
    let mut found = Found {
        parts: SmallVec::new(),
        refusal: Some(Refusal::InsufficientStock),
        available,
        earliest: lens.earliest(scratch, id, line.ship_time, line.quantity),
        asked_at: Some(at),
    };
    if partial && !available.is_zero() && lens.has_room(scratch, id) {
        scratch.take(id, available, line.ship_time);
        found.parts.push(Part {
            position: id,
            location: at,
            quantity: available,
            ship_time: line.ship_time,
        });
    }
    found
}

/// Turns what was found into a reservation, or into a refusal of all of it. `freed` units of the customer are given back
/// in the same step.
pub(crate) fn finish(
    state: &State,
    meta: &Meta,
    terms: &HoldTerms,
    freed: u64,
    wanted: &[Wanted],
    mut found: SmallVec<[Found; 1]>,
) -> Result<Decision, EngineError> {
    let (mut whole, mut held, mut parts) = (true, 0, 0);
    for one in &found {
        whole &= one.refusal.is_none();
        held += one.held();
        parts += one.parts.len();
    }
    let mut refused = held == 0 || (!whole && terms.fill != FillPolicy::Partial);
    if !refused && parts > MAX_PARTS {
        refuse_all(&mut found, Refusal::SplitLimit);
        refused = true;
    }
    if !terms.confirm && !terms.customer.is_empty() {
        let before = state.reservations.held_units(&terms.customer) - freed;
        let asked = match terms.fill {
            FillPolicy::Partial => held,
            _ => wanted.iter().map(|line| line.quantity.get()).sum(),
        };
        if before.saturating_add(asked) > state.settings.max_held_units_per_customer {
            refuse_all(&mut found, Refusal::CustomerLimit);
            refused = true;
        }
    }
    let mut events: SmallVec<[Event; 1]> = SmallVec::new();
    let mut reply = HoldReply {
        outcome: Outcome::Refused,
        reservation: None,
        state: ReservationState::Released,
        expires_at: UtcMillis::ZERO,
        lines: SmallVec::new(),
    };
    if !refused {
        let hold = hold_event(state, terms, &found)?;
        reply.outcome = if whole {
            Outcome::Full
        } else {
            Outcome::Partial
        };
        reply.reservation = Some(hold.reservation);
        reply.expires_at = hold.expires_at.unwrap_or(UtcMillis::ZERO);
        reply.state = if terms.confirm {
            ReservationState::Confirmed
        } else {
            ReservationState::Held
        };
        let (id, held) = (hold.reservation, hold.expires_at.is_some());
        events.push(Event::Held(hold));
        // A hold that runs out is taken again under the same rule.
        if let (Some(rule), true) = (terms.rule, held) {
            events.push(Event::HeldUnder(id, rule));
        }
    }
    let mut next_line = 0;
    for (line, one) in wanted.iter().zip(&found) {
        if let Some(location) = one.asked_at {
            let held = if refused { 0 } else { one.held() };
            unmet_event(state, meta, terms, line, (location, held), &mut events);
        }
        let mut result = LineReply {
            item: line.item,
            requested: line.quantity,
            parts: SmallVec::new(),
            refusal: one.refusal,
            available: one.available,
            earliest: one.earliest,
        };
        if refused {
            result.refusal = result.refusal.or(Some(Refusal::OtherLine));
        } else {
            for part in &one.parts {
                result.parts.push(PartReply {
                    location: part.location,
                    quantity: part.quantity,
                    ship_time: part.ship_time,
                    line: next_line,
                });
                next_line += 1;
            }
        }
        reply.lines.push(result);
    }
    Ok(Decision {
        events,
        reply: Reply::Hold(reply),
        shock_cause: None,
    })
}

fn refuse_all(found: &mut [Found], refusal: Refusal) {
    for one in found {
        // Precedence: what was refused for an earlier reason keeps it.
        one.refusal = Some(one.refusal.map_or(refusal, |known| known.min(refusal)));
        one.parts.clear();
        one.asked_at = None;
    }
}

fn hold_event(state: &State, terms: &HoldTerms, found: &[Found]) -> Result<Held, EngineError> {
    if state.reservations.len() >= MAX_RESERVATIONS {
        return Err(EngineError::Full {
            what: "the table of reservations",
            limit: MAX_RESERVATIONS as u64,
        });
    }
    let life = terms
        .expires_in_ms
        .unwrap_or(state.settings.default_hold_ms);
    let mut lines: SmallVec<[HeldLine; 1]> = SmallVec::new();
    for one in found {
        for part in &one.parts {
            lines.push(HeldLine {
                position: part.position,
                quantity: part.quantity,
                ship_time: part.ship_time,
            });
        }
    }
    Ok(Held {
        reservation: ReservationId(state.reservations.next_id),
        lines,
        expires_at: (!terms.confirm).then(|| state.now().plus(life)),
        order_ref: terms.order_ref.clone(),
        customer: terms.customer.clone(),
        segment: terms.segment.clone(),
        tier: terms.tier,
    })
}

/// Counts what could not be promised, once for an order and its retries.
fn unmet_event(
    state: &State,
    meta: &Meta,
    terms: &HoldTerms,
    line: &Wanted,
    (location, held): (LocationId, u64),
    events: &mut SmallVec<[Event; 1]>,
) {
    let Some(units) = Units::new(line.quantity.get() - held).filter(|units| !units.is_zero())
    else {
        return;
    };
    let day = state
        .catalog()
        .location(location)
        .day_of(line.ship_time)
        .max(0) as u32;
    // A retry carries the same order or, without one, the same request id.
    let mut key = xxhash_rust::xxh3::Xxh3Default::new();
    if terms.order_ref.is_empty() {
        key.update(&meta.request_id.to_le_bytes());
    } else {
        key.update(terms.customer.as_bytes());
        key.update(&[0]);
        key.update(terms.order_ref.as_bytes());
    }
    key.update(&line.item.0.to_le_bytes());
    let key = key.digest();
    if (meta.request_id != 0 || !terms.order_ref.is_empty()) && state.unmet.is_retry(key) {
        return;
    }
    events.push(Event::DemandUnmet {
        item: line.item,
        location,
        day,
        units,
        key,
    });
}
