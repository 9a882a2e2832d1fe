//! What a command may cost, told from its lines before any work is done: everything waits for one command at a time.

use crate::command::{FillPolicy, Promise, ReserveLine};
use crate::ids::{ItemId, LocationId, PositionId};
use crate::limits::{
    MAX_PROMISE_LOOKUPS, MAX_SOURCING_LOOKUPS, MAX_WALKED_ENTRIES, SHIP_COMPLETE_DATES,
};
use crate::read::check::CheckLine;
use crate::refusal::EngineError;
use crate::state::State;

/// How often a line of a hold under a rule of its own is walked: what is there, and when there will be enough, for
/// itself and for what is told when it is refused.
const WALKS_A_LINE: usize = 4;

fn walked(
    state: &State,
    places: impl Iterator<Item = (ItemId, LocationId)>,
    times: usize,
) -> Result<(), EngineError> {
    let known = places.filter_map(|(item, location)| state.position_id(item, location));
    let walked = entries(state, known).saturating_mul(times);
    if walked <= MAX_WALKED_ENTRIES {
        return Ok(());
    }
    Err(EngineError::InvalidArgument {
        field: "lines",
        value: format!("{walked} planned movements to walk at the positions named"),
        rule: "one request walks at most 1000000: name fewer lines or locations, or leave its rule out",
    })
}

fn entries(state: &State, places: impl Iterator<Item = PositionId>) -> usize {
    places.map(|id| state.position(id).timeline.len()).sum()
}

/// Whether lines at these positions may be walked once.
pub(super) fn allows_once(state: &State, places: impl Iterator<Item = PositionId>) -> bool {
    entries(state, places) <= MAX_WALKED_ENTRIES
}

impl State {
    /// Whether lines under rules of their own may be checked together; `staircases` asks for those too.
    ///
    /// # Errors
    /// `InvalidArgument` where more is planned at the positions than one answer may walk.
    pub fn check_budget(&self, lines: &[CheckLine], staircases: bool) -> Result<(), EngineError> {
        let ruled = lines.iter().filter(|line| line.rule.is_some());
        let places = ruled.map(|line| (line.item, line.location));
        walked(self, places, if staircases { 2 } else { 1 })
    }
}

pub(super) fn of_reserve(state: &State, lines: &[ReserveLine]) -> Result<(), EngineError> {
    let places = lines.iter().map(|line| (line.item, line.location));
    walked(state, places, WALKS_A_LINE)
}

/// Every place of a promise, each line with each candidate.
fn places<'a>(
    promise: &'a Promise,
    candidates: &'a [LocationId],
) -> impl Iterator<Item = (ItemId, LocationId)> + 'a {
    let lines = promise.lines.iter();
    lines.flat_map(|line| candidates.iter().map(|location| (line.item, *location)))
}

/// Look-ups that the search for the fewest packages may spend on each date.
pub(super) fn of_promise(
    state: &State,
    promise: &Promise,
    candidates: &[LocationId],
) -> Result<usize, EngineError> {
    let dates = match promise.terms.fill {
        FillPolicy::ShipComplete => SHIP_COMPLETE_DATES,
        _ => 1,
    };
    let cells = promise.lines.len() * candidates.len();
    if cells * dates > MAX_PROMISE_LOOKUPS {
        return Err(EngineError::InvalidArgument {
            field: "lines",
            value: format!(
                "{} lines over {} locations on up to {dates} dates",
                promise.lines.len(),
                candidates.len()
            ),
            rule: "lines times locations times dates may be at most 262144: name fewer, or take lines one by one",
        });
    }
    let mut lookups = MAX_SOURCING_LOOKUPS / dates;
    if promise.terms.rule.is_some() {
        let times = WALKS_A_LINE * dates;
        walked(state, places(promise, candidates), times)?;
        // Each look-up walks one place of the order, at worst the longest.
        let longest = places(promise, candidates)
            .filter_map(|(item, location)| state.position_id(item, location))
            .map(|id| state.position(id).timeline.len())
            .max();
        lookups = lookups.min(MAX_WALKED_ENTRIES / (dates * longest.unwrap_or(0).max(1)));
    }
    Ok(lookups)
}

pub(crate) fn of_explanation(
    state: &State,
    promise: &Promise,
    candidates: &[LocationId],
) -> Result<(), EngineError> {
    walked(state, places(promise, candidates), 1)
}
