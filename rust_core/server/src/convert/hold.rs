//! Reserve, Promise and the steps of a reservation's life.

use bespeak_engine::limits::{MAX_CANDIDATES, MAX_PARTS};
use bespeak_engine::{
    Candidates, Catalog, Command, EngineError, Extend, FillPolicy, Fulfil, FulfilLine, HoldTerms,
    ItemId, Promise, PromiseLine, Release, ReservationId, Reserve, ReserveLine, RuleOverride,
    SourcingPolicy, Units,
};
use bespeak_proto::v1 as pb;
use smallvec::SmallVec;

use super::{fields, item, line_count, location};
use crate::error::{ApiError, shorten};

type Result<T> = std::result::Result<T, ApiError>;

/// Makes a `Reserve`. The lines' names stay in the request, for the answer.
///
/// # Errors
/// Those of the fields, in the order of the message.
pub fn reserve(catalog: &Catalog, request: &mut pb::ReserveRequest) -> Result<Command> {
    fields::later("confidence", request.confidence != 0.0)?;
    line_count(request.lines.len())?;
    let terms = HoldTerms {
        fill: fill(request.fill)?,
        expires_in_ms: fields::duration("expires_in_ms", request.expires_in_ms)?,
        order_ref: fields::take_name("order_ref", &mut request.order_ref)?,
        customer: fields::take_name("customer", &mut request.customer)?,
        segment: fields::take_name("segment", &mut request.segment)?,
        tier: tier(request.tier)?,
        rule: rule(request.rule.as_ref())?,
        confirm: request.confirm,
    };
    let mut lines = SmallVec::with_capacity(request.lines.len());
    for (index, line) in request.lines.iter().enumerate() {
        lines.push(reserve_line(catalog, line).map_err(|error| error.inside("lines", index))?);
    }
    Ok(Command::Reserve(Reserve { lines, terms }))
}

fn reserve_line(catalog: &Catalog, line: &pb::ReserveLine) -> Result<ReserveLine> {
    let item = item(catalog, &line.item)?;
    Ok(ReserveLine {
        item,
        location: location(catalog, &line.location)?,
        quantity: quantity(catalog, item, line.quantity, &line.unit)?,
        ship_time: fields::time("ship_time_ms", line.ship_time_ms)?,
        latest: fields::time("latest_ship_time_ms", line.latest_ship_time_ms)?,
    })
}

/// Makes a `Promise`. The lines' and locations' names stay in the request, for the answer.
///
/// # Errors
/// Those of the fields, in the order of the message.
pub fn promise(catalog: &Catalog, request: &mut pb::PromiseRequest) -> Result<Promise> {
    fields::later("confidence", request.confidence != 0.0)?;
    fields::later("destination", !request.destination.is_empty())?;
    fields::later("capable_to_promise", request.capable_to_promise)?;
    line_count(request.lines.len())?;
    let terms = HoldTerms {
        fill: fill(request.fill)?,
        expires_in_ms: fields::duration("expires_in_ms", request.expires_in_ms)?,
        order_ref: fields::take_name("order_ref", &mut request.order_ref)?,
        customer: fields::take_name("customer", &mut request.customer)?,
        segment: fields::take_name("segment", &mut request.segment)?,
        tier: tier(request.tier)?,
        rule: rule(request.rule.as_ref())?,
        confirm: request.confirm,
    };
    let min_split = match request.min_split_quantity {
        0 => None,
        least => Some(fields::units("min_split_quantity", least)?),
    };
    let mut lines = SmallVec::with_capacity(request.lines.len());
    for (index, line) in request.lines.iter().enumerate() {
        lines.push(promise_line(catalog, line).map_err(|error| error.inside("lines", index))?);
    }
    Ok(Promise {
        lines,
        candidates: candidates(catalog, &request.locations, &request.region)?,
        sourcing: sourcing(request.sourcing)?,
        max_packages: (request.max_packages != 0).then_some(request.max_packages),
        min_split,
        terms,
    })
}

fn promise_line(catalog: &Catalog, line: &pb::PromiseLine) -> Result<PromiseLine> {
    let item = item(catalog, &line.item)?;
    Ok(PromiseLine {
        item,
        quantity: quantity(catalog, item, line.quantity, &line.unit)?,
        ship_time: fields::time("ship_time_ms", line.ship_time_ms)?,
        latest: fields::time("latest_ship_time_ms", line.latest_ship_time_ms)?,
    })
}

fn candidates(catalog: &Catalog, locations: &[String], region: &str) -> Result<Candidates> {
    match (locations.len(), region.is_empty()) {
        (0, true) => Err(ApiError::invalid(
            "locations",
            "",
            "give locations or a region",
        )),
        (1.., false) => Err(ApiError::invalid(
            "region",
            region,
            "give either locations or a region, not both",
        )),
        (0, false) => match catalog.region_id(region) {
            Some(id) => Ok(Candidates::Region(id)),
            None => {
                fields::name("region", region)?;
                Err(EngineError::UnknownRegion(shorten(region)).into())
            }
        },
        (count, true) if count > MAX_CANDIDATES => Err(ApiError::invalid(
            "locations",
            count,
            format!("at most {MAX_CANDIDATES} are allowed"),
        )),
        (_, true) => {
            let mut ids = SmallVec::with_capacity(locations.len());
            for name in locations {
                ids.push(location(catalog, name)?);
            }
            Ok(Candidates::Locations(ids))
        }
    }
}

