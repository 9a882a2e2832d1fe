//! RPC errors: their codes, and which comes first.

use bespeak_engine::limits::MAX_SOURCES;
use bespeak_proto::v1 as pb;
use tonic::Code;

use crate::world::{World, check, ctx, promise, reserve, why};

fn code(code: Code, reason: &str) -> (Code, String) {
    (code, reason.to_owned())
}

/// The first mistake that applies is the one that is told: what is not in this version, then the shape, the terms,
/// each line in its order, and what the engine knows.
#[tokio::test]
async fn a_reserve_with_many_mistakes_tells_the_first() {
    let mut world = World::new().await;
    world.put(&["tea"], &["ams1"]).await;
    let mut request = reserve("tea", "ams1", 0);
    request.context = None;
    request.confidence = f64::NAN;
    request.tier = 300;
    request.fill = 99;
    request.lines.push(pb::ReserveLine {
        item: "nope".into(),
        ..Default::default()
    });
    let invalid = code(Code::InvalidArgument, "INVALID_ARGUMENT");

    assert_eq!(
        why(world.promise.reserve(request.clone()).await),
        invalid,
        "a context is missing"
    );
    request.context = ctx();
    let later = code(Code::Unimplemented, "NOT_IN_THIS_VERSION");
    assert_eq!(why(world.promise.reserve(request.clone()).await), later);
    request.confidence = 0.0;
    let told = world
        .promise
        .reserve(request.clone())
        .await
        .expect_err("fill");
    assert!(
        told.message().starts_with("fill is 99"),
        "{}",
        told.message()
    );
    request.fill = 0;
    let told = world
        .promise
        .reserve(request.clone())
        .await
        .expect_err("tier");
    assert!(
        told.message().starts_with("tier is 300"),
        "{}",
        told.message()
    );
    request.tier = 0;
    let told = world
        .promise
        .reserve(request.clone())
        .await
        .expect_err("quantity");
    assert!(
        told.message().starts_with("lines[0].quantity is 0"),
        "{}",
        told.message()
    );
    request.lines[0].quantity = 1;
    let unknown = code(Code::NotFound, "UNKNOWN_ITEM");
    assert_eq!(why(world.promise.reserve(request.clone()).await), unknown);
    request.lines[1].item = "tea".into();
    assert_eq!(
        why(world.promise.reserve(request.clone()).await),
        invalid,
        "a location is missing"
    );
    request.lines[1].location = "lhr9".into();
    let unknown = code(Code::NotFound, "UNKNOWN_LOCATION");
    assert_eq!(why(world.promise.reserve(request.clone()).await), unknown);
    request.lines.truncate(1);
    assert!(world.promise.reserve(request).await.is_ok());
}

