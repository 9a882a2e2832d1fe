//! Tables as they come from callers, and what is read from them.

mod common;

use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{
    Array, ArrayRef, DictionaryArray, Int32Array, LargeStringArray, StringViewArray,
};
use bespeak_allocation::input::{Costs, NONE, Network, Stock, Way};
use bespeak_allocation::tables::{self, Names, Price, combine, plan_table, prices_table, read};
use common::{batch, changed, given, ints, network, orders, rates, texts};

fn lanes(network: &Network, names: &Names) -> Vec<String> {
    let name = |lane: &bespeak_allocation::input::Lane| {
        let breaks: Vec<_> = lane
            .breaks
            .iter()
            .map(|one| (one.from_g, one.package_minor, one.minor_per_kg))
            .collect();
        let (at, window) = &names.windows[lane.window as usize];
        format!(
            "{} {} {} {}/{window} {:#b} {breaks:?} {:?}",
            names.locations[lane.location as usize],
            names.zones[lane.zone as usize],
            names.services[lane.service as usize],
            names.locations[*at as usize],
            lane.provides,
            &lane.transit_days[..3],
        )
    };
    network.lanes.iter().map(name).collect()
}

#[test]
fn a_network_is_read() {
    let (input, names) = read(&network()).expect("sound");
    assert_eq!(names.orders, ["b", "a"]);
    assert_eq!(names.lines, [3, 7, 1]);
    assert_eq!(names.items, ["milk", "eggs"]);
    let lines: Vec<_> = input
        .lines
        .iter()
        .map(|line| {
            (
                line.item,
                line.quantity,
                line.unfilled_minor,
                line.weight_g,
                line.requires,
            )
        })
        .collect();
    assert_eq!(
        lines,
        [
            (1, 4, 20, 300, 0b11),
            (0, 2, 120, 2000, 0b01),
            (0, 1, 50, 1000, 0)
        ]
    );
    let (b, a) = (&input.orders[0], &input.orders[1]);
    assert_eq!((b.lines.clone(), a.lines.clone()), (0..2, 2..3));
    assert_eq!(
        (b.due_days, b.late_minor, b.tier, b.class),
        (Some(2), None, 1, 2)
    );
    assert_eq!(
        (a.due_days, a.late_minor, a.tier, a.class),
        (None, Some(9), 0, 0)
    );
    assert_eq!(
        (b.ship_complete, b.max_packages, a.ship_complete),
        (true, 2, false)
    );
    assert_eq!((b.customer, a.customer, b.segment, a.segment), (0, 1, 0, 1));

    let Costs::Network(found) = &input.costs else {
        panic!("rates make a network");
    };
    assert_eq!(names.locations, ["rtm", "ams"]);
    assert_eq!(found.handling_minor, [3, 4]);
    // The lane to a zone that nobody is in is gone. "vault" is required by nobody, so it has no bit.
    assert_eq!(
        lanes(found, &names),
        [
            "ams north slow ams/am 0b11 [(0, 400, 30), (5000, 700, 20)] [4, 2, 2]",
            "rtm south fast rtm/ 0b0 [(0, 900, 0)] [1, 1, 1]",
        ]
    );
    // One for each location of the country, none for an item that nobody wants.
    let exclusions: Vec<_> = found
        .exclusions
        .iter()
        .map(|one| (one.item, one.location, one.service, one.zone))
        .collect();
    assert_eq!(
        exclusions,
        [
            (Some(1), Some(0), None, None),
            (Some(1), Some(1), None, None),
            (None, None, Some(1), None)
        ]
    );
    assert_eq!(input.windows, [None, Some(6), None]);
    let stock: Vec<_> = input
        .stock
        .iter()
        .map(|row| (row.item, row.location, row.class, row.units))
        .collect();
    let most = tables::UNITS_MAX;
    let kept = |share: i64| {
        most - i64::try_from(i128::from(most) * i128::from(share) / 1_000_000).expect("less")
    };
    assert_eq!(
        stock,
        [
            (0, 1, 0, 10),
            (0, 1, 2, 4),
            (1, 0, 0, most),
            // The row for milk keeps more than the one for all, rounded down: 10 - floor(2.5). Class 2 was said.
            (0, 1, 1, 8),
            (1, 0, 1, kept(100_000)),
            (1, 0, 2, kept(500_000)),
        ]
    );
}

