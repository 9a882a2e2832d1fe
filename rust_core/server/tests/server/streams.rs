//! Sessions, watching, health, reflection, metrics and the drain.

use bespeak_proto::v1 as pb;
use bespeak_proto::v1::session_request::Request as Ask;
use bespeak_proto::v1::session_response::Response as Answer;
use bespeak_server::ServerConfig;
use tokio_stream::StreamExt;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::world::{World, check, connect, ctx, metrics_page, reserve, start, why};

fn ask(request: Ask) -> pb::SessionRequest {
    pb::SessionRequest {
        request: Some(request),
    }
}

#[tokio::test]
async fn a_session_answers_in_the_order_of_its_requests() {
    let mut world = World::new().await;
    world.put(&["tea"], &["ams1"]).await;
    world.stock("tea", "ams1", 50).await;
    let requests: Vec<_> = (0..300)
        .map(|n| match n % 3 {
            0 => ask(Ask::Reserve(reserve("tea", "ams1", 1))),
            1 => ask(Ask::Check(check("tea", "ams1", 1))),
            _ => ask(Ask::Check(check("nope", "ams1", 1))),
        })
        .collect();
    let mut answers = world
        .promise
        .session(tokio_stream::iter(requests))
        .await
        .expect("opens")
        .into_inner();
    let mut left = 50;
    for n in 0..300 {
        match (
            n % 3,
            answers
                .message()
                .await
                .expect("goes on")
                .and_then(|answer| answer.response),
        ) {
            (0, Some(Answer::Reserve(answer))) => {
                let expected = if left > 0 {
                    pb::Outcome::Full
                } else {
                    pb::Outcome::Refused
                };
                assert_eq!(answer.outcome(), expected);
                left -= i32::from(left > 0);
            }
            (1, Some(Answer::Check(answer))) => {
                assert_eq!(answer.results[0].available, left as u64)
            }
            (2, Some(Answer::Error(error))) => {
                assert_eq!((error.status, &*error.code), (5, "UNKNOWN_ITEM"))
            }
            (_, other) => panic!("answer {n} is {other:?}"),
        }
    }
    assert!(answers.message().await.expect("ends well").is_none());
}

#[tokio::test]
async fn a_watcher_is_told_of_what_it_asked_for() {
    let mut world = World::new().await;
    world.put(&["tea", "rum"], &["ams1"]).await;
    let unknown = pb::WatchAvailabilityRequest {
        items: vec!["nope".into()],
        ..Default::default()
    };
    assert_eq!(
        why(world.promise.watch_availability(unknown).await).1,
        "UNKNOWN_ITEM"
    );
    let request = pb::WatchAvailabilityRequest {
        items: vec!["tea".into()],
        ..Default::default()
    };
    let mut news = world
        .promise
        .watch_availability(request)
        .await
        .expect("watches")
        .into_inner();
    world.stock("rum", "ams1", 7).await;
    world.stock("tea", "ams1", 5).await;
    let told = news.message().await.expect("goes on").expect("news");
    assert_eq!(
        (&*told.item, &*told.location, told.available, told.resync),
        ("tea", "ams1", 5, false)
    );
    let held = world
        .promise
        .reserve(reserve("tea", "ams1", 2))
        .await
        .expect("held")
        .into_inner();
    let told = news.message().await.expect("goes on").expect("news");
    assert_eq!(told.available, 3);
    assert!(told.revision >= held.revision);
}

#[tokio::test]
async fn a_slow_watcher_is_told_to_check_again() {
    let mut config = ServerConfig::local();
    config.limits.watch_queue = 1;
    let mut world = World::with(config).await;
    let names: Vec<String> = (0..200).map(|n| format!("item-{n:03}")).collect();
    let items: Vec<&str> = names.iter().map(String::as_str).collect();
    world.put(&items, &["ams1"]).await;
    let mut news = world
        .promise
        .watch_availability(pb::WatchAvailabilityRequest::default())
        .await
        .expect("watches")
        .into_inner();
    for item in &items {
        world.stock(item, "ams1", 1).await;
    }
    // All at once: one record that touches every position is more than the queue holds.
    let lines = items.iter().map(|item| pb::ReserveLine {
        item: (*item).to_owned(),
        location: "ams1".into(),
        quantity: 1,
        ..Default::default()
    });
    let order = pb::ReserveRequest {
        context: ctx(),
        lines: lines.collect(),
        ..Default::default()
    };
    let held = world
        .promise
        .reserve(order)
        .await
        .expect("held")
        .into_inner();
    assert_eq!(held.outcome(), pb::Outcome::Full);
    while !news.message().await.expect("goes on").expect("news").resync {}
    assert_eq!(world.available("item-007", "ams1").await, 0);
}

