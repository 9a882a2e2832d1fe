//! Deadlines, limits and overload.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow_array::{ArrayRef, Date32Array, Float64Array, RecordBatch, StringArray};
use arrow_ipc::writer::StreamWriter;
use bespeak_engine::limits::MAX_LINES;
use bespeak_proto::v1 as pb;
use bespeak_proto::v1::forecast_service_client::ForecastServiceClient;
use bespeak_server::ServerConfig;
use bespeak_server::metrics::Shed;
use bytes::Bytes;
use tonic::Code;
use tonic_types::StatusExt;

use crate::raw::{self, framed};
use crate::world::{World, check, reserve, why};

const CHECK: &str = "/bespeak.v1.PromiseService/Check";
const RESERVE: &str = "/bespeak.v1.PromiseService/Reserve";

#[tokio::test]
async fn an_expired_request_is_not_executed() {
    let mut world = World::new().await;
    world.put(&["tea"], &["ams1"]).await;
    world.stock("tea", "ams1", 10).await;
    let mut raw = raw::connect(world.server.address()).await;
    let request = framed(&reserve("tea", "ams1", 4));
    let late = raw::call(
        &mut raw,
        RESERVE,
        &[("grpc-timeout", "0n")],
        request.clone(),
    )
    .await
    .expect("answered");
    assert_eq!(late.0, Code::DeadlineExceeded as i32);
    assert_eq!(world.available("tea", "ams1").await, 10);
    let wrong = raw::call(
        &mut raw,
        RESERVE,
        &[("grpc-timeout", "soon")],
        request.clone(),
    )
    .await
    .expect("answered");
    assert_eq!(wrong.0, Code::InvalidArgument as i32);
    let in_time = raw::call(&mut raw, RESERVE, &[("grpc-timeout", "1H")], request)
        .await
        .expect("answered");
    assert_eq!(in_time.0, 0);
    assert_eq!(world.available("tea", "ams1").await, 6);
}

/// A history of one item of one day, as an Arrow IPC stream.
pub fn history() -> Vec<u8> {
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("item_id", Arc::new(StringArray::from(vec!["tea"]))),
        ("timestamp", Arc::new(Date32Array::from(vec![20_000]))),
        ("target", Arc::new(Float64Array::from(vec![3.0]))),
    ];
    let batch = RecordBatch::try_from_iter(columns).expect("columns of one length");
    let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema()).expect("a stream");
    writer.write(&batch).expect("written");
    writer.into_inner().expect("ended")
}

/// A worker that takes connections and never answers keeps one forecast waiting, which holds the only permit.
#[tokio::test]
async fn what_is_too_much_is_shed_at_once_with_a_delay() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}", silent.local_addr().expect("its address"));
    let compute =
        serde_json::from_value(serde_json::json!({ "address": address })).expect("settings");
    let mut config = ServerConfig {
        compute: Some(compute),
        ..ServerConfig::local()
    };
    config.limits.in_flight = 1;
    let mut world = World::with(config).await;
    let mut forecasts = ForecastServiceClient::new(world.channel.clone());
    let request = pb::ForecastRequest {
        context: history().into(),
        horizon: 2,
        ..Default::default()
    };
    let slow = tokio::spawn(async move { forecasts.forecast(request).await });
    let metrics = Arc::clone(world.server.metrics());
    while metrics.in_flight.load(Ordering::Acquire) == 0 {
        tokio::task::yield_now().await;
    }
    let shed = world
        .promise
        .check(check("tea", "ams1", 1))
        .await
        .expect_err("no permit is left");
    assert_eq!(shed.code(), Code::ResourceExhausted);
    assert_eq!(metrics.shed_by(Shed::InFlight), 1);
    let details = shed.get_error_details();
    assert_eq!(
        details.error_info().map(|info| info.reason.as_str()),
        Some("OVERLOADED")
    );
    assert!(
        details
            .retry_info()
            .is_some_and(|retry| retry.retry_delay.is_some())
    );
    // The worker goes away, and the fallback answers and says so.
    drop(silent);
    let forecast = slow
        .await
        .expect("no panic")
        .expect("answered")
        .into_inner();
    assert_eq!(
        (forecast.fallback, &*forecast.made_by),
        (true, "climatology@1")
    );
    assert_eq!(metrics.fallbacks.load(Ordering::Relaxed), 1);
    let served = why(world.promise.check(check("tea", "ams1", 1)).await);
    assert_eq!(served.1, "UNKNOWN_ITEM", "the permit came back");
}

