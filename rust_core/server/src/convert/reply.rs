//! Answers of the engine, as callers see them. Names come back from the request where they can.

use bespeak_engine::{
    Answer, Catalog, HoldReply, LineReply, Outcome, PartReply, Receipt, ReceiptKind, Refusal,
    Reply, Reservation, ReservationId, ReservationState, ShockCause, ShockView, State, StepReply,
    SupplyReply, UtcMillis,
};
use bespeak_proto::v1 as pb;

use crate::error::ApiError;

/// A refusal; none is unspecified.
pub fn refusal(refusal: Option<Refusal>) -> pb::Refusal {
    match refusal {
        None => pb::Refusal::Unspecified,
        Some(Refusal::Expired) => pb::Refusal::Expired,
        Some(Refusal::WrongState) => pb::Refusal::WrongState,
        Some(Refusal::OverOpenQuantity) => pb::Refusal::OverOpenQuantity,
        Some(Refusal::HoldLife) => pb::Refusal::HoldLife,
        Some(Refusal::ShipTimePast) => pb::Refusal::ShipTimePast,
        Some(Refusal::BeyondHorizon) => pb::Refusal::BeyondHorizon,
        Some(Refusal::CustomerLimit) => pb::Refusal::CustomerLimit,
        Some(Refusal::InsufficientStock) => pb::Refusal::InsufficientStock,
        Some(Refusal::SplitLimit) => pb::Refusal::SplitLimit,
        Some(Refusal::OtherLine) => pb::Refusal::OtherLine,
        Some(Refusal::Conflict) => pb::Refusal::Conflict,
        Some(Refusal::Limit) => pb::Refusal::Limit,
    }
}

/// A reservation's state.
pub fn state(state: ReservationState) -> pb::ReservationState {
    match state {
        ReservationState::Held => pb::ReservationState::Held,
        ReservationState::Confirmed => pb::ReservationState::Confirmed,
        ReservationState::Fulfilled => pb::ReservationState::Fulfilled,
        ReservationState::Released => pb::ReservationState::Released,
        ReservationState::Expired => pb::ReservationState::Expired,
        ReservationState::Finished => pb::ReservationState::Unspecified,
    }
}

/// How much was held.
pub fn outcome(outcome: Outcome) -> pb::Outcome {
    match outcome {
        Outcome::Full => pb::Outcome::Full,
        Outcome::Partial => pb::Outcome::Partial,
        Outcome::Refused => pb::Outcome::Refused,
    }
}

/// The result of a line whose item has this name.
pub fn line(catalog: &Catalog, item: String, reply: &LineReply) -> pb::LineResult {
    let part = |part: &PartReply| pb::LinePart {
        location: catalog.location(part.location).name.to_string(),
        quantity: part.quantity.get(),
        ship_time_ms: part.ship_time.get(),
        reservation_line: part.line,
    };
    pb::LineResult {
        item,
        requested_quantity: reply.requested.get(),
        held_quantity: reply.parts.iter().map(|part| part.quantity.get()).sum(),
        parts: reply.parts.iter().map(part).collect(),
        refusal: refusal(reply.refusal).into(),
        available: reply.available.get(),
        earliest_time_ms: reply.earliest.map(UtcMillis::get),
    }
}

/// Line results of a hold, whose items are named by the request's lines.
pub fn lines(
    catalog: &Catalog,
    hold: &HoldReply,
    items: impl Iterator<Item = String>,
) -> Vec<pb::LineResult> {
    items
        .zip(&hold.lines)
        .map(|(item, reply)| line(catalog, item, reply))
        .collect()
}

/// The answer to a `Promise`.
pub fn promise(
    answer: &Answer,
    hold: &HoldReply,
    lines: Vec<pb::LineResult>,
) -> pb::PromiseResponse {
    pb::PromiseResponse {
        outcome: outcome(hold.outcome).into(),
        reservation_id: reservation_id(hold),
        state: hold_state(hold),
        expires_at_ms: hold.expires_at.get(),
        lines,
        revision: answer.revision,
        engine_time_ms: answer.time.get(),
        replayed: answer.replayed,
        duplicate: false,
    }
}

