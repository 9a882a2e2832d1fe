//! Batches of orders to be planned and held: a network of their own, orders prepared before the load, answers read.

use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray};
use bespeak_proto::v1::*;
use bytes::Bytes;

use super::holds::{HOLD_MS, Hold};
use super::tables::{read, stream};
use crate::bespeak::wire;
use crate::farm::PLENTY;
use crate::grpc::{Channel, frame};
use crate::ids::Ids;
use crate::rng::Rng;

/// Items that the batches ask for, and where each of them lies.
const ITEMS: u32 = 64;
const PLACES: u32 = 4;
/// Positions of the network: the account keeps them behind those of the other operations.
pub const POSITIONS: u32 = ITEMS * PLACES;
const ZONES: u32 = 4;
const NETWORK: &str = "bench";
/// Batches prepared for a step; they take turns.
const PREPARED: usize = 16;
const LINES_MAX: u32 = 3;

fn place(number: u32) -> String {
    format!("plan-{number}")
}

fn planned_item(number: u32) -> String {
    format!("planned-{number:03}")
}

/// Orders as they are sent, and the lines of each: item and units.
struct Batch {
    orders: Bytes,
    lines: Vec<Vec<(u32, u8)>>,
}

/// What a step asks to be planned.
pub struct Plans {
    batches: Vec<Batch>,
    budget_ms: i64,
    /// Where the account has the first position of the network.
    first: u32,
}

/// What came of a batch.
pub struct Planned {
    pub holds: Vec<Hold>,
    /// Every line is held.
    pub whole: bool,
    /// Who planned.
    pub by: String,
}

impl Plans {
    /// # Errors
    /// Never for the batches that are made here.
    pub fn new(seed: u64, orders: usize, budget_ms: i64, first: u32) -> Result<Self> {
        let mut rng = Rng::new(seed ^ 0x0A11_0CA7_E000_0001);
        let batch = |_| batch(&mut rng, orders);
        Ok(Self {
            batches: (0..PREPARED).map(batch).collect::<Result<_>>()?,
            budget_ms,
            first,
        })
    }

    /// Which batch comes at a turn.
    pub fn at(&self, turn: u64) -> usize {
        (turn % self.batches.len() as u64) as usize
    }

    pub fn request(&self, batch: usize, id: &str) -> Bytes {
        frame(&AllocateRequest {
            orders: self.batches[batch].orders.clone(),
            network_name: NETWORK.to_owned(),
            budget_ms: self.budget_ms,
            hold: Some(AllocationHold {
                context: wire::context(id),
                expires_in_ms: HOLD_MS,
                confirm: false,
            }),
            ..Default::default()
        })
    }

