//! Tables over Flight.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type, UInt8Type, UInt64Type};
use arrow_array::{
    ArrayRef, DictionaryArray, Int64Array, LargeStringArray, RecordBatch, StringArray,
    StringViewArray, TimestampMillisecondArray,
};
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::{FlightData, FlightDescriptor, Ticket};
use arrow_ipc::reader::StreamReader;
use bespeak_proto::v1 as pb;
use futures_util::{StreamExt, TryStreamExt, stream};

use crate::world::{World, fresh_id, reserve, why};

pub fn table(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter(columns).expect("columns of one length")
}

pub fn text(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

pub fn numbers(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

pub fn ids(count: usize) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(
        (0..count).map(|_| fresh_id()),
    ))
}

pub async fn messages(word: &str, batches: Vec<RecordBatch>) -> Vec<FlightData> {
    let descriptor = FlightDescriptor::new_cmd(word.as_bytes().to_vec());
    let input = stream::iter(batches.into_iter().map(Ok::<_, FlightError>));
    let encoder = FlightDataEncoderBuilder::new()
        .with_flight_descriptor(Some(descriptor))
        .with_dictionary_handling(arrow_flight::encode::DictionaryHandling::Resend);
    encoder
        .build(input)
        .try_collect()
        .await
        .expect("sound tables")
}

async fn exchange(
    world: &World,
    word: &str,
    batches: Vec<RecordBatch>,
) -> Result<Vec<RecordBatch>, tonic::Status> {
    send(world, messages(word, batches).await).await
}

async fn send(world: &World, messages: Vec<FlightData>) -> Result<Vec<RecordBatch>, tonic::Status> {
    let mut client = FlightServiceClient::new(world.channel.clone());
    let answers = client
        .do_exchange(stream::iter(messages))
        .await?
        .into_inner();
    let answers = answers.map_err(|status| FlightError::Tonic(Box::new(status)));
    FlightRecordBatchStream::new_from_flight_data(answers)
        .try_collect()
        .await
        .map_err(|error| match error {
            FlightError::Tonic(status) => *status,
            other => tonic::Status::internal(other.to_string()),
        })
}

pub fn column<'a>(batch: &'a RecordBatch, name: &str) -> &'a ArrayRef {
    batch.column_by_name(name).expect("a column of the answer")
}

fn units(batch: &RecordBatch, name: &str) -> Vec<u64> {
    column(batch, name)
        .as_primitive::<UInt64Type>()
        .values()
        .to_vec()
}

fn codes(batch: &RecordBatch, name: &str) -> Vec<u8> {
    column(batch, name)
        .as_primitive::<UInt8Type>()
        .values()
        .to_vec()
}

async fn world() -> World {
    let mut world = World::new().await;
    world.put(&["tea", "rum"], &["ams1", "rtm1"]).await;
    world.stock("tea", "ams1", 10).await;
    world.stock("rum", "rtm1", 4).await;
    world
}

#[tokio::test]
async fn lines_are_checked_whatever_kind_of_text_names_them() {
    let world = world().await;
    let items = ["tea", "tea", "rum", "rum", "nope"];
    let places = ["ams1", "rtm1", "rtm1", "rtm1", "ams1"];
    let dictionary: DictionaryArray<Int32Type> = items.into_iter().collect();
    let kinds: [ArrayRef; 4] = [
        text(&items),
        Arc::new(LargeStringArray::from(items.to_vec())),
        Arc::new(StringViewArray::from(items.to_vec())),
        Arc::new(dictionary),
    ];
    for items in kinds {
        let kind = items.data_type().clone();
        let asked = table(vec![
            ("item", items),
            ("location", text(&places)),
            ("quantity", numbers(&[4, 1, 4, 5, 1])),
        ]);
        let answers = exchange(&world, "check", vec![asked.clone(), asked])
            .await
            .expect("answered");
        assert_eq!(answers.len(), 2, "{kind}");
        for answer in answers {
            assert_eq!(units(&answer, "available"), [10, 0, 4, 4, 0], "{kind}");
            let full: Vec<_> = column(&answer, "in_full")
                .as_boolean()
                .iter()
                .flatten()
                .collect();
            assert_eq!(full, [true, false, true, false, false], "{kind}");
            let errors: Vec<_> = column(&answer, "error").as_string::<i32>().iter().collect();
            assert_eq!(
                errors,
                [None, None, None, None, Some("UNKNOWN_ITEM")],
                "{kind}"
            );
        }
    }
}

