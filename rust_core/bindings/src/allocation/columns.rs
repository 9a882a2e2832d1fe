//! Plans of orders as columns of a linear program, in bulk.

use std::sync::Arc;

use arrow_array::builder::{Int32Builder, Int64Builder, ListBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use arrow_schema::ArrowError;
use bespeak_allocation::input::{Input, NONE};
use bespeak_allocation::{Plans, Problem, RowKind, SingleOffer};

use super::arrays::{from_signed, signed};

type Result<T> = std::result::Result<T, ArrowError>;

/// Collects columns: order, cost, options of its lines, and the limits that it uses with the units.
struct Columns<'a> {
    problem: &'a Problem,
    order: Int32Builder,
    cost: Int64Builder,
    choice: ListBuilder<Int32Builder>,
    row: ListBuilder<Int32Builder>,
    units: ListBuilder<Int64Builder>,
    used: Vec<(u32, i64)>,
}

impl<'a> Columns<'a> {
    fn new(problem: &'a Problem) -> Self {
        Self {
            problem,
            order: Int32Builder::new(),
            cost: Int64Builder::new(),
            choice: ListBuilder::new(Int32Builder::new()),
            row: ListBuilder::new(Int32Builder::new()),
            units: ListBuilder::new(Int64Builder::new()),
            used: Vec::new(),
        }
    }

    fn push(&mut self, order: u32, choice: &[u32]) {
        self.used.clear();
        self.problem.use_of(order, choice, &mut self.used);
        // A plan may use a limit by several lines.
        self.used.sort_unstable();
        self.used.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            kept.1 += if same { next.1 } else { 0 };
            same
        });
        self.order.append_value(int(order));
        self.cost
            .append_value(self.problem.order_costs(order, choice).total);
        for &option in choice {
            self.choice.values().append_value(int(option));
        }
        self.choice.append(true);
        for &(row, units) in &self.used {
            self.row.values().append_value(int(row));
            self.units.values().append_value(units);
        }
        self.row.append(true);
        self.units.append(true);
    }

    fn finish(mut self) -> Result<RecordBatch> {
        let columns: [(&str, ArrayRef); 5] = [
            ("order", Arc::new(self.order.finish())),
            ("cost", Arc::new(self.cost.finish())),
            ("choice", Arc::new(self.choice.finish())),
            ("row", Arc::new(self.row.finish())),
            ("units", Arc::new(self.units.finish())),
        ];
        RecordBatch::try_from_iter(columns)
    }
}

/// Numbers of orders, options and limits are far below the largest `i32`; [`NONE`] is -1.
fn int(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(-1)
}

fn of_order<'a>(input: &Input, order: usize, choice: &'a [u32]) -> &'a [u32] {
    let lines = &input.orders[order].lines;
    &choice[lines.start as usize..lines.end as usize]
}

/// The best plan of each order at prices, where it costs less than `below`; and what each costs.
pub fn priced(problem: &Problem, prices: &[f64], below: &[f64]) -> Result<(RecordBatch, Vec<f64>)> {
    let mut plans = Plans::default();
    problem.best_plans(prices, &mut plans);
    let mut columns = Columns::new(problem);
    for (order, (value, below)) in plans.values.iter().zip(below).enumerate() {
        if value < below {
            let choice = of_order(problem.input(), order, &plans.choice);
            columns.push(u32::try_from(order).unwrap_or(NONE), choice);
        }
    }
    Ok((columns.finish()?, plans.values))
}

/// Plans near each order's best at prices, at most `most` in all.
pub fn near(
    problem: &Problem,
    prices: &[f64],
    slack: f64,
    each_max: usize,
    most: usize,
) -> Result<RecordBatch> {
    let mut columns = Columns::new(problem);
    let mut left = most;
    problem.near_plans(prices, slack, each_max, |order, choice, _| {
        columns.push(order, choice);
        left = left.saturating_sub(1);
        left > 0
    });
    columns.finish()
}