/// The answer to a `Reserve`.
pub fn reserve(
    answer: &Answer,
    hold: &HoldReply,
    lines: Vec<pb::LineResult>,
) -> pb::ReserveResponse {
    pb::ReserveResponse {
        outcome: outcome(hold.outcome).into(),
        reservation_id: reservation_id(hold),
        state: hold_state(hold),
        expires_at_ms: hold.expires_at.get(),
        lines,
        revision: answer.revision,
        engine_time_ms: answer.time.get(),
        replayed: answer.replayed,
        duplicate: false,
    }
}

fn reservation_id(hold: &HoldReply) -> u64 {
    hold.reservation.map_or(0, |id| id.0)
}

fn hold_state(hold: &HoldReply) -> i32 {
    match hold.reservation {
        Some(_) => state(hold.state).into(),
        None => pb::ReservationState::Unspecified.into(),
    }
}

/// The hold in an answer; `None` for a source event that was seen before, which has done nothing again.
///
/// # Errors
/// `Internal` for an answer of another kind, which the engine does not give.
pub fn held(answer: &Answer) -> Result<Option<&HoldReply>, ApiError> {
    match &answer.reply {
        Reply::Hold(hold) => Ok(Some(hold)),
        Reply::Duplicate => Ok(None),
        _ => Err(unexpected()),
    }
}

/// The hold in an answer to a request that is no source event.
///
/// # Errors
/// `Internal` for an answer of another kind, which the engine does not give.
pub fn hold(answer: &Answer) -> Result<&HoldReply, ApiError> {
    held(answer)?.ok_or_else(unexpected)
}

/// The step in an answer; a source event that was seen before has done nothing again, and tells of no state.
///
/// # Errors
/// `Internal` for an answer of another kind.
pub fn step(answer: &Answer) -> Result<StepReply, ApiError> {
    match &answer.reply {
        Reply::Step(step) | Reply::StepWithShocks(step, _) => Ok(*step),
        Reply::Duplicate => Ok(NO_STEP),
        _ => Err(unexpected()),
    }
}

const NO_STEP: StepReply = StepReply {
    refusal: None,
    state: ReservationState::Finished,
    expires_at: UtcMillis::ZERO,
    reacquired: false,
};

/// Whether this answers a source event that had been seen before.
pub fn is_duplicate(answer: &Answer) -> bool {
    answer.reply == Reply::Duplicate
}

/// Ids of the shocks that a step raised or made worse.
pub fn step_shocks(answer: &Answer) -> Vec<u64> {
    match &answer.reply {
        Reply::StepWithShocks(_, shocks) => shocks.iter().map(|shock| shock.0).collect(),
        _ => Vec::new(),
    }
}

fn unexpected() -> ApiError {
    ApiError::Internal("the answer belongs to another kind of request".to_owned())
}

/// The answer to a fact about stock.
///
/// # Errors
/// `Internal` for an answer of another kind.
pub fn supply(state: &State, answer: &Answer) -> Result<(pb::SupplyResult, SupplyReply), ApiError> {
    let (reply, duplicate) = match &answer.reply {
        Reply::Supply(supply) => (*supply, false),
        Reply::Duplicate => (NOTHING, true),
        _ => return Err(unexpected()),
    };
    let result = pb::SupplyResult {
        refusal: refusal(reply.refusal).into(),
        on_hand: reply.on_hand,
        version: reply.version,
        // The id is the first answer's for good; what it means now is told while it lasts.
        shock_id: reply.shock.map_or(0, |id| id.0),
        shock: reply
            .shock
            .and_then(|id| state.shock(id))
            .map(|view| shock(state, &view)),
        revision: answer.revision,
        replayed: answer.replayed,
        duplicate,
    };
    Ok((result, reply))
}

const NOTHING: SupplyReply = SupplyReply {
    refusal: None,
    on_hand: 0,
    version: 0,
    receipt_revision: 0,
    receipt_open: bespeak_engine::Units::ZERO,
    shock: None,
};

