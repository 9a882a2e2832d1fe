//! Batches that are small to send and large to plan: each is planned soon, or refused.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use bespeak_allocation::input::NONE;
use bespeak_allocation::tables::{Tables, read};
use bespeak_allocation::{Budget, Problem, Terms};

/// Far more than any of them takes, and far less than looking at everything for everything.
const SOON: Duration = Duration::from_secs(20);

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter(columns).expect("columns of one length")
}

fn same(value: &str, rows: usize) -> ArrayRef {
    Arc::new(StringArray::from(vec![value; rows]))
}

fn numbered(rows: usize) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(
        (0..rows).map(|n| n.to_string()),
    ))
}

fn counted(rows: usize) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(0..rows as i64))
}

fn ones(rows: usize) -> ArrayRef {
    Arc::new(Int64Array::from(vec![1; rows]))
}

/// One order of so many lines, an item each, that goes to zone z.
fn order(lines: usize) -> RecordBatch {
    batch(vec![
        ("order_id", same("o", lines)),
        ("line", counted(lines)),
        ("item", numbered(lines)),
        ("quantity", ones(lines)),
        (
            "unfilled_minor",
            Arc::new(Int64Array::from(vec![900; lines])),
        ),
        ("zone", same("z", lines)),
    ])
}

/// So many locations with a lane to zone z.
fn rates(locations: usize) -> RecordBatch {
    batch(vec![
        ("location", numbered(locations)),
        ("zone", same("z", locations)),
        ("package_minor", ones(locations)),
    ])
}

/// A unit of item n at location n.
fn stock(rows: usize) -> RecordBatch {
    batch(vec![
        ("item", numbered(rows)),
        ("location", numbered(rows)),
        ("available", ones(rows)),
    ])
}

fn planned(tables: &Tables) -> (Problem, Vec<u32>) {
    let begun = Instant::now();
    let (input, _) = read(tables).expect("sound");
    let problem = Problem::new(input).expect("numbers in range");
    let budget = Budget {
        until: Instant::now(),
        cancelled: None,
    };
    let choice = problem.search(&Terms::default(), &budget).choice;
    assert_eq!(problem.check(&choice), Ok(()));
    assert!(problem.costs(&choice).total >= 0);
    let took = begun.elapsed();
    assert!(took < SOON, "{took:?}");
    (problem, choice)
}

#[test]
fn an_order_of_too_many_lines_is_refused() {
    let tables = |lines| Tables {
        orders: Some(order(lines)),
        rates: Some(rates(1)),
        stock: Some(stock(1)),
        ..Tables::default()
    };
    planned(&tables(1_000));
    let refused = read(&tables(1_001)).expect_err("too long").to_string();
    assert_eq!(
        refused,
        "orders[1000] is one of 1001 lines of order o, an order may have at most 1000 lines: split it"
    );
}

#[test]
fn a_long_order_over_many_locations_is_planned_soon() {
    let (_, choice) = planned(&Tables {
        orders: Some(order(1_000)),
        rates: Some(rates(30_000)),
        stock: Some(stock(1_000)),
        ..Tables::default()
    });
    assert!(choice.iter().any(|option| *option != NONE));
}

#[test]
fn an_order_of_usual_length_may_have_a_package_for_each_line() {
    let (_, choice) = planned(&Tables {
        orders: Some(order(200)),
        rates: Some(rates(200)),
        stock: Some(stock(200)),
        ..Tables::default()
    });
    assert!(choice.iter().all(|option| *option != NONE));
}

#[test]
fn many_services_of_one_location_are_planned_soon() {
    let services = 100_000;
    let falling = (0..services as i64).rev();
    let (_, choice) = planned(&Tables {
        orders: Some(order(2)),
        rates: Some(batch(vec![
            ("location", same("0", services)),
            ("zone", same("z", services)),
            ("service", numbered(services)),
            ("package_minor", counted(services)),
            (
                "minor_per_kg",
                Arc::new(Int64Array::from_iter_values(falling)),
            ),
        ])),
        stock: Some(stock(1)),
        ..Tables::default()
    });
    // Lines without weight: the cheapest package.
    assert_eq!(choice[0], 0);
}

#[test]
fn many_exclusions_are_looked_up() {
    let (lanes, rules) = (60_000, 200_000);
    for column in ["zone", "item"] {
        let named = match column {
            "item" => ("item", same("0", rules)),
            _ => ("zone", same("z", rules)),
        };
        let (problem, choice) = planned(&Tables {
            orders: Some(order(1)),
            rates: Some(rates(lanes)),
            exclusions: Some(batch(vec![named, ("location", same("0", rules))])),
            stock: Some(batch(vec![
                ("item", same("0", lanes)),
                ("location", numbered(lanes)),
                ("available", ones(lanes)),
            ])),
            ..Tables::default()
        });
        assert_ne!(problem.options()[choice[0] as usize].location, 0);
    }
}

#[test]
fn exclusions_of_countries_with_many_locations_are_bounded() {
    let (places, rules) = (20_000, 20_000);
    let refused = read(&Tables {
        orders: Some(order(1)),
        locations: Some(batch(vec![
            ("location", numbered(places)),
            ("country", same("nl", places)),
        ])),
        rates: Some(rates(1)),
        exclusions: Some(batch(vec![
            ("item", same("0", rules)),
            ("country", same("nl", rules)),
        ])),
        stock: Some(stock(1)),
        ..Tables::default()
    });
    let refused = refused.expect_err("too many").to_string();
    assert!(
        refused.starts_with("exclusions[101] is one of more than 2000000"),
        "{refused}"
    );
}