/// The given plans of the given orders, `None` where there are not as many options as lines.
pub fn of_choices(
    problem: &Problem,
    orders: &[u32],
    choice: &[u32],
) -> Result<Option<RecordBatch>> {
    let mut columns = Columns::new(problem);
    let mut left = choice;
    for &order in orders {
        let lines = problem.input().orders[order as usize].lines.len();
        let Some((own, rest)) = left.split_at_checked(lines) else {
            return Ok(None);
        };
        columns.push(order, own);
        left = rest;
    }
    match left.is_empty() {
        true => columns.finish().map(Some),
        false => Ok(None),
    }
}

/// Plans of orders with weights; `None` where a column is missing or wrong.
pub fn weighted(problem: &Problem, given: &RecordBatch) -> Option<Vec<(u32, Vec<u32>, f64)>> {
    let orders = from_signed(given.column_by_name("order")?, problem.input().orders.len())?;
    let weights = given
        .column_by_name("weight")?
        .as_primitive_opt::<Float64Type>()?;
    let choices = given.column_by_name("choice")?.as_list_opt::<i32>()?;
    let mut all = Vec::with_capacity(orders.len());
    for (at, order) in orders.into_iter().enumerate() {
        let choice = from_signed(choices.value(at).as_ref(), problem.options().len())?;
        let lines = problem.input().orders.get(order as usize)?.lines.len();
        if choice.len() != lines {
            return None;
        }
        all.push((order, choice, weights.value(at)));
    }
    Some(all)
}

/// Limits that can bind: item, location and class, or window; and the units.
pub fn rows(problem: &Problem) -> Result<RecordBatch> {
    let part = |number: fn(&RowKind) -> u32| -> ArrayRef {
        Arc::new(signed(problem.rows().iter().map(|row| number(&row.kind))))
    };
    let limits = problem.rows().iter().map(|row| row.limit);
    let columns: [(&str, ArrayRef); 5] = [
        (
            "item",
            part(|kind| match kind {
                RowKind::Stock { item, .. } => *item,
                RowKind::Window(_) => NONE,
            }),
        ),
        (
            "location",
            part(|kind| match kind {
                RowKind::Stock { location, .. } => *location,
                RowKind::Window(_) => NONE,
            }),
        ),
        (
            "class",
            part(|kind| match kind {
                RowKind::Stock { class, .. } => u32::from(*class),
                RowKind::Window(_) => NONE,
            }),
        ),
        (
            "window",
            part(|kind| match kind {
                RowKind::Stock { .. } => NONE,
                RowKind::Window(window) => *window,
            }),
        ),
        ("limit", Arc::new(Int64Array::from_iter_values(limits))),
    ];
    RecordBatch::try_from_iter(columns)
}

/// Order, units and cost of leaving it unfilled, by line.
pub fn lines(input: &Input) -> Result<RecordBatch> {
    let order = (0u32..).zip(&input.orders);
    let order = order.flat_map(|(number, order)| order.lines.clone().map(move |_| number));
    let columns: [(&str, ArrayRef); 4] = [
        ("order", Arc::new(signed(order))),
        (
            "quantity",
            Arc::new(Int64Array::from_iter_values(
                input.lines.iter().map(|line| line.quantity),
            )),
        ),
        (
            "unfilled_minor",
            Arc::new(Int64Array::from_iter_values(
                input.lines.iter().map(|line| line.unfilled_minor),
            )),
        ),
        (
            "tier",
            Arc::new(signed(input.orders.iter().flat_map(|order| {
                order.lines.clone().map(|_| u32::from(order.tier))
            }))),
        ),
    ];
    RecordBatch::try_from_iter(columns)
}

/// Offers of orders of one line: line, option, cost, and the limits of its stock and its window, else -1.
pub fn single_offers(problem: &Problem) -> Result<RecordBatch> {
    let offers = problem.single_offers();
    let part = |number: fn(&SingleOffer) -> u32| -> ArrayRef {
        Arc::new(signed(offers.iter().map(number)))
    };
    let cost = offers.iter().map(|offer| offer.cost);
    let columns: [(&str, ArrayRef); 5] = [
        ("line", part(|offer| offer.line)),
        ("option", part(|offer| offer.option)),
        ("cost", Arc::new(Int64Array::from_iter_values(cost))),
        ("row", part(|offer| offer.row.unwrap_or(NONE))),
        ("window", part(|offer| offer.window.unwrap_or(NONE))),
    ];
    RecordBatch::try_from_iter(columns)
}
