//! Facts about stock.

use bespeak_engine::limits::MAX_QUANTITY;
use bespeak_engine::{
    AdjustOnHand, AdjustReason, ArrivalSpread, CancelReceipt, Catalog, ChangeReceipt, Command, Due,
    ItemId, MoveStatus, Receive, ReservationId, Return, ScheduleReceipt, SetOnHand, Transfer,
    Units,
};
use bespeak_proto::v1 as pb;

use super::hold::quantity;
use super::{fields, item, location, zone};
use crate::error::ApiError;

type Result<T> = std::result::Result<T, ApiError>;

/// A quantity in base units that may be zero.
fn any_quantity(catalog: &Catalog, item: ItemId, value: u64, unit: &str) -> Result<Units> {
    Ok(catalog.to_base_exact(item, value, unit)?)
}

/// Makes a `SetOnHand`.
///
/// # Errors
/// Those of the fields.
pub fn set_on_hand(catalog: &Catalog, request: &pb::SetOnHandRequest) -> Result<Command> {
    let item = item(catalog, &request.item)?;
    Ok(Command::SetOnHand(SetOnHand {
        item,
        location: location(catalog, &request.location)?,
        status: fields::status("status", request.status)?,
        quantity: any_quantity(catalog, item, request.quantity, &request.unit)?,
        counted_at: fields::time("counted_at_ms", request.counted_at_ms)?,
        expected_on_hand: request.expected_on_hand,
        expected_version: request.expected_version,
    }))
}

/// Makes an `AdjustOnHand`.
///
/// # Errors
/// Those of the fields.
pub fn adjust_on_hand(catalog: &Catalog, request: &pb::AdjustOnHandRequest) -> Result<Command> {
    let item = item(catalog, &request.item)?;
    let location = location(catalog, &request.location)?;
    let size = request.delta.unsigned_abs();
    if size == 0 || size > MAX_QUANTITY {
        let rule = "it must be -1000000000000 to 1000000000000 and not 0";
        return Err(ApiError::invalid("delta", request.delta, rule));
    }
    let units = catalog.to_base_exact(item, size, &request.unit)?.balance();
    Ok(Command::AdjustOnHand(AdjustOnHand {
        item,
        location,
        status: fields::status("status", request.status)?,
        delta: if request.delta < 0 { -units } else { units },
        reason: adjust_reason(request.reason)?,
        happened_at: fields::time("happened_at_ms", request.happened_at_ms)?,
    }))
}

/// The reason of an adjustment.
///
/// # Errors
/// `InvalidArgument` when it is not given or not known.
pub fn adjust_reason(value: i32) -> Result<AdjustReason> {
    Ok(match fields::known::<pb::AdjustReason>("reason", value)? {
        pb::AdjustReason::Unspecified => {
            return Err(ApiError::invalid(
                "reason",
                "UNSPECIFIED",
                "say why the stock changed",
            ));
        }
        pb::AdjustReason::Sale => AdjustReason::Sale,
        pb::AdjustReason::Loss => AdjustReason::Loss,
        pb::AdjustReason::Damage => AdjustReason::Damage,
        pb::AdjustReason::Found => AdjustReason::Found,
        pb::AdjustReason::Correction => AdjustReason::Correction,
    })
}

/// Makes a `MoveStatus`.
///
/// # Errors
/// Those of the fields.
pub fn move_status(catalog: &Catalog, request: &pb::MoveStatusRequest) -> Result<Command> {
    let item = item(catalog, &request.item)?;
    Ok(Command::MoveStatus(MoveStatus {
        item,
        location: location(catalog, &request.location)?,
        from: fields::status("from_status", request.from_status)?,
        to: fields::status("to_status", request.to_status)?,
        quantity: quantity(catalog, item, request.quantity, &request.unit)?,
        happened_at: fields::time("happened_at_ms", request.happened_at_ms)?,
    }))
}

/// Makes a `ScheduleReceipt`.
///
/// # Errors
/// Those of the fields.
pub fn schedule_receipt(
    catalog: &Catalog,
    request: &mut pb::ScheduleReceiptRequest,
) -> Result<Command> {
    use pb::schedule_receipt_request::Due as Asked;
    let item = item(catalog, &request.item)?;
    let due = match &request.due {
        None => {
            return Err(ApiError::invalid(
                "due_time_ms",
                "missing",
                "give an instant or a date",
            ));
        }
        Some(Asked::DueTimeMs(ms)) => Due::At(fields::required_time("due_time_ms", *ms)?),
        Some(Asked::DueDate(date)) => Due::Day(zone::day("due_date", date)?),
    };
    Ok(Command::ScheduleReceipt(ScheduleReceipt {
        item,
        location: location(catalog, &request.location)?,
        quantity: quantity(catalog, item, request.quantity, &request.unit)?,
        due,
        kind: fields::receipt_kind("kind", request.kind)?,
        spread: spread(request.spread.as_ref())?,
        receipt: fields::take_required("receipt_id", &mut request.receipt_id)?,
    }))
}

