//! Who takes much, or leaves in the middle: others are served, and what was done is told.

use std::io::Cursor;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, DictionaryArray, Int32Array, RecordBatch};
use arrow_flight::PutResult;
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use bespeak_proto::v1 as pb;
use bespeak_proto::v1::forecast_service_client::ForecastServiceClient;
use bespeak_proto::v1::promise_service_client::PromiseServiceClient;
use bespeak_proto::v1::session_request::Request as Ask;
use bespeak_server::allocation::Caller;
use bespeak_server::metrics::Shed;
use bespeak_server::store::Surroundings;
use bespeak_server::{ServerConfig, ServerHandle};
use futures_util::{TryStreamExt, stream};
use tokio::time::{sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;
use tonic::transport::Channel;

use crate::flight::{column, ids, messages, numbers, table, text};
use crate::journal::durable;
use crate::limits::history;
use crate::recovery::Held;
use crate::world::{PATIENCE, World, check, ctx, reserve, why};

async fn until(mut holds: impl FnMut() -> bool) {
    let wait = async {
        while !holds() {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, wait).await.expect("it comes");
}

fn in_flight(server: &ServerHandle) -> i64 {
    server.metrics().in_flight.load(Ordering::Acquire)
}

/// Its window is full after a few answers, and it never makes room.
#[tokio::test]
async fn a_session_that_nobody_reads_takes_no_place_of_others() {
    let dir = tempfile::tempdir().expect("a directory");
    for mut config in [ServerConfig::local(), durable(&dir)] {
        config.limits.in_flight = 64;
        let mut world = World::with(config).await;
        world.put(&["tea"], &["ams1"]).await;
        world.stock("tea", "ams1", 10_000).await;
        let address = format!("http://{}", world.server.address());
        let narrow = Channel::from_shared(address)
            .expect("own address")
            .initial_stream_window_size(1_024)
            .connect()
            .await
            .expect("connects");
        let asks = (0..5_000).map(|_| pb::SessionRequest {
            request: Some(Ask::Reserve(reserve("tea", "ams1", 1))),
        });
        let asks: Vec<_> = asks.collect();
        let mut client = PromiseServiceClient::new(narrow);
        let unread = client
            .session(tokio_stream::iter(asks))
            .await
            .expect("opens");
        // While it is taken up it may have all the places; it rests once its answers fill the window.
        let rests = async {
            let (mut left, mut same) = (10_000, 0);
            while same < 50 {
                match world.promise.check(check("tea", "ams1", 0)).await {
                    Ok(answer) => {
                        let now = answer.into_inner().results[0].available;
                        same = if now == left && now < 10_000 {
                            same + 1
                        } else {
                            0
                        };
                        left = now;
                    }
                    Err(shed) => assert_eq!(shed.code(), Code::ResourceExhausted, "{shed}"),
                }
            }
        };
        timeout(PATIENCE, rests).await.expect("it begins and rests");
        until(|| in_flight(&world.server) == 0).await;
        for _ in 0..20 {
            let served = world.promise.check(check("tea", "ams1", 1)).await;
            assert!(served.is_ok(), "{served:?}");
        }
        assert!(world.available("tea", "ams1").await > 5_000, "not all");
        drop(unread);
    }
}

/// One permit, which a forecast holds whose worker never answers.
#[tokio::test]
async fn a_later_table_of_a_stream_waits_for_its_turn() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}", silent.local_addr().expect("its address"));
    let compute = serde_json::json!({ "address": address });
    let mut config = ServerConfig {
        compute: Some(serde_json::from_value(compute).expect("settings")),
        ..ServerConfig::local()
    };
    config.limits.in_flight = 1;
    let mut world = World::with(config).await;
    world.put(&["tea"], &["ams1"]).await;
    world.stock("tea", "ams1", 10).await;
    let order = || {
        table(vec![
            ("request_id", ids(1)),
            ("item", text(&["tea"])),
            ("location", text(&["ams1"])),
            ("quantity", numbers(&[4])),
        ])
    };
    let mut sent = messages("reserve", vec![order(), order()]).await;
    let second = sent.pop().expect("a schema and two tables");
    let (asks, input) = tokio::sync::mpsc::channel(8);
    for message in sent {
        asks.send(message).await.expect("open");
    }
    let mut answers = FlightServiceClient::new(world.channel.clone())
        .do_exchange(ReceiverStream::new(input))
        .await
        .expect("opens")
        .into_inner();
    let mut first = answers.message().await.expect("goes on");
    while first.is_some_and(|message| message.data_body.is_empty()) {
        first = answers.message().await.expect("goes on");
    }
    let mut forecasts = ForecastServiceClient::new(world.channel.clone());
    let request = pb::ForecastRequest {
        context: history().into(),
        horizon: 2,
        ..Default::default()
    };
    let slow = tokio::spawn(async move { forecasts.forecast(request).await });
    until(|| in_flight(&world.server) == 1).await;
    asks.send(second).await.expect("open");
    let early = timeout(Duration::from_millis(100), answers.message()).await;
    assert!(early.is_err(), "it waits: {early:?}");
    // The worker goes away, and the fallback answers.
    drop(silent);
    slow.await.expect("no panic").expect("answered");
    let later = answers.message().await.expect("goes on");
    assert!(later.is_some_and(|message| !message.data_body.is_empty()));
    assert_eq!(world.available("tea", "ams1").await, 2);
}

