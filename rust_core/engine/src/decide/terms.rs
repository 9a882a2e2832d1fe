//! What a request for a hold must look like, and how strict its own rule may be.

use super::{check_future, check_item, check_label};
use crate::catalog_types::{ReceiptKind, SupplyRule};
use crate::command::{HoldTerms, RuleOverride};
use crate::decide::hold::Wanted;
use crate::ids::{ItemId, LocationId, Units, UtcMillis};
use crate::limits::{MAX_LINES, MAX_QUANTITY};
use crate::refusal::EngineError;
use crate::state::State;

pub(crate) fn check_terms(
    state: &State,
    terms: &HoldTerms,
    lines: usize,
) -> Result<(), EngineError> {
    if lines == 0 || lines > MAX_LINES {
        return Err(EngineError::InvalidArgument {
            field: "lines",
            value: format!("{lines} lines"),
            rule: "1 to 256 are allowed",
        });
    }
    if let Some(life) = terms.expires_in_ms
        && (life <= 0 || life > state.settings.max_hold_life_ms)
    {
        return Err(EngineError::InvalidArgument {
            field: "expires_in_ms",
            value: life.to_string(),
            rule: "it must be above 0 and within the longest life of a hold",
        });
    }
    check_label("order_ref", &terms.order_ref)?;
    check_label("customer", &terms.customer)?;
    check_label("segment", &terms.segment)
}

pub(crate) fn wanted_line(
    state: &State,
    item: ItemId,
    quantity: Units,
    ship_time: Option<UtcMillis>,
    latest: Option<UtcMillis>,
) -> Result<Wanted, EngineError> {
    check_item(state, item)?;
    if quantity.is_zero() || quantity.get() > MAX_QUANTITY {
        return Err(EngineError::InvalidArgument {
            field: "quantity",
            value: quantity.get().to_string(),
            rule: "it must be at least 1",
        });
    }
    let ship_time = ship_time.unwrap_or(state.now());
    if ship_time > state.now() {
        check_future(state, "ship_time_ms", ship_time)?;
    }
    let names_latest = latest.is_some();
    let latest = latest.unwrap_or(ship_time);
    if latest < ship_time {
        return Err(EngineError::InvalidArgument {
            field: "latest_ship_time_ms",
            value: latest.get().to_string(),
            rule: "it must not lie before the ship time",
        });
    }
    check_future(state, "latest_ship_time_ms", latest)?;
    Ok(Wanted {
        item,
        quantity,
        ship_time,
        latest,
        names_latest,
    })
}

/// A promise may be made under a stricter rule than the position's, never under a looser one.
pub(crate) fn check_override(
    state: &State,
    item: ItemId,
    location: LocationId,
    rule: Option<&RuleOverride>,
) -> Result<(), EngineError> {
    let Some(asked) = rule else {
        return Ok(());
    };
    let own = match state.position_id(item, location) {
        Some(id) => state.rule_of(state.position(id)),
        None => state.location_rule(location),
    };
    if is_looser(asked, own) {
        return Err(EngineError::LooserRule {
            item: state.catalog().item(item).name.to_string(),
            location: state.catalog().location(location).name.to_string(),
        });
    }
    Ok(())
}

/// Counts something that the position's rule does not.
pub(crate) fn is_looser(asked: &RuleOverride, own: &SupplyRule) -> bool {
    let kinds = asked
        .receipt_kinds
        .filter(|_| !asked.on_hand_only)
        .unwrap_or(0);
    asked
        .statuses
        .is_some_and(|statuses| statuses & !own.statuses != 0)
        || kinds & !own.receipt_kinds & ((1 << (ReceiptKind::Return as u8 + 1)) - 1) != 0
}
