//! The tables of a request, read and bounded.

use arrow_array::RecordBatch;
use bespeak_allocation::input::{Costs, Input};
use bespeak_allocation::tables::{self, Names, TableError, Tables};
use bespeak_proto::v1 as pb;
use bytes::Bytes;

use super::batch::UNITS_MAX;
use super::networks::{Kept, Networks};
use super::orders;
use crate::compute::ipc;
use crate::error::ApiError;

/// Lines times the ways that may serve them: what the search lays out.
const CELLS_MAX: usize = 32_000_000;

impl From<TableError> for ApiError {
    fn from(error: TableError) -> Self {
        Self::invalid(error.field, error.value, error.rule)
    }
}

/// The tables of a request, as they came and decoded.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Decoded.
    pub tables: Tables,
    /// As they came, for the worker; `orders` is made where a message brought the order.
    pub orders: Bytes,
    /// The network that was meant; empty with costs said one by one.
    pub network: pb::Network,
}

/// Decodes the tables of a request.
///
/// # Errors
/// `InvalidArgument` naming the table that is missing, too many, or no table.
pub fn asked(networks: &Networks, request: &pb::AllocateRequest) -> Result<Asked, ApiError> {
    let (orders, bytes) = match (&request.order, request.orders.is_empty()) {
        (None, false) => (decode("orders", &request.orders)?, request.orders.clone()),
        (Some(order), true) => {
            let table = orders::table([order])?;
            let bytes = ipc::write(&table)?.into();
            (Some(table), bytes)
        }
        (None, true) => {
            return Err(ApiError::invalid(
                "orders",
                "",
                "send a table, or one order",
            ));
        }
        (Some(_), false) => {
            return Err(ApiError::invalid(
                "order",
                "there beside orders",
                "send one of them",
            ));
        }
    };
    asked_of(networks, request, orders, bytes)
}

/// The tables of a request, with orders that came otherwise.
///
/// # Errors
/// As [`asked`].
pub fn asked_of(
    networks: &Networks,
    request: &pb::AllocateRequest,
    orders: Option<RecordBatch>,
    bytes: Bytes,
) -> Result<Asked, ApiError> {
    let kept = network(networks, request)?;
    let mut network = kept.network;
    let mut tables = kept.tables;
    tables.orders = orders;
    tables.options = decode("options", &request.options)?;
    tables.packages = decode("packages", &request.packages)?;
    tables.stock = decode("stock", &request.stock)?;
    if !request.capacity.is_empty() {
        tables.capacity = decode("capacity", &request.capacity)?;
        network.capacity = request.capacity.clone();
    }
    Ok(Asked {
        tables,
        orders: bytes,
        network,
    })
}

fn network(networks: &Networks, request: &pb::AllocateRequest) -> Result<Kept, ApiError> {
    match (&request.network, request.network_name.as_str()) {
        (Some(_), name) if !name.is_empty() => Err(ApiError::invalid(
            "network_name",
            name,
            "send either it or a network",
        )),
        (Some(network), _) => Kept::decode(network.clone()),
        (None, "") => Ok(Kept::default()),
        (None, name) => networks.find(name),
    }
}

/// A table of a request; `None` when it is empty.
///
/// # Errors
/// `InvalidArgument` when it is no table.
pub fn decode(table: &'static str, bytes: &[u8]) -> Result<Option<RecordBatch>, ApiError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let batches = ipc::read(table, bytes)?;
    match tables::combine(table, &batches)? {
        Some(batch) => Ok(Some(batch)),
        // A stream without batches still says its columns.
        None => ipc::schema(table, bytes).map(|schema| Some(RecordBatch::new_empty(schema))),
    }
}

/// Reads the tables.
///
/// # Errors
/// `InvalidArgument` naming table, row and column, or when there is nothing to plan or too much.
pub fn read(tables: &Tables) -> Result<(Input, Names), ApiError> {
    let (mut input, names) = tables::read(tables)?;
    for row in &mut input.stock {
        row.units = row.units.min(UNITS_MAX);
    }
    for units in input.windows.iter_mut().flatten() {
        *units = (*units).min(UNITS_MAX);
    }
    if input.lines.is_empty() {
        return Err(ApiError::invalid("orders", "no rows", "send at least one"));
    }
    for order in &names.orders {
        crate::convert::fields::name("order_id", order)?;
    }
    let cells = cells(&input);
    if cells > CELLS_MAX {
        let rule = format!("at most {CELLS_MAX} lines times ways are allowed: split the batch");
        return Err(ApiError::invalid(
            "orders",
            format!("{cells} lines times ways"),
            rule,
        ));
    }
    Ok((input, names))
}

/// How many ways all lines have together, at most.
fn cells(input: &Input) -> usize {
    let lines = |order: &bespeak_allocation::input::Order| order.lines.len();
    match &input.costs {
        Costs::Network(network) => {
            let mut ways: Vec<usize> = Vec::new();
            for lane in &network.lanes {
                let zone = lane.zone as usize;
                if ways.len() <= zone {
                    ways.resize(zone + 1, 0);
                }
                ways[zone] += lane.breaks.len();
            }
            let of = |zone: u32| ways.get(zone as usize).copied().unwrap_or(0);
            let all = input
                .orders
                .iter()
                .map(|order| lines(order).saturating_mul(of(order.zone)));
            all.fold(0, usize::saturating_add)
        }
        Costs::Given(given) => {
            let mut order_of = vec![0u32; input.lines.len()];
            for (number, order) in (0..).zip(&input.orders) {
                order_of[order.lines.start as usize..order.lines.end as usize].fill(number);
            }
            let key = |offer: &bespeak_allocation::input::Offer| {
                (order_of[offer.line as usize], offer.option)
            };
            let mut used: Vec<(u32, u32)> = given.offers.iter().map(key).collect();
            used.sort_unstable();
            used.dedup();
            let all = used
                .iter()
                .map(|(order, _)| lines(&input.orders[*order as usize]));
            all.fold(0, usize::saturating_add)
        }
    }
}