#[tokio::test]
async fn what_comes_in_a_later_version_is_unimplemented() {
    let mut world = World::new().await;
    world.put(&["tea"], &["ams1"]).await;
    let later = code(Code::Unimplemented, "NOT_IN_THIS_VERSION");
    macro_rules! method {
        ($service:ident.$method:ident($request:ty)) => {
            let call = world.$service.$method(<$request>::default()).await;
            assert_eq!(why(call), later, stringify!($method));
        };
    }
    method!(promise.repromise(pb::RepromiseRequest));
    method!(catalog.put_quota(pb::PutQuotaRequest));
    method!(catalog.put_protection(pb::PutProtectionRequest));
    method!(catalog.put_capacity(pb::PutCapacityRequest));

    /// Sends a message, whose other fields are sound, with one field set.
    macro_rules! field {
        ($service:ident.$method:ident($sound:expr), $([$part:ident])? $field:ident = $value:expr) => {{
            let mut request = $sound;
            request$(.$part.as_mut().expect("it is given"))?.$field = $value;
            let told = world.$service.$method(request).await;
            let message = told.as_ref().err().map_or("", |status| status.message()).to_owned();
            assert_eq!(why(told), later, stringify!($field));
            assert!(message.contains(stringify!($field)), "{message}");
        }};
    }
    field!(promise.check(check("tea", "ams1", 1)), confidence = 0.9);
    field!(
        promise.check(check("tea", "ams1", 1)),
        segment = "gold".into()
    );
    field!(
        promise.check(check("tea", "ams1", 1)),
        capable_to_promise = true
    );
    field!(promise.reserve(reserve("tea", "ams1", 1)), confidence = 0.9);
    field!(
        promise.promise(promise("tea", &["ams1"], 1)),
        confidence = 0.9
    );
    field!(
        promise.promise(promise("tea", &["ams1"], 1)),
        destination = "10115".into()
    );
    field!(
        promise.promise(promise("tea", &["ams1"], 1)),
        capable_to_promise = true
    );
    let item = || pb::PutItemRequest {
        context: ctx(),
        item: Some(pb::Item {
            item: "box".into(),
            ..Default::default()
        }),
    };
    field!(catalog.put_item(item()), [item] kit_components = vec!["tea".into()]);
    field!(catalog.put_item(item()), [item] substitutes = vec!["tea".into()]);
    field!(catalog.put_item(item()), [item] shelf_life_ms = 1);
    let location = || pb::PutLocationRequest {
        context: ctx(),
        location: Some(pb::Location {
            location: "rtm1".into(),
            ..Default::default()
        }),
    };
    field!(catalog.put_location(location()), [location] calendar = "nl".into());
    field!(catalog.put_location(location()), [location] cut_off_ms = Some(0));
    field!(catalog.put_location(location()), [location] processing_ms = 1);
    let rule = || pb::PutRuleRequest {
        context: ctx(),
        location: "ams1".into(),
        rule: Some(pb::SupplyRule::default()),
        ..Default::default()
    };
    field!(catalog.put_rule(rule()), [rule] supply_fence_ms = 1);

    assert!(world.catalog.put_item(item()).await.is_ok());
    assert!(world.catalog.put_location(location()).await.is_ok());
    assert!(world.catalog.put_rule(rule()).await.is_ok());
}

#[tokio::test]
async fn an_id_answers_once_and_for_one_body() {
    let mut world = World::new().await;
    world.put(&["tea"], &["ams1"]).await;
    world.stock("tea", "ams1", 10).await;
    let request = reserve("tea", "ams1", 3);
    let first = world
        .promise
        .reserve(request.clone())
        .await
        .expect("answered")
        .into_inner();
    let again = world
        .promise
        .reserve(request.clone())
        .await
        .expect("answered")
        .into_inner();
    assert_eq!(
        again,
        pb::ReserveResponse {
            replayed: true,
            ..first.clone()
        }
    );
    assert_eq!(world.available("tea", "ams1").await, 7);
    let mut other = request;
    other.lines[0].quantity = 4;
    let reused = code(Code::AlreadyExists, "REQUEST_ID_REUSED");
    assert_eq!(why(world.promise.reserve(other).await), reused);
    let mut bad = reserve("tea", "ams1", 1);
    bad.context = Some(pb::RequestContext {
        request_id: "not a uuid".into(),
        ..Default::default()
    });
    assert_eq!(
        why(world.promise.reserve(bad).await),
        code(Code::InvalidArgument, "INVALID_ARGUMENT")
    );
}