#[tokio::test]
async fn the_answers_of_a_put_come_in_parts_that_can_be_sent() {
    const ROWS: usize = 600;
    const MESSAGE_BYTES: usize = 64 << 10;
    let mut config = ServerConfig::local();
    config.limits.message_bytes = MESSAGE_BYTES;
    let mut world = World::with(config).await;
    world.put(&["tea"], &["ams1"]).await;
    let unknown = "x".repeat(60);
    let all = |first: &str, others: &str| {
        let others = std::iter::repeat_n(others, ROWS - 1);
        let values: DictionaryArray<Int32Type> = std::iter::once(first).chain(others).collect();
        Arc::new(values) as ArrayRef
    };
    let events = table(vec![
        ("event", all("set_on_hand", "set_on_hand")),
        ("request_id", ids(ROWS)),
        ("item", all("tea", &unknown)),
        ("location", all("ams1", "ams1")),
        ("quantity", numbers(&[7; ROWS])),
    ]);
    let input = stream::iter(messages("supply", vec![events]).await);
    let results: Vec<PutResult> = FlightServiceClient::new(world.channel.clone())
        .do_put(input)
        .await
        .expect("taken")
        .into_inner()
        .try_collect()
        .await
        .expect("every part can be sent");
    let bytes = results.iter().map(|result| result.app_metadata.len());
    assert!(
        bytes.clone().sum::<usize>() > MESSAGE_BYTES,
        "it is too much for one"
    );
    assert!(
        bytes.clone().all(|bytes| bytes <= MESSAGE_BYTES / 2),
        "{results:?}"
    );
    let mut codes = Vec::new();
    for result in results {
        let mut reader =
            StreamReader::try_new(Cursor::new(result.app_metadata), None).expect("a stream");
        let part = reader.next().expect("a table").expect("sound");
        let errors = column(&part, "error").as_string::<i32>();
        codes.extend(errors.iter().map(|code| code.map(str::to_owned)));
    }
    assert_eq!(codes.len(), ROWS);
    assert_eq!(codes[0], None);
    assert!(
        codes[1..]
            .iter()
            .all(|code| code.as_deref() == Some("UNKNOWN_ITEM"))
    );
    assert_eq!(world.available("tea", "ams1").await, 7);
}

