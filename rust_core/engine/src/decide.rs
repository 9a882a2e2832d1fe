//! Decides what a command makes happen. Reads the state and changes nothing.

pub(crate) mod budget;
mod buffers;
mod catalog;
mod complete;
#[cfg(test)]
mod full_tests;
pub(crate) mod hold;
mod lens;
mod lifecycle;
#[cfg(test)]
mod limit_tests;
pub(crate) mod promise;
mod receipts;
mod replace;
mod scratch;
mod sourcing;
mod split;
mod supply;
mod terms;

use smallvec::SmallVec;

use crate::command::{Command, Meta};
use crate::event::{Event, ShockCause};
use crate::ids::{ItemId, LocationId, PositionId, UtcMillis};
use crate::limits::{COUNT_LOOKBACK_MS, MAX_HORIZON_MS, MAX_NAME_BYTES, MAX_POSITIONS};
use crate::refusal::EngineError;
use crate::reply::Reply;
use crate::state::State;

pub(crate) use hold::Wanted;
pub(crate) use lens::{Lens, time_refusal, time_refusal_at};
pub(crate) use scratch::Scratch;
pub(crate) use sourcing::Sourced;
pub(crate) use terms::is_looser;

/// What a command makes happen.
pub(crate) struct Decision {
    /// Empty when nothing is to be journaled.
    pub events: SmallVec<[Event; 1]>,
    pub reply: Reply,
    /// What to name as the cause when the events break promises; `None` for commands that cannot.
    pub shock_cause: Option<ShockCause>,
}

impl Decision {
    fn refused(reply: Reply) -> Self {
        Self {
            events: SmallVec::new(),
            reply,
            shock_cause: None,
        }
    }
}

pub(crate) fn decide(
    state: &State,
    meta: &Meta,
    command: &Command,
) -> Result<Decision, EngineError> {
    match command {
        Command::PutItem(item) => catalog::put_item(state, item),
        Command::PutLocation(location) => catalog::put_location(state, location),
        Command::PutRegion(region) => catalog::put_region(state, region),
        Command::PutLane(lane) => catalog::put_lane(state, lane),
        Command::PutRule(scope, rule) => catalog::put_rule(state, *scope, *rule),
        Command::PutBuffer(item, location, units) => {
            catalog::put_buffer(state, *item, *location, *units)
        }
        Command::SetOnHand(count) => supply::set_on_hand(state, count),
        Command::AdjustOnHand(adjust) => supply::adjust_on_hand(state, adjust),
        Command::MoveStatus(change) => supply::move_status(state, change),
        Command::Return(back) => supply::return_stock(state, back),
        Command::Transfer(transfer) => supply::transfer(state, transfer),
        Command::ScheduleReceipt(receipt) => receipts::schedule(state, receipt),
        Command::ChangeReceipt(change) => receipts::change(state, change),
        Command::Receive(receive) => receipts::receive(state, receive),
        Command::CancelReceipt(cancel) => receipts::cancel(state, cancel),
        Command::Reserve(reserve) => hold::reserve(state, meta, reserve),
        Command::Promise(promise) => promise::promise(state, meta, promise),
        Command::Extend(extend) => lifecycle::extend(state, extend),
        Command::Confirm(reservation) => lifecycle::confirm(state, *reservation),
        Command::Fulfil(fulfil) => lifecycle::fulfil(state, fulfil),
        Command::Replace(new) => replace::replace(state, meta, new),
        Command::Release(release) => lifecycle::release(state, release),
        Command::PutBufferPolicy(scope, policy) => buffers::put_policy(state, *scope, *policy),
        Command::DeriveBuffers(derived) => buffers::derive(state, derived),
    }
}

/// Events in the making; knows the positions that they create.
#[derive(Default)]
pub(crate) struct Draft {
    pub events: SmallVec<[Event; 1]>,
    created: SmallVec<[(ItemId, LocationId, PositionId); 2]>,
}

impl Draft {
    /// The position of an item at a location, created on first use.
    pub fn position(
        &mut self,
        state: &State,
        item: ItemId,
        location: LocationId,
    ) -> Result<PositionId, EngineError> {
        check_item(state, item)?;
        check_location(state, location)?;
        if let Some(id) = state.position_id(item, location) {
            return Ok(id);
        }
        if let Some((_, _, id)) = self
            .created
            .iter()
            .find(|(i, l, _)| *i == item && *l == location)
        {
            return Ok(*id);
        }
        let number = state.position_count() + self.created.len();
        if number >= MAX_POSITIONS {
            return Err(EngineError::Full {
                what: "the table of positions",
                limit: MAX_POSITIONS as u64,
            });
        }
        let id = PositionId(number as u32);
        self.created.push((item, location, id));
        self.events.push(Event::PositionCreated(id, item, location));
        Ok(id)
    }
}

pub(crate) fn check_item(state: &State, item: ItemId) -> Result<(), EngineError> {
    if item.index() < state.catalog().items().len() {
        return Ok(());
    }
    Err(EngineError::UnknownItem(format!("number {}", item.0)))
}

pub(crate) fn check_location(state: &State, location: LocationId) -> Result<(), EngineError> {
    if location.index() < state.catalog().locations().len() {
        return Ok(());
    }
    Err(EngineError::UnknownLocation(format!(
        "number {}",
        location.0
    )))
}

fn check_name(field: &'static str, name: &str) -> Result<(), EngineError> {
    if name.is_empty() || name.len() > MAX_NAME_BYTES || name.chars().any(char::is_control) {
        return Err(EngineError::InvalidArgument {
            field,
            value: format!("{name:?}"),
            rule: "it must have 1 to 128 bytes and no control characters",
        });
    }
    Ok(())
}

fn check_label(field: &'static str, name: &str) -> Result<(), EngineError> {
    if name.is_empty() {
        Ok(())
    } else {
        check_name(field, name)
    }
}

/// When something happened: now, or in the past as far back as counts may reach.
fn check_happened(state: &State, at: Option<UtcMillis>) -> Result<(), EngineError> {
    let now = state.now();
    let at = at.unwrap_or(now);
    if at > now || at < now.plus(-COUNT_LOOKBACK_MS) {
        return Err(EngineError::InvalidArgument {
            field: "happened_at_ms",
            value: at.get().to_string(),
            rule: "it must lie within the last 7 days and not after the engine's time",
        });
    }
    Ok(())
}

/// A time in the future that plans may name.
pub(crate) fn check_future(
    state: &State,
    field: &'static str,
    at: UtcMillis,
) -> Result<(), EngineError> {
    let furthest = state.now().plus(MAX_HORIZON_MS);
    if at.get() < 0 || at > furthest {
        return Err(EngineError::InvalidArgument {
            field,
            value: at.get().to_string(),
            rule: "it must be a time since 1970 and at most 3 years from now",
        });
    }
    Ok(())
}
