//! A position as a request sees it: under the request's rule and after what its earlier lines took.

use super::Scratch;
use super::hold::Wanted;
use crate::command::RuleOverride;
use crate::ids::{ItemId, LocationId, PositionId, Units, UtcMillis};
use crate::limits::MAX_ENTRIES_PER_POSITION;
use crate::read::filtered;
use crate::refusal::Refusal;
use crate::state::State;

/// One position as a request may see it: the position's rule, made stricter where the request says so.
#[derive(Clone, Copy)]
pub(crate) struct Lens<'a> {
    pub state: &'a State,
    pub rule: Option<&'a RuleOverride>,
}

impl Lens<'_> {
    pub fn available(&self, scratch: &Scratch, id: PositionId, t: UtcMillis) -> Units {
        let plain = scratch.available(self.state, id, t);
        match self.rule {
            None => plain,
            Some(rule) => plain.min(filtered::available(self.state, id, t, rule, scratch)),
        }
    }

    /// Earliest instant from `t` on, at most the horizon, at which `quantity` can be had.
    pub fn earliest(
        &self,
        scratch: &Scratch,
        id: PositionId,
        t: UtcMillis,
        quantity: Units,
    ) -> Option<UtcMillis> {
        let plain = scratch.earliest(self.state, id, t, quantity)?;
        let found = match self.rule {
            None => plain,
            Some(rule) => filtered::earliest(self.state, id, plain, quantity, rule, scratch)?,
        };
        let position = self.state.position(id);
        let horizon = self.horizon(position.item(), position.location());
        (found <= horizon.max(t)).then_some(found)
    }

    /// Last ship time that may be promised.
    pub fn horizon(&self, item: ItemId, location: LocationId) -> UtcMillis {
        self.horizon_at(self.state.position_id(item, location), location)
    }

    fn horizon_at(&self, id: Option<PositionId>, location: LocationId) -> UtcMillis {
        let rule = match id {
            Some(id) => self.state.rule_of(self.state.position(id)),
            None => self.state.location_rule(location),
        };
        self.state.now().plus(rule.horizon_ms)
    }

    /// Whether a position can take one commitment more.
    pub fn has_room(&self, scratch: &Scratch, id: PositionId) -> bool {
        let planned = self.state.position(id).timeline.len();
        planned + scratch.taken_from(id).count() < MAX_ENTRIES_PER_POSITION
    }
}

pub(crate) fn time_refusal(lens: Lens<'_>, line: &Wanted, at: LocationId) -> Option<Refusal> {
    time_refusal_at(lens, line, lens.state.position_id(line.item, at), at)
}

/// The same where the position was looked up already.
#[inline]
pub(crate) fn time_refusal_at(
    lens: Lens<'_>,
    line: &Wanted,
    id: Option<PositionId>,
    at: LocationId,
) -> Option<Refusal> {
    if line.ship_time < lens.state.now() {
        return Some(Refusal::ShipTimePast);
    }
    (line.ship_time > lens.horizon_at(id, at)).then_some(Refusal::BeyondHorizon)
}
