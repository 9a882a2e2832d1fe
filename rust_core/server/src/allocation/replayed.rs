//! Holds of an earlier try, as a choice.

use std::collections::HashMap;

use bespeak_allocation::Problem;
use bespeak_allocation::input::NONE;
use bespeak_engine::{ItemId, LocationId, UtcMillis};

use super::batch::Batch;

/// Units of an item that are held at a location, for one line of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// The item.
    pub item: ItemId,
    /// Where.
    pub location: LocationId,
    /// Units.
    pub units: i64,
    /// When they ship.
    pub ship_time: UtcMillis,
}

/// Where the lines of an order are held.
#[derive(Debug)]
pub struct Held {
    /// By line of the order: location of the batch; [`NONE`] where it is not held, or nowhere that the batch knows.
    pub places: Vec<u32>,
    /// By line of the order: when it ships, where it is held.
    pub ship_times: Vec<Option<UtcMillis>>,
    /// Every part that is held has its line.
    pub all_known: bool,
}

/// Locations of a batch by those of the engine.
#[derive(Debug)]
pub struct Places(HashMap<LocationId, u32>);

impl Places {
    /// Indexes those of a batch.
    pub fn new(batch: &Batch) -> Self {
        let known = batch.known.locations.iter().zip(0u32..);
        Self(known.filter_map(|(id, at)| Some(((*id)?, at))).collect())
    }

    /// Matches what is held of an order with its lines.
    pub fn of(&self, batch: &Batch, order: u32, parts: &[Part]) -> Held {
        let lines = batch.lines_of(order);
        let mut held = Held {
            places: vec![NONE; lines.len()],
            ship_times: vec![None; lines.len()],
            all_known: false,
        };
        let mut parts = parts.iter().peekable();
        for (at, line) in lines.enumerate() {
            let wanted = &batch.input().lines[line];
            let is_it = |part: &&Part| {
                batch.known.items[wanted.item as usize] == Some(part.item)
                    && part.units == wanted.quantity
            };
            if let Some(part) = parts.next_if(is_it) {
                held.ship_times[at] = Some(part.ship_time);
                held.places[at] = self.0.get(&part.location).copied().unwrap_or(NONE);
            }
        }
        held.all_known = parts.peek().is_none();
        held
    }
}

/// Fills in where orders are held: of each location the service that is cheapest for what is held there, as the engine
/// keeps none.
pub fn fill(batch: &Batch, held: &[(u32, Held)], choice: &mut [u32]) {
    let options = batch.problem.options();
    let mut by_place: HashMap<u32, Vec<u32>> = HashMap::new();
    for (option, way) in (0u32..).zip(options) {
        by_place.entry(way.location).or_default().push(option);
    }
    for (order, held) in held {
        let lines = batch.lines_of(*order);
        let chosen = services(&batch.problem, *order, &held.places, &by_place);
        choice[lines].copy_from_slice(&chosen);
    }
}

/// The cheapest service of each location for the lines that are there.
fn services(
    problem: &Problem,
    order: u32,
    places: &[u32],
    by_place: &HashMap<u32, Vec<u32>>,
) -> Vec<u32> {
    let lines = problem.input().orders[order as usize].lines.clone();
    let mut chosen = vec![NONE; places.len()];
    let mut locations: Vec<u32> = places.to_vec();
    locations.sort_unstable();
    locations.dedup();
    for location in locations.into_iter().filter(|location| *location != NONE) {
        let mut best: Option<(i64, u32)> = None;
        let own = |option: u32| {
            let there = places.iter().map(move |place| *place == location);
            there.map(move |there| if there { option } else { NONE })
        };
        for &option in by_place.get(&location).into_iter().flatten() {
            let mut there = lines.clone().zip(places);
            let serves = there
                .all(|(line, place)| *place != location || problem.serves(order, line, option));
            if !serves {
                continue;
            }
            let cost = problem.order_costs(order, &own(option).collect::<Vec<_>>());
            if best.is_none_or(|(least, _)| cost.total < least) {
                best = Some((cost.total, option));
            }
        }
        if let Some((_, option)) = best {
            for (line, place) in chosen.iter_mut().zip(places) {
                if *place == location {
                    *line = option;
                }
            }
        }
    }
    chosen
}
