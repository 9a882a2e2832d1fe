//! Tables in and out: Arrow record batches to an [`Input`] and the [`Names`] of what its numbers stand for, and plans
//! back to a table. The tables are those of `docs/reference/allocation.md`.
//!
//! Nothing in them is trusted: what makes no sense is refused with its table, row, column and value.

mod columns;
mod given;
mod limits;
mod names;
mod network;
mod orders;
mod write;

use arrow_array::RecordBatch;
use arrow_schema::ArrowError;

pub use limits::Protection;
pub use names::Names;
pub use write::{Price, plan_schema, plan_table, prices_schema, prices_table};

use crate::input::{Costs, Input, TIERS_MAX};
use names::Interned;

/// Rows of one table.
pub const ROWS_MAX: usize = 5_000_000;
/// Units of a line.
pub const QUANTITY_MAX: i64 = 1_000_000_000;
/// Minor units of one cost, and of the product of a cost and a line's quantity.
pub const MONEY_MAX: i64 = 1 << 34;
/// Grams of a line or of a break of a tariff.
pub const WEIGHT_MAX: i64 = 1_000_000_000_000;
/// Units of a limit; more is as good as none, since no batch wants as many.
pub const UNITS_MAX: i64 = 1 << 53;
/// Lines of one order.
pub const ORDER_LINES_MAX: usize = 1_000;
/// Exclusions, each country counted as its locations.
pub const EXCLUSIONS_MAX: usize = 2_000_000;
/// Words that lines require, together.
pub const WORDS_MAX: usize = 64;

/// The tables of one batch. Which go together is said in `docs/reference/allocation.md`.
#[derive(Debug, Clone, Default)]
pub struct Tables {
    /// What is wanted.
    pub orders: Option<RecordBatch>,
    /// Costs said one by one …
    pub options: Option<RecordBatch>,
    /// … and those of packages.
    pub packages: Option<RecordBatch>,
    /// Or a network: its locations …
    pub locations: Option<RecordBatch>,
    /// … their rates …
    pub rates: Option<RecordBatch>,
    /// … and what is not allowed.
    pub exclusions: Option<RecordBatch>,
    /// Stock; `None` where the caller fills [`Input::stock`] and then calls [`Protection::fill`].
    pub stock: Option<RecordBatch>,
    /// What lower classes may not take, where `stock` does not say it.
    pub protection: Option<RecordBatch>,
    /// What may leave in a window.
    pub capacity: Option<RecordBatch>,
    /// Share of packages in time that tier 0, 1 … asks for; the last one holds for all higher tiers. Empty is 0.5.
    pub tier_confidence: Vec<f64>,
}

/// Why tables make no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {value}, {rule}")]
pub struct TableError {
    /// Where: `orders[3].quantity`.
    pub field: String,
    /// What is there.
    pub value: String,
    /// What may be there, or what to do.
    pub rule: String,
}

impl TableError {
    fn new(
        field: impl Into<String>,
        value: impl std::fmt::Display,
        rule: impl Into<String>,
    ) -> Self {
        Self {
            field: field.into(),
            value: value.to_string(),
            rule: rule.into(),
        }
    }
}

type Result<T> = std::result::Result<T, TableError>;