#[tokio::test]
async fn each_row_of_a_reserve_is_an_order_of_its_own() {
    let mut world = world().await;
    let soon = crate::world::now_ms() + crate::world::HOUR;
    let times: ArrayRef = Arc::new(TimestampMillisecondArray::from(vec![
        None,
        Some(soon),
        Some(1),
        None,
        None,
    ]));
    let orders = table(vec![
        ("request_id", ids(5)),
        ("item", text(&["tea", "tea", "tea", "tea", "rum"])),
        ("location", text(&["ams1", "ams1", "ams1", "ams1", "rtm1"])),
        ("quantity", numbers(&[6, 4, 1, 1, 0])),
        ("ship_time_ms", times),
    ]);
    let answer = exchange(&world, "reserve", vec![orders.clone()])
        .await
        .expect("answered")
        .remove(0);
    assert_eq!(codes(&answer, "outcome"), [1, 1, 3, 3, 0]);
    assert_eq!(units(&answer, "held_quantity"), [6, 4, 0, 0, 0]);
    let refusals = codes(&answer, "refusal");
    assert_eq!(
        refusals[2..4],
        [
            pb::Refusal::ShipTimePast as u8,
            pb::Refusal::InsufficientStock as u8
        ]
    );
    assert_eq!(
        column(&answer, "error").as_string::<i32>().value(4),
        "INVALID_ARGUMENT"
    );
    assert_eq!(world.available("tea", "ams1").await, 0);
    let again = exchange(&world, "reserve", vec![orders])
        .await
        .expect("answered")
        .remove(0);
    let replayed: Vec<_> = column(&again, "replayed")
        .as_boolean()
        .iter()
        .flatten()
        .collect();
    assert_eq!(
        replayed,
        [true, true, false, false, false],
        "refusals are judged afresh"
    );
    assert_eq!(
        units(&again, "reservation_id"),
        units(&answer, "reservation_id")
    );
}

#[tokio::test]
async fn supply_events_are_put_and_answered_by_row() {
    let mut world = world().await;
    let events = table(vec![
        (
            "event",
            text(&[
                "adjust_on_hand",
                "schedule_receipt",
                "receive",
                "transfer",
                "dance",
            ]),
        ),
        ("request_id", ids(5)),
        ("item", text(&["tea", "tea", "", "tea", ""])),
        ("location", text(&["ams1", "rtm1", "", "ams1", ""])),
        ("to_location", text(&["", "", "", "rtm1", ""])),
        ("quantity", numbers(&[-3, 8, 2, 1, 1])),
        ("reason", text(&["sale", "", "", "", ""])),
        ("receipt_id", text(&["", "po-1", "po-1", "to-1", ""])),
        (
            "due_time_ms",
            numbers(&[
                0,
                crate::world::now_ms() + 1_000_000,
                0,
                crate::world::now_ms() + 1_000_000,
                0,
            ]),
        ),
    ]);
    let mut client = FlightServiceClient::new(world.channel.clone());
    let input = stream::iter(messages("supply", vec![events]).await);
    let results: Vec<_> = client
        .do_put(input)
        .await
        .expect("taken")
        .into_inner()
        .try_collect()
        .await
        .expect("put");
    let bytes = results[0].app_metadata.clone();
    let answer = StreamReader::try_new(std::io::Cursor::new(bytes), None)
        .expect("a stream")
        .next();
    let answer = answer.expect("a table").expect("sound");
    let errors: Vec<_> = column(&answer, "error").as_string::<i32>().iter().collect();
    assert_eq!(errors, [None, None, None, None, Some("INVALID_ARGUMENT")]);
    let on_hand = column(&answer, "on_hand")
        .as_primitive::<Int64Type>()
        .values()
        .to_vec();
    assert_eq!(on_hand[..3], [7, 0, 2]);
    assert_eq!(units(&answer, "receipt_open_quantity")[1..3], [8, 6]);
    assert_eq!(world.available("tea", "ams1").await, 6);
}

