//! Facts about stock on hand. Never refused for balance.

use super::receipts::overdue_at_once;
use super::{Decision, Draft, check_future, check_happened, check_name};
use crate::catalog_types::{ReceiptKind, StockStatus};
use crate::command::{AdjustOnHand, AdjustReason, MoveStatus, Return, SetOnHand, Transfer};
use crate::event::{Event, MoveKind, ReceiptPlan, ShockCause};
use crate::ids::{PositionId, ReceiptNo, ReservationId, Units, UtcMillis};
use crate::limits::{
    COUNT_LOOKBACK_MS, MAX_ENTRIES_PER_POSITION, MAX_ON_HAND, MAX_QUANTITY, MAX_RECEIPTS,
};
use crate::refusal::{EngineError, Refusal};
use crate::reply::{Reply, SupplyReply};
use crate::state::State;

/// Stock and version of a position, zero where it does not exist yet.
pub(super) fn current(state: &State, id: PositionId, status: StockStatus) -> (i64, u64) {
    if id.index() >= state.position_count() {
        return (0, 0);
    }
    let position = state.position(id);
    (position.on_hand(status), position.version())
}

pub(super) fn reply(on_hand: i64, version: u64) -> SupplyReply {
    SupplyReply {
        refusal: None,
        on_hand,
        version,
        receipt_revision: 0,
        receipt_open: Units::ZERO,
        shock: None,
    }
}

pub(super) fn refused(on_hand: i64, version: u64, refusal: Refusal) -> Decision {
    Decision::refused(Reply::Supply(SupplyReply {
        refusal: Some(refusal),
        ..reply(on_hand, version)
    }))
}

/// A movement of stock as it is to be journaled, and what it does to the stock that is known.
pub(super) struct Movement {
    pub event: Event,
    /// Units by which it changes what is on hand.
    pub units: i64,
    /// How far the position's version rises.
    pub versions: u64,
}

/// What happened at or before the last count of its status is in the count already and changes nothing. A movement
/// told without a time (`told`) happens now, after every count.
pub(super) fn movement(
    state: &State,
    (position, status): (PositionId, StockStatus),
    delta: i64,
    kind: MoveKind,
    told: Option<UtcMillis>,
    reservation: Option<ReservationId>,
) -> Movement {
    let at = told.unwrap_or(state.now());
    let counted = told.is_some_and(|at| {
        let last = state.counts.last(position, status);
        last.is_some_and(|last| at <= last)
    });
    if counted {
        let event = Event::MovedBeforeCount {
            position,
            status,
            delta,
            kind,
            at,
            reservation,
        };
        return Movement {
            event,
            units: 0,
            versions: 0,
        };
    }
    Movement {
        event: Event::Moved {
            position,
            status,
            delta,
            kind,
            at,
            reservation,
        },
        units: delta,
        versions: 1,
    }
}

/// Stock stays within its limit, either sign.
pub(super) fn check_on_hand(on_hand: i64, delta: i64) -> Result<i64, EngineError> {
    on_hand
        .checked_add(delta)
        .filter(|after| after.abs() <= MAX_ON_HAND)
        .ok_or_else(|| EngineError::InvalidArgument {
            field: "quantity",
            value: delta.to_string(),
            rule: "it would take the stock on hand beyond 10^15 units",
        })
}