/// Makes a `ChangeReceipt`. `item` is the open receipt's, for its units of measure.
///
/// # Errors
/// Those of the fields.
pub fn change_receipt(
    catalog: &Catalog,
    item: Option<ItemId>,
    request: &mut pb::ChangeReceiptRequest,
) -> Result<Command> {
    use pb::change_receipt_request::Due as Asked;
    let quantity = match request.quantity {
        None => None,
        Some(value) => Some(receipt_quantity(catalog, item, value, &request.unit)?),
    };
    let due = match &request.due {
        None => None,
        Some(Asked::DueTimeMs(ms)) => Some(Due::At(fields::required_time("due_time_ms", *ms)?)),
        Some(Asked::DueDate(date)) => Some(Due::Day(zone::day("due_date", date)?)),
    };
    Ok(Command::ChangeReceipt(ChangeReceipt {
        quantity,
        due,
        spread: spread(request.spread.as_ref())?,
        expected_revision: request.expected_revision,
        receipt: fields::take_required("receipt_id", &mut request.receipt_id)?,
    }))
}

/// Makes a `Receive`. `item` is the open receipt's, for its units of measure.
///
/// # Errors
/// Those of the fields.
pub fn receive(
    catalog: &Catalog,
    item: Option<ItemId>,
    request: &mut pb::ReceiveRequest,
) -> Result<Command> {
    Ok(Command::Receive(Receive {
        quantity: receipt_quantity(catalog, item, request.quantity, &request.unit)?,
        status: fields::status("status", request.status)?,
        last: request.r#final,
        happened_at: fields::time("happened_at_ms", request.happened_at_ms)?,
        receipt: fields::take_required("receipt_id", &mut request.receipt_id)?,
    }))
}

/// A quantity of a receipt that may no longer be open: a retry then finds its first answer.
fn receipt_quantity(
    catalog: &Catalog,
    item: Option<ItemId>,
    value: u64,
    unit: &str,
) -> Result<Units> {
    match item {
        Some(item) => any_quantity(catalog, item, value, unit),
        None => fields::units("quantity", value),
    }
}

/// Makes a `CancelReceipt`.
///
/// # Errors
/// Those of the fields.
pub fn cancel_receipt(request: &mut pb::CancelReceiptRequest) -> Result<Command> {
    Ok(Command::CancelReceipt(CancelReceipt {
        receipt: fields::take_required("receipt_id", &mut request.receipt_id)?,
        expected_revision: request.expected_revision,
    }))
}

/// Makes a `Transfer`.
///
/// # Errors
/// Those of the fields.
pub fn transfer(catalog: &Catalog, request: &mut pb::TransferRequest) -> Result<Command> {
    let item = item(catalog, &request.item)?;
    let from = location(catalog, &request.from_location)?;
    let to = location(catalog, &request.to_location)?;
    if from == to {
        let rule = "a transfer goes to another location: use MoveStatus within one";
        return Err(ApiError::invalid("to_location", &request.to_location, rule));
    }
    Ok(Command::Transfer(Transfer {
        item,
        from,
        to,
        quantity: quantity(catalog, item, request.quantity, &request.unit)?,
        due: fields::required_time("due_time_ms", request.due_time_ms)?,
        happened_at: fields::time("happened_at_ms", request.happened_at_ms)?,
        receipt: fields::take_required("receipt_id", &mut request.receipt_id)?,
    }))
}

/// Makes a `Return`.
///
/// # Errors
/// Those of the fields.
pub fn return_goods(catalog: &Catalog, request: &pb::ReturnRequest) -> Result<Command> {
    let item = item(catalog, &request.item)?;
    Ok(Command::Return(Return {
        item,
        location: location(catalog, &request.location)?,
        quantity: quantity(catalog, item, request.quantity, &request.unit)?,
        status: fields::status("status", request.status)?,
        reservation: (request.reservation_id != 0).then_some(ReservationId(request.reservation_id)),
        happened_at: fields::time("happened_at_ms", request.happened_at_ms)?,
    }))
}

fn spread(spread: Option<&pb::ArrivalSpread>) -> Result<Option<ArrivalSpread>> {
    let Some(spread) = spread else {
        return Ok(None);
    };
    if spread.yield_ppm > 1_000_000 {
        let rule = "it must be 0 to 1000000 parts per million, where 0 is all";
        return Err(ApiError::invalid(
            "spread.yield_ppm",
            spread.yield_ppm,
            rule,
        ));
    }
    Ok(Some(ArrivalSpread {
        late: fields::required_time("spread.late_time_ms", spread.late_time_ms)?,
        yield_ppm: if spread.yield_ppm == 0 {
            1_000_000
        } else {
            spread.yield_ppm
        },
    }))
}