#[tokio::test]
async fn few_calls_at_once_read_the_whole_journal() {
    let dir = tempfile::tempdir().expect("a directory");
    let held = Held::new(&dir);
    held.release();
    let around = Surroundings {
        storage: Some(Arc::clone(&held) as _),
        ..Default::default()
    };
    let mut world = World::within(durable(&dir), around).await;
    world.put(&["tea"], &["ams1"]).await;
    held.shut();
    let admin = world.admin.clone();
    let reconcile = move || {
        let mut admin = admin.clone();
        tokio::spawn(async move { admin.reconcile(pb::ReconcileRequest::default()).await })
    };
    let calls = [reconcile(), reconcile()];
    until(|| held.is_asked() && in_flight(&world.server) == 2).await;
    let full = reconcile().await.expect("no panic");
    assert_eq!(
        why(full),
        (Code::ResourceExhausted, "OVERLOADED".to_owned())
    );
    let stats = |with_digest| pb::GetStatsRequest { with_digest };
    let digest = why(world.admin.get_stats(stats(true)).await);
    assert_eq!(digest.1, "OVERLOADED");
    assert_eq!(world.server.metrics().shed_by(Shed::Journal), 2);
    assert!(world.admin.get_stats(stats(false)).await.is_ok());
    // Whoever leaves makes no room: the work goes on.
    for call in calls {
        call.abort();
        assert!(call.await.is_err_and(|error| error.is_cancelled()));
    }
    assert!(world.promise.check(check("tea", "ams1", 1)).await.is_ok());
    let full = reconcile().await.expect("no panic");
    assert_eq!(why(full).1, "OVERLOADED");
    assert_eq!(in_flight(&world.server), 2);
    held.release();
    until(|| in_flight(&world.server) == 0).await;
    assert!(reconcile().await.expect("no panic").is_ok());
}

fn written(batch: &RecordBatch) -> Vec<u8> {
    let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema()).expect("a stream");
    writer.write(batch).expect("written");
    writer.into_inner().expect("ended")
}

/// An error would say that nothing was done.
#[tokio::test]
async fn a_batch_whose_caller_leaves_tells_what_is_held_of_it() {
    const ORDERS: usize = 4_000;
    let mut world = World::new().await;
    world.put(&["tea"], &["ams1"]).await;
    world.stock("tea", "ams1", ORDERS as u64).await;
    let names: Vec<String> = (0..ORDERS).map(|n| format!("o{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let orders = table(vec![
        ("order_id", text(&names)),
        (
            "line",
            Arc::new(Int32Array::from(vec![1; ORDERS])) as ArrayRef,
        ),
        ("item", text(&["tea"; ORDERS])),
        ("quantity", numbers(&[1; ORDERS])),
        ("unfilled_minor", numbers(&[1_000; ORDERS])),
        ("zone", text(&["north"; ORDERS])),
    ]);
    let rates = table(vec![
        ("location", text(&["ams1"])),
        ("zone", text(&["north"])),
        ("package_minor", numbers(&[1])),
    ]);
    let request = pb::AllocateRequest {
        orders: written(&orders).into(),
        network: Some(pb::Network {
            rates: written(&rates).into(),
            ..Default::default()
        }),
        hold: Some(pb::AllocationHold {
            context: ctx(),
            ..Default::default()
        }),
        budget_ms: 200,
        ..Default::default()
    };
    let api = world.server.api().expect("is ready");
    let held = || {
        let held = api.store().partition().peek(|state| state.stats().held);
        held.expect("is open") as usize
    };
    let gone = AtomicBool::new(false);
    let caller = Caller {
        gone: Some(&gone),
        ..Caller::default()
    };
    let end = Instant::now() + PATIENCE;
    let told = std::thread::scope(|scope| {
        scope.spawn(|| {
            while held() == 0 && Instant::now() < end {
                std::thread::yield_now();
            }
            gone.store(true, Ordering::Relaxed);
        });
        api.allocate(&request, &caller)
    });
    let told = told.result.expect("what is held is told");
    let reserved = held();
    assert!((1..ORDERS).contains(&reserved), "{reserved} are held");
    let (done, open): (Vec<_>, Vec<_>) = told
        .held
        .iter()
        .partition(|order| order.reservation_id != 0);
    assert_eq!((done.len(), open.len()), (reserved, ORDERS - reserved));
    assert!(open.iter().all(|order| order.refusal == 0));
    assert_eq!(told.lines_filled as usize, reserved);
    // Sent again under the same id, the rest is held, and nothing twice.
    let again = api.allocate(&request, &Caller::default());
    let again = again.result.expect("held");
    assert_eq!(held(), ORDERS);
    let replayed = again.held.iter().filter(|order| order.replayed).count();
    assert_eq!(replayed, reserved);
    // Who left before anything was held is told so.
    let other = pb::AllocateRequest {
        hold: Some(pb::AllocationHold {
            context: ctx(),
            ..Default::default()
        }),
        ..request
    };
    let late = api.allocate(&other, &caller).result;
    assert_eq!(
        late.err().map(|error| error.code()),
        Some("DEADLINE_PASSED")
    );
    assert_eq!(held(), ORDERS);
}