pub(crate) fn set_on_hand(state: &State, count: &SetOnHand) -> Result<Decision, EngineError> {
    let mut draft = Draft::default();
    let id = draft.position(state, count.item, count.location)?;
    check_limit(count.quantity)?;
    let (on_hand, version) = current(state, id, count.status);
    let counted_at = count.counted_at.unwrap_or(state.now());
    if counted_at > state.now() {
        return Err(EngineError::InvalidArgument {
            field: "counted_at_ms",
            value: counted_at.get().to_string(),
            rule: "it must not lie after the engine's time",
        });
    }
    let too_old = |kept_since: UtcMillis| EngineError::CountTooOld {
        counted_at_ms: counted_at.get(),
        kept_since_ms: kept_since.get(),
    };
    let oldest = state.now().plus(-COUNT_LOOKBACK_MS);
    if counted_at < oldest {
        return Err(too_old(oldest));
    }
    if let Some(newer) = state.counts.last(id, count.status)
        && counted_at < newer
    {
        return Err(EngineError::CountOvertaken {
            counted_at_ms: counted_at.get(),
            newer_ms: newer.get(),
        });
    }
    let conflict = count
        .expected_on_hand
        .is_some_and(|expected| expected != on_hand)
        || count
            .expected_version
            .is_some_and(|expected| expected != version);
    if conflict {
        return Ok(refused(on_hand, version, Refusal::Conflict));
    }
    let since = state
        .movements
        .since(id, count.status, counted_at)
        .map_err(too_old)?;
    let after = check_on_hand(count.quantity.balance(), since)?;
    draft.events.push(Event::CountTaken {
        position: id,
        status: count.status,
        counted: count.quantity,
        counted_at,
        on_hand: after,
    });
    Ok(Decision {
        events: draft.events,
        reply: Reply::Supply(reply(after, version + 1)),
        shock_cause: Some(ShockCause::Count),
    })
}

pub(crate) fn adjust_on_hand(
    state: &State,
    adjust: &AdjustOnHand,
) -> Result<Decision, EngineError> {
    check_happened(state, adjust.happened_at)?;
    if adjust.delta == 0 || adjust.delta.unsigned_abs() > MAX_QUANTITY {
        return Err(EngineError::InvalidArgument {
            field: "delta",
            value: adjust.delta.to_string(),
            rule: "it must not be 0, and at most 10^12 either way",
        });
    }
    let issue = matches!(
        adjust.reason,
        AdjustReason::Sale | AdjustReason::Loss | AdjustReason::Damage
    );
    if (issue && adjust.delta > 0) || (adjust.reason == AdjustReason::Found && adjust.delta < 0) {
        return Err(EngineError::InvalidArgument {
            field: "delta",
            value: adjust.delta.to_string(),
            rule: "sale, loss and damage take away, found adds: use correction for the other direction",
        });
    }
    let mut draft = Draft::default();
    let id = draft.position(state, adjust.item, adjust.location)?;
    let (on_hand, version) = current(state, id, adjust.status);
    let kind = match adjust.reason {
        AdjustReason::Sale => MoveKind::Sale,
        AdjustReason::Loss => MoveKind::Loss,
        AdjustReason::Damage => MoveKind::Damage,
        AdjustReason::Found => MoveKind::Found,
        AdjustReason::Correction => MoveKind::Correction,
    };
    let told = adjust.happened_at;
    let moved = movement(state, (id, adjust.status), adjust.delta, kind, told, None);
    let after = check_on_hand(on_hand, moved.units)?;
    draft.events.push(moved.event);
    Ok(Decision {
        events: draft.events,
        reply: Reply::Supply(reply(after, version + moved.versions)),
        shock_cause: Some(ShockCause::Issue),
    })
}

pub(crate) fn move_status(state: &State, change: &MoveStatus) -> Result<Decision, EngineError> {
    check_happened(state, change.happened_at)?;
    check_quantity(change.quantity)?;
    if change.from == change.to {
        return Err(EngineError::InvalidArgument {
            field: "to_status",
            value: format!("{:?}", change.to).to_lowercase(),
            rule: "it must differ from from_status",
        });
    }
    let mut draft = Draft::default();
    let id = draft.position(state, change.item, change.location)?;
    let (from, version) = current(state, id, change.from);
    let (to, _) = current(state, id, change.to);
    let units = change.quantity.balance();
    let (kind, told) = (MoveKind::StatusChange, change.happened_at);
    let out = movement(state, (id, change.from), -units, kind, told, None);
    let back = movement(state, (id, change.to), units, kind, told, None);
    check_on_hand(from, out.units)?;
    let after = check_on_hand(to, back.units)?;
    draft.events.push(out.event);
    draft.events.push(back.event);
    let version = version + out.versions + back.versions;
    Ok(Decision {
        events: draft.events,
        reply: Reply::Supply(reply(after, version)),
        shock_cause: Some(ShockCause::Status),
    })
}