/// Reads the tables of a batch.
///
/// # Errors
/// The first thing that makes no sense, with its table, row and column.
pub fn read(tables: &Tables) -> Result<(Input, Names)> {
    let confidence = confidence(&tables.tier_confidence)?;
    let orders = required(
        tables.orders.as_ref(),
        "orders",
        "send at least its columns",
    )?;
    let mut interned = Interned::default();
    let batch = orders::read(orders, &mut interned)?;
    let costs = match (&tables.options, &tables.rates) {
        (Some(options), None) => {
            let more = [
                ("locations", &tables.locations),
                ("exclusions", &tables.exclusions),
            ];
            refuse(
                &more,
                "it goes with rates: leave it out, or send rates instead of options",
            )?;
            let given = given::read(options, tables.packages.as_ref(), &batch, &mut interned)?;
            Costs::Given(given)
        }
        (None, Some(rates)) => {
            let more = [("packages", &tables.packages)];
            refuse(&more, "it goes with options: leave it out")?;
            let others = network::Others {
                locations: tables.locations.as_ref(),
                exclusions: tables.exclusions.as_ref(),
                confidence,
            };
            Costs::Network(network::read(rates, &others, &mut interned)?)
        }
        (Some(_), Some(_)) => {
            return Err(TableError::new(
                "options",
                "there beside rates",
                "send one of them",
            ));
        }
        (None, None) => {
            let rule = "send rates, or options with costs said one by one";
            return Err(TableError::new("rates", "absent", rule));
        }
    };
    let network = matches!(costs, Costs::Network(_));
    let windows = limits::capacity(tables.capacity.as_ref(), &interned, network)?;
    let mut stock = limits::stock(tables.stock.as_ref(), &interned)?;
    let protection = limits::protection(tables.protection.as_ref(), &interned)?;
    let class_max = batch.orders.iter().map(|order| order.class).max();
    protection.fill(&mut stock, class_max.unwrap_or(0));
    let numbers = batch.numbers;
    let input = Input {
        orders: batch.orders,
        lines: batch.lines,
        costs,
        stock,
        windows,
        items: interned.items.len(),
        locations: interned.locations.len(),
        services: interned.services.len(),
        customers: interned.customers.len(),
        segments: interned.segments.len(),
    };
    Ok((input, interned.names(numbers, protection)))
}

/// The batches of a stream as one; `None` when it has none.
///
/// # Errors
/// When they do not fit together, or have too many rows.
pub fn combine(table: &'static str, batches: &[RecordBatch]) -> Result<Option<RecordBatch>> {
    let rows = batches
        .iter()
        .fold(0usize, |sum, batch| sum.saturating_add(batch.num_rows()));
    if rows > ROWS_MAX {
        return Err(too_long(table, rows));
    }
    match batches {
        [] => Ok(None),
        [one] => Ok(Some(one.clone())),
        [first, ..] => arrow_select::concat::concat_batches(first.schema_ref(), batches)
            .map(Some)
            .map_err(|error: ArrowError| {
                TableError::new(table, error, "its batches must have the same columns")
            }),
    }
}

fn too_long(table: &str, rows: usize) -> TableError {
    let rule = format!("at most {ROWS_MAX} rows are allowed: split the batch");
    TableError::new(table, format!("{rows} rows long"), rule)
}

fn required<'a>(
    batch: Option<&'a RecordBatch>,
    table: &'static str,
    rule: &'static str,
) -> Result<&'a RecordBatch> {
    batch.ok_or_else(|| TableError::new(table, "absent", rule))
}

fn refuse(tables: &[(&'static str, &Option<RecordBatch>)], rule: &'static str) -> Result<()> {
    match tables.iter().find(|(_, batch)| batch.is_some()) {
        Some((table, _)) => Err(TableError::new(*table, "there", rule)),
        None => Ok(()),
    }
}

/// What each tier asks for.
fn confidence(given: &[f64]) -> Result<[f64; TIERS_MAX]> {
    if given.len() > TIERS_MAX {
        let value = format!("{} numbers long", given.len());
        let rule = format!("there are {TIERS_MAX} tiers at most");
        return Err(TableError::new("tier_confidence", value, rule));
    }
    if let Some(tier) = given.iter().position(|share| !(0.0..=1.0).contains(share)) {
        let field = format!("tier_confidence[{tier}]");
        return Err(TableError::new(
            field,
            given[tier],
            "it must be from 0 to 1",
        ));
    }
    let last = given.last().copied().unwrap_or(0.5);
    let mut all = [last; TIERS_MAX];
    all[..given.len()].copy_from_slice(given);
    Ok(all)
}
