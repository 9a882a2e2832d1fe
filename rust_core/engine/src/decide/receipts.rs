//! Receipts: planned, changed, come, cancelled.

use super::supply::{check_on_hand, check_quantity, movement, no_room, refused, reply};
use super::{Decision, Draft, check_future, check_happened, check_name};
use crate::command::{ArrivalSpread, CancelReceipt, ChangeReceipt, Due, Receive, ScheduleReceipt};
use crate::event::{Event, MoveKind, ReceiptPlan, ShockCause};
use crate::ids::{ItemId, LocationId, ReceiptNo, Units, UtcMillis};
use crate::receipts::Receipt;
use crate::refusal::{EngineError, Refusal};
use crate::reply::{Reply, SupplyReply};
use crate::state::State;

fn due_instant(state: &State, location: LocationId, due: Due) -> Result<UtcMillis, EngineError> {
    let at = match due {
        Due::At(at) => at,
        Due::Day(day) => state.catalog().location(location).end_of_day(day),
    };
    check_future(state, "due_time_ms", at)?;
    Ok(at)
}

/// From when a receipt counts and how much of it is usable.
fn spread_of(
    due: UtcMillis,
    spread: Option<ArrivalSpread>,
) -> Result<(UtcMillis, u32), EngineError> {
    let Some(spread) = spread else {
        return Ok((due, 1_000_000));
    };
    if spread.late < due {
        return Err(EngineError::InvalidArgument {
            field: "late_time_ms",
            value: spread.late.get().to_string(),
            rule: "it must not lie before the due time",
        });
    }
    if spread.yield_ppm == 0 || spread.yield_ppm > 1_000_000 {
        return Err(EngineError::InvalidArgument {
            field: "yield_ppm",
            value: spread.yield_ppm.to_string(),
            rule: "it must lie between 1 and 1000000",
        });
    }
    Ok((spread.late, spread.yield_ppm))
}

/// What follows at once from a plan whose time and grace have passed: it counts for nothing, and so mends nothing.
pub(super) fn overdue_at_once(
    state: &State,
    no: ReceiptNo,
    (item, location): (ItemId, LocationId),
    plan: &ReceiptPlan,
) -> Option<Event> {
    let grace = state.rule_at(item, location).late_grace;
    let overdue_at = state.overdue_at(location, plan.counts_from, grace);
    (overdue_at <= state.now()).then_some(Event::ReceiptOverdue(no))
}

pub(crate) fn schedule(state: &State, receipt: &ScheduleReceipt) -> Result<Decision, EngineError> {
    check_name("receipt_id", &receipt.receipt)?;
    check_quantity(receipt.quantity)?;
    let mut draft = Draft::default();
    let id = draft.position(state, receipt.item, receipt.location)?;
    let due = due_instant(state, receipt.location, receipt.due)?;
    let (counts_from, yield_ppm) = spread_of(due, receipt.spread)?;
    check_future(state, "late_time_ms", counts_from)?;
    if state.receipts.find(&receipt.receipt).is_some() {
        return Err(EngineError::ReceiptExists(receipt.receipt.to_string()));
    }
    let (on_hand, version) = match state.position_id(receipt.item, receipt.location) {
        Some(id) => {
            let position = state.position(id);
            (
                position.on_hand(crate::catalog_types::StockStatus::Unrestricted),
                position.version(),
            )
        }
        None => (0, 0),
    };
    if let Some(refused) = no_room(state, id, on_hand, version)? {
        return Ok(refused);
    }
    let no = ReceiptNo(state.receipts.next_no);
    let plan = ReceiptPlan {
        open: receipt.quantity,
        due,
        counts_from,
        yield_ppm,
    };
    let place = (receipt.item, receipt.location);
    let overdue = overdue_at_once(state, no, place, &plan);
    draft.events.push(Event::ReceiptScheduled {
        no,
        name: receipt.receipt.clone(),
        position: id,
        kind: receipt.kind,
        plan,
    });
    draft.events.extend(overdue);
    let reply = SupplyReply {
        receipt_revision: 1,
        receipt_open: receipt.quantity,
        ..reply(on_hand, version)
    };
    Ok(Decision {
        events: draft.events,
        reply: Reply::Supply(reply),
        shock_cause: None,
    })
}

fn find<'a>(state: &'a State, name: &str) -> Result<(ReceiptNo, &'a Receipt), EngineError> {
    state
        .receipts
        .find(name)
        .ok_or_else(|| EngineError::UnknownReceipt(name.to_owned()))
}

fn stock_of(state: &State, receipt: &Receipt) -> (i64, u64) {
    let position = state.position(receipt.position);
    (
        position.on_hand(crate::catalog_types::StockStatus::Unrestricted),
        position.version(),
    )
}

