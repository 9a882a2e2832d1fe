//! The steps of a reservation's life:
//!
//! ```text
//!            Extend
//!            ┌───┐
//!            ▼   │      Confirm             Fulfil, all of it
//! Reserve ─► HELD ───────────► CONFIRMED ───────────────────► FULFILLED
//! Promise     │ │                 ▲   │
//!             │ └── Release ──────┼───┴── Release ──────────► RELEASED
//!             │ time              │ Confirm, stock still there (reacquired)
//!             └───────────► EXPIRED ── an hour later ───────► forgotten
//! ```

use smallvec::SmallVec;

use super::supply::{check_on_hand, current, movement};
use super::{Decision, Draft, Lens, Scratch, budget, check_happened, check_location};
use crate::catalog_types::StockStatus;
use crate::command::{Extend, Fulfil, FulfilLine, Release};
use crate::event::{Event, MoveKind, ShockCause};
use crate::ids::{PositionId, ReservationId, Units, UtcMillis};
use crate::limits::MAX_PARTS;
use crate::refusal::{EngineError, Refusal};
use crate::reply::{Reply, ReservationState, StepReply};
use crate::reservations::Reservation;
use crate::state::State;

/// An open reservation, or the refusal that a finished one gets.
fn open(state: &State, id: ReservationId) -> Result<Result<&Reservation, Decision>, EngineError> {
    match state.reservations.get(id) {
        Some(reservation) => Ok(Ok(reservation)),
        None if state.lapsed.contains(id) => {
            Ok(Err(refused(Refusal::Expired, ReservationState::Expired)))
        }
        // Finished reservations have left memory; what became of them stands in the journal.
        None if state.was_made(id) => Ok(Err(refused(
            Refusal::WrongState,
            ReservationState::Finished,
        ))),
        None => Err(EngineError::UnknownReservation(id.0)),
    }
}

fn refused(refusal: Refusal, state: ReservationState) -> Decision {
    Decision::refused(Reply::Step(StepReply {
        refusal: Some(refusal),
        state,
        expires_at: UtcMillis::ZERO,
        reacquired: false,
    }))
}

fn wrong_state(reservation: &Reservation) -> Decision {
    let refusal = match reservation.state() {
        ReservationState::Expired => Refusal::Expired,
        _ => Refusal::WrongState,
    };
    refused(refusal, reservation.state())
}

fn done(state: ReservationState, expires_at: UtcMillis, reacquired: bool) -> Reply {
    Reply::Step(StepReply {
        refusal: None,
        state,
        expires_at,
        reacquired,
    })
}

pub(crate) fn extend(state: &State, extend: &Extend) -> Result<Decision, EngineError> {
    if extend.expires_in_ms <= 0 || extend.expires_in_ms > state.settings.max_hold_life_ms {
        return Err(EngineError::InvalidArgument {
            field: "expires_in_ms",
            value: extend.expires_in_ms.to_string(),
            rule: "it must be above 0 and within the longest life of a hold",
        });
    }
    let reservation = match open(state, extend.reservation)? {
        Ok(reservation) => reservation,
        Err(refused) => return Ok(refused),
    };
    if reservation.state() != ReservationState::Held {
        return Ok(wrong_state(reservation));
    }
    let expires_at = state.now().plus(extend.expires_in_ms);
    if expires_at
        > reservation
            .created_at()
            .plus(state.settings.max_hold_life_ms)
    {
        return Ok(refused(Refusal::HoldLife, ReservationState::Held));
    }
    // To extend never takes away: who asks for less than is left keeps what is left.
    let expires_at = expires_at.max(reservation.expires_at());
    Ok(Decision {
        events: SmallVec::from_buf([Event::Extended(extend.reservation, expires_at)]),
        reply: done(ReservationState::Held, expires_at, false),
        shock_cause: None,
    })
}

pub(crate) fn confirm(state: &State, id: ReservationId) -> Result<Decision, EngineError> {
    let reservation = match open(state, id)? {
        Ok(reservation) => reservation,
        Err(refused) => return Ok(refused),
    };
    let (event, reacquired) = match reservation.state() {
        // A live hold is not checked again: its stock is already taken.
        ReservationState::Held => (Event::Confirmed(id), false),
        ReservationState::Expired => match reacquire(state, id, reservation) {
            Ok(ship_times) => (Event::Reacquired(id, ship_times), true),
            Err(refusal) => return Ok(refused(refusal, ReservationState::Expired)),
        },
        _ => return Ok(wrong_state(reservation)),
    };
    Ok(Decision {
        events: SmallVec::from_buf([event]),
        reply: done(ReservationState::Confirmed, UtcMillis::ZERO, reacquired),
        shock_cause: None,
    })
}

/// Ship times at which an expired hold's lines can all be taken again; a time that has passed becomes now.
fn reacquire(
    state: &State,
    id: ReservationId,
    reservation: &Reservation,
) -> Result<SmallVec<[UtcMillis; 1]>, Refusal> {
    let rule = state.reservations.rule(id);
    let places = reservation.lines().iter().map(|line| line.position);
    if rule.is_some() && !budget::allows_once(state, places) {
        return Err(Refusal::Limit);
    }
    let lens = Lens { state, rule };
    let mut scratch = Scratch::default();
    let mut ship_times = SmallVec::new();
    for line in reservation.lines() {
        let ship_time = line.ship_time.max(state.now());
        ship_times.push(ship_time);
        if line.open.is_zero() {
            continue;
        }
        if lens.available(&scratch, line.position, ship_time) < line.open {
            return Err(Refusal::Expired);
        }
        if !lens.has_room(&scratch, line.position) {
            return Err(Refusal::Limit);
        }
        scratch.take(line.position, line.open, ship_time);
    }
    Ok(ship_times)
}

