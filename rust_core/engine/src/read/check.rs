//! `Check`: what can be promised, from when, and what limits it.

use crate::command::RuleOverride;
use crate::decide;
use crate::ids::{ItemId, LocationId, PositionId, Units, UtcMillis};
use crate::limits::MAX_STAIRCASE_STEPS;
use crate::position::Position;
use crate::read::filtered;
use crate::refusal::{EngineError, Refusal};
use crate::state::State;
use crate::timeline::Look;

/// So many lines lie between one look-up of a line and the next one that needs it.
const AHEAD: usize = 8;
/// Lines under way at once, and more.
const RING: usize = 32;
const _: () = assert!(RING > 2 * AHEAD);

/// What is asked of one position.
#[derive(Clone, Copy, Debug)]
pub struct CheckLine {
    /// The item.
    pub item: ItemId,
    /// The location.
    pub location: LocationId,
    /// Units asked for; zero asks only what is available.
    pub quantity: Units,
    /// `None` is now.
    pub ship_time: Option<UtcMillis>,
    /// Another rule than the position's.
    pub rule: Option<RuleOverride>,
}

/// Which constraint keeps the answer from being larger.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Binding {
    /// Stock on hand and receipts by the ship time.
    Supply = 1,
    /// A promise made for a later time.
    LaterCommitment = 2,
    /// The buffer.
    Buffer = 3,
    /// Nothing is known of this item at this location.
    NoPosition = 4,
}

/// Answer to one line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CheckAnswer {
    /// Units that can be promised for shipping at the time asked.
    pub available: Units,
    /// The quantity asked can be had at the time asked.
    pub in_full: bool,
    /// Earliest time for the full quantity, not before the time asked.
    pub earliest: Option<UtcMillis>,
    /// What binds the answer …
    pub binding: Binding,
    /// … and when.
    pub binding_time: UtcMillis,
    /// Made under a looser rule than the position's.
    pub hypothetical: bool,
    /// Why nothing can be promised for that time at all.
    pub refusal: Option<Refusal>,
}

impl State {
    /// Units of an item that can be promised at a location for shipping at `t`: the fast path, no rule but the
    /// position's own and no refusal of times.
    #[inline]
    pub fn available(&self, item: ItemId, location: LocationId, t: UtcMillis) -> Units {
        match self.position_id(item, location) {
            Some(id) => Units::from_balance(self.position(id).lowest_net(t)),
            None => Units::ZERO,
        }
    }

    /// Answers one line.
    ///
    /// # Errors
    /// Unknown item or location.
    #[inline]
    pub fn check(&self, line: &CheckLine) -> Result<CheckAnswer, EngineError> {
        self.check_found(line, self.position_id(line.item, line.location))
    }

    /// Answers one line each, in order: the same answers as [`State::check`], several times faster over many
    /// positions, because the memory that one line waits for is fetched while others are looked up.
    pub fn check_many(
        &self,
        lines: &[CheckLine],
        mut answer: impl FnMut(Result<CheckAnswer, EngineError>),
    ) {
        let mut found = [None; RING];
        // Three look-ups wait for each other: index, position, timeline. Each is asked for some lines ahead of the next.
        for at in 0..lines.len() + 3 * AHEAD {
            if let Some(line) = lines.get(at) {
                self.prefetch_index(line.item, line.location);
            }
            if let Some(at) = at.checked_sub(AHEAD)
                && let Some(line) = lines.get(at)
            {
                self.prefetch_place(line.item, line.location, false);
            }
            if let Some(at) = at.checked_sub(2 * AHEAD)
                && let Some(line) = lines.get(at)
            {
                let id = self.position_id(line.item, line.location);
                found[at % RING] = id;
                if let Some(id) = id {
                    self.position(id).timeline.prefetch(false);
                }
            }
            if let Some(at) = at.checked_sub(3 * AHEAD) {
                answer(self.check_found(&lines[at], found[at % RING]));
            }
        }
    }

