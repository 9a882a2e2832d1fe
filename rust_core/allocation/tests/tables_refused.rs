//! Tables that make no sense: each is refused, in words that say where, what and what to do.

mod common;

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray, UInt64Array};
use bespeak_allocation::tables::{Tables, combine, read};
use common::{batch, changed, given, ints, network, orders, rates, texts};

fn without(batch: &RecordBatch, name: &str) -> RecordBatch {
    let index = batch.schema().index_of(name).expect("a column");
    let mut batch = batch.clone();
    batch.remove_column(index);
    batch
}

fn refused(tables: &Tables) -> String {
    read(tables).expect_err("it makes no sense").to_string()
}

#[test]
fn wrong_orders_are_refused() {
    let most = i64::MAX;
    let cases: Vec<(&str, ArrayRef, &str)> = vec![
        (
            "quantity",
            ints([1, 0, 1]),
            "orders[1].quantity is 0, it must be a whole number from 1 to 1000000000",
        ),
        (
            "quantity",
            Arc::new(UInt64Array::from(vec![1, 1, u64::MAX])),
            "orders[2].quantity is 18446744073709551615",
        ),
        (
            "quantity",
            Arc::new(Int64Array::from(vec![Some(1), None, Some(1)])),
            "orders[1].quantity is null, every row needs one",
        ),
        (
            "quantity",
            texts(["1", "2", "3"]),
            "type of column quantity of orders is Utf8, it must be a whole number",
        ),
        (
            "unfilled_minor",
            ints([0, -1, 0]),
            "orders[1].unfilled_minor is -1",
        ),
        (
            "unfilled_penalty_minor",
            ints([1, 1, 1 << 33]),
            "orders[2].unfilled_penalty_minor is 8589934592 for each of 4 units",
        ),
        (
            "weight_g",
            ints([most, 1, 1]),
            "orders[0].weight_g is 9223372036854775807",
        ),
        (
            "line",
            ints([7, 1, 7]),
            "orders[2] is line 7 of order b again, add up its quantity",
        ),
        (
            "line",
            ints([7, 1, 1 << 32]),
            "orders[2].line is 4294967296",
        ),
        (
            "zone",
            texts(["north", "south", "south"]),
            "orders[2].zone is not what row 0 of order b has",
        ),
        (
            "tier",
            ints([1, 8, 1]),
            "orders[1].tier is 8, it must be a whole number from 0 to 7",
        ),
        (
            "class",
            ints([1, 0, 2]),
            "orders[2].class is not what row 0 of order b has",
        ),
        (
            "max_packages",
            ints([-1, 0, -1]),
            "orders[0].max_packages is -1",
        ),
        (
            "ship_complete",
            ints([1, 0, 1]),
            "type of column ship_complete of orders is Int64, it must be boolean",
        ),
        (
            "item",
            Arc::new(StringArray::from(vec![Some("x"), Some("y"), None])),
            "orders[2].item is null",
        ),
        (
            "item",
            ints([1, 2, 3]),
            "type of column item of orders is Int64, it must be utf8",
        ),
        (
            "colour",
            texts(["x", "y", "z"]),
            "column of orders is colour, the columns are order_id, line",
        ),
    ];
    for (column, values, message) in cases {
        let mut tables = network();
        tables.orders = Some(changed(&orders(), column, values));
        let found = refused(&tables);
        assert!(found.starts_with(message), "{column}: {found}");
    }
    let mut tables = network();
    tables.orders = Some(without(&orders(), "item"));
    assert_eq!(refused(&tables), "column item of orders is absent, add it");
}

#[test]
fn wrong_rates_are_refused() {
    let cases: Vec<(&str, ArrayRef, &str)> = vec![
        (
            "location",
            texts(["ams", "ams", "ams", "utr"]),
            "rates[3].location is utr, locations has no such row",
        ),
        (
            "from_g",
            ints([5000, 1, 0, 0]),
            "rates[1].from_g is 1 as the lane's least, each lane has a row from 0",
        ),
        (
            "from_g",
            ints([0, 0, 0, 0]),
            "rates[1].from_g is 0 as the lane's next, a lane has one row",
        ),
        (
            "package_minor",
            ints([1, 1, 1, (1 << 34) + 1]),
            "rates[3].package_minor is 17179869185",
        ),
        (
            "transit_days_p95",
            ints([4, 5, 9, 1]),
            "rates[1].transit_days is not what the lane has above",
        ),
        (
            "transit_days_p95",
            ints([4, 4, -9, 1]),
            "rates[2].transit_days_p95 is -9",
        ),
        (
            "transit_days",
            ints([4, 4, 9, 1]),
            "rates[0].transit_days_p50 is there beside transit_days",
        ),
        (
            "window",
            texts(["am", "pm", "pm", ""]),
            "rates[1].window is not what the lane has above",
        ),
        (
            "provides",
            texts(["cold", "", "", ""]),
            "rates[1].provides is not what the lane has above",
        ),
    ];
    for (column, values, message) in cases {
        let mut tables = network();
        tables.rates = Some(changed(&rates(), column, values));
        let found = refused(&tables);
        assert!(found.starts_with(message), "{column}: {found}");
    }
}

