//! Where the buffers of positions come from.
//!
//! ```text
//! position's own policy   what follows the forecast
//! STATIC                  no
//! FORECAST                yes
//! none (INHERIT)          as its location's policy, unless a planner set its buffer above zero
//! ```
//!
//! A planner's `PutBuffer` at a position with a FORECAST policy of its own makes that STATIC: the later word holds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::catalog_types::{BufferPolicy, ForecastBuffer};
use crate::ids::{LocationId, PositionId, UtcMillis};
use crate::limits::MAX_BUFFER_MODELS;
use crate::state::State;

/// The forecast that a buffer was derived from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Origin {
    /// Place in the table of models.
    pub model: u16,
    pub computed_at: UtcMillis,
}

/// Policies, and the marks of buffers that follow a forecast.
#[derive(Clone, Debug, Default)]
pub(crate) struct Buffers {
    pub locations: BTreeMap<LocationId, ForecastBuffer>,
    pub positions: BTreeMap<PositionId, BufferPolicy>,
    pub models: Vec<Box<str>>,
    pub derived: BTreeMap<PositionId, Origin>,
}

impl Buffers {
    /// A planner set a buffer: it no longer follows the forecast, and neither does a position told to by itself.
    pub fn set_by_planner(&mut self, id: PositionId) {
        self.derived.remove(&id);
        if let Some(policy @ BufferPolicy::Forecast(_)) = self.positions.get_mut(&id) {
            *policy = BufferPolicy::Static;
        }
    }

    /// The place of a model: its own, a new one, or that of one which no buffer names any longer.
    pub fn place_of(&self, model: &str) -> Option<usize> {
        if let Some(known) = self.models.iter().position(|known| **known == *model) {
            return Some(known);
        }
        if self.models.len() < MAX_BUFFER_MODELS {
            return Some(self.models.len());
        }
        let mut named = vec![false; self.models.len()];
        for origin in self.derived.values() {
            named[usize::from(origin.model)] = true;
        }
        named.iter().position(|named| !named)
    }
}

impl State {
    /// How the buffer of a position follows the forecast; `None` when it does not.
    pub fn forecast_buffer(&self, id: PositionId) -> Option<ForecastBuffer> {
        let position = self.position(id);
        match self.buffers.positions.get(&id) {
            Some(BufferPolicy::Forecast(policy)) => Some(*policy),
            Some(BufferPolicy::Static) => None,
            Some(BufferPolicy::Inherit) | None => {
                let planned =
                    !position.buffer().is_zero() && !self.buffers.derived.contains_key(&id);
                let policy = self.buffers.locations.get(&position.location());
                policy.copied().filter(|_| !planned)
            }
        }
    }

    /// A position's own policy.
    pub fn buffer_policy(&self, id: PositionId) -> BufferPolicy {
        let own = self.buffers.positions.get(&id);
        own.copied().unwrap_or(BufferPolicy::Inherit)
    }

    /// The policy of a location's positions without one of their own.
    pub fn location_buffer_policy(&self, location: LocationId) -> BufferPolicy {
        let set = self.buffers.locations.get(&location);
        set.map_or(BufferPolicy::Static, |policy| {
            BufferPolicy::Forecast(*policy)
        })
    }

    /// The model and the time of the forecast that a position's buffer was derived from; `None` for a planner's.
    pub fn buffer_origin(&self, id: PositionId) -> Option<(&str, UtcMillis)> {
        let origin = self.buffers.derived.get(&id)?;
        let model = self.buffers.models.get(usize::from(origin.model))?;
        Some((model, origin.computed_at))
    }

    /// Whether any buffer may follow a forecast.
    pub fn has_forecast_buffers(&self) -> bool {
        let mut own = self.buffers.positions.values();
        !self.buffers.locations.is_empty()
            || own.any(|policy| matches!(policy, BufferPolicy::Forecast(_)))
    }
}