#[tokio::test]
async fn what_does_not_exist_is_not_found() {
    let mut world = World::new().await;
    world.put(&["tea"], &["ams1"]).await;
    let get = pb::GetReservationRequest { reservation_id: 77 };
    let unknown = code(Code::NotFound, "UNKNOWN_RESERVATION");
    assert_eq!(why(world.promise.get_reservation(get).await), unknown);
    let confirm = pb::ConfirmRequest {
        context: ctx(),
        reservation_id: 77,
    };
    assert_eq!(why(world.promise.confirm(confirm).await), unknown);
    let receive = pb::ReceiveRequest {
        context: ctx(),
        receipt_id: "po-1".into(),
        ..Default::default()
    };
    assert_eq!(
        why(world.supply.receive(receive).await),
        code(Code::NotFound, "UNKNOWN_RECEIPT")
    );
    let mut region = promise("tea", &[], 1);
    region.region = "benelux".into();
    assert_eq!(
        why(world.promise.promise(region).await),
        code(Code::NotFound, "UNKNOWN_REGION")
    );
    let item = pb::GetItemRequest {
        item: "nope".into(),
    };
    assert_eq!(
        why(world.catalog.get_item(item).await),
        code(Code::NotFound, "UNKNOWN_ITEM")
    );
}

#[tokio::test]
async fn a_source_event_counts_once() {
    let mut world = World::new().await;
    world.put(&["tea"], &["ams1"]).await;
    let event = |sequence| {
        let source = Some(pb::SourceSequence {
            source: "wms".into(),
            sequence,
        });
        pb::AdjustOnHandRequest {
            context: Some(pb::RequestContext {
                source,
                ..ctx().expect("a context")
            }),
            item: "tea".into(),
            location: "ams1".into(),
            delta: 5,
            reason: pb::AdjustReason::Found.into(),
            ..Default::default()
        }
    };
    for (sequence, duplicate, available) in
        [(1, false, 5), (3, false, 10), (1, true, 10), (2, false, 15)]
    {
        let answer = world
            .supply
            .adjust_on_hand(event(sequence))
            .await
            .expect("answered")
            .into_inner();
        assert_eq!(
            answer
                .result
                .map(|result| (result.duplicate, result.replayed)),
            Some((duplicate, duplicate)),
            "event {sequence}"
        );
        assert_eq!(
            world.available("tea", "ams1").await,
            available,
            "event {sequence}"
        );
    }
    // A write of master data under a number seen before is ignored like any other, and says so.
    let buffer = pb::PutBufferRequest {
        context: event(2).context,
        item: "tea".into(),
        location: "ams1".into(),
        quantity: 9,
        ..Default::default()
    };
    let answer = world.catalog.put_buffer(buffer).await.expect("answered");
    let result = answer.into_inner().result.expect("a result");
    assert!(result.duplicate && result.replayed);
    assert_eq!(world.available("tea", "ams1").await, 15);
    let stats = world
        .admin
        .get_stats(pb::GetStatsRequest::default())
        .await
        .expect("stats")
        .into_inner();
    let source = &stats.sources[0];
    assert_eq!(
        (source.highest_sequence, source.gaps, source.duplicates),
        (3, 0, 2)
    );
}

/// The limit of feeds is the one of the tables' that is soon reached; each table's own is tested in the engine.
#[tokio::test]
async fn a_table_that_is_full_is_told_as_such() {
    let mut world = World::new().await;
    world.put(&["tea"], &["ams1"]).await;
    let event = |feed: usize, sequence| pb::AdjustOnHandRequest {
        context: Some(pb::RequestContext {
            source: Some(pb::SourceSequence {
                source: format!("feed-{feed}"),
                sequence,
            }),
            ..ctx().expect("a context")
        }),
        item: "tea".into(),
        location: "ams1".into(),
        delta: 1,
        reason: pb::AdjustReason::Found.into(),
        ..Default::default()
    };
    for feed in 0..MAX_SOURCES {
        let told = world.supply.adjust_on_hand(event(feed, 1)).await;
        told.expect("there is room");
    }
    let full = code(Code::ResourceExhausted, "FULL");
    let told = world.supply.adjust_on_hand(event(MAX_SOURCES, 1)).await;
    assert_eq!(why(told), full);
    assert_eq!(world.available("tea", "ams1").await, MAX_SOURCES as u64);
    let told = world.supply.adjust_on_hand(event(0, 2)).await;
    told.expect("a feed that is known goes on");
}