/// What is changed, and the refusal.
type Case = (fn(&mut Tables), &'static str);

#[test]
fn other_wrong_tables_are_refused() {
    let cases: [Case; 20] = [
        (|t| t.orders = None, "orders is absent"),
        (
            |t| t.rates = None,
            "rates is absent, send rates, or options",
        ),
        (
            |t| t.options = given().options,
            "options is there beside rates",
        ),
        (
            |t| t.packages = given().packages,
            "packages is there, it goes with options",
        ),
        (
            |t| (t.rates, t.options) = (None, given().options),
            "locations is there, it goes with rates",
        ),
        (
            |t| t.locations = Some(batch(vec![("location", texts(["ams", "rtm", "ams"]))])),
            "locations[2].location is ams again",
        ),
        (
            |t| t.exclusions = Some(batch(vec![("item", texts(["eggs", ""]))])),
            "exclusions[1] is empty, it would forbid everything",
        ),
        (
            |t| {
                t.stock = Some(changed(
                    t.stock.as_ref().expect("stock"),
                    "class",
                    ints([0, 0, 0, 0]),
                ))
            },
            "stock[1] is milk at ams for class 0 again",
        ),
        (
            |t| {
                t.stock = Some(changed(
                    t.stock.as_ref().expect("stock"),
                    "available",
                    ints([1, 1, 1, -1]),
                ))
            },
            "stock[3].available is -1",
        ),
        (
            |t| t.protection = Some(batch(vec![("class", ints([0])), ("keep_ppm", ints([1]))])),
            "protection[0].class is 0, it must be a whole number from 1 to 7",
        ),
        (
            |t| {
                t.protection = Some(batch(vec![
                    ("class", ints([1])),
                    ("keep_ppm", ints([1_000_001])),
                ]))
            },
            "protection[0].keep_ppm is 1000001",
        ),
        (
            |t| {
                t.protection = Some(batch(vec![
                    ("class", ints([1, 1])),
                    ("keep_ppm", ints([1, 2])),
                ]))
            },
            "protection[1] is class 1 for the same item and location again",
        ),
        (
            |t| {
                t.capacity = Some(batch(vec![
                    ("location", texts(["rtm", "rtm"])),
                    ("units", ints([1, 2])),
                ]))
            },
            "capacity[1] is rtm with window \"\" again",
        ),
        (
            |t| t.tier_confidence = vec![0.5, 1.5],
            "tier_confidence[1] is 1.5, it must be from 0 to 1",
        ),
        (
            |t| t.tier_confidence = vec![f64::NAN],
            "tier_confidence[0] is NaN",
        ),
        (
            |t| t.tier_confidence = vec![0.5; 9],
            "tier_confidence is 9 numbers long",
        ),
        (
            |t| {
                *t = given();
                t.options = Some(changed(
                    t.options.as_ref().expect("options"),
                    "line",
                    ints([1, 7, 4]),
                ));
            },
            "options[2] is line 4 of order b, orders has no such line",
        ),
        (
            |t| {
                *t = given();
                t.options = Some(
                    combine(
                        "options",
                        &[
                            t.options.clone().expect("options"),
                            t.options.clone().expect("options"),
                        ],
                    )
                    .expect("one")
                    .expect("some"),
                );
            },
            "options[3] is line 1 of order a at ams again",
        ),
        (
            |t| {
                *t = given();
                t.packages = Some(changed(
                    t.packages.as_ref().expect("packages"),
                    "order_id",
                    texts(["b", "z"]),
                ));
            },
            "packages[1].order_id is z, orders has no such order",
        ),
        (
            |t| {
                *t = given();
                t.capacity = Some(batch(vec![
                    ("location", texts(["ams"])),
                    ("window", texts(["am"])),
                    ("units", ints([1])),
                ]));
            },
            "capacity[0].window is \"am\" at ams, options have no windows",
        ),
    ];
    for (change, message) in cases {
        let mut tables = network();
        change(&mut tables);
        let found = refused(&tables);
        assert!(found.starts_with(message), "{found}");
    }
}

#[test]
fn too_many_words_are_refused() {
    let words: Vec<String> = (0..65).map(|number| format!("w{number}")).collect();
    let (most, all) = (words[..64].join(" "), words.join(" "));
    let mut tables = network();
    tables.orders = Some(changed(
        &orders(),
        "requires",
        texts(["", most.as_str(), ""]),
    ));
    assert_eq!(read(&tables).expect("sound").0.lines[2].requires, u64::MAX);
    tables.orders = Some(changed(
        &orders(),
        "requires",
        texts(["", all.as_str(), ""]),
    ));
    assert_eq!(
        refused(&tables),
        "orders[1].requires is w64, at most 64 words may be required in one batch"
    );
}