fn receipt_reply(state: &State, receipt: &Receipt, revision: u32, open: Units) -> SupplyReply {
    let (on_hand, version) = stock_of(state, receipt);
    SupplyReply {
        receipt_revision: revision,
        receipt_open: open,
        ..reply(on_hand, version)
    }
}

fn conflict(state: &State, receipt: &Receipt, expected: Option<u32>) -> Option<Decision> {
    let (on_hand, version) = stock_of(state, receipt);
    expected
        .is_some_and(|expected| expected != receipt.revision)
        .then(|| refused(on_hand, version, Refusal::Conflict))
}

pub(crate) fn change(state: &State, change: &ChangeReceipt) -> Result<Decision, EngineError> {
    let (no, receipt) = find(state, &change.receipt)?;
    let location = state.position(receipt.position).location();
    let mut plan = receipt.plan();
    if let Some(quantity) = change.quantity {
        check_quantity(quantity)?;
        plan.open = quantity;
    }
    if let Some(due) = change.due {
        // How late it may come stays as it was told: the spread moves with the due time.
        let spread_ms = plan.counts_from.get() - plan.due.get();
        plan.due = due_instant(state, location, due)?;
        plan.counts_from = plan.due.plus(spread_ms);
    }
    if change.spread.is_some() {
        (plan.counts_from, plan.yield_ppm) = spread_of(plan.due, change.spread)?;
    }
    check_future(state, "late_time_ms", plan.counts_from)?;
    if let Some(refused) = conflict(state, receipt, change.expected_revision) {
        return Ok(refused);
    }
    let later = plan.counts_from > receipt.counts_from;
    let cause = if later {
        ShockCause::ReceiptLate
    } else {
        ShockCause::ReceiptCut
    };
    let reply = receipt_reply(
        state,
        receipt,
        receipt.revision.saturating_add(1),
        plan.open,
    );
    let position = state.position(receipt.position);
    let place = (position.item(), position.location());
    // One that stays where it was stays what it was: overdue or not yet.
    let moved = plan.counts_from != receipt.counts_from;
    let overdue = moved.then(|| overdue_at_once(state, no, place, &plan));
    Ok(Decision {
        events: [Event::ReceiptChanged(no, plan)]
            .into_iter()
            .chain(overdue.flatten())
            .collect(),
        reply: Reply::Supply(reply),
        shock_cause: Some(cause),
    })
}

pub(crate) fn receive(state: &State, receive: &Receive) -> Result<Decision, EngineError> {
    check_happened(state, receive.happened_at)?;
    let (no, receipt) = find(state, &receive.receipt)?;
    // Nothing may come at last: then the receipt is only closed.
    if !(receive.quantity.is_zero() && receive.last) {
        check_quantity(receive.quantity)?;
    }
    let position = state.position(receipt.position);
    let on_hand = position.on_hand(receive.status);
    let moved = movement(
        state,
        (receipt.position, receive.status),
        receive.quantity.balance(),
        MoveKind::Received,
        receive.happened_at,
        None,
    );
    let after = check_on_hand(on_hand, moved.units)?;
    let open = receipt.open.saturating_sub(receive.quantity);
    let closed = receive.last || open.is_zero();
    let mut draft = Draft::default();
    let mut version = position.version();
    if !receive.quantity.is_zero() {
        version += moved.versions;
        draft.events.push(moved.event);
    }
    let open = if closed { Units::ZERO } else { open };
    draft.events.push(if closed {
        Event::ReceiptClosed(no)
    } else {
        Event::ReceiptReceived {
            no,
            received: receive.quantity,
            open,
        }
    });
    let reply = SupplyReply {
        receipt_revision: receipt.revision.saturating_add(1),
        receipt_open: open,
        ..reply(after, version)
    };
    Ok(Decision {
        events: draft.events,
        reply: Reply::Supply(reply),
        shock_cause: Some(ShockCause::ReceiptCut),
    })
}

pub(crate) fn cancel(state: &State, cancel: &CancelReceipt) -> Result<Decision, EngineError> {
    let (no, receipt) = find(state, &cancel.receipt)?;
    if let Some(refused) = conflict(state, receipt, cancel.expected_revision) {
        return Ok(refused);
    }
    let reply = receipt_reply(
        state,
        receipt,
        receipt.revision.saturating_add(1),
        Units::ZERO,
    );
    Ok(Decision {
        events: [Event::ReceiptClosed(no)].into_iter().collect(),
        reply: Reply::Supply(reply),
        shock_cause: Some(ShockCause::ReceiptCut),
    })
}