    /// Reads what is held of a batch.
    ///
    /// # Errors
    /// The answer tells of orders that nobody sent, or holds more than was asked.
    pub fn held(&self, batch: usize, answer: &AllocateResponse) -> Result<Planned> {
        let lines = &self.batches[batch].lines;
        let mut units: Vec<Vec<(u32, u8)>> = vec![Vec::new(); lines.len()];
        for table in read(&answer.plan)? {
            let column = |name| {
                table
                    .column_by_name(name)
                    .with_context(|| format!("the plan has no column {name}"))
            };
            let orders = column("order_id")?
                .as_string_opt::<i32>()
                .context("order_id is no text")?;
            let numbers = column("line")?
                .as_primitive_opt::<Int32Type>()
                .context("line is no i32")?;
            let places = column("location")?
                .as_string_opt::<i32>()
                .context("location is no text")?;
            let quantities = column("quantity")?
                .as_primitive_opt::<Int64Type>()
                .context("quantity is no i64")?;
            for row in 0..table.num_rows() {
                let order = number(orders.value(row), "o")?;
                let line = numbers.value(row) as usize;
                let &(item, quantity) = lines
                    .get(order)
                    .and_then(|lines| lines.get(line.wrapping_sub(1)))
                    .with_context(|| format!("order {order} has no line {line}"))?;
                ensure!(
                    quantities.value(row) == i64::from(quantity),
                    "line {line} of order {order}: {} of {quantity} units are planned: a line ships whole",
                    quantities.value(row)
                );
                let at = number(places.value(row), "plan-")? as u32;
                ensure!(at < PLACES, "nobody put a location plan-{at}");
                units[order].push((self.first + item * PLACES + at, quantity));
            }
        }
        let mut holds = Vec::with_capacity(answer.held.len());
        for held in answer.held.iter().filter(|held| held.reservation_id != 0) {
            let order = number(&held.order_id, "o")?;
            let units = units
                .get_mut(order)
                .with_context(|| format!("nobody sent order {order}"))?;
            holds.push(Hold {
                id: held.reservation_id,
                units: std::mem::take(units).into(),
            });
        }
        if let Some(order) = units.iter().position(|units| !units.is_empty()) {
            bail!("order {order} is planned and not held: the plan tells what is held");
        }
        let wanted: usize = lines.iter().map(Vec::len).sum();
        let held: usize = holds.iter().map(|hold| hold.units.len()).sum();
        let by = &answer.made_by;
        Ok(Planned {
            holds,
            whole: held == wanted,
            by: if answer.fallback {
                format!("fallback {by}")
            } else {
                by.clone()
            },
        })
    }
}

fn number(name: &str, prefix: &str) -> Result<usize> {
    name.strip_prefix(prefix)
        .and_then(|digits| digits.parse().ok())
        .with_context(|| format!("nobody sent {name:?}"))
}

/// Orders of one to three lines into four zones; an order asks for an item once.
fn batch(rng: &mut Rng, orders: usize) -> Result<Batch> {
    let mut lines: Vec<Vec<(u32, u8)>> = Vec::with_capacity(orders);
    let [mut names, mut items, mut zones] = [const { Vec::new() }; 3];
    let (mut numbers, mut quantities) = (Vec::new(), Vec::new());
    for order in 0..orders {
        let zone = format!("zone-{}", rng.below(ZONES));
        let (count, first) = (1 + rng.below(LINES_MAX), rng.below(ITEMS));
        let mut own = Vec::with_capacity(count as usize);
        for line in 0..count {
            let item = (first + line * 7) % ITEMS;
            let quantity = 1 + rng.below(3) as u8;
            names.push(format!("o{order}"));
            zones.push(zone.clone());
            items.push(planned_item(item));
            numbers.push(line as i32 + 1);
            quantities.push(i64::from(quantity));
            own.push((item, quantity));
        }
        lines.push(own);
    }
    let rows = numbers.len();
    let columns: [(&str, ArrayRef); 7] = [
        (
            "order_id",
            Arc::new(StringArray::from_iter_values(names)) as ArrayRef,
        ),
        ("line", Arc::new(Int32Array::from(numbers))),
        ("item", Arc::new(StringArray::from_iter_values(items))),
        ("quantity", Arc::new(Int64Array::from(quantities))),
        (
            "unfilled_minor",
            Arc::new(Int64Array::from(vec![20_000; rows])),
        ),
        ("weight_g", Arc::new(Int64Array::from(vec![700; rows]))),
        ("zone", Arc::new(StringArray::from_iter_values(zones))),
    ];
    Ok(Batch {
        orders: stream(&RecordBatch::try_from_iter(columns)?)?,
        lines,
    })
}

