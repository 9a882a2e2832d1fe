//! Holds of an earlier try, as a choice.

use std::collections::BTreeSet;

use bespeak_allocation::Problem;
use bespeak_allocation::input::{NONE, Stock};
use bespeak_engine::{ItemId, LocationId};

use super::batch::{Batch, UNITS_MAX, subset};
use crate::error::ApiError;

/// Units of an item that are held at a location, for one line of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// The item.
    pub item: ItemId,
    /// Where.
    pub location: LocationId,
    /// Units.
    pub units: i64,
}

/// Fills in where orders are held. The engine keeps locations and no services: of each location the service that is
/// cheapest for what is held there is told.
///
/// # Errors
/// `Internal` when the input cannot be planned, which it could before.
pub fn fill(batch: &Batch, held: &[Option<Vec<Part>>], choice: &mut [u32]) -> Result<(), ApiError> {
    let replayed: Vec<u32> = (0u32..)
        .zip(held)
        .filter(|(_, parts)| parts.is_some())
        .map(|(order, _)| order)
        .collect();
    let mut input = subset(batch.input(), &replayed);
    for order in &mut input.orders {
        // Each location is looked at by itself.
        order.ship_complete = false;
        order.max_packages = 0;
    }
    input.windows.fill(None);
    // What is held has left the stock that is seen.
    let places = replayed.iter().map(|order| {
        let parts = held[*order as usize].as_deref().unwrap_or_default();
        places(batch, *order, parts).0
    });
    let places: Vec<Vec<u32>> = places.collect();
    let lines = input.lines.iter().zip(places.iter().flatten());
    let rows: BTreeSet<(u32, u32)> = lines
        .filter(|(_, location)| **location != NONE)
        .map(|(line, location)| (line.item, *location))
        .collect();
    input.stock = rows
        .into_iter()
        .map(|(item, location)| Stock {
            item,
            location,
            class: 0,
            units: UNITS_MAX,
        })
        .collect();
    let problem = Problem::new(input)?;
    for ((number, order), places) in (0u32..).zip(replayed).zip(&places) {
        let chosen = services(&problem, number, places);
        for (line, option) in batch.lines_of(order).zip(chosen) {
            choice[line] = option;
        }
    }
    Ok(())
}

/// Location of the batch by line of an order, [`NONE`] where the line is not held; and whether every part has its line.
pub fn places(batch: &Batch, order: u32, parts: &[Part]) -> (Vec<u32>, bool) {
    let lines = batch.lines_of(order);
    let mut places = vec![NONE; lines.len()];
    let mut parts = parts.iter().peekable();
    for (place, line) in places.iter_mut().zip(lines) {
        let wanted = &batch.input().lines[line];
        let is_it = |part: &&Part| {
            batch.known.items[wanted.item as usize] == Some(part.item)
                && part.units == wanted.quantity
        };
        let Some(part) = parts.next_if(is_it) else {
            continue;
        };
        let mut locations = batch.known.locations.iter();
        let number = locations.position(|known| *known == Some(part.location));
        *place = number
            .and_then(|number| u32::try_from(number).ok())
            .unwrap_or(NONE);
    }
    (places, parts.peek().is_none())
}

/// The cheapest service of each location for the lines that are there.
fn services(problem: &Problem, order: u32, places: &[u32]) -> Vec<u32> {
    let lines = problem.input().orders[order as usize].lines.clone();
    let mut chosen = vec![NONE; places.len()];
    let mut locations: Vec<u32> = places.to_vec();
    locations.sort_unstable();
    locations.dedup();
    let mut whole = vec![NONE; problem.input().lines.len()];
    for location in locations.into_iter().filter(|location| *location != NONE) {
        let mut best: Option<(i64, u32)> = None;
        for (option, way) in (0u32..).zip(problem.options()) {
            if way.location != location {
                continue;
            }
            let own = &mut whole[lines.start as usize..lines.end as usize];
            for (line, place) in own.iter_mut().zip(places) {
                *line = if *place == location { option } else { NONE };
            }
            let cost = problem.order_costs(order, own).total;
            if best.is_none_or(|(least, _)| cost < least) && problem.check(&whole).is_ok() {
                best = Some((cost, option));
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
