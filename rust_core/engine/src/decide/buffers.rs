//! Buffers that follow a forecast.

use smallvec::SmallVec;

use super::{Decision, Draft, check_item, check_location, check_name};
use crate::catalog_types::{BufferPolicy, DerivedBuffers, ForecastBuffer, RuleScope, ServiceLevel};
use crate::event::Event;
use crate::limits::{MAX_BUFFER_DAYS, MAX_BUFFER_MODELS, MAX_DERIVED_BUFFERS};
use crate::refusal::EngineError;
use crate::reply::Reply;
use crate::state::State;

fn invalid(field: &'static str, value: impl ToString, rule: &'static str) -> EngineError {
    EngineError::InvalidArgument {
        field,
        value: value.to_string(),
        rule,
    }
}

fn made(events: SmallVec<[Event; 1]>) -> Decision {
    Decision {
        events,
        reply: Reply::Catalog,
        // A buffer takes no promise back.
        shock_cause: None,
    }
}

pub(crate) fn put_policy(
    state: &State,
    scope: RuleScope,
    policy: BufferPolicy,
) -> Result<Decision, EngineError> {
    if let BufferPolicy::Forecast(follow) = policy {
        check_follow(&follow)?;
    }
    let mut draft = Draft::default();
    match scope {
        RuleScope::Location(location) => check_location(state, location)?,
        RuleScope::Position(item, location) => {
            check_item(state, item)?;
            draft.position(state, item, location)?;
        }
    }
    draft.events.push(Event::BufferPolicyPut(scope, policy));
    Ok(made(draft.events))
}

fn check_follow(follow: &ForecastBuffer) -> Result<(), EngineError> {
    if let ServiceLevel::Ppm(ppm) = follow.level
        && !(500_000..1_000_000).contains(&ppm)
    {
        let rule = "it must be 500000 to 999999 parts per million";
        return Err(invalid("level_ppm", ppm, rule));
    }
    if follow.review_days == 0 {
        return Err(invalid("review_days", 0, "it must be at least 1"));
    }
    let days = u32::from(follow.lead_time_days) + u32::from(follow.review_days);
    if days > u32::from(MAX_BUFFER_DAYS) {
        let rule = "lead time and review time may be 366 days together";
        return Err(invalid("lead_time_days", follow.lead_time_days, rule));
    }
    super::supply::check_limit(follow.cap)
}

/// Leaves out what does not follow a forecast, and what would not change.
pub(crate) fn derive(state: &State, derived: &DerivedBuffers) -> Result<Decision, EngineError> {
    check_name("model", &derived.model)?;
    if derived.computed_at > state.now() || derived.computed_at.get() < 0 {
        let rule = "a forecast is not made after the engine's time";
        return Err(invalid("computed_at", derived.computed_at.get(), rule));
    }
    if derived.buffers.len() > MAX_DERIVED_BUFFERS {
        let rule = "at most 1024 are set in one step";
        return Err(invalid("buffers", derived.buffers.len(), rule));
    }
    let mut buffers = Vec::with_capacity(derived.buffers.len());
    for (id, units) in &derived.buffers {
        if id.index() >= state.position_count() {
            return Err(invalid("position", id.0, "it must be known"));
        }
        super::supply::check_limit(*units)?;
        let same = state.position(*id).buffer() == *units && state.buffers.derived.contains_key(id);
        if state.forecast_buffer(*id).is_some() && !same {
            buffers.push((*id, *units));
        }
    }
    if buffers.is_empty() {
        return Ok(Decision::refused(Reply::Catalog));
    }
    if state.buffers.place_of(&derived.model).is_none() {
        return Err(EngineError::Full {
            what: "the table of forecasters that buffers name",
            limit: MAX_BUFFER_MODELS as u64,
        });
    }
    let derived = DerivedBuffers {
        buffers,
        ..derived.clone()
    };
    let event = Event::BuffersDerived(derived);
    Ok(made([event].into_iter().collect()))
}
