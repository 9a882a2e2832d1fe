//! An allocation problem as integers: lines, what may serve them, and stock.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use bytes::Bytes;

use super::ipc;
use crate::api::Api;
use crate::error::ApiError;

type Result<T> = std::result::Result<T, ApiError>;

const QUANTITY_MAX: i64 = 1_000_000_000;
const MONEY_MAX: i64 = 1_000_000_000_000;
/// Positions looked up under one lock.
const SLICE: usize = 1_024;

/// A line that wants to be served.
#[derive(Debug)]
pub struct Line {
    /// The caller's order …
    pub order: String,
    /// … and line.
    pub number: i32,
    /// Units wanted.
    pub quantity: i64,
    /// Cost of a unit that is not served.
    pub penalty: i64,
    /// What may serve it: a cell, and the cost of a unit from there. Each cell once.
    pub options: Vec<(usize, i64)>,
}

/// Stock of one item at one location.
#[derive(Debug)]
pub struct Cell {
    /// The location's name.
    pub location: String,
    /// Units there.
    pub available: i64,
}

/// Lines and stock.
#[derive(Debug)]
pub struct Problem {
    /// The lines.
    pub lines: Vec<Line>,
    /// The stock.
    pub cells: Vec<Cell>,
}

struct Order {
    order: String,
    number: i32,
    item: String,
    quantity: i64,
    penalty: i64,
}

struct Choice {
    line: usize,
    location: String,
    cost: i64,
}

impl Problem {
    /// Reads the tables.
    ///
    /// # Errors
    /// `InvalidArgument` naming table, row and column.
    pub fn read(orders: &[u8], options: &[u8], stock: &[u8]) -> Result<Self> {
        let orders = read_orders(orders)?;
        let choices = read_options(options, &orders)?;
        let available = read_stock(stock)?;
        let mut numbers: HashMap<(&str, &str), usize> = HashMap::new();
        let mut cells = Vec::new();
        let mut served: Vec<BTreeMap<usize, i64>> =
            orders.iter().map(|_| BTreeMap::new()).collect();
        for choice in &choices {
            let key = (orders[choice.line].item.as_str(), choice.location.as_str());
            let number = *numbers.entry(key).or_insert_with(|| {
                let units = available.get(&(key.0.to_owned(), key.1.to_owned()));
                cells.push(Cell {
                    location: key.1.to_owned(),
                    available: units.copied().unwrap_or(0),
                });
                cells.len() - 1
            });
            let cost = served[choice.line].entry(number).or_insert(choice.cost);
            *cost = choice.cost.min(*cost);
        }
        drop(numbers);
        let lines = orders.into_iter().zip(served).map(|(order, options)| Line {
            order: order.order,
            number: order.number,
            quantity: order.quantity,
            penalty: order.penalty,
            options: options.into_iter().collect(),
        });
        Ok(Self {
            lines: lines.collect(),
            cells,
        })
    }
}

fn text<'a>(
    table: &'static str,
    name: &'static str,
    row: usize,
    value: Option<&'a str>,
) -> Result<&'a str> {
    value.ok_or_else(|| {
        ApiError::invalid(
            format!("{table}[{row}].{name}"),
            "null",
            "every row needs one",
        )
    })
}

fn read_orders(bytes: &[u8]) -> Result<Vec<Order>> {
    let mut found = Vec::new();
    let mut seen = HashSet::new();
    for batch in ipc::read("orders", bytes)? {
        let ids = ipc::texts("orders", &batch, "order_id")?;
        let items = ipc::texts("orders", &batch, "item")?;
        let numbers = ipc::integers(
            "orders",
            &batch,
            "line",
            i64::from(i32::MIN)..=i64::from(i32::MAX),
        )?;
        let quantities = ipc::integers("orders", &batch, "quantity", 1..=QUANTITY_MAX)?;
        let penalties = ipc::integers("orders", &batch, "unfilled_penalty_minor", 0..=MONEY_MAX)?;
        for row in 0..batch.num_rows() {
            let order = text("orders", "order_id", row, ids.get(row))?.to_owned();
            let number = i32::try_from(numbers[row]).unwrap_or(i32::MAX);
            if !seen.insert((order.clone(), number)) {
                let value = format!("{order} line {number} twice");
                return Err(ApiError::invalid(
                    format!("orders[{row}]"),
                    value,
                    "add up its quantity",
                ));
            }
            found.push(Order {
                order,
                number,
                item: text("orders", "item", row, items.get(row))?.to_owned(),
                quantity: quantities[row],
                penalty: penalties[row],
            });
        }
    }
    Ok(found)
}