/// Packages and kilograms cost more to zones that are further from a place.
fn network() -> Result<Network> {
    let lanes: Vec<(u32, u32)> = (0..PLACES)
        .flat_map(|at| (0..ZONES).map(move |zone| (at, zone)))
        .collect();
    let lanes = lanes.into_iter();
    let far = |(at, zone): (u32, u32)| i64::from((at + ZONES - zone) % ZONES);
    let rates: [(&str, ArrayRef); 5] = [
        (
            "location",
            Arc::new(StringArray::from_iter_values(
                lanes.clone().map(|(at, _)| place(at)),
            )) as ArrayRef,
        ),
        (
            "zone",
            Arc::new(StringArray::from_iter_values(
                lanes.clone().map(|(_, zone)| format!("zone-{zone}")),
            )),
        ),
        (
            "service",
            Arc::new(StringArray::from_iter_values(lanes.clone().map(|_| "road"))),
        ),
        (
            "package_minor",
            Arc::new(Int64Array::from_iter_values(
                lanes.clone().map(|lane| 400 + 90 * far(lane)),
            )),
        ),
        (
            "minor_per_kg",
            Arc::new(Int64Array::from_iter_values(
                lanes.map(|lane| 50 + 10 * far(lane)),
            )),
        ),
    ];
    let places = StringArray::from_iter_values((0..PLACES).map(place));
    let locations = RecordBatch::try_from_iter([("location", Arc::new(places) as ArrayRef)])?;
    Ok(Network {
        locations: stream(&locations)?,
        rates: stream(&RecordBatch::try_from_iter(rates)?)?,
        ..Default::default()
    })
}

/// Gives a server the network and its stock.
///
/// # Errors
/// It refuses anything of it.
pub async fn fill(mut channel: Channel) -> Result<()> {
    const CATALOG: &str = "/bespeak.v1.CatalogService";
    let mut ids = Ids::new(u64::MAX - 1);
    for number in 0..PLACES {
        let request = PutLocationRequest {
            context: context(&mut ids)?,
            location: Some(Location {
                location: place(number),
                kind: LocationKind::Dc.into(),
                ..Default::default()
            }),
        };
        let path = format!("{CATALOG}/PutLocation");
        let _: PutLocationResponse = channel.call(&path, &request).await?;
    }
    let items = (0..ITEMS).map(|number| tokio::spawn(fill_item(channel.clone(), number)));
    for item in items.collect::<Vec<_>>() {
        item.await??;
    }
    let request = PutNetworkRequest {
        name: NETWORK.to_owned(),
        network: Some(network()?),
    };
    let path = "/bespeak.v1.AllocationService/PutNetwork";
    let put: PutNetworkResponse = channel.call(path, &request).await?;
    ensure!(
        put.lanes == PLACES * ZONES,
        "the server took {} of {} lanes",
        put.lanes,
        PLACES * ZONES
    );
    Ok(())
}

async fn fill_item(mut channel: Channel, number: u32) -> Result<()> {
    let mut ids = Ids::new(1 << 40 | u64::from(number));
    let request = PutItemRequest {
        context: context(&mut ids)?,
        item: Some(Item {
            item: planned_item(number),
            base_unit: "each".to_owned(),
            ..Default::default()
        }),
    };
    let path = "/bespeak.v1.CatalogService/PutItem";
    let _: PutItemResponse = channel.call(path, &request).await?;
    for at in 0..PLACES {
        let request = SetOnHandRequest {
            context: context(&mut ids)?,
            item: planned_item(number),
            location: place(at),
            status: StockStatus::Unrestricted.into(),
            quantity: PLENTY,
            ..Default::default()
        };
        let path = "/bespeak.v1.SupplyService/SetOnHand";
        let answer: SetOnHandResponse = channel.call(path, &request).await?;
        let refusal = answer.result.map(|result| result.refusal());
        ensure!(
            refusal == Some(Refusal::Unspecified),
            "filling the network was refused: {refusal:?}"
        );
    }
    Ok(())
}

/// What can be had now at each position of the network.
///
/// # Errors
/// The server refuses the check.
pub async fn stocks(channel: &mut Channel) -> Result<Vec<i64>> {
    let line = |position: u32| CheckLine {
        item: planned_item(position / PLACES),
        location: place(position % PLACES),
        ..Default::default()
    };
    let request = CheckRequest {
        lines: (0..POSITIONS).map(line).collect(),
        ..Default::default()
    };
    let answer: CheckResponse = channel
        .call("/bespeak.v1.PromiseService/Check", &request)
        .await?;
    let left = |result: &CheckResult| result.available.cast_signed();
    Ok(answer.results.iter().map(left).collect())
}