/// A nightly count whose join left nulls used to empty those positions.
#[tokio::test]
async fn a_quantity_that_is_missing_is_no_count_of_zero() {
    let mut world = world().await;
    let events = [
        "set_on_hand",
        "adjust_on_hand",
        "move_status",
        "schedule_receipt",
        "receive",
        "transfer",
        "return",
    ];
    let rows = events.len();
    let nulls: ArrayRef = Arc::new(Int64Array::new_null(rows));
    for quantity in [None, Some(nulls)] {
        let mut columns = vec![
            ("event", text(&events)),
            ("request_id", ids(rows)),
            ("item", text(&vec!["tea"; rows])),
            ("location", text(&vec!["ams1"; rows])),
        ];
        columns.extend(quantity.map(|nulls| ("quantity", nulls)));
        let answer = exchange(&world, "supply", vec![table(columns)])
            .await
            .expect("answered")
            .remove(0);
        let errors = column(&answer, "error").as_string::<i32>();
        let told = column(&answer, "message").as_string::<i32>();
        for (row, event) in events.iter().enumerate() {
            assert_eq!(errors.value(row), "INVALID_ARGUMENT", "{event}");
            let rule = format!("quantity is null, it is required by {event}, and a null is not 0");
            assert_eq!(told.value(row), rule);
        }
    }
    assert_eq!(world.available("tea", "ams1").await, 10);
    let zero = table(vec![
        ("event", text(&["set_on_hand"])),
        ("request_id", ids(1)),
        ("item", text(&["tea"])),
        ("location", text(&["ams1"])),
        ("quantity", numbers(&[0])),
    ]);
    let answer = exchange(&world, "supply", vec![zero])
        .await
        .expect("answered");
    assert!(column(&answer[0], "error").is_null(0), "{answer:?}");
    assert_eq!(world.available("tea", "ams1").await, 0);
}

