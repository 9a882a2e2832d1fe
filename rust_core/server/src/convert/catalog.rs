//! Master data and policy, both ways.

use bespeak_engine::limits::{MAX_HORIZON_MS, MAX_ITEM_UNITS, MAX_QUANTITY, MAX_REGION_LOCATIONS};
use bespeak_engine::{
    Catalog, Command, Item, Lane, LateGrace, Location, LocationKind, ReceiptKind, Region,
    RuleScope, StockStatus, SupplyRule, TransitQuantile, UnitOfMeasure, WeightBreak,
};
use bespeak_proto::v1 as pb;

use super::{fields, item, location, zone};
use crate::error::ApiError;

type Result<T> = std::result::Result<T, ApiError>;

/// Transit quantiles and weight breaks of one lane.
const LANE_STEPS_MAX: usize = 64;

fn given<T>(field: &'static str, value: Option<T>) -> Result<T> {
    value.ok_or_else(|| ApiError::invalid(field, "missing", "it is required"))
}

/// Makes a `PutItem`.
///
/// # Errors
/// Those of the fields; `NotInThisVersion` for kits, substitutes and shelf life.
pub fn put_item(request: &mut pb::PutItemRequest) -> Result<Command> {
    let mut item = given("item", request.item.take())?;
    fields::later("item.kit_components", !item.kit_components.is_empty())?;
    fields::later("item.substitutes", !item.substitutes.is_empty())?;
    fields::later("item.shelf_life_ms", item.shelf_life_ms != 0)?;
    let name = fields::take_required("item.item", &mut item.item)?;
    let mut base_unit = fields::take_name("item.base_unit", &mut item.base_unit)?;
    if base_unit.is_empty() {
        base_unit = "each".into();
    }
    if item.units.len() > MAX_ITEM_UNITS {
        return Err(ApiError::invalid(
            "item.units",
            item.units.len(),
            format!("at most {MAX_ITEM_UNITS} are allowed"),
        ));
    }
    let mut units: Vec<UnitOfMeasure> = Vec::with_capacity(item.units.len());
    for (index, unit) in item.units.into_iter().enumerate() {
        let unit = unit_of_measure(unit).map_err(|error| error.inside("item.units", index))?;
        if unit.unit == base_unit || units.iter().any(|known| known.unit == unit.unit) {
            return Err(
                ApiError::invalid("unit", &unit.unit, "each unit has one definition")
                    .inside("item.units", index),
            );
        }
        units.push(unit);
    }
    Ok(Command::PutItem(Item {
        name,
        base_unit,
        units,
    }))
}

fn unit_of_measure(mut unit: pb::UnitOfMeasure) -> Result<UnitOfMeasure> {
    for (field, value) in [
        ("numerator", unit.numerator),
        ("denominator", unit.denominator),
    ] {
        if value == 0 || value > MAX_QUANTITY {
            return Err(ApiError::invalid(
                field,
                value,
                "it must be 1 to 1000000000000",
            ));
        }
    }
    Ok(UnitOfMeasure {
        unit: fields::take_required("unit", &mut unit.unit)?,
        numerator: unit.numerator,
        denominator: unit.denominator,
    })
}

/// Makes a `PutLocation`, with the offsets of its time zone.
///
/// # Errors
/// Those of the fields; `NotInThisVersion` for calendar, cut-off and processing time.
pub fn put_location(request: &mut pb::PutLocationRequest) -> Result<Command> {
    let mut location = given("location", request.location.take())?;
    fields::later("location.calendar", !location.calendar.is_empty())?;
    fields::later("location.cut_off_ms", location.cut_off_ms.is_some())?;
    fields::later("location.processing_ms", location.processing_ms != 0)?;
    let kind = match fields::known::<pb::LocationKind>("location.kind", location.kind)? {
        pb::LocationKind::Unspecified => LocationKind::Other,
        pb::LocationKind::Dc => LocationKind::Dc,
        pb::LocationKind::Store => LocationKind::Store,
        pb::LocationKind::Supplier => LocationKind::Supplier,
        pb::LocationKind::DarkStore => LocationKind::DarkStore,
    };
    Ok(Command::PutLocation(Location {
        day_offsets: zone::offsets(&location.time_zone)?,
        name: fields::take_required("location.location", &mut location.location)?,
        time_zone: fields::take_name("location.time_zone", &mut location.time_zone)?,
        kind,
    }))
}

