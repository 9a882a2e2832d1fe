//! A small batch in tables, with a bit of everything.

use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, Int32Array, Int64Array, RecordBatch, StringArray};
use bespeak_allocation::tables::Tables;

pub fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(
        columns
            .into_iter()
            .map(|(name, column)| (name, column, true)),
    )
    .expect("columns of one length")
}

pub fn texts<const N: usize>(values: [&str; N]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

pub fn ints<const N: usize>(values: [i64; N]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

/// Two orders, whose rows lie mixed and out of order.
pub fn orders() -> RecordBatch {
    batch(vec![
        ("order_id", texts(["b", "a", "b"])),
        ("line", ints([7, 1, 3])),
        ("item", texts(["milk", "milk", "eggs"])),
        ("quantity", ints([2, 1, 4])),
        ("unfilled_minor", ints([100, 50, 0])),
        ("unfilled_penalty_minor", ints([10, 0, 5])),
        ("weight_g", ints([2000, 1000, 300])),
        ("requires", texts(["cold", "", "cold fragile"])),
        ("zone", texts(["north", "south", "north"])),
        (
            "due_days",
            Arc::new(Int32Array::from(vec![Some(2), None, Some(2)])),
        ),
        (
            "late_minor",
            Arc::new(Int64Array::from(vec![None, Some(9), None])),
        ),
        ("tier", ints([1, 0, 1])),
        ("class", ints([2, 0, 2])),
        (
            "ship_complete",
            Arc::new(BooleanArray::from(vec![true, false, true])),
        ),
        ("max_packages", ints([2, 0, 2])),
        ("customer", texts(["c", "d", "c"])),
        ("segment", texts(["web", "shop", "web"])),
    ])
}

pub fn rates() -> RecordBatch {
    batch(vec![
        ("location", texts(["ams", "ams", "ams", "rtm"])),
        ("zone", texts(["north", "north", "far", "south"])),
        ("service", texts(["slow", "slow", "slow", "fast"])),
        ("from_g", ints([5000, 0, 0, 0])),
        ("package_minor", ints([700, 400, 1, 900])),
        ("minor_per_kg", ints([20, 30, 1, 0])),
        ("transit_days_p50", ints([2, 2, 9, 1])),
        ("transit_days_p95", ints([4, 4, 9, 1])),
        ("window", texts(["am", "am", "pm", ""])),
        (
            "provides",
            texts(["fragile cold", "cold fragile", "", "vault"]),
        ),
    ])
}

pub fn network() -> Tables {
    Tables {
        orders: Some(orders()),
        locations: Some(batch(vec![
            ("location", texts(["rtm", "ams"])),
            ("handling_minor", ints([3, 4])),
            ("country", texts(["nl", "nl"])),
        ])),
        rates: Some(rates()),
        exclusions: Some(batch(vec![
            ("item", texts(["eggs", "tar", ""])),
            ("country", texts(["nl", "", ""])),
            ("service", texts(["", "", "fast"])),
        ])),
        stock: Some(batch(vec![
            ("item", texts(["milk", "milk", "tar", "eggs"])),
            ("location", texts(["ams", "ams", "ams", "rtm"])),
            ("available", ints([10, 4, 5, i64::MAX])),
            ("class", ints([0, 2, 0, 0])),
        ])),
        protection: Some(batch(vec![
            ("class", ints([1, 2, 1])),
            ("item", texts(["", "", "milk"])),
            ("keep_ppm", ints([100_000, 500_000, 250_000])),
        ])),
        capacity: Some(batch(vec![
            ("location", texts(["ams", "elsewhere"])),
            ("window", texts(["pm", "x"])),
            ("units", ints([6, 1])),
        ])),
        tier_confidence: vec![0.95, 0.5],
        ..Tables::default()
    }
}

pub fn given() -> Tables {
    Tables {
        orders: Some(orders()),
        options: Some(batch(vec![
            ("order_id", texts(["a", "b", "b"])),
            ("line", ints([1, 7, 3])),
            ("location", texts(["ams", "ams", "rtm"])),
            ("cost_minor", ints([5, 6, 0])),
            ("line_minor", ints([1, 0, 8])),
        ])),
        packages: Some(batch(vec![
            ("order_id", texts(["b", "b"])),
            ("location", texts(["ams", "mars"])),
            ("package_minor", ints([30, 40])),
        ])),
        stock: network().stock,
        ..Tables::default()
    }
}

pub fn changed(batch: &RecordBatch, name: &str, column: ArrayRef) -> RecordBatch {
    let rest = batch.schema();
    let columns = rest.fields().iter().zip(batch.columns());
    let kept = columns
        .filter(|(field, _)| field.name() != name)
        .map(|(field, column)| (field.name().as_str(), Arc::clone(column)));
    self::batch(kept.chain([(name, column)]).collect())
}
