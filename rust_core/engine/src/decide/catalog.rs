//! Master data and policy.

use super::{Decision, Draft, check_item, check_label, check_location, check_name};
use crate::catalog_types::{Item, Lane, LateGrace, Location, Region, RuleScope, SupplyRule};
use crate::event::{Event, ShockCause};
use crate::ids::{ItemId, LocationId, RegionId, Units};
use crate::limits::{
    MAX_DAY_OFFSETS, MAX_HORIZON_MS, MAX_ITEM_UNITS, MAX_ITEMS, MAX_LANES, MAX_LOCATIONS,
    MAX_QUANTITY, MAX_REGION_LOCATIONS, MAX_REGIONS, MAX_RULE_POSITIONS, MAX_RULES,
};
use crate::position::Position;
use crate::refusal::EngineError;
use crate::reply::Reply;
use crate::state::State;

fn put(event: Event, shock_cause: Option<ShockCause>) -> Decision {
    Decision {
        events: [event].into_iter().collect(),
        reply: Reply::Catalog,
        shock_cause,
    }
}

fn invalid(field: &'static str, value: impl ToString, rule: &'static str) -> EngineError {
    EngineError::InvalidArgument {
        field,
        value: value.to_string(),
        rule,
    }
}

/// The id of a known name, or the next one while there is room.
fn next_id(
    known: Option<u32>,
    count: usize,
    limit: usize,
    what: &'static str,
) -> Result<u32, EngineError> {
    match known {
        Some(id) => Ok(id),
        None if count < limit => Ok(count as u32),
        None => Err(EngineError::Full {
            what,
            limit: limit as u64,
        }),
    }
}

pub(crate) fn put_item(state: &State, item: &Item) -> Result<Decision, EngineError> {
    check_name("item", &item.name)?;
    check_label("base_unit", &item.base_unit)?;
    if item.units.len() > MAX_ITEM_UNITS {
        return Err(invalid(
            "units",
            item.units.len(),
            "an item has at most 32 units beside its base unit",
        ));
    }
    for (n, unit) in item.units.iter().enumerate() {
        check_name("unit", &unit.unit)?;
        let twice = item.units[..n].iter().any(|other| other.unit == unit.unit);
        if twice || unit.unit == item.base_unit {
            return Err(invalid(
                "unit",
                &unit.unit,
                "each unit of an item is named once",
            ));
        }
        let in_range = |value| (1..=MAX_QUANTITY).contains(&value);
        if !in_range(unit.numerator) || !in_range(unit.denominator) {
            return Err(invalid(
                "numerator",
                format!("{}/{}", unit.numerator, unit.denominator),
                "numerator and denominator must lie between 1 and 10^12",
            ));
        }
    }
    let catalog = state.catalog();
    let known = catalog.item_id(&item.name).map(|id| id.0);
    let id = ItemId(next_id(
        known,
        catalog.items().len(),
        MAX_ITEMS,
        "the table of items",
    )?);
    Ok(put(Event::ItemPut(id, item.clone()), None))
}

pub(crate) fn put_location(state: &State, location: &Location) -> Result<Decision, EngineError> {
    check_name("location", &location.name)?;
    check_label("time_zone", &location.time_zone)?;
    let offsets = &location.day_offsets;
    let ascending = offsets.windows(2).all(|pair| pair[0].from < pair[1].from);
    let in_range = offsets
        .iter()
        .all(|offset| offset.offset_s.abs() <= 26 * 3_600);
    if offsets.len() > MAX_DAY_OFFSETS || !ascending || !in_range {
        return Err(invalid(
            "day_offsets",
            format!("{} offsets", offsets.len()),
            "at most 256 are allowed, ascending in time, within 26 hours of UTC",
        ));
    }
    let catalog = state.catalog();
    let known = catalog.location_id(&location.name).map(|id| id.0);
    let id = next_id(
        known,
        catalog.locations().len(),
        MAX_LOCATIONS,
        "the table of locations",
    )?;
    let id = LocationId(id);
    let put = put(Event::LocationPut(id, location.clone()), None);
    let before = known.map(|_| &catalog.location(id).day_offsets);
    if before.is_none_or(|before| *before == *offsets) {
        return Ok(put);
    }
    check_reach(state, "day_offsets", |position| position.location == id)?;
    // Where days begin and end at other times, so does the grace of a receipt.
    let Decision { mut events, .. } = put;
    events.push(Event::ReceiptsJudged(RuleScope::Location(id)));
    Ok(Decision {
        events,
        reply: Reply::Catalog,
        shock_cause: Some(ShockCause::Rule),
    })
}

pub(crate) fn put_region(state: &State, region: &Region) -> Result<Decision, EngineError> {
    check_name("region", &region.name)?;
    if region.locations.len() > MAX_REGION_LOCATIONS {
        return Err(invalid(
            "locations",
            region.locations.len(),
            "a region has at most 65536 locations",
        ));
    }
    let mut sorted = region.locations.clone();
    sorted.sort_unstable();
    if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(invalid(
            "locations",
            &region.name,
            "each location of a region is named once",
        ));
    }
    for location in &region.locations {
        check_location(state, *location)?;
    }
    let catalog = state.catalog();
    let known = catalog.region_id(&region.name).map(|id| id.0);
    let id = RegionId(next_id(
        known,
        catalog.regions().len(),
        MAX_REGIONS,
        "the table of regions",
    )?);
    Ok(put(Event::RegionPut(id, region.clone()), None))
}

