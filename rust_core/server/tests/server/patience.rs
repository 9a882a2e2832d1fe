//! Callers that hold on to a server without asking anything of it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::Ordering;

use bespeak_proto::v1 as pb;
use bespeak_server::ServerConfig;
use bespeak_server::config::Limits;
use bespeak_server::metrics::{Shed, Turned};
use bytes::Bytes;
use futures_util::future::{Either, select};
use futures_util::{Stream, StreamExt, stream};
use http_body_util::StreamBody;
use hyper::body::Frame;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tonic::Code;
use tonic_types::StatusExt;

use crate::raw;
use crate::world::{PATIENCE, World, check, connect, why};

const CHECK: &str = "/bespeak.v1.PromiseService/Check";
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const EMPTY_SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
const PING: u8 = 6;
const GOAWAY: u8 = 7;

/// A server with these limits that are not the defaults.
async fn limited(set: impl FnOnce(&mut Limits)) -> World {
    let mut config = ServerConfig::local();
    set(&mut config.limits);
    World::with(config).await
}

/// Sends `greeting` and nothing more; gives the kinds of frames that came until the server closed the connection.
async fn silent(address: SocketAddr, greeting: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.expect("connects");
    stream.write_all(greeting).await.expect("sent");
    let mut came = Vec::new();
    // How a connection ends, by a reset or in order, is the system's business.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut came))
        .await
        .expect("the server closes it");
    let mut kinds = Vec::new();
    let mut rest = came.as_slice();
    while let [a, b, c, kind, ..] = *rest {
        kinds.push(kind);
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        rest = rest.get(9 + length..).unwrap_or_default();
    }
    kinds
}

#[tokio::test]
async fn silent_connections_are_closed() {
    let world = limited(|limits| limits.handshake_ms = 50).await;
    for greeting in [&b""[..], &PREFACE[..10], b"GET / HTTP/1.1\r\n\r\n"] {
        silent(world.server.address(), greeting).await;
    }
    assert!(world.server.metrics().turned_away_by(Turned::Timeout) >= 2);

    let greeting = [PREFACE, EMPTY_SETTINGS].concat();
    let world = limited(|limits| {
        limits.keep_alive_ms = 50;
        limits.keep_alive_timeout_ms = 50;
    })
    .await;
    assert!(
        silent(world.server.address(), &greeting)
            .await
            .contains(&PING)
    );

    let world = limited(|limits| {
        limits.handshake_ms = 50;
        limits.connection_age_ms = 100;
        limits.connection_grace_ms = 50;
    })
    .await;
    let kinds = silent(world.server.address(), &greeting).await;
    assert!(kinds.contains(&GOAWAY), "{kinds:?}");
}

#[tokio::test]
async fn a_connection_over_the_limit_is_closed_and_the_others_go_on() {
    let mut world = limited(|limits| limits.connections = 2).await;
    world.put(&["tea"], &["ams1"]).await;
    let second = connect(&world.server).await;
    assert_eq!(silent(world.server.address(), b"").await, [0u8; 0]);
    let metrics = world.server.metrics();
    assert_eq!(metrics.turned_away_by(Turned::Limit), 1);
    assert_eq!(metrics.turned_away_by(Turned::Timeout), 0);
    drop(second);
    while metrics.connections.load(Ordering::Acquire) > 1 {
        tokio::task::yield_now().await;
    }
    drop(connect(&world.server).await);
    assert!(world.promise.check(check("tea", "ams1", 1)).await.is_ok());
}

type Slow = StreamBody<Pin<Box<dyn Stream<Item = Result<Frame<Bytes>, Infallible>> + Send>>>;

/// A message of `length` bytes of which one never comes.
fn unfinished(length: u32) -> http::Request<Slow> {
    let mut begin = vec![0];
    begin.extend(length.to_be_bytes());
    begin.resize(5 + length as usize - 1, 0);
    let frames = stream::iter([Ok(Frame::data(Bytes::from(begin)))]).chain(stream::pending());
    http::Request::post(format!("http://server{CHECK}"))
        .header("content-type", "application/grpc")
        .body(StreamBody::new(Box::pin(frames) as _))
        .expect("a request")
}

#[tokio::test]
async fn a_message_that_does_not_come_is_given_up() {
    let world = limited(|limits| limits.request_body_ms = 50).await;
    let mut sender = raw::connect::<Slow>(world.server.address()).await;
    let answer = sender
        .send_request(unfinished(100))
        .await
        .expect("answered");
    let (status, message, _) = raw::told(answer).await.expect("answered");
    assert_eq!(status, Code::InvalidArgument as i32);
    assert!(message.contains("50"), "{message}");
    let in_flight = &world.server.metrics().in_flight;
    assert_eq!(in_flight.load(Ordering::Acquire), 0);
}

#[tokio::test]
async fn messages_that_have_not_arrived_share_a_budget() {
    let world = limited(|limits| limits.buffered_bytes = 8 << 10).await;
    let mut one = raw::connect::<Slow>(world.server.address()).await;
    let mut other = raw::connect::<Slow>(world.server.address()).await;
    let calls = select(
        Box::pin(one.send_request(unfinished(6 << 10))),
        Box::pin(other.send_request(unfinished(6 << 10))),
    );
    let (answer, left) = match calls.await {
        Either::Left((answer, left)) | Either::Right((answer, left)) => (answer, left),
    };
    let (status, ..) = raw::told(answer.expect("answered"))
        .await
        .expect("answered");
    assert_eq!(status, Code::ResourceExhausted as i32);
    assert_eq!(world.server.metrics().shed_by(Shed::Buffered), 1);
    // Whoever gives up gives its share back.
    drop((left, one, other));
    let mut raw = raw::connect(world.server.address()).await;
    let large = vec![b'x'; 7 << 10];
    loop {
        let body = [&[0, 0, 0, 0x1c, 0][..], &large].concat();
        let (status, ..) = raw::call(&mut raw, CHECK, &[], body.into())
            .await
            .expect("answered");
        if status != Code::ResourceExhausted as i32 {
            assert_eq!(
                status,
                Code::InvalidArgument as i32,
                "it arrived and is nonsense"
            );
            break;
        }
    }
}

#[tokio::test]
async fn open_streams_have_a_limit() {
    let mut world = limited(|limits| {
        limits.open_streams = 1;
        limits.retry_ms = 70;
    })
    .await;
    let (asks, requests) = tokio::sync::mpsc::channel::<pb::SessionRequest>(1);
    let requests = tokio_stream::wrappers::ReceiverStream::new(requests);
    let mut first = world
        .promise
        .session(requests)
        .await
        .expect("opens")
        .into_inner();
    let full = world
        .promise
        .session(stream::empty())
        .await
        .expect_err("one is open");
    let retry = full
        .get_error_details()
        .retry_info()
        .and_then(|info| info.retry_delay);
    assert_eq!(retry.map(|delay| delay.as_millis()), Some(70));
    assert_eq!(
        why(Err::<(), _>(full)),
        (Code::ResourceExhausted, "OVERLOADED".to_owned())
    );
    drop(asks);
    assert!(first.message().await.expect("ends well").is_none());
    while world.server.metrics().open_streams.load(Ordering::Acquire) > 0 {
        tokio::task::yield_now().await;
    }
    assert!(world.promise.session(stream::empty()).await.is_ok());
}
