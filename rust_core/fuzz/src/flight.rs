//! Flight: tickets, descriptors, and tables whose bytes and values nobody vouches for.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BooleanArray, FixedSizeBinaryArray, Float64Array, Int64Array, RecordBatch,
    StringArray, UInt64Array,
};
use arrow_flight::FlightData;
use arrow_flight::utils::batches_to_flight_data;
use arrow_schema::{Field, Schema};
use bespeak_server::hostile;
use fastrand::Rng;
use prost::Message;

use crate::mutate;
use crate::requests::{NOW_MS, world};

/// Inputs of one round.
const INPUTS: usize = 200;
const WORDS: [&str; 12] = [
    "positions",
    "reservations",
    "unmet",
    "check",
    "reserve",
    "supply",
    r#"{"table": "positions", "location": "ams1"}"#,
    r#"{"table": "unmet", "location": ""}"#,
    "demand_history",
    "nowcast",
    r#"{"table": "demand_history", "items": ["tea"], "from": "2026-09-01", "to": "2026-12-31"}"#,
    r#"{"table": "nowcast", "locations": ["ams1"], "quantiles": [0.1, 0.5, 0.995]}"#,
];
const COLUMNS: [&str; 21] = [
    "item",
    "location",
    "quantity",
    "ship_time_ms",
    "latest_ship_time_ms",
    "request_id",
    "order_ref",
    "customer",
    "expires_in_ms",
    "confirm",
    "event",
    "status",
    "unit",
    "receipt_id",
    "due_time_ms",
    "happened_at_ms",
    "source",
    "sequence",
    "reason",
    "delta",
    "no_such_column",
];
const TEXTS: [&str; 18] = [
    "tea",
    "milk",
    "ams1",
    "rtm1",
    "nope",
    "",
    "set_on_hand",
    "adjust_on_hand",
    "move_status",
    "schedule_receipt",
    "receive",
    "transfer",
    "return",
    "case",
    "po-1",
    "BLOCKED",
    "SALE",
    "00000000000000000000000000000001",
];

/// Tickets and descriptors of `DoGet`, `GetFlightInfo`, `GetSchema` and `DoExchange`.
pub fn words(rng: &mut Rng, note: &mut dyn FnMut(&str, &[u8])) {
    let (api, _) = world();
    for _ in 0..INPUTS {
        let word = WORDS[rng.usize(0..WORDS.len())];
        let mut ticket = word.as_bytes().to_vec();
        mutate::bytes(rng, &mut ticket);
        note("ticket", &ticket);
        let _ = hostile::ticket(&api, &ticket);

        let descriptor = match rng.bool() {
            true => arrow_flight::FlightDescriptor::new_path(vec![word.to_owned()]),
            false => arrow_flight::FlightDescriptor::new_cmd(word.to_owned()),
        };
        let mut descriptor = descriptor.encode_to_vec();
        match rng.bool() {
            true => {
                mutate::message(rng, &mut descriptor);
            }
            false => mutate::bytes(rng, &mut descriptor),
        }
        note("descriptor", &descriptor);
        let _ = hostile::descriptor(&descriptor);
    }
}

fn number(rng: &mut Rng) -> i64 {
    match rng.u8(0..4) {
        0 => rng.i64(..),
        1 => [i64::MIN, -1, 0, i64::MAX][rng.usize(0..4)],
        2 => NOW_MS + rng.i64(0..100) * 3_600_000,
        _ => rng.i64(0..50),
    }
}

/// A column of any type that a caller may send, with holes.
fn column(rng: &mut Rng, rows: usize) -> ArrayRef {
    let hole = |rng: &mut Rng| rng.u8(0..8) == 0;
    match rng.u8(0..8) {
        0..=2 => {
            let texts = (0..rows).map(|_| (!hole(rng)).then(|| TEXTS[rng.usize(0..TEXTS.len())]));
            Arc::new(texts.collect::<StringArray>())
        }
        3..=4 => {
            let numbers = (0..rows).map(|_| (!hole(rng)).then(|| number(rng)));
            Arc::new(numbers.collect::<Int64Array>())
        }
        5 => {
            let numbers = (0..rows).map(|_| (!hole(rng)).then(|| number(rng) as u64));
            Arc::new(numbers.collect::<UInt64Array>())
        }
        6 => {
            let flags = (0..rows).map(|_| (!hole(rng)).then(|| rng.bool()));
            Arc::new(flags.collect::<BooleanArray>())
        }
        _ if rng.bool() => {
            let ids = (0..rows).map(|_| (!hole(rng)).then(|| rng.u128(..).to_be_bytes()));
            match FixedSizeBinaryArray::try_from_sparse_iter_with_size(ids, 16) {
                Ok(ids) => Arc::new(ids),
                Err(_) => Arc::new(Int64Array::from(vec![0; rows])),
            }
        }
        _ => Arc::new((0..rows).map(|_| Some(f64::NAN)).collect::<Float64Array>()),
    }
}