fn read_options(bytes: &[u8], orders: &[Order]) -> Result<Vec<Choice>> {
    let lines: HashMap<(&str, i32), usize> = orders
        .iter()
        .enumerate()
        .map(|(at, order)| ((order.order.as_str(), order.number), at))
        .collect();
    let mut found = Vec::new();
    for batch in ipc::read("options", bytes)? {
        let ids = ipc::texts("options", &batch, "order_id")?;
        let locations = ipc::texts("options", &batch, "location")?;
        let numbers = ipc::integers(
            "options",
            &batch,
            "line",
            i64::from(i32::MIN)..=i64::from(i32::MAX),
        )?;
        let costs = ipc::integers("options", &batch, "cost_minor", -MONEY_MAX..=MONEY_MAX)?;
        for row in 0..batch.num_rows() {
            let order = text("options", "order_id", row, ids.get(row))?;
            let number = i32::try_from(numbers[row]).unwrap_or(i32::MAX);
            let Some(&line) = lines.get(&(order, number)) else {
                let value = format!("{order} line {number}");
                let rule = "orders has no such line: add it, or leave out the option";
                return Err(ApiError::invalid(format!("options[{row}]"), value, rule));
            };
            let location = text("options", "location", row, locations.get(row))?.to_owned();
            found.push(Choice {
                line,
                location,
                cost: costs[row],
            });
        }
    }
    Ok(found)
}

fn read_stock(bytes: &[u8]) -> Result<HashMap<(String, String), i64>> {
    let mut found = HashMap::new();
    for batch in ipc::read("stock", bytes)? {
        let items = ipc::texts("stock", &batch, "item")?;
        let locations = ipc::texts("stock", &batch, "location")?;
        let available = ipc::integers("stock", &batch, "available", 0..=i64::MAX)?;
        for (row, units) in available.iter().enumerate() {
            let item = text("stock", "item", row, items.get(row))?.to_owned();
            let location = text("stock", "location", row, locations.get(row))?.to_owned();
            let units = (*units).min(QUANTITY_MAX);
            if found
                .insert((item.clone(), location.clone()), units)
                .is_some()
            {
                let value = format!("{item} at {location} twice");
                return Err(ApiError::invalid(
                    format!("stock[{row}]"),
                    value,
                    "send one row with the sum",
                ));
            }
        }
    }
    Ok(found)
}

/// What can be promised now wherever an option points, as a table, and the journal position that it saw.
///
/// # Errors
/// Those of the tables. What the catalogue does not know has no stock.
pub fn stock_now(api: &Api, orders: &[u8], options: &[u8]) -> Result<(Bytes, u64)> {
    let orders = read_orders(orders)?;
    let choices = read_options(options, &orders)?;
    let wanted: HashSet<(&str, &str)> = choices
        .iter()
        .map(|choice| (orders[choice.line].item.as_str(), choice.location.as_str()))
        .collect();
    let mut wanted: Vec<_> = wanted.into_iter().collect();
    wanted.sort_unstable();
    let mut units: Vec<i64> = Vec::with_capacity(wanted.len());
    let mut revision = 0;
    for slice in wanted.chunks(SLICE) {
        let seen = api.store().read(|state| {
            let catalog = state.catalog();
            Ok(slice
                .iter()
                .map(|(item, location)| {
                    match (catalog.item_id(item), catalog.location_id(location)) {
                        (Some(item), Some(location)) => {
                            state.available(item, location, state.now()).balance()
                        }
                        _ => 0,
                    }
                })
                .collect::<Vec<_>>())
        });
        revision = revision.max(seen.revision);
        units.extend(
            seen.result?
                .into_iter()
                .map(|units| units.min(QUANTITY_MAX)),
        );
    }
    let schema = Schema::new(vec![
        Field::new("item", DataType::Utf8, false),
        Field::new("location", DataType::Utf8, false),
        Field::new("available", DataType::Int64, false),
    ]);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(
            wanted.iter().map(|(item, _)| item),
        )),
        Arc::new(StringArray::from_iter_values(
            wanted.iter().map(|(_, location)| location),
        )),
        Arc::new(Int64Array::from(units)),
    ];
    let batch = RecordBatch::try_new(Arc::new(schema), columns)
        .map_err(|error| ApiError::Internal(error.to_string()))?;
    Ok((ipc::write(&batch)?.into(), revision))
}