#[tokio::test]
async fn the_state_comes_out_as_tables() {
    let mut world = world().await;
    world
        .promise
        .reserve(reserve("tea", "ams1", 4))
        .await
        .expect("held");
    world
        .promise
        .reserve(reserve("tea", "ams1", 40))
        .await
        .expect("refused");
    let get = async |ticket: &str| {
        let mut client = FlightServiceClient::new(world.channel.clone());
        let answers = client
            .do_get(Ticket::new(ticket.as_bytes().to_vec()))
            .await?
            .into_inner();
        let answers = answers.map_err(|status| FlightError::Tonic(Box::new(status)));
        let batches: Vec<RecordBatch> = FlightRecordBatchStream::new_from_flight_data(answers)
            .try_collect()
            .await
            .map_err(|error| tonic::Status::internal(error.to_string()))?;
        Ok::<_, tonic::Status>(batches)
    };
    let positions = get("positions").await.expect("a table").remove(0);
    assert_eq!(positions.num_rows(), 2);
    assert_eq!(units(&positions, "available"), [6, 4]);
    let one = get(r#"{"table": "positions", "location": "rtm1"}"#)
        .await
        .expect("a table")
        .remove(0);
    assert_eq!(column(&one, "item").as_string::<i32>().value(0), "rum");
    let reservations = get("reservations").await.expect("a table").remove(0);
    assert_eq!(units(&reservations, "open_quantity"), [4]);
    let unmet = get("unmet").await.expect("a table").remove(0);
    assert_eq!(
        (units(&unmet, "units"), units(&unmet, "lines")),
        (vec![40], vec![1])
    );
    assert_eq!(why(get("nope").await).1, "INVALID_ARGUMENT");
}

#[tokio::test]
async fn tables_that_make_no_sense_are_refused_as_a_whole() {
    let world = world().await;
    let no_location = table(vec![("item", text(&["tea"]))]);
    let misspelt = table(vec![("item", text(&["tea"])), ("locaton", text(&["ams1"]))]);
    let wrong_type = table(vec![("item", numbers(&[1])), ("location", text(&["ams1"]))]);
    for bad in [no_location, misspelt, wrong_type] {
        assert_eq!(
            why(exchange(&world, "check", vec![bad]).await).1,
            "INVALID_ARGUMENT"
        );
    }
    let sound = table(vec![
        ("item", text(&["tea"])),
        ("location", text(&["ams1"])),
    ]);
    assert_eq!(
        why(exchange(&world, "reserve", vec![sound.clone()]).await).1,
        "INVALID_ARGUMENT"
    );
    assert_eq!(
        why(exchange(&world, "dance", vec![sound]).await).1,
        "INVALID_ARGUMENT"
    );
}

#[tokio::test]
async fn dictionaries_without_end_are_refused_before_they_are_kept() {
    let world = world().await;
    let long: Vec<String> = (0..3_000)
        .map(|n| format!("{n:04}{}", "x".repeat(1_200)))
        .collect();
    let columns: Vec<(String, ArrayRef)> = (0..6)
        .map(|n| {
            let values: DictionaryArray<Int32Type> = long.iter().map(String::as_str).collect();
            (format!("column_{n}"), Arc::new(values) as ArrayRef)
        })
        .collect();
    let asked = RecordBatch::try_from_iter(columns).expect("columns of one length");
    let sent = messages("check", vec![asked]).await;
    let largest = sent.iter().map(|data| data.data_body.len()).max();
    assert!(largest < Some(4 << 20), "each message is small enough");
    let refused = send(&world, sent).await;
    let what = format!("{refused:?}");
    assert!(what.contains("dictionaries of the stream"), "{what}");
    assert_eq!(why(refused).1, "MALFORMED");
}

/// Sound messages with bits turned: an answer or an error, and never the end of the server.
#[tokio::test]
async fn damaged_tables_do_no_harm() {
    let world = world().await;
    let items: DictionaryArray<Int32Type> = ["tea", "rum", "tea"].into_iter().collect();
    let asked = table(vec![
        ("item", Arc::new(items) as ArrayRef),
        ("location", text(&["ams1", "rtm1", "ams1"])),
        ("quantity", numbers(&[1, 2, 3])),
    ]);
    let sound = messages("check", vec![asked.clone()]).await;
    let mut seed = 0xa5a5_1234_u64;
    let mut next = |n: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % n.max(1) as u64) as usize
    };
    let mut refused = 0;
    for _ in 0..400 {
        let mut damaged = sound.clone();
        let at = next(damaged.len());
        let message = &mut damaged[at];
        let part = if next(3) == 0 {
            &mut message.data_body
        } else {
            &mut message.data_header
        };
        let mut bytes = part.to_vec();
        for _ in 0..=next(4) {
            if !bytes.is_empty() {
                let place = next(bytes.len());
                bytes[place] ^= 1 << next(8);
            }
        }
        *part = bytes.into();
        refused += usize::from(send(&world, damaged).await.is_err());
    }
    assert!(refused > 50, "only {refused} were refused");
    let answer = exchange(&world, "check", vec![asked])
        .await
        .expect("still there")
        .remove(0);
    assert_eq!(units(&answer, "available"), [10, 4, 10]);
}

#[tokio::test]
async fn large_batches_leave_room_for_single_orders() {
    let mut world = world().await;
    world.stock("rum", "rtm1", 100_000).await;
    let rows = 20_000;
    let orders = table(vec![
        ("request_id", ids(rows)),
        ("item", text(&vec!["rum"; rows])),
        ("location", text(&vec!["rtm1"; rows])),
        ("quantity", numbers(&vec![1; rows])),
    ]);
    let sent = messages("reserve", vec![orders]).await;
    let mut client = FlightServiceClient::new(world.channel.clone());
    let mut answers = client
        .do_exchange(stream::iter(sent))
        .await
        .expect("opens")
        .into_inner();
    let mut between = 0;
    let held = loop {
        tokio::select! {
            biased;
            answer = answers.next() => match answer.expect("an answer").expect("no error") {
                message if message.data_body.is_empty() => {}
                _ => break between,
            },
            available = world.available("tea", "ams1") => {
                assert_eq!(available, 10);
                between += 1;
            }
        }
    };
    assert!(
        held > 3,
        "{held} checks were answered while {rows} orders were reserved"
    );
    assert_eq!(world.available("rum", "rtm1").await, 80_000);
}