pub(crate) fn put_lane(state: &State, lane: &Lane) -> Result<Decision, EngineError> {
    check_name("lane", &lane.name)?;
    check_name("to_zone", &lane.to_zone)?;
    check_label("carrier", &lane.carrier)?;
    check_label("service", &lane.service)?;
    check_location(state, lane.from)?;
    let quantiles = &lane.transit;
    let good = |q: &crate::catalog_types::TransitQuantile| {
        (1..1_000_000).contains(&q.level_ppm) && (0..=MAX_HORIZON_MS).contains(&q.transit_ms)
    };
    let rising = quantiles.windows(2).all(|pair| {
        pair[0].level_ppm < pair[1].level_ppm && pair[0].transit_ms <= pair[1].transit_ms
    });
    if quantiles.len() > 99 || !quantiles.iter().all(good) || !rising {
        return Err(invalid(
            "transit",
            format!("{} quantiles", quantiles.len()),
            "at most 99 are allowed, levels rising below 1000000 ppm, times not falling",
        ));
    }
    let costs = &lane.costs;
    let rising = costs
        .windows(2)
        .all(|pair| pair[0].up_to_grams < pair[1].up_to_grams);
    if costs.len() > 100 || !rising || costs.iter().any(|cost| cost.currency.len() != 3) {
        return Err(invalid(
            "costs",
            format!("{} breaks", costs.len()),
            "at most 100 are allowed, weights rising, with a currency of 3 letters",
        ));
    }
    if state.catalog().lane(&lane.name).is_none() && state.catalog().lane_count() >= MAX_LANES {
        return Err(EngineError::Full {
            what: "the table of lanes",
            limit: MAX_LANES as u64,
        });
    }
    Ok(put(Event::LanePut(lane.clone()), None))
}

/// A rule or a calendar is put in one record, which names every position whose promises it breaks or mends.
fn check_reach(
    state: &State,
    field: &'static str,
    reaches: impl Fn(&Position) -> bool,
) -> Result<(), EngineError> {
    let can_break = |position: &Position| {
        position.timeline.len() > 0 || position.on_hand.iter().any(|on_hand| *on_hand < 0)
    };
    let positions = state.positions().map(|(_, position)| position);
    let reached = positions
        .filter(|one| reaches(one) && can_break(one))
        .count();
    if reached > MAX_RULE_POSITIONS {
        return Err(invalid(
            field,
            format!("{reached} positions with receipts or promises"),
            "at most 200000 may be reached at once: give positions rules of their own, or divide the location",
        ));
    }
    Ok(())
}

pub(crate) fn put_rule(
    state: &State,
    scope: RuleScope,
    rule: SupplyRule,
) -> Result<Decision, EngineError> {
    if rule.statuses == 0 || rule.statuses > 0b111 {
        return Err(invalid(
            "statuses",
            rule.statuses,
            "at least one known status must count",
        ));
    }
    if rule.receipt_kinds > 0b1111 {
        return Err(invalid(
            "receipt_kinds",
            rule.receipt_kinds,
            "only known kinds may count",
        ));
    }
    if !(1..=MAX_HORIZON_MS).contains(&rule.horizon_ms) {
        return Err(invalid(
            "horizon_ms",
            rule.horizon_ms,
            "it must lie between 1 ms and 3 years",
        ));
    }
    if let LateGrace::Millis(ms) = rule.late_grace
        && !(0..=MAX_HORIZON_MS).contains(&ms)
    {
        return Err(invalid(
            "late_grace_ms",
            ms,
            "it must lie between 0 and 3 years",
        ));
    }
    let mut draft = Draft::default();
    match scope {
        RuleScope::Location(location) => {
            check_location(state, location)?;
            let follows = |position: &Position| position.location == location && position.rule == 0;
            check_reach(state, "location", follows)?;
        }
        RuleScope::Position(item, location) => {
            check_item(state, item)?;
            draft.position(state, item, location)?;
            let known = state
                .position_rules
                .iter()
                .skip(1)
                .any(|known| *known == rule);
            if !known && state.free_rule(state.position_id(item, location)).is_none() {
                return Err(EngineError::Full {
                    what: "the table of rules",
                    limit: MAX_RULES as u64,
                });
            }
        }
    }
    let before = match scope {
        RuleScope::Location(location) => state.location_rule(location),
        RuleScope::Position(item, location) => state.rule_at(item, location),
    };
    draft.events.push(Event::RulePut(scope, rule));
    if before.late_grace != rule.late_grace {
        draft.events.push(Event::ReceiptsJudged(scope));
    }
    Ok(Decision {
        events: draft.events,
        reply: Reply::Catalog,
        shock_cause: Some(ShockCause::Rule),
    })
}

pub(crate) fn put_buffer(
    state: &State,
    item: ItemId,
    location: LocationId,
    units: Units,
) -> Result<Decision, EngineError> {
    let mut draft = Draft::default();
    let id = draft.position(state, item, location)?;
    super::supply::check_limit(units)?;
    draft.events.push(Event::BufferSet(id, units));
    Ok(Decision {
        events: draft.events,
        reply: Reply::Catalog,
        shock_cause: None,
    })
}