    #[inline]
    fn check_found(
        &self,
        line: &CheckLine,
        id: Option<PositionId>,
    ) -> Result<CheckAnswer, EngineError> {
        decide::check_item(self, line.item)?;
        decide::check_location(self, line.location)?;
        let at = line.ship_time.unwrap_or(self.now);
        let mut answer = CheckAnswer {
            available: Units::ZERO,
            in_full: false,
            earliest: None,
            binding: Binding::NoPosition,
            binding_time: at,
            hypothetical: false,
            refusal: None,
        };
        let own = match id {
            Some(id) => self.rule_of(self.position(id)),
            None => self.location_rule(line.location),
        };
        answer.hypothetical = line
            .rule
            .is_some_and(|asked| decide::is_looser(&asked, own));
        if at < self.now {
            answer.refusal = Some(Refusal::ShipTimePast);
            return Ok(answer);
        }
        let horizon = self.now.plus(own.horizon_ms);
        if at > horizon {
            answer.refusal = Some(Refusal::BeyondHorizon);
            return Ok(answer);
        }
        let Some(id) = id else {
            return Ok(answer);
        };
        self.check_position(line, id, at, &mut answer);
        answer.earliest = answer.earliest.filter(|earliest| *earliest <= horizon);
        Ok(answer)
    }

    #[inline]
    fn check_position(
        &self,
        line: &CheckLine,
        id: PositionId,
        at: UtcMillis,
        answer: &mut CheckAnswer,
    ) {
        let position = self.position(id);
        match &line.rule {
            None => {
                let level = line.quantity.balance() - position.base;
                let look = position.timeline.look(at, level);
                let lowest = position.base + look.lowest;
                answer.available = Units::from_balance(lowest);
                answer.earliest = match line.quantity.is_zero() {
                    true => Some(at),
                    false => look.earliest,
                };
                (answer.binding, answer.binding_time) = binding(position, at, look);
            }
            Some(rule) => self.check_by_rule(line.quantity, rule, id, at, answer),
        }
        answer.in_full = answer.available >= line.quantity;
        if line.quantity.is_zero() {
            answer.earliest = answer.earliest.filter(|_| !answer.available.is_zero());
        }
    }

    /// Kept apart, so that the common case stays short.
    #[inline(never)]
    fn check_by_rule(
        &self,
        quantity: Units,
        rule: &RuleOverride,
        id: PositionId,
        at: UtcMillis,
        answer: &mut CheckAnswer,
    ) {
        let position = self.position(id);
        (answer.available, answer.earliest) = filtered::look(self, id, at, quantity, rule);
        (answer.binding, answer.binding_time) =
            binding(position, at, position.timeline.look(at, 0));
    }

    /// The staircase of availability from `from` on: each step's value holds until the next one.
    pub fn staircase(
        &self,
        item: ItemId,
        location: LocationId,
        from: UtcMillis,
    ) -> Vec<(UtcMillis, Units)> {
        self.staircase_by(item, location, from, None)
    }

    /// The staircase under another rule than the position's own.
    pub fn staircase_by(
        &self,
        item: ItemId,
        location: LocationId,
        from: UtcMillis,
        rule: Option<&RuleOverride>,
    ) -> Vec<(UtcMillis, Units)> {
        let Some(id) = self.position_id(item, location) else {
            return vec![(from, Units::ZERO)];
        };
        if let Some(rule) = rule {
            return filtered::staircase(self, id, from, rule, MAX_STAIRCASE_STEPS);
        }
        let position = self.position(id);
        let mut at = from;
        let mut available = Units::from_balance(position.lowest_net(at));
        let mut steps = vec![(at, available)];
        while steps.len() < MAX_STAIRCASE_STEPS {
            let level = available.balance() + 1 - position.base;
            let Some(next) = position.timeline.earliest_at_least(at, level) else {
                break;
            };
            at = next;
            available = Units::from_balance(position.lowest_net(at));
            steps.push((at, available));
        }
        steps
    }
}

/// What keeps the balance from being higher, and when it is lowest.
#[inline]
fn binding(position: &Position, at: UtcMillis, look: Look) -> (Binding, UtcMillis) {
    let lowest = position.base + look.lowest;
    if lowest <= 0 && lowest + position.buffer.balance() > 0 {
        return (Binding::Buffer, at);
    }
    match look.later {
        Some(time) => (Binding::LaterCommitment, time),
        None => (Binding::Supply, at),
    }
}