#[tokio::test]
async fn health_says_serving_and_then_not() {
    let world = World::new().await;
    let mut health = HealthClient::new(world.channel.clone());
    for service in [
        "",
        "bespeak.v1.PromiseService",
        "arrow.flight.protocol.FlightService",
    ] {
        let request = HealthCheckRequest {
            service: service.into(),
        };
        let answer = health.check(request).await.expect("answers").into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{service}");
    }
    let mut watch = health
        .watch(HealthCheckRequest::default())
        .await
        .expect("watches")
        .into_inner();
    let status = watch
        .message()
        .await
        .expect("goes on")
        .expect("a status")
        .status();
    assert_eq!(status, ServingStatus::Serving);
    world.server.drain();
    let status = watch
        .message()
        .await
        .expect("goes on")
        .expect("a status")
        .status();
    assert_eq!(status, ServingStatus::NotServing);
}

#[tokio::test]
async fn a_drain_ends_streams_and_finishes_calls() {
    let mut world = World::new().await;
    world.put(&["tea"], &["ams1"]).await;
    let mut news = world
        .promise
        .watch_availability(pb::WatchAvailabilityRequest::default())
        .await
        .expect("watches")
        .into_inner();
    let (requests, input) = tokio::sync::mpsc::channel(8);
    let input = tokio_stream::wrappers::ReceiverStream::new(input);
    let mut session = world
        .promise
        .session(input)
        .await
        .expect("opens")
        .into_inner();
    requests
        .send(ask(Ask::Check(check("tea", "ams1", 1))))
        .await
        .expect("open");
    assert!(matches!(
        session
            .message()
            .await
            .expect("goes on")
            .and_then(|a| a.response),
        Some(Answer::Check(_))
    ));
    world.server.drain();
    let ended = news
        .next()
        .await
        .expect("a last word")
        .expect_err("draining");
    assert_eq!(ended.code(), tonic::Code::Unavailable);
    assert_eq!(
        session.message().await.expect_err("draining").code(),
        tonic::Code::Unavailable
    );
    world.server.wait().expect("ends well");
    assert!(
        world.promise.check(check("tea", "ams1", 1)).await.is_err(),
        "nobody is there any more"
    );
}

#[tokio::test]
async fn reflection_knows_the_services() {
    use tonic_reflection::pb::v1::ServerReflectionRequest;
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
    let world = World::new().await;
    let mut client = ServerReflectionClient::new(world.channel.clone());
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut answers = client
        .server_reflection_info(tokio_stream::iter([request]))
        .await
        .expect("opens")
        .into_inner();
    let answer = answers
        .message()
        .await
        .expect("goes on")
        .and_then(|answer| answer.message_response);
    let Some(MessageResponse::ListServicesResponse(list)) = answer else {
        panic!("{answer:?}")
    };
    let names: Vec<_> = list
        .service
        .into_iter()
        .map(|service| service.name)
        .collect();
    assert!(
        names.contains(&"bespeak.v1.PromiseService".to_owned()),
        "{names:?}"
    );
}

#[tokio::test]
async fn the_metrics_page_counts() {
    let mut config = ServerConfig::local();
    config.metrics_listen = Some(([127, 0, 0, 1], 0).into());
    let mut world = World::with(config).await;
    world.put(&["tea"], &["ams1"]).await;
    world.stock("tea", "ams1", 1).await;
    world
        .promise
        .reserve(reserve("tea", "ams1", 5))
        .await
        .expect("an answer");
    why(world.promise.check(check("nope", "ams1", 1)).await);
    let page = metrics_page(&world.server).await;
    for line in [
        r#"bespeak_requests_total{method="bespeak.v1.PromiseService/Check",code="NotFound"} 1"#,
        r#"bespeak_requests_total{method="bespeak.v1.PromiseService/Check",code="Unavailable"} 0"#,
        r#"bespeak_requests_total{method="bespeak.v1.PromiseService/Confirm",code="Internal"} 0"#,
        r#"bespeak_request_seconds_count{method="bespeak.v1.PromiseService/Reserve"} 1"#,
        r#"bespeak_refusals_total{refusal="INSUFFICIENT_STOCK"} 1"#,
        "bespeak_positions 1",
        "bespeak_serving 1",
        "bespeak_replay_lag_records 0",
        "# EOF",
    ] {
        assert!(page.contains(line), "{line} is missing from {page}");
    }
}

#[tokio::test]
async fn a_port_that_is_taken_is_said_at_the_start() {
    let first = start(ServerConfig::local());
    let taken = ServerConfig {
        listen: first.address(),
        ..ServerConfig::local()
    };
    let error = bespeak_server::Server::start(taken)
        .expect_err("taken")
        .to_string();
    assert!(error.contains("cannot listen"), "{error}");
    drop(connect(&first).await);
}
