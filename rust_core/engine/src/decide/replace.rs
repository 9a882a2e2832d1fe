//! `Replace`: another reservation in the place of an open one, in one step: never both lost, never both held. A hold's life
//! goes on, and cannot be made longer by moving it.

use smallvec::SmallVec;

use super::hold::{Found, Wanted, finish, reserve_line};
use super::terms::{check_terms, wanted_line};
use super::{Decision, Lens, Scratch, budget, check_location};
use crate::command::{FillPolicy, HoldTerms, Meta, Replace};
use crate::event::Event;
use crate::ids::{ReservationId, Units};
use crate::refusal::{EngineError, Refusal};
use crate::reply::{Reply, ReservationState};
use crate::reservations::Reservation;
use crate::state::State;

pub(crate) fn replace(
    state: &State,
    meta: &Meta,
    replace: &Replace,
) -> Result<Decision, EngineError> {
    let old = state.reservations.get(replace.reservation);
    if old.is_none() && !state.was_made(replace.reservation) {
        return Err(EngineError::UnknownReservation(replace.reservation.0));
    }
    let terms = old.map_or_else(HoldTerms::default, |old| {
        terms(state, replace.reservation, old)
    });
    check_terms(state, &terms, replace.lines.len())?;
    if terms.rule.is_some() {
        budget::of_reserve(state, &replace.lines)?;
    }
    let mut wanted: SmallVec<[Wanted; 1]> = SmallVec::new();
    for line in &replace.lines {
        check_location(state, line.location)?;
        let (ship_time, latest) = (line.ship_time, line.latest);
        wanted.push(wanted_line(
            state,
            line.item,
            line.quantity,
            ship_time,
            latest,
        )?);
    }
    let mut found: SmallVec<[Found; 1]> = SmallVec::new();
    let mut events: SmallVec<[Event; 1]> = SmallVec::new();
    let refusal = match old {
        Some(old) if is_whole(old) => None,
        Some(old) if old.state() == ReservationState::Expired => Some(Refusal::Expired),
        None if state.lapsed.contains(replace.reservation) => Some(Refusal::Expired),
        _ => Some(Refusal::WrongState),
    };
    let mut freed = 0;
    match (old, refusal) {
        (Some(old), None) => {
            let mut scratch = Scratch::default();
            for (number, line) in (0u32..).zip(old.lines()) {
                scratch.give(line.position, line.open, line.ship_time);
                events.push(Event::Released(replace.reservation, number, line.open));
            }
            if old.state() == ReservationState::Held {
                freed = old.open_units();
            }
            let lens = Lens {
                state,
                rule: terms.rule.as_ref(),
            };
            for (line, asked) in wanted.iter().zip(&replace.lines) {
                let one = reserve_line(lens, &mut scratch, line, asked.location, false);
                // The order keeps what it has: nothing is unmet.
                found.push(Found {
                    asked_at: None,
                    ..one
                });
            }
        }
        (_, refusal) => {
            let refusal = refusal.unwrap_or(Refusal::WrongState);
            found.extend(wanted.iter().map(|_| Found::refused(refusal)));
        }
    }
    let mut decision = finish(state, meta, &terms, freed, &wanted, found)?;
    if let (Reply::Hold(hold), Some(old)) = (&decision.reply, old)
        && let Some(new) = hold.reservation
        && !terms.confirm
    {
        let since = Event::HeldSince(new, old.created_at());
        decision.events.push(since);
    }
    if !decision.events.is_empty() {
        events.append(&mut decision.events);
        decision.events = events;
    }
    Ok(decision)
}

/// Nothing of it has left or was given back, and its stock is held.
fn is_whole(old: &Reservation) -> bool {
    let untouched = |units: Units| units.is_zero();
    old.binds()
        && old
            .lines()
            .iter()
            .all(|line| untouched(line.fulfilled) && untouched(line.released))
}

/// Those of the old reservation, for the rest of its life.
fn terms(state: &State, id: ReservationId, old: &Reservation) -> HoldTerms {
    let left = old.expires_at().get() - state.now().get();
    HoldTerms {
        fill: FillPolicy::AllOrNone,
        expires_in_ms: (old.state() == ReservationState::Held).then_some(left.max(1)),
        order_ref: old.order_ref().into(),
        customer: old.customer().into(),
        segment: old.segment().into(),
        tier: old.tier(),
        rule: state.reservations.rule(id).copied(),
        confirm: old.state() == ReservationState::Confirmed,
    }
}