/// The column as its table knows it, mostly.
fn fitting(rng: &mut Rng, name: &str, rows: usize) -> ArrayRef {
    let choose = |rng: &mut Rng, of: &[&'static str]| of[rng.usize(0..of.len())];
    let texts: &[&str] = match name {
        "item" => &["tea", "milk", "tea", "nope"],
        "location" => &["ams1", "rtm1", "ams1", ""],
        "event" => &TEXTS[6..13],
        "unit" => &["", "case", "each"],
        "receipt_id" => &["po-1", "po-2", ""],
        _ if name.ends_with("_ms") || name == "quantity" || name == "delta" => {
            let numbers = (0..rows).map(|_| Some(number(rng)));
            return Arc::new(numbers.collect::<Int64Array>());
        }
        "request_id" => {
            let ids = (0..rows).map(|_| Some(format!("{:032x}", rng.u128(..))));
            return Arc::new(ids.collect::<StringArray>());
        }
        _ => return column(rng, rows),
    };
    let texts = (0..rows).map(|_| Some(choose(rng, texts)));
    Arc::new(texts.collect::<StringArray>())
}

fn table(rng: &mut Rng) -> Option<RecordBatch> {
    let rows = [0, 1, 3, 60][rng.usize(0..4)];
    let mut fields = Vec::new();
    let mut columns = Vec::new();
    for name in COLUMNS {
        let wanted = ["item", "location", "quantity", "event", "request_id"].contains(&name);
        if !wanted && rng.u8(0..4) > 0 {
            continue;
        }
        let column = match rng.u8(0..6) {
            0 => column(rng, rows),
            _ => fitting(rng, name, rows),
        };
        fields.push(Field::new(name, column.data_type().clone(), true));
        columns.push(column);
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).ok()
}

fn damage(rng: &mut Rng, messages: &mut Vec<FlightData>) {
    let at = rng.usize(0..messages.len());
    let message = &mut messages[at];
    let part = match rng.u8(0..8) {
        0 => {
            let copy = message.clone();
            return messages.insert(at, copy);
        }
        1 => {
            messages.remove(at);
            return;
        }
        2..=4 => &mut message.data_header,
        _ => &mut message.data_body,
    };
    let mut bytes = part.to_vec();
    mutate::bytes(rng, &mut bytes);
    *part = bytes.into();
}

/// Tables into the check, reserve and supply readers: strange values, and bytes that are hardly a table.
pub fn tables(rng: &mut Rng, note: &mut dyn FnMut(&str, &[u8])) {
    let (api, clock) = world();
    for _ in 0..INPUTS {
        let Some(batch) = table(rng) else { continue };
        let schema = batch.schema();
        let batches = vec![batch; rng.usize(1..3)];
        let Ok(mut messages) = batches_to_flight_data(&schema, batches) else {
            continue;
        };
        if rng.bool() {
            for _ in 0..rng.usize(1..4) {
                if !messages.is_empty() {
                    damage(rng, &mut messages);
                }
            }
        }
        let what = ["check", "reserve", "supply"][rng.usize(0..3)];
        let shown: Vec<u8> = messages.iter().flat_map(Message::encode_to_vec).collect();
        note(what, &shown);
        let _ = hostile::exchange(&api, what, messages);
        if rng.u8(0..20) == 0 {
            clock.pass(rng.i64(0..50_000));
        }
    }
    let sound = api.store().partition().peek(|state| state.reconcile());
    assert_eq!(sound.expect("it has not stopped"), []);
}