pub(crate) fn return_stock(state: &State, back: &Return) -> Result<Decision, EngineError> {
    check_happened(state, back.happened_at)?;
    check_quantity(back.quantity)?;
    if let Some(id) = back.reservation.filter(|id| !state.was_made(*id)) {
        return Err(EngineError::UnknownReservation(id.0));
    }
    let mut draft = Draft::default();
    let id = draft.position(state, back.item, back.location)?;
    let (on_hand, version) = current(state, id, back.status);
    let moved = movement(
        state,
        (id, back.status),
        back.quantity.balance(),
        MoveKind::Returned,
        back.happened_at,
        back.reservation,
    );
    let after = check_on_hand(on_hand, moved.units)?;
    draft.events.push(moved.event);
    Ok(Decision {
        events: draft.events,
        reply: Reply::Supply(reply(after, version + moved.versions)),
        shock_cause: Some(ShockCause::Count),
    })
}

pub(crate) fn transfer(state: &State, transfer: &Transfer) -> Result<Decision, EngineError> {
    check_happened(state, transfer.happened_at)?;
    check_quantity(transfer.quantity)?;
    check_name("receipt_id", &transfer.receipt)?;
    check_future(state, "due_time_ms", transfer.due)?;
    if transfer.from == transfer.to {
        return Err(EngineError::InvalidArgument {
            field: "to_location",
            value: state
                .catalog()
                .locations()
                .get(transfer.to.index())
                .map_or_else(String::new, |location| location.name.to_string()),
            rule: "it must differ from from_location",
        });
    }
    if state.receipts.find(&transfer.receipt).is_some() {
        return Err(EngineError::ReceiptExists(transfer.receipt.to_string()));
    }
    let mut draft = Draft::default();
    let from = draft.position(state, transfer.item, transfer.from)?;
    let to = draft.position(state, transfer.item, transfer.to)?;
    let (on_hand, version) = current(state, from, StockStatus::Unrestricted);
    if let Some(refused) = no_room(state, to, on_hand, version)? {
        return Ok(refused);
    }
    let moved = movement(
        state,
        (from, StockStatus::Unrestricted),
        -transfer.quantity.balance(),
        MoveKind::Transferred,
        transfer.happened_at,
        None,
    );
    let after = check_on_hand(on_hand, moved.units)?;
    draft.events.push(moved.event);
    let no = ReceiptNo(state.receipts.next_no);
    let plan = ReceiptPlan {
        open: transfer.quantity,
        due: transfer.due,
        counts_from: transfer.due,
        yield_ppm: 1_000_000,
    };
    let overdue = overdue_at_once(state, no, (transfer.item, transfer.to), &plan);
    draft.events.push(Event::ReceiptScheduled {
        no,
        name: transfer.receipt.clone(),
        position: to,
        kind: ReceiptKind::Transfer,
        plan,
    });
    draft.events.extend(overdue);
    let reply = SupplyReply {
        receipt_revision: 1,
        receipt_open: transfer.quantity,
        ..reply(after, version + moved.versions)
    };
    Ok(Decision {
        events: draft.events,
        reply: Reply::Supply(reply),
        shock_cause: Some(ShockCause::Issue),
    })
}

/// Whether a position, or the partition, can take one receipt more.
pub(super) fn no_room(
    state: &State,
    id: PositionId,
    on_hand: i64,
    version: u64,
) -> Result<Option<Decision>, EngineError> {
    if state.receipts.len() >= MAX_RECEIPTS {
        return Err(EngineError::Full {
            what: "the table of receipts",
            limit: MAX_RECEIPTS as u64,
        });
    }
    let full = id.index() < state.position_count()
        && state.position(id).timeline.len() >= MAX_ENTRIES_PER_POSITION;
    Ok(full.then(|| refused(on_hand, version, Refusal::Limit)))
}

pub(super) fn check_quantity(quantity: Units) -> Result<(), EngineError> {
    if !quantity.is_zero() {
        return check_limit(quantity);
    }
    Err(EngineError::InvalidArgument {
        field: "quantity",
        value: "0".to_owned(),
        rule: "it must be at least 1",
    })
}

/// A quantity that may be zero.
pub(super) fn check_limit(quantity: Units) -> Result<(), EngineError> {
    if quantity.get() <= MAX_QUANTITY {
        return Ok(());
    }
    Err(EngineError::InvalidArgument {
        field: "quantity",
        value: quantity.get().to_string(),
        rule: "it must be at most 10^12",
    })
}