fn context(ids: &mut Ids) -> Result<Option<RequestContext>> {
    Ok(wire::context(std::str::from_utf8(&ids.next_text())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(plans: &Plans, change: impl Fn(usize, &mut i64)) -> AllocateResponse {
        let lines = &plans.batches[0].lines;
        let flat: Vec<(usize, usize)> = lines
            .iter()
            .enumerate()
            .flat_map(|(order, lines)| (0..lines.len()).map(move |line| (order, line)))
            .collect();
        let flat = || flat.iter().copied();
        let quantity = |(row, (order, line)): (usize, (usize, usize))| {
            let mut quantity = i64::from(lines[order][line].1);
            change(row, &mut quantity);
            quantity
        };
        let columns: [(&str, ArrayRef); 4] = [
            (
                "order_id",
                Arc::new(StringArray::from_iter_values(
                    flat().map(|(order, _)| format!("o{order}")),
                )) as ArrayRef,
            ),
            (
                "line",
                Arc::new(Int32Array::from_iter_values(
                    flat().map(|(_, line)| line as i32 + 1),
                )),
            ),
            (
                "location",
                Arc::new(StringArray::from_iter_values(flat().map(|_| place(2)))),
            ),
            (
                "quantity",
                Arc::new(Int64Array::from_iter_values(
                    flat().enumerate().map(quantity),
                )),
            ),
        ];
        let held = |order| HeldOrder {
            order_id: format!("o{order}"),
            reservation_id: 100 + order as u64,
            ..Default::default()
        };
        AllocateResponse {
            plan: stream(&RecordBatch::try_from_iter(columns).unwrap()).unwrap(),
            made_by: "search@1".to_owned(),
            held: (0..lines.len()).map(held).collect(),
            ..Default::default()
        }
    }

    #[test]
    fn what_is_held_is_accounted_where_it_lies() {
        let plans = Plans::new(3, 5, 50, 1_000).unwrap();
        let planned = plans.held(0, &answer(&plans, |_, _| ())).unwrap();
        assert!(planned.whole);
        assert_eq!(planned.by, "search@1");
        assert_eq!(planned.holds.len(), 5);
        for (order, hold) in planned.holds.iter().enumerate() {
            let wanted: Vec<(u32, u8)> = plans.batches[0].lines[order]
                .iter()
                .map(|&(item, quantity)| (1_000 + item * PLACES + 2, quantity))
                .collect();
            assert_eq!(hold.id, 100 + order as u64);
            assert_eq!(&hold.units[..], wanted);
        }
    }

    #[test]
    fn a_plan_that_cannot_be_is_refused() {
        let plans = Plans::new(3, 5, 50, 0).unwrap();
        let more = answer(&plans, |row, quantity| *quantity += i64::from(row == 1));
        assert!(plans.held(0, &more).is_err(), "more than was asked");
        let mut lost = answer(&plans, |_, _| ());
        lost.held.pop();
        assert!(plans.held(0, &lost).is_err(), "planned and not held");
        let mut others = answer(&plans, |_, _| ());
        others.held[0].order_id = "o99".to_owned();
        assert!(plans.held(0, &others).is_err(), "an order that nobody sent");
    }

    #[test]
    fn batches_of_a_seed_are_the_same_and_differ_among_themselves() {
        let orders = |seed, batch: usize| {
            Plans::new(seed, 20, 50, 0).unwrap().batches[batch]
                .orders
                .clone()
        };
        assert_eq!(orders(1, 0), orders(1, 0));
        assert_ne!(orders(1, 0), orders(1, 1));
        assert_ne!(orders(1, 0), orders(2, 0));
    }
}