/// Makes an `Extend`.
///
/// # Errors
/// `InvalidArgument` without a positive duration.
pub fn extend(request: &pb::ExtendRequest) -> Result<Command> {
    let reservation = reservation(request.reservation_id)?;
    match fields::duration("expires_in_ms", request.expires_in_ms)? {
        Some(expires_in_ms) => Ok(Command::Extend(Extend {
            reservation,
            expires_in_ms,
        })),
        None => Err(ApiError::invalid(
            "expires_in_ms",
            0,
            "it must be at least 1",
        )),
    }
}

/// Makes a `Confirm`.
///
/// # Errors
/// `InvalidArgument` without a reservation.
pub fn confirm(request: &pb::ConfirmRequest) -> Result<Command> {
    reservation(request.reservation_id).map(Command::Confirm)
}

/// Makes a `Fulfil`.
///
/// # Errors
/// Those of the fields.
pub fn fulfil(catalog: &Catalog, request: &pb::FulfilRequest) -> Result<Command> {
    let reservation = reservation(request.reservation_id)?;
    part_count(request.lines.len())?;
    let mut lines = SmallVec::with_capacity(request.lines.len());
    for (index, line) in request.lines.iter().enumerate() {
        lines.push(fulfil_line(catalog, line).map_err(|error| error.inside("lines", index))?);
    }
    let happened_at = fields::time("happened_at_ms", request.happened_at_ms)?;
    Ok(Command::Fulfil(Fulfil {
        reservation,
        lines,
        happened_at,
    }))
}

fn fulfil_line(catalog: &Catalog, line: &pb::FulfilLine) -> Result<FulfilLine> {
    Ok(FulfilLine {
        line: line.line,
        quantity: base_quantity(line.quantity)?,
        location: match line.location.as_str() {
            "" => None,
            name => Some(location(catalog, name)?),
        },
    })
}

/// Makes a `Release`.
///
/// # Errors
/// Those of the fields.
pub fn release(request: &pb::ReleaseRequest) -> Result<Command> {
    let reservation = reservation(request.reservation_id)?;
    part_count(request.lines.len())?;
    let mut lines = SmallVec::with_capacity(request.lines.len());
    for (index, line) in request.lines.iter().enumerate() {
        let units = base_quantity(line.quantity).map_err(|error| error.inside("lines", index))?;
        lines.push((line.line, units));
    }
    Ok(Command::Release(Release { reservation, lines }))
}

fn reservation(id: u64) -> Result<ReservationId> {
    if id == 0 {
        return Err(ApiError::invalid(
            "reservation_id",
            0,
            "give the id that Promise or Reserve answered",
        ));
    }
    Ok(ReservationId(id))
}

fn part_count(count: usize) -> Result<()> {
    if count > MAX_PARTS {
        return Err(ApiError::invalid(
            "lines",
            count,
            format!("at most {MAX_PARTS} are allowed: a reservation has no more"),
        ));
    }
    Ok(())
}

fn base_quantity(value: u64) -> Result<Units> {
    fields::units("quantity", fields::positive("quantity", value)?)
}

/// A positive quantity in base units.
///
/// # Errors
/// `InvalidArgument`, `UnknownUnit`, `InexactUnit`.
pub fn quantity(catalog: &Catalog, item: ItemId, value: u64, unit: &str) -> Result<Units> {
    Ok(catalog.to_base_exact(item, fields::positive("quantity", value)?, unit)?)
}

fn fill(value: i32) -> Result<FillPolicy> {
    Ok(match fields::known::<pb::FillPolicy>("fill", value)? {
        pb::FillPolicy::Unspecified | pb::FillPolicy::AllOrNone => FillPolicy::AllOrNone,
        pb::FillPolicy::Partial => FillPolicy::Partial,
        pb::FillPolicy::ShipComplete => FillPolicy::ShipComplete,
    })
}

fn sourcing(value: i32) -> Result<SourcingPolicy> {
    Ok(
        match fields::known::<pb::SourcingPolicy>("sourcing", value)? {
            // Whoever has the prices puts the candidates in their order.
            pb::SourcingPolicy::Unspecified
            | pb::SourcingPolicy::InOrder
            | pb::SourcingPolicy::Scarcity => SourcingPolicy::InOrder,
            pb::SourcingPolicy::Earliest => SourcingPolicy::Earliest,
            pb::SourcingPolicy::FewestPackages => SourcingPolicy::FewestPackages,
        },
    )
}

fn tier(value: u32) -> Result<u8> {
    u8::try_from(value).map_err(|_| ApiError::invalid("tier", value, "it must be 0 to 255"))
}

/// A rule of the request.
///
/// # Errors
/// `InvalidArgument` for unknown values or a buffer beyond the limit.
pub fn rule(rule: Option<&pb::RuleOverride>) -> Result<Option<RuleOverride>> {
    let Some(rule) = rule else { return Ok(None) };
    Ok(Some(RuleOverride {
        statuses: fields::status_bits("rule.statuses", &rule.statuses)?,
        receipt_kinds: fields::kind_bits("rule.receipt_kinds", &rule.receipt_kinds)?,
        extra_buffer: fields::units("rule.extra_buffer", rule.extra_buffer)?,
        on_hand_only: rule.on_hand_only,
    }))
}