#[test]
fn costs_said_one_by_one_are_read() {
    let (input, names) = read(&given()).expect("sound");
    let Costs::Given(found) = &input.costs else {
        panic!("options give costs");
    };
    let ways: Vec<_> = found
        .options
        .iter()
        .map(|way| names.locations[way.location as usize].as_str())
        .collect();
    assert_eq!(ways, ["ams", "rtm"]);
    let offers: Vec<_> = found
        .offers
        .iter()
        .map(|offer| (offer.line, offer.option, offer.line_minor))
        .collect();
    assert_eq!(offers, [(2, 0, 6), (1, 0, 12), (0, 1, 8)]);
    let packages: Vec<_> = found
        .packages
        .iter()
        .map(|package| (package.order, package.option, package.package_minor))
        .collect();
    assert_eq!(packages, [(0, 0, 30)]);
    assert_eq!(input.windows, [None, None]);
}

#[test]
fn text_of_any_kind_reads_the_same() {
    let plain = format!("{:?}", read(&network()).expect("sound"));
    let values = ["b", "a", "b"];
    let kinds: [ArrayRef; 4] = [
        Arc::new(LargeStringArray::from(values.to_vec())),
        Arc::new(StringViewArray::from(values.to_vec())),
        Arc::new(values.into_iter().collect::<DictionaryArray<Int32Type>>()),
        // Part of a longer column.
        texts(["x", "b", "a", "b", "y"]).slice(1, 3),
    ];
    for kind in kinds {
        let mut tables = network();
        tables.orders = Some(changed(&orders(), "order_id", kind));
        assert_eq!(format!("{:?}", read(&tables).expect("sound")), plain);
    }
}

#[test]
fn batches_of_a_stream_become_one() {
    let whole = orders();
    let parts = [whole.slice(0, 2), whole.slice(2, 1)];
    assert_eq!(combine("orders", &parts).expect("one"), Some(whole.clone()));
    assert_eq!(combine("orders", &[]).expect("none"), None);
    let error = combine("orders", &[whole, rates()]).expect_err("other columns");
    assert!(error.to_string().starts_with("orders is "), "{error}");
}

#[test]
fn no_rows_are_an_empty_batch() {
    let mut tables = network();
    tables.orders = Some(orders().slice(0, 0));
    let (input, _) = read(&tables).expect("sound");
    assert_eq!(
        (input.orders.len(), input.lines.len(), input.stock.len()),
        (0, 0, 0)
    );
}

#[test]
fn stock_of_the_caller_is_protected_too() {
    let mut tables = network();
    tables.stock = None;
    let (_, names) = read(&tables).expect("sound");
    let units = |class, units| Stock {
        item: 0,
        location: 1,
        class,
        units,
    };
    let mut stock = vec![units(0, 99)];
    names.protection.fill(&mut stock, 2);
    let found: Vec<_> = stock.iter().map(|row| (row.class, row.units)).collect();
    assert_eq!(found, [(0, 99), (1, 99 - 24), (2, 99 - 49)]);
}

#[test]
fn a_plan_is_written_sorted() {
    let (input, names) = read(&network()).expect("sound");
    let way = |location, service| Way {
        location,
        service,
        window: NONE,
    };
    let ways = [way(1, 0), way(0, 1)];
    let plan = plan_table(&input, &names, &ways, &[NONE, 0, 1]).expect("a table");
    let expected = batch(vec![
        ("order_id", texts(["a", "b"])),
        ("line", Arc::new(Int32Array::from(vec![1, 7]))),
        ("location", texts(["rtm", "ams"])),
        ("service", texts(["fast", "slow"])),
        ("quantity", ints([1, 2])),
    ]);
    assert_eq!(plan.columns(), expected.columns());
    let price = |minor| Price {
        item: 0,
        location: 1,
        class: 2,
        minor,
    };
    let prices = prices_table(&names, [price(0.0), price(2.5)]).expect("a table");
    assert_eq!(prices.num_rows(), 1);
    assert_eq!(prices.schema(), tables::prices_schema());
}
