//! Costs said one by one: `options` and `packages`.

use arrow_array::RecordBatch;

use super::columns::{Table, Texts, ids_or_empty};
use super::names::{Interned, Interner};
use super::orders::Batch;
use super::{MONEY_MAX, Result};
use crate::input::{Given, NONE, Offer, Package, Way};

const OPTIONS: &[&str] = &[
    "order_id",
    "line",
    "location",
    "service",
    "cost_minor",
    "line_minor",
];
const PACKAGES: &[&str] = &["order_id", "location", "service", "package_minor"];

/// Reads the tables.
///
/// # Errors
/// What is wrong with them.
pub fn read<'a>(
    options: &'a RecordBatch,
    packages: Option<&'a RecordBatch>,
    batch: &Batch,
    names: &mut Interned<'a>,
) -> Result<Given> {
    let mut ways: Interner<(u32, u32)> = Interner::default();
    let offers = offers(options, batch, names, &mut ways)?;
    let packages = match packages {
        Some(packages) => costs_of_packages(packages, names, &ways)?,
        None => Vec::new(),
    };
    let options = ways.keys().iter().map(|&(location, service)| Way {
        location,
        service,
        window: names.windows.add((location, "")),
    });
    Ok(Given {
        options: options.collect(),
        offers,
        packages,
    })
}

fn offers<'a>(
    options: &'a RecordBatch,
    batch: &Batch,
    names: &mut Interned<'a>,
    ways: &mut Interner<(u32, u32)>,
) -> Result<Vec<Offer>> {
    let table = Table::new("options", options, OPTIONS)?;
    let id = table.texts("order_id")?;
    let order = id.ids(|name| names.orders.get(name));
    let number = table.integers("line", i64::from(i32::MIN)..=i64::from(i32::MAX))?;
    let place = table.texts("location")?;
    let location = place.ids(|name| names.locations.add(name));
    let service = table.optional_texts("service")?;
    let service = ids_or_empty(service.as_ref(), table.rows(), |name| {
        names.services.add(name)
    });
    let each = table.integers_or("cost_minor", 0..=MONEY_MAX, 0)?;
    let fixed = table.integers_or("line_minor", 0..=MONEY_MAX, 0)?;

    let mut offers = Vec::with_capacity(table.rows());
    for row in 0..table.rows() {
        let Some(line) = batch.line(order[row], number[row]) else {
            let value = format!("line {} of order {}", number[row], id.get(row));
            let rule = "orders has no such line: add it, or leave out the option";
            return Err(table.wrong(row, "", value, rule));
        };
        let quantity = batch.lines[line as usize].quantity;
        let cost = quantity
            .checked_mul(each[row])
            .and_then(|cost| cost.checked_add(fixed[row]))
            .filter(|cost| *cost <= MONEY_MAX);
        let Some(line_minor) = cost else {
            let value = format!("{} for each of {quantity} units", each[row]);
            let rule = format!("serving a line may cost at most {MONEY_MAX} minor units");
            return Err(table.wrong(row, "cost_minor", value, rule));
        };
        offers.push(Offer {
            line,
            option: ways.add((location[row], service[row])),
            line_minor,
        });
    }
    let keys = offers.iter().map(|offer| (offer.line, offer.option));
    if let Some(row) = repeated(keys.collect()) {
        let value = format!(
            "line {} of order {} at {} again",
            number[row],
            id.get(row),
            place.get(row)
        );
        return Err(table.wrong(row, "", value, "keep the cheaper, or name the services"));
    }
    Ok(offers)
}

/// Costs of packages; those by an option that no line is offered are left out.
fn costs_of_packages<'a>(
    packages: &'a RecordBatch,
    names: &Interned<'a>,
    ways: &Interner<(u32, u32)>,
) -> Result<Vec<Package>> {
    let table = Table::new("packages", packages, PACKAGES)?;
    let id = table.texts("order_id")?;
    let order = id.ids(|name| names.orders.get(name));
    if let Some(row) = order.iter().position(|order| *order == NONE) {
        let rule = "orders has no such order: add it, or leave out the package";
        return Err(table.wrong(row, "order_id", id.get(row), rule));
    }
    let place = table.texts("location")?;
    let location = place.ids(|name| names.locations.get(name));
    let service: Option<Texts<'_>> = table.optional_texts("service")?;
    let service = ids_or_empty(service.as_ref(), table.rows(), |name| {
        names.services.get(name)
    });
    let cost = table.integers("package_minor", 0..=MONEY_MAX)?;
    let option = |row: usize| ways.get((location[row], service[row]));
    let kept: Vec<usize> = (0..table.rows())
        .filter(|row| option(*row) != NONE)
        .collect();
    let package = |&row: &usize| Package {
        order: order[row],
        option: option(row),
        package_minor: cost[row],
    };
    let all: Vec<Package> = kept.iter().map(package).collect();
    let keys = all.iter().map(|package| (package.order, package.option));
    if let Some(at) = repeated(keys.collect()) {
        let row = kept[at];
        let value = format!("order {} at {} again", id.get(row), place.get(row));
        return Err(table.wrong(row, "", value, "keep one, or name the services"));
    }
    Ok(all)
}

/// The first position whose key has been there before.
pub fn repeated<K: Ord + Copy>(keys: Vec<K>) -> Option<usize> {
    if keys.is_sorted_by(|a, b| a < b) {
        return None;
    }
    let mut sorted: Vec<(K, usize)> = keys.into_iter().zip(0..).collect();
    sorted.sort_unstable();
    let twice = sorted.windows(2).filter(|pair| pair[0].0 == pair[1].0);
    twice.map(|pair| pair[1].1).min()
}