/// Makes a `PutRegion`.
///
/// # Errors
/// Those of the fields; `UnknownLocation`.
pub fn put_region(catalog: &Catalog, request: &mut pb::PutRegionRequest) -> Result<Command> {
    let mut region = given("region", request.region.take())?;
    if region.locations.len() > MAX_REGION_LOCATIONS {
        return Err(ApiError::invalid(
            "region.locations",
            region.locations.len(),
            format!("at most {MAX_REGION_LOCATIONS} are allowed"),
        ));
    }
    let mut locations = Vec::with_capacity(region.locations.len());
    let mut seen = std::collections::HashSet::with_capacity(region.locations.len());
    for name in &region.locations {
        let id = location(catalog, name)?;
        if !seen.insert(id) {
            return Err(ApiError::invalid(
                "region.locations",
                name,
                "name each location once",
            ));
        }
        locations.push(id);
    }
    let name = fields::take_required("region.region", &mut region.region)?;
    Ok(Command::PutRegion(Region { name, locations }))
}

/// Makes a `PutLane`.
///
/// # Errors
/// Those of the fields; `UnknownLocation`.
pub fn put_lane(catalog: &Catalog, request: &mut pb::PutLaneRequest) -> Result<Command> {
    let mut lane = given("lane", request.lane.take())?;
    let from = location(catalog, &lane.from_location)?;
    for (field, count) in [
        ("lane.transit", lane.transit.len()),
        ("lane.costs", lane.costs.len()),
    ] {
        if count > LANE_STEPS_MAX {
            return Err(ApiError::invalid(field, count, "at most 64 are allowed"));
        }
    }
    let transit = lane
        .transit
        .iter()
        .map(transit_quantile)
        .collect::<Result<Vec<_>>>()?;
    if !transit.is_sorted_by(|a, b| a.level_ppm < b.level_ppm && a.transit_ms <= b.transit_ms) {
        return Err(ApiError::invalid(
            "lane.transit",
            "not ascending",
            "order it by level",
        ));
    }
    let costs = lane
        .costs
        .drain(..)
        .map(weight_break)
        .collect::<Result<Vec<_>>>()?;
    if !costs.is_sorted_by(|a, b| a.up_to_grams < b.up_to_grams) {
        return Err(ApiError::invalid(
            "lane.costs",
            "not ascending",
            "order it by weight",
        ));
    }
    Ok(Command::PutLane(Lane {
        name: fields::take_required("lane.lane", &mut lane.lane)?,
        from,
        to_zone: fields::take_required("lane.to_zone", &mut lane.to_zone)?,
        carrier: fields::take_name("lane.carrier", &mut lane.carrier)?,
        service: fields::take_name("lane.service", &mut lane.service)?,
        transit,
        costs,
    }))
}

fn transit_quantile(step: &pb::TransitQuantile) -> Result<TransitQuantile> {
    if step.level_ppm == 0 || step.level_ppm >= 1_000_000 {
        let rule = "it must be 1 to 999999 parts per million";
        return Err(ApiError::invalid(
            "lane.transit.level_ppm",
            step.level_ppm,
            rule,
        ));
    }
    let transit_ms = fields::duration("lane.transit.transit_ms", step.transit_ms)?.unwrap_or(0);
    Ok(TransitQuantile {
        level_ppm: step.level_ppm,
        transit_ms,
    })
}

fn weight_break(mut step: pb::WeightBreak) -> Result<WeightBreak> {
    for (field, value) in [
        ("fixed_minor", step.fixed_minor),
        ("per_kg_minor", step.per_kg_minor),
    ] {
        if value < 0 || value.unsigned_abs() > MAX_QUANTITY {
            return Err(ApiError::invalid(
                field,
                value,
                "it must be 0 to 1000000000000 minor units",
            ));
        }
    }
    if step.currency.len() != 3 || !step.currency.bytes().all(|byte| byte.is_ascii_uppercase()) {
        return Err(ApiError::invalid(
            "lane.costs.currency",
            &step.currency,
            "it must be an ISO 4217 code",
        ));
    }
    Ok(WeightBreak {
        up_to_grams: step.up_to_grams,
        fixed_minor: step.fixed_minor,
        per_kg_minor: step.per_kg_minor,
        currency: fields::take_required("lane.costs.currency", &mut step.currency)?,
    })
}

/// Makes a `PutRule`.
///
/// # Errors
/// Those of the fields; `UnknownLocation`, `UnknownItem`; `NotInThisVersion` for the supply fence.
pub fn put_rule(catalog: &Catalog, request: &pb::PutRuleRequest) -> Result<Command> {
    let fence = request.rule.as_ref().map_or(0, |rule| rule.supply_fence_ms);
    fields::later("rule.supply_fence_ms", fence != 0)?;
    let location = location(catalog, &request.location)?;
    let scope = match request.item.as_str() {
        "" => RuleScope::Location(location),
        name => RuleScope::Position(item(catalog, name)?, location),
    };
    let rule = given("rule", request.rule.as_ref())?;
    let standard = SupplyRule::default();
    let late_grace = match rule.late_grace_ms {
        None => LateGrace::EndOfDay,
        Some(ms) => LateGrace::Millis(fields::duration("rule.late_grace_ms", ms)?.unwrap_or(0)),
    };
    let horizon_ms = match fields::duration("rule.horizon_ms", rule.horizon_ms)? {
        None => standard.horizon_ms,
        Some(ms) if ms <= MAX_HORIZON_MS => ms,
        Some(ms) => {
            return Err(ApiError::invalid(
                "rule.horizon_ms",
                ms,
                format!("at most {MAX_HORIZON_MS} are allowed"),
            ));
        }
    };
    Ok(Command::PutRule(
        scope,
        SupplyRule {
            statuses: fields::status_bits("rule.statuses", &rule.statuses)?
                .unwrap_or(standard.statuses),
            receipt_kinds: fields::kind_bits("rule.receipt_kinds", &rule.receipt_kinds)?
                .unwrap_or(standard.receipt_kinds),
            late_grace,
            horizon_ms,
        },
    ))
}