#[tokio::test]
async fn messages_and_lines_have_limits() {
    let mut config = ServerConfig::local();
    config.limits.message_bytes = 5 << 10;
    let mut world = World::with(config).await;
    world.put(&["tea"], &["ams1"]).await;
    let line = check("tea", "ams1", 1).lines.remove(0);
    let lines = |count| pb::CheckRequest {
        lines: vec![line.clone(); count],
        ..Default::default()
    };
    assert_eq!(
        why(world.promise.check(lines(MAX_LINES + 1)).await).1,
        "INVALID_ARGUMENT"
    );
    assert_eq!(
        why(world.promise.check(lines(0)).await).1,
        "INVALID_ARGUMENT"
    );
    let large = why(world.promise.check(lines(2_000)).await);
    assert_eq!(
        large,
        (Code::ResourceExhausted, "MESSAGE_TOO_LARGE".to_owned())
    );
    let answer = why(world.promise.check(lines(MAX_LINES)).await);
    assert_eq!(
        answer.1, "MESSAGE_TOO_LARGE",
        "an answer is limited as well"
    );
    assert!(world.promise.check(lines(100)).await.is_ok());
}

#[tokio::test]
async fn what_is_no_message_is_refused() {
    let world = World::new().await;
    let mut raw = raw::connect(world.server.address()).await;
    let compressed = Bytes::from_static(&[1, 0, 0, 0, 0]);
    let cases: [(&str, Bytes, Code); 7] = [
        (
            "/bespeak.v1.PromiseService/Nope",
            Bytes::new(),
            Code::Unimplemented,
        ),
        ("/", Bytes::new(), Code::Unimplemented),
        (CHECK, Bytes::new(), Code::InvalidArgument),
        (CHECK, Bytes::from_static(&[0, 0, 0]), Code::InvalidArgument),
        (
            CHECK,
            Bytes::from_static(&[0, 0, 0, 0, 3, 0xff, 0xff, 0xff]),
            Code::InvalidArgument,
        ),
        (
            CHECK,
            Bytes::from_static(&[0, 0, 0, 0, 0, 9, 9]),
            Code::InvalidArgument,
        ),
        (CHECK, compressed, Code::Unimplemented),
    ];
    for (path, body, code) in cases {
        let answer = raw::call(&mut raw, path, &[], body)
            .await
            .expect("answered");
        assert_eq!(answer.0, code as i32, "{path}: {}", answer.1);
    }
    let huge = Bytes::from_static(&[0, 0xff, 0xff, 0xff, 0xff, 1, 2, 3]);
    let answer = raw::call(&mut raw, CHECK, &[], huge)
        .await
        .expect("answered");
    assert_eq!(answer.0, Code::ResourceExhausted as i32, "{}", answer.1);
}

#[tokio::test]
async fn large_headers_are_refused_and_the_server_goes_on() {
    let mut world = World::new().await;
    world.put(&["tea"], &["ams1"]).await;
    let mut raw = raw::connect(world.server.address()).await;
    let long = "x".repeat(32 << 10);
    let refused = raw::call(
        &mut raw,
        CHECK,
        &[("x-long", &long)],
        framed(&check("tea", "ams1", 1)),
    )
    .await;
    assert!(refused.is_none_or(|(status, ..)| status != 0));
    assert!(world.promise.check(check("tea", "ams1", 1)).await.is_ok());
}

/// Random bytes as every unary method's message: an answer or an error, and never the end of the server.
#[tokio::test]
async fn random_bytes_do_no_harm() {
    let mut world = World::new().await;
    world.put(&["tea"], &["ams1"]).await;
    let mut raw = raw::connect(world.server.address()).await;
    let mut seed = 0x5eed_u64;
    let mut next = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let paths: Vec<String> = bespeak_server::method::Method::ALL
        .iter()
        .filter(|method| method.name().starts_with("bespeak."))
        .map(|method| format!("/{}", method.name()))
        .collect();
    for round in 0..1_500 {
        let path = &paths[(next() % paths.len() as u64) as usize];
        let mut message: Vec<u8> = framed(&reserve("tea", "ams1", 1)).to_vec();
        match round % 3 {
            0 => message = (0..next() % 64).map(|_| next() as u8).collect(),
            1 => {
                let at = (next() % message.len() as u64) as usize;
                message[at] ^= 1 << (next() % 8);
            }
            _ => {
                let body: Vec<u8> = (0..next() % 48).map(|_| next() as u8).collect();
                message = [0, 0, 0, 0, body.len() as u8]
                    .into_iter()
                    .chain(body)
                    .collect();
            }
        }
        let answer = raw::call(&mut raw, path, &[], message.into()).await;
        let (status, told, _) = answer.unwrap_or_else(|| panic!("{path} of round {round} was cut"));
        // On a stream, a compressed message without its encoding is a broken protocol, which gRPC calls INTERNAL.
        let is_stream = ["Session", "WatchAvailability", "SubmitOrders"]
            .iter()
            .any(|name| path.ends_with(name));
        let broken = status == Code::Internal as i32 && !is_stream;
        assert!(
            (0..=16).contains(&status) && !broken,
            "{path}: {status} {told}"
        );
    }
    assert!(world.promise.check(check("tea", "ams1", 1)).await.is_ok());
}