pub(crate) fn fulfil(state: &State, fulfil: &Fulfil) -> Result<Decision, EngineError> {
    check_line_count(fulfil.lines.len())?;
    check_happened(state, fulfil.happened_at)?;
    for line in &fulfil.lines {
        if let Some(location) = line.location {
            check_location(state, location)?;
        }
    }
    let reservation = match open(state, fulfil.reservation)? {
        Ok(reservation) => reservation,
        Err(refused) => return Ok(refused),
    };
    let all: SmallVec<[FulfilLine; 2]> = open_lines(reservation)
        .map(|(line, quantity)| FulfilLine {
            line,
            quantity,
            location: None,
        })
        .collect();
    let lines = if fulfil.lines.is_empty() {
        &all
    } else {
        &fulfil.lines
    };
    let asked: SmallVec<[(u32, Units); 2]> = lines
        .iter()
        .map(|line| (line.line, line.quantity))
        .collect();
    let over = check_lines(fulfil.reservation, reservation, &asked)?;
    if reservation.state() != ReservationState::Confirmed {
        return Ok(wrong_state(reservation));
    }
    if over {
        return Ok(refused(Refusal::OverOpenQuantity, reservation.state()));
    }
    let mut draft = Draft::default();
    let mut left: SmallVec<[(PositionId, i64); 2]> = SmallVec::new();
    for line in lines {
        let promised = reservation.lines()[line.line as usize].position;
        let from = match line.location {
            None => promised,
            Some(location) => draft.position(state, state.position(promised).item(), location)?,
        };
        let moved = movement(
            state,
            (from, StockStatus::Unrestricted),
            -line.quantity.balance(),
            MoveKind::Fulfilled,
            fulfil.happened_at,
            Some(fulfil.reservation),
        );
        match left.iter_mut().find(|(position, _)| *position == from) {
            Some((_, units)) => *units += moved.units,
            None => left.push((from, moved.units)),
        }
        draft.events.push(Event::Fulfilled(
            fulfil.reservation,
            line.line,
            line.quantity,
        ));
        draft.events.push(moved.event);
    }
    for (position, units) in left {
        let (on_hand, _) = current(state, position, StockStatus::Unrestricted);
        check_on_hand(on_hand, units)?;
    }
    let after = state_after(reservation, &asked, ReservationState::Fulfilled);
    Ok(Decision {
        events: draft.events,
        reply: done(after, UtcMillis::ZERO, false),
        shock_cause: Some(ShockCause::Fulfilment),
    })
}

pub(crate) fn release(state: &State, release: &Release) -> Result<Decision, EngineError> {
    check_line_count(release.lines.len())?;
    let reservation = match open(state, release.reservation)? {
        Ok(reservation) => reservation,
        Err(refused) => return Ok(refused),
    };
    let all: SmallVec<[(u32, Units); 2]> = open_lines(reservation).collect();
    let lines = if release.lines.is_empty() {
        &all
    } else {
        &release.lines
    };
    let over = check_lines(release.reservation, reservation, lines)?;
    if !reservation.binds() {
        return Ok(wrong_state(reservation));
    }
    if over {
        return Ok(refused(Refusal::OverOpenQuantity, reservation.state()));
    }
    let events = lines
        .iter()
        .map(|(line, units)| Event::Released(release.reservation, *line, *units))
        .collect();
    let after = state_after(reservation, lines, ReservationState::Released);
    let expires_at = if after == ReservationState::Held {
        reservation.expires_at()
    } else {
        UtcMillis::ZERO
    };
    Ok(Decision {
        events,
        reply: done(after, expires_at, false),
        shock_cause: None,
    })
}

fn check_line_count(lines: usize) -> Result<(), EngineError> {
    if lines <= MAX_PARTS {
        return Ok(());
    }
    Err(EngineError::InvalidArgument {
        field: "lines",
        value: format!("{lines} lines"),
        rule: "at most 1024 are allowed: a reservation has no more",
    })
}

fn open_lines(reservation: &Reservation) -> impl Iterator<Item = (u32, Units)> + '_ {
    let lines = reservation.lines().iter().enumerate();
    lines
        .filter(|(_, line)| !line.open.is_zero())
        .map(|(n, line)| (n as u32, line.open))
}

/// Whether more is asked of a line than is open on it.
fn check_lines(
    id: ReservationId,
    reservation: &Reservation,
    lines: &[(u32, Units)],
) -> Result<bool, EngineError> {
    let mut over = false;
    for (n, (line, units)) in lines.iter().enumerate() {
        let Some(known) = reservation.lines().get(*line as usize) else {
            return Err(EngineError::UnknownLine {
                reservation: id.0,
                line: *line,
                last: reservation.lines().len().saturating_sub(1) as u32,
            });
        };
        if units.is_zero() {
            return Err(EngineError::InvalidArgument {
                field: "quantity",
                value: "0".to_owned(),
                rule: "it must be at least 1",
            });
        }
        let same = lines[..=n].iter().filter(|(other, _)| other == line);
        over |= same.map(|(_, units)| units.get()).sum::<u64>() > known.open.get();
    }
    Ok(over)
}

fn state_after(
    reservation: &Reservation,
    lines: &[(u32, Units)],
    finished: ReservationState,
) -> ReservationState {
    let left: u64 = lines.iter().map(|(_, units)| units.get()).sum();
    if reservation.open_units() > left {
        return reservation.state();
    }
    // A reservation of which anything left is fulfilled, though the rest was given back.
    let any_left = reservation
        .lines()
        .iter()
        .any(|line| !line.fulfilled.is_zero());
    if any_left {
        ReservationState::Fulfilled
    } else {
        finished
    }
}
