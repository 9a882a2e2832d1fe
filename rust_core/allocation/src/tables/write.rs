//! Plans and prices as tables.

use std::sync::{Arc, LazyLock};

use arrow_array::builder::{
    Float64Builder, Int32Builder, Int64Builder, StringBuilder, UInt8Builder,
};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};

use super::Names;
use crate::input::{Input, NONE, Way};

static PLAN: LazyLock<SchemaRef> = LazyLock::new(|| {
    schema(&[
        ("order_id", DataType::Utf8),
        ("line", DataType::Int32),
        ("location", DataType::Utf8),
        ("service", DataType::Utf8),
        ("quantity", DataType::Int64),
    ])
});
static PRICES: LazyLock<SchemaRef> = LazyLock::new(|| {
    schema(&[
        ("item", DataType::Utf8),
        ("location", DataType::Utf8),
        ("class", DataType::UInt8),
        ("price_minor", DataType::Float64),
    ])
});

fn schema(columns: &[(&str, DataType)]) -> SchemaRef {
    let field = |(name, kind): &(&str, DataType)| Field::new(*name, kind.clone(), false);
    Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()))
}

/// Columns of a plan: `order_id`, `line`, `location`, `service`, `quantity`.
pub fn plan_schema() -> SchemaRef {
    SchemaRef::clone(&PLAN)
}

/// Columns of prices: `item`, `location`, `class`, `price_minor`.
pub fn prices_schema() -> SchemaRef {
    SchemaRef::clone(&PRICES)
}

/// Writes the option of each line as a plan, sorted by order, line and location.
///
/// # Errors
/// When Arrow cannot hold it, as with more than 2 GiB of names.
pub fn plan_table(
    input: &Input,
    names: &Names,
    options: &[Way],
    choice: &[u32],
) -> Result<RecordBatch, ArrowError> {
    let mut sorted: Vec<usize> = (0..input.orders.len()).collect();
    sorted.sort_unstable_by(|a, b| names.orders[*a].cmp(&names.orders[*b]));
    let filled = choice.iter().filter(|option| **option != NONE).count();
    let mut order_id = StringBuilder::with_capacity(filled, filled * 8);
    let mut number = Int32Builder::with_capacity(filled);
    let mut location = StringBuilder::with_capacity(filled, filled * 8);
    let mut service = StringBuilder::with_capacity(filled, filled * 8);
    let mut quantity = Int64Builder::with_capacity(filled);
    for order in sorted {
        for line in input.orders[order].lines.clone() {
            let line = line as usize;
            if choice[line] == NONE {
                continue;
            }
            let way = &options[choice[line] as usize];
            order_id.append_value(&names.orders[order]);
            number.append_value(names.lines[line]);
            location.append_value(&names.locations[way.location as usize]);
            service.append_value(&names.services[way.service as usize]);
            quantity.append_value(input.lines[line].quantity);
        }
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(order_id.finish()),
        Arc::new(number.finish()),
        Arc::new(location.finish()),
        Arc::new(service.finish()),
        Arc::new(quantity.finish()),
    ];
    RecordBatch::try_new(plan_schema(), columns)
}

/// What one unit more of some stock would save.
#[derive(Debug, Clone, Copy)]
pub struct Price {
    /// The item.
    pub item: u32,
    /// Where.
    pub location: u32,
    /// Whose limit it is.
    pub class: u8,
    /// Minor units.
    pub minor: f64,
}

/// Writes prices, those above 0.
///
/// # Errors
/// When Arrow cannot hold it.
pub fn prices_table(
    names: &Names,
    prices: impl IntoIterator<Item = Price>,
) -> Result<RecordBatch, ArrowError> {
    let (mut item, mut location) = (StringBuilder::new(), StringBuilder::new());
    let (mut class, mut minor) = (UInt8Builder::new(), Float64Builder::new());
    for price in prices.into_iter().filter(|price| price.minor > 0.0) {
        item.append_value(&names.items[price.item as usize]);
        location.append_value(&names.locations[price.location as usize]);
        class.append_value(price.class);
        minor.append_value(price.minor);
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(item.finish()),
        Arc::new(location.finish()),
        Arc::new(class.finish()),
        Arc::new(minor.finish()),
    ];
    RecordBatch::try_new(prices_schema(), columns)
}
