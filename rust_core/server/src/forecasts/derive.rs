//! Buffers from totals: worked out beside the engine, set by a journaled command.

use bespeak_aside::Pace;
use bespeak_demand::forecasts::{Held, Kind, Origin, keeps, safety_stock, whole};
use bespeak_engine::{Command, DerivedBuffers, ForecastBuffer, Meta, PositionId, State, Units};

use crate::api::Api;
use crate::error::ApiError;
use crate::tables::crowded;

/// Positions looked at, and buffers set, under one lock: well below a millisecond.
const SLICE: usize = 256;
/// Kept in the journal as who wrote.
const ACTOR: &str = "forecasts";

/// What was set.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Derived {
    /// Buffers that moved.
    pub changed: u64,
    /// Journal position that must be durable before anyone is told.
    pub revision: u64,
}

/// Works out the buffers of these positions, and sets those that moved, with rests between slices.
///
/// # Errors
/// When the journal fails or the engine has no room.
pub(super) fn buffers(
    api: &Api,
    positions: impl Iterator<Item = PositionId>,
    pace: &mut Pace,
) -> Result<Derived, ApiError> {
    let mut done = Derived::default();
    let any = api.store().partition().peek(State::has_forecast_buffers)?;
    if !any {
        return Ok(done);
    }
    let mut slice: Vec<Held> = Vec::with_capacity(SLICE);
    for position in positions {
        slice.extend(api.forecasts().forecasts.get(Kind::Totals, position));
        if slice.len() == SLICE {
            set(api, &slice, &mut done)?;
            slice.clear();
            pace.rest();
        }
    }
    set(api, &slice, &mut done)?;
    Ok(done)
}

/// The same for every position that has totals.
///
/// # Errors
/// As [`buffers`].
fn all(api: &Api) -> Result<Derived, ApiError> {
    let mut done = Derived::default();
    let mut next = Some(PositionId(0));
    while let Some(from) = next {
        let (slice, more) = api.forecasts().forecasts.slice(Kind::Totals, from, SLICE);
        set(api, &slice, &mut done)?;
        next = more;
    }
    Ok(done)
}

impl Api {
    /// Sets every buffer that follows a forecast which is kept; gives how many moved, and the journal position.
    ///
    /// # Errors
    /// When the journal fails or the engine has no room.
    pub(crate) fn derive_buffers(&self) -> Result<(u64, u64), ApiError> {
        let done = all(self)?;
        Ok((done.changed, done.revision))
    }
}

fn set(api: &Api, slice: &[Held], done: &mut Derived) -> Result<(), ApiError> {
    let positions: Vec<PositionId> = slice.iter().map(|held| held.series().position()).collect();
    let policies = api.store().read(|state| {
        let look = |id: &PositionId| {
            let follow = state.forecast_buffer(*id)?;
            let derived = state.buffer_origin(*id).is_some();
            Some((follow, state.position(*id).buffer(), derived))
        };
        Ok(positions.iter().map(look).collect::<Vec<_>>())
    });
    let mut batches: Vec<(Origin, Vec<(PositionId, Units)>)> = Vec::new();
    for (held, policy) in slice.iter().zip(policies.result?) {
        let series = held.series();
        let Some((follow, old, derived)) = policy else {
            continue;
        };
        let Some(new) = wanted(api, held, &follow) else {
            continue;
        };
        // One that does not yet follow takes its mark, whatever it holds.
        if derived && keeps(old, new, api.forecasts().settings.hysteresis) {
            continue;
        }
        match batches
            .iter_mut()
            .find(|(origin, _)| origin == series.origin())
        {
            Some((_, buffers)) => buffers.push((series.position(), new)),
            None => batches.push((series.origin().clone(), vec![(series.position(), new)])),
        }
    }
    for (origin, buffers) in batches {
        write(api, origin, buffers, done)?;
    }
    Ok(())
}

fn wanted(api: &Api, held: &Held, follow: &ForecastBuffer) -> Option<Units> {
    let days = follow.lead_time_days.saturating_add(follow.review_days);
    let level = api.forecasts().settings.level(follow.level);
    let units = safety_stock(&held.series(), days, level)?;
    Some(whole(units, follow.cap))
}

fn write(
    api: &Api,
    origin: Origin,
    buffers: Vec<(PositionId, Units)>,
    done: &mut Derived,
) -> Result<(), ApiError> {
    if crowded(api) {
        api.store().partition().wait_durable(done.revision)?;
    }
    let changed = buffers.len() as u64;
    let meta = Meta {
        actor: ACTOR.into(),
        ..Meta::default()
    };
    let command = |state: &State| {
        Ok(Command::DeriveBuffers(DerivedBuffers {
            model: origin.model.into(),
            computed_at: origin.computed_at.min(state.now()),
            buffers,
        }))
    };
    let seen = api.store().write(Ok(meta), command, |_, _| Ok(()));
    done.revision = done.revision.max(seen.revision);
    seen.result?;
    done.changed += changed;
    Ok(())
}
