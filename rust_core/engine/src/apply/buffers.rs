//! Buffers and where they come from.

use crate::buffers::Origin;
use crate::catalog_types::{BufferPolicy, DerivedBuffers, RuleScope};
use crate::ids::{PositionId, Units};
use crate::state::State;

impl State {
    pub(super) fn set_buffer(&mut self, id: PositionId, units: Units) -> Option<()> {
        self.position_mut(id)?.buffer = units;
        self.refresh_position(id)
    }

    pub(super) fn apply_buffer_policy(
        &mut self,
        scope: RuleScope,
        policy: BufferPolicy,
    ) -> Option<()> {
        match scope {
            RuleScope::Location(location) => {
                if location.index() >= self.catalog.locations().len() {
                    return None;
                }
                let locations = &mut self.buffers.locations;
                match policy {
                    BufferPolicy::Forecast(follow) => locations.insert(location, follow),
                    BufferPolicy::Static | BufferPolicy::Inherit => locations.remove(&location),
                };
            }
            RuleScope::Position(item, location) => {
                let id = self.position_id(item, location)?;
                let positions = &mut self.buffers.positions;
                match policy {
                    BufferPolicy::Inherit => positions.remove(&id),
                    own => positions.insert(id, own),
                };
            }
        }
        Some(())
    }

    pub(super) fn apply_derived(&mut self, derived: &DerivedBuffers) -> Option<()> {
        let place = self.buffers.place_of(&derived.model)?;
        match self.buffers.models.get_mut(place) {
            Some(model) => model.clone_from(&derived.model),
            None => self.buffers.models.push(derived.model.clone()),
        }
        let origin = Origin {
            model: place as u16,
            computed_at: derived.computed_at,
        };
        for (id, units) in &derived.buffers {
            self.set_buffer(*id, *units)?;
            self.buffers.derived.insert(*id, origin);
        }
        Some(())
    }
}
