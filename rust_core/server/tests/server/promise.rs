//! The life of a promise over gRPC.

use bespeak_proto::v1 as pb;

use crate::world::{World, check, ctx, promise, reserve};

#[tokio::test]
async fn an_order_is_checked_held_confirmed_and_fulfilled() {
    let mut world = World::new().await;
    world.put(&["tea"], &["ams1", "rtm1"]).await;
    world.stock("tea", "ams1", 10).await;
    world.stock("tea", "rtm1", 5).await;

    let answer = world
        .promise
        .check(check("tea", "ams1", 4))
        .await
        .expect("checked")
        .into_inner();
    assert_eq!(
        (answer.results[0].available, answer.results[0].in_full),
        (10, true)
    );
    assert_eq!(answer.results[0].item, "tea");

    let held = world
        .promise
        .promise(promise("tea", &["rtm1", "ams1"], 8))
        .await
        .expect("promised")
        .into_inner();
    assert_eq!(held.outcome(), pb::Outcome::Full);
    assert_eq!(held.state(), pb::ReservationState::Held);
    assert_eq!(held.lines[0].parts[0].location, "ams1");
    assert!(held.expires_at_ms > held.engine_time_ms);
    assert_eq!(world.available("tea", "ams1").await, 2);

    let id = held.reservation_id;
    let request = pb::ConfirmRequest {
        context: ctx(),
        reservation_id: id,
    };
    let confirmed = world
        .promise
        .confirm(request)
        .await
        .expect("confirmed")
        .into_inner();
    assert_eq!(confirmed.refusal(), pb::Refusal::Unspecified);
    assert!(confirmed.revision > held.revision);

    let request = pb::FulfilRequest {
        context: ctx(),
        reservation_id: id,
        ..Default::default()
    };
    let fulfilled = world
        .promise
        .fulfil(request)
        .await
        .expect("fulfilled")
        .into_inner();
    assert_eq!(fulfilled.state(), pb::ReservationState::Fulfilled);
    assert_eq!(world.available("tea", "ams1").await, 2);
}

#[tokio::test]
async fn a_shortage_is_an_answer_with_what_is_left() {
    let mut world = World::new().await;
    world.put(&["tea"], &["ams1"]).await;
    world.stock("tea", "ams1", 3).await;
    let answer = world
        .promise
        .reserve(reserve("tea", "ams1", 5))
        .await
        .expect("an answer")
        .into_inner();
    assert_eq!(answer.outcome(), pb::Outcome::Refused);
    let line = &answer.lines[0];
    assert_eq!(
        (line.refusal(), line.available, line.held_quantity),
        (pb::Refusal::InsufficientStock, 3, 0)
    );
    assert_eq!(world.available("tea", "ams1").await, 3);
}
