//! What can be promised now, as the stock of a batch.

use std::collections::HashMap;

use bespeak_allocation::input::{Costs, Input, Stock};
use bespeak_allocation::tables::Names;
use bespeak_engine::{Catalog, ItemId, LocationId};

use super::seats::breathe;
use crate::api::Api;
use crate::error::ApiError;
use crate::store::Seen;

/// Names or positions looked up under one lock: well below a millisecond.
const SLICE: usize = 512;
/// Positions of one batch.
const PLACES_MAX: usize = 8_000_000;

/// Items and locations of a batch as the engine knows them.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// By item of the batch.
    pub items: Vec<Option<ItemId>>,
    /// By location of the batch.
    pub locations: Vec<Option<LocationId>>,
}

impl Known {
    /// Looks the names up, and raises `revision` to what was seen.
    ///
    /// # Errors
    /// Those of the partition.
    pub fn find(api: &Api, names: &Names, revision: &mut u64) -> Result<Self, ApiError> {
        Ok(Self {
            items: look_up(api, &names.items, Catalog::item_id, revision)?,
            locations: look_up(api, &names.locations, Catalog::location_id, revision)?,
        })
    }
}

fn look_up<T>(
    api: &Api,
    names: &[String],
    find: impl Fn(&Catalog, &str) -> Option<T>,
    revision: &mut u64,
) -> Result<Vec<Option<T>>, ApiError> {
    let mut found = Vec::with_capacity(names.len());
    for slice in names.chunks(SLICE) {
        let seen = api.store().read(|state| {
            let found = slice.iter().map(|name| find(state.catalog(), name));
            Ok(found.collect::<Vec<_>>())
        });
        found.extend(noted(seen, revision)?);
    }
    Ok(found)
}

fn noted<T>(seen: Seen<T>, revision: &mut u64) -> Result<T, ApiError> {
    *revision = (*revision).max(seen.revision);
    breathe();
    seen.result
}

/// Units of items at locations of the batch that can be promised for shipping now.
///
/// # Errors
/// Those of the partition.
pub fn units(
    api: &Api,
    known: &Known,
    places: &[(u32, u32)],
    revision: &mut u64,
) -> Result<Vec<i64>, ApiError> {
    let mut units = Vec::with_capacity(places.len());
    let mut ids: Vec<Option<(ItemId, LocationId)>> = Vec::with_capacity(SLICE);
    for slice in places.chunks(SLICE) {
        ids.clear();
        ids.extend(slice.iter().map(|&(item, location)| {
            Some((
                known.items[item as usize]?,
                known.locations[location as usize]?,
            ))
        }));
        let seen = api.store().read(|state| {
            let now = state.now();
            let one = |id: &Option<(ItemId, LocationId)>| match id {
                Some((item, location)) => state.available(*item, *location, now).balance(),
                None => 0,
            };
            Ok(ids.iter().map(one).collect::<Vec<_>>())
        });
        units.extend(noted(seen, revision)?);
    }
    Ok(units)
}

/// Fills in the stock of a batch that brought none: what can be promised now, and what is given `back` first.
///
/// # Errors
/// `InvalidArgument` for a batch that asks about too many positions, and those of the partition.
pub fn fill(
    api: &Api,
    known: &Known,
    names: &Names,
    input: &mut Input,
    back: &HashMap<(u32, u32), i64>,
    revision: &mut u64,
) -> Result<(), ApiError> {
    let places = places(input, known)?;
    let units = units(api, known, &places, revision)?;
    let stock = places.iter().zip(units);
    let stock = stock.map(|(place, units)| {
        let back = back.get(place).copied().unwrap_or(0);
        (place, units.saturating_add(back))
    });
    let stock = stock.filter(|(_, units)| *units > 0);
    input.stock = stock
        .map(|(&(item, location), units)| Stock {
            item,
            location,
            class: 0,
            units: units.min(super::batch::UNITS_MAX),
        })
        .collect();
    let class_max = input.orders.iter().map(|order| order.class).max();
    names
        .protection
        .fill(&mut input.stock, class_max.unwrap_or(0));
    Ok(())
}

/// Wherever an item of the batch may come from; what the catalogue does not know has no stock.
fn places(input: &Input, known: &Known) -> Result<Vec<(u32, u32)>, ApiError> {
    let mut places = match &input.costs {
        Costs::Given(given) => {
            let place = |offer: &bespeak_allocation::input::Offer| {
                let item = input.lines[offer.line as usize].item;
                (item, given.options[offer.option as usize].location)
            };
            given.offers.iter().map(place).collect::<Vec<_>>()
        }
        Costs::Network(network) => {
            let mut ships = vec![false; input.locations as usize];
            for lane in &network.lanes {
                ships[lane.location as usize] = true;
            }
            let mut wanted = vec![false; input.items as usize];
            for line in &input.lines {
                wanted[line.item as usize] = true;
            }
            let listed = |flags: &[bool], is_known: &dyn Fn(usize) -> bool| -> Vec<u32> {
                let numbers = (0u32..).zip(flags);
                let kept = numbers.filter(|(number, flag)| **flag && is_known(*number as usize));
                kept.map(|(number, _)| number).collect()
            };
            let items = listed(&wanted, &|item| known.items[item].is_some());
            let locations = listed(&ships, &|location| known.locations[location].is_some());
            let count = items.len().saturating_mul(locations.len());
            if count > PLACES_MAX {
                let rule = format!(
                    "at most {PLACES_MAX} items times locations are looked up: split the batch"
                );
                return Err(ApiError::invalid(
                    "orders",
                    format!("{count} items times locations"),
                    rule,
                ));
            }
            let pairs = items
                .iter()
                .flat_map(|item| locations.iter().map(|location| (*item, *location)));
            return Ok(pairs.collect());
        }
    };
    places.sort_unstable();
    places.dedup();
    Ok(places)
}
