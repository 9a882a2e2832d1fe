//! Which orders of a batch make no sense by themselves.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use arrow_array::{Int64Array, RecordBatch, StringArray};
use bespeak_allocation::tables::Tables;
use bespeak_engine::EngineError;
use bespeak_engine::limits::MAX_LINES;
use bespeak_proto::v1 as pb;

use super::batch::Batch;
use super::groups::Waiting;
use super::hold::{Holding, Holds};
use super::tables::Asked;
use super::terms::Terms;
use super::{batched, claims, orders, plan};
use crate::api::Api;
use crate::convert::fields;
use crate::error::ApiError;

/// What is wrong with an order, and the journal position that this saw.
pub type Wrong = Option<(ApiError, u64)>;

/// Notes what is wrong with each order, as far as it is of that order alone: halves of the batch are looked at until a
/// half is sound, or one order. Nothing is planned, so that a wrong order costs the others no time.
pub fn find_wrong(api: &Api, waiting: &[&Waiting], wrong: &mut [Wrong]) {
    let mut revision = 0;
    let Err(error) = look(api, waiting, &mut revision) else {
        return;
    };
    if let [wrong] = wrong {
        *wrong = Some((error, revision));
        return;
    }
    let half = waiting.len() / 2;
    let (first, second) = wrong.split_at_mut(half);
    find_wrong(api, &waiting[..half], first);
    find_wrong(api, &waiting[half..], second);
}

/// Reads orders as they are read to be planned, in a network that has a way for each and no stock.
fn look(api: &Api, waiting: &[&Waiting], revision: &mut u64) -> Result<(), ApiError> {
    let terms = Terms::read(&pb::AllocateRequest::default())?;
    let asked = || {
        let orders = orders::table(waiting.iter().map(|waiting| &waiting.order))?;
        let zones = waiting.iter().map(|waiting| waiting.order.zone.as_str());
        let zones: BTreeSet<&str> = zones.collect();
        Ok(Asked {
            tables: Tables {
                orders: Some(orders),
                rates: Some(rates(&zones)?),
                stock: Some(stock()?),
                ..Tables::default()
            },
            orders: bytes::Bytes::new(),
            network: pb::Network::default(),
        })
    };
    let mut prepared = plan::prepare_from(api, (Instant::now(), terms), asked, revision)?;
    let holdings = batched::holdings(waiting, 0)?;
    let holdings: Option<Vec<&Holding>> = holdings.iter().map(Option::as_ref).collect();
    if let Some(holdings) = holdings {
        let _claim = claims::claim(api, &prepared.batch, &holdings)?;
        let begun = Holds::begin(api, &mut prepared.batch, &holdings).map(|_| ());
        *revision = prepared.batch.revision.max(*revision);
        begun?;
    }
    Ok(())
}

fn rates(zones: &BTreeSet<&str>) -> Result<RecordBatch, ApiError> {
    let texts = |values: Vec<&str>| Arc::new(StringArray::from(values));
    let count = zones.len();
    table([
        ("location", texts(vec!["-"; count])),
        ("zone", texts(zones.iter().copied().collect())),
        ("package_minor", Arc::new(Int64Array::from(vec![0; count]))),
    ])
}

fn stock() -> Result<RecordBatch, ApiError> {
    let texts = || Arc::new(StringArray::from(Vec::<&str>::new()));
    table([
        ("item", texts()),
        ("location", texts()),
        ("available", Arc::new(Int64Array::from(Vec::<i64>::new()))),
    ])
}

fn table<const N: usize>(
    columns: [(&str, arrow_array::ArrayRef); N],
) -> Result<RecordBatch, ApiError> {
    RecordBatch::try_from_iter(columns).map_err(|error| ApiError::Internal(error.to_string()))
}

/// Everything that may be held is known to the engine, before anything is.
///
/// # Errors
/// `UnknownItem`, `UnknownLocation`, `InvalidArgument`.
pub fn check_known(batch: &Batch) -> Result<(), ApiError> {
    let (names, known) = (&batch.names, &batch.known);
    let input = batch.input();
    for line in &input.lines {
        if known.items[line.item as usize].is_none() {
            let name = &names.items[line.item as usize];
            return Err(EngineError::UnknownItem(crate::error::shorten(name)).into());
        }
    }
    for row in input.stock.iter().filter(|row| row.units > 0) {
        if known.locations[row.location as usize].is_none() {
            let name = &names.locations[row.location as usize];
            return Err(EngineError::UnknownLocation(crate::error::shorten(name)).into());
        }
    }
    for (order, name) in input.orders.iter().zip(&names.orders) {
        if order.lines.len() > MAX_LINES {
            let value = format!("{name} with {} lines", order.lines.len());
            let rule =
                format!("an order that is held may have at most {MAX_LINES} lines: split it");
            return Err(ApiError::invalid("orders", value, rule));
        }
        for (field, index, list) in [
            ("customer", order.customer, &names.customers),
            ("segment", order.segment, &names.segments),
        ] {
            fields::optional_name(field, &list[index as usize])?;
        }
    }
    Ok(())
}