/// Makes a `PutBuffer`.
///
/// # Errors
/// Those of the fields; `UnknownLocation`, `UnknownItem`, `UnknownUnit`, `InexactUnit`.
pub fn put_buffer(catalog: &Catalog, request: &pb::PutBufferRequest) -> Result<Command> {
    let item = item(catalog, &request.item)?;
    let location = location(catalog, &request.location)?;
    let quantity = catalog.to_base_exact(item, request.quantity, &request.unit)?;
    Ok(Command::PutBuffer(item, location, quantity))
}

/// An item as callers see it.
pub fn item_out(item: &Item) -> pb::Item {
    let units = item.units.iter().map(|unit| pb::UnitOfMeasure {
        unit: unit.unit.to_string(),
        numerator: unit.numerator,
        denominator: unit.denominator,
    });
    pb::Item {
        item: item.name.to_string(),
        base_unit: item.base_unit.to_string(),
        units: units.collect(),
        ..pb::Item::default()
    }
}

/// A location as callers see it.
pub fn location_out(location: &Location) -> pb::Location {
    let kind = match location.kind {
        LocationKind::Other => pb::LocationKind::Unspecified,
        LocationKind::Dc => pb::LocationKind::Dc,
        LocationKind::Store => pb::LocationKind::Store,
        LocationKind::Supplier => pb::LocationKind::Supplier,
        LocationKind::DarkStore => pb::LocationKind::DarkStore,
    };
    pb::Location {
        location: location.name.to_string(),
        time_zone: location.time_zone.to_string(),
        kind: kind.into(),
        ..pb::Location::default()
    }
}

/// A region as callers see it.
pub fn region_out(catalog: &Catalog, region: &Region) -> pb::Region {
    let names = region
        .locations
        .iter()
        .map(|id| catalog.location(*id).name.to_string());
    pb::Region {
        region: region.name.to_string(),
        locations: names.collect(),
    }
}

/// A lane as callers see it.
pub fn lane_out(catalog: &Catalog, lane: &Lane) -> pb::Lane {
    let transit = lane.transit.iter().map(|step| pb::TransitQuantile {
        level_ppm: step.level_ppm,
        transit_ms: step.transit_ms,
    });
    let costs = lane.costs.iter().map(|step| pb::WeightBreak {
        up_to_grams: step.up_to_grams,
        fixed_minor: step.fixed_minor,
        per_kg_minor: step.per_kg_minor,
        currency: step.currency.to_string(),
    });
    pb::Lane {
        lane: lane.name.to_string(),
        from_location: catalog.location(lane.from).name.to_string(),
        to_zone: lane.to_zone.to_string(),
        carrier: lane.carrier.to_string(),
        service: lane.service.to_string(),
        transit: transit.collect(),
        costs: costs.collect(),
    }
}

/// A supply rule as callers see it.
pub fn rule_out(rule: &SupplyRule) -> pb::SupplyRule {
    let statuses = [
        (StockStatus::Unrestricted, pb::StockStatus::Unrestricted),
        (StockStatus::Quality, pb::StockStatus::Quality),
        (StockStatus::Blocked, pb::StockStatus::Blocked),
    ];
    let kinds = [
        (ReceiptKind::PurchaseOrder, pb::ReceiptKind::PurchaseOrder),
        (ReceiptKind::Transfer, pb::ReceiptKind::Transfer),
        (ReceiptKind::Production, pb::ReceiptKind::Production),
        (ReceiptKind::Return, pb::ReceiptKind::Return),
    ];
    pb::SupplyRule {
        statuses: statuses
            .iter()
            .filter(|(s, _)| rule.counts_status(*s))
            .map(|(_, s)| *s as i32)
            .collect(),
        receipt_kinds: kinds
            .iter()
            .filter(|(k, _)| rule.counts_kind(*k))
            .map(|(_, k)| *k as i32)
            .collect(),
        late_grace_ms: match rule.late_grace {
            LateGrace::EndOfDay => None,
            LateGrace::Millis(ms) => Some(ms),
        },
        horizon_ms: rule.horizon_ms,
        ..pb::SupplyRule::default()
    }
}