/// The answer to master data.
pub fn catalog(answer: &Answer) -> pb::CatalogResult {
    pb::CatalogResult {
        revision: answer.revision,
        replayed: answer.replayed,
        duplicate: is_duplicate(answer),
    }
}

/// A supply shock.
pub fn shock(state: &State, view: &ShockView) -> pb::Shock {
    let position = state.position(view.shock.position);
    let catalog = state.catalog();
    let at_risk = view.at_risk.iter().map(|risk| pb::PromiseAtRisk {
        reservation_id: risk.reservation.0,
        line: risk.line,
        tier: risk.tier.into(),
        ship_time_ms: risk.ship_time.get(),
        quantity: risk.quantity.get(),
    });
    pb::Shock {
        shock_id: view.id.0,
        item: catalog.item(position.item()).name.to_string(),
        location: catalog.location(position.location()).name.to_string(),
        cause: cause(view.shock.cause).into(),
        raised_at_ms: view.shock.raised_at.get(),
        shortfall: view.shortfall.get(),
        recovery_time_ms: view.recovery.map(UtcMillis::get),
        at_risk: at_risk.collect(),
        at_risk_total: view.at_risk_total.map(|total| total as u64),
    }
}

fn cause(cause: ShockCause) -> pb::ShockCause {
    match cause {
        ShockCause::Count => pb::ShockCause::Count,
        ShockCause::Issue => pb::ShockCause::Issue,
        ShockCause::ReceiptCut => pb::ShockCause::ReceiptCut,
        ShockCause::ReceiptLate => pb::ShockCause::ReceiptLate,
        ShockCause::Fulfilment => pb::ShockCause::Fulfilment,
        ShockCause::Status => pb::ShockCause::Status,
        ShockCause::Rule => pb::ShockCause::Rule,
    }
}

/// An open receipt.
pub fn receipt(state: &State, receipt: &Receipt) -> pb::Receipt {
    let position = state.position(receipt.position());
    let catalog = state.catalog();
    let kind = match receipt.kind() {
        ReceiptKind::PurchaseOrder => pb::ReceiptKind::PurchaseOrder,
        ReceiptKind::Transfer => pb::ReceiptKind::Transfer,
        ReceiptKind::Production => pb::ReceiptKind::Production,
        ReceiptKind::Return => pb::ReceiptKind::Return,
    };
    pb::Receipt {
        receipt_id: receipt.name().to_owned(),
        item: catalog.item(position.item()).name.to_string(),
        location: catalog.location(position.location()).name.to_string(),
        kind: kind.into(),
        open_quantity: receipt.open().get(),
        received_quantity: receipt.received().get(),
        due_time_ms: receipt.due().get(),
        counts_from_ms: receipt.counts_from().get(),
        revision: receipt.revision(),
        overdue: receipt.overdue(),
    }
}

/// An open reservation.
pub fn reservation(
    state_of: &State,
    id: ReservationId,
    reservation: &Reservation,
) -> pb::Reservation {
    let catalog = state_of.catalog();
    let lines = (0u32..).zip(reservation.lines()).map(|(number, line)| {
        let position = state_of.position(line.position);
        pb::ReservationLine {
            line: number,
            item: catalog.item(position.item()).name.to_string(),
            location: catalog.location(position.location()).name.to_string(),
            ship_time_ms: line.ship_time.get(),
            open_quantity: line.open.get(),
            fulfilled_quantity: line.fulfilled.get(),
            released_quantity: line.released.get(),
        }
    });
    pb::Reservation {
        reservation_id: id.0,
        state: state(reservation.state()).into(),
        order_ref: reservation.order_ref().to_owned(),
        customer: reservation.customer().to_owned(),
        segment: reservation.segment().to_owned(),
        tier: reservation.tier().into(),
        created_at_ms: reservation.created_at().get(),
        expires_at_ms: match reservation.state() {
            ReservationState::Held => reservation.expires_at().get(),
            _ => 0,
        },
        created_revision: reservation.created_revision(),
        lines: lines.collect(),
    }
}
