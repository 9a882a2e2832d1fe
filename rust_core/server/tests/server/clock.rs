//! A clock that jumps: promises stop until somebody has looked.

use std::sync::Arc;

use bespeak_journal::ManualClock;
use bespeak_proto::v1 as pb;
use bespeak_server::ServerConfig;
use bespeak_server::store::Surroundings;
use tonic::Code;

use crate::world::{World, check, ctx, now_ms, reserve, why};

const MINUTE: i64 = 60_000;

async fn with_clock() -> (World, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(now_ms()));
    let around = Surroundings {
        clock: Arc::clone(&clock) as _,
        ..Surroundings::default()
    };
    let mut world = World::within(ServerConfig::local(), around).await;
    world.put(&["tea"], &["ams1"]).await;
    world.stock("tea", "ams1", 10).await;
    (world, clock)
}

async fn suspect(world: &mut World) -> bool {
    let stats = world.admin.get_stats(pb::GetStatsRequest::default()).await;
    stats
        .expect("answers all the same")
        .into_inner()
        .clock_suspect
}

#[tokio::test]
async fn time_that_passes_is_no_jump() {
    let (mut world, clock) = with_clock().await;
    clock.pass(60 * MINUTE);
    clock.jump(MINUTE - 1);
    assert!(
        world
            .promise
            .reserve(reserve("tea", "ams1", 1))
            .await
            .is_ok()
    );
    assert!(!suspect(&mut world).await);
}

#[tokio::test]
async fn nothing_is_promised_after_a_jump_until_it_is_confirmed() {
    for jump in [61 * MINUTE, -61 * MINUTE] {
        let (mut world, clock) = with_clock().await;
        let request = reserve("tea", "ams1", 4);
        let held = world.promise.reserve(request.clone()).await;
        let held = held.expect("answered").into_inner();
        clock.jump(jump);

        let told = (Code::Unavailable, "CLOCK_SUSPECT".to_owned());
        assert_eq!(
            why(world.promise.check(check("tea", "ams1", 1)).await),
            told
        );
        assert_eq!(
            why(world.promise.reserve(reserve("tea", "ams1", 1)).await),
            told
        );
        assert_eq!(why(world.promise.reserve(request.clone()).await), told);
        let confirm = pb::ConfirmRequest {
            context: ctx(),
            reservation_id: held.reservation_id,
        };
        assert_eq!(why(world.promise.confirm(confirm).await), told);
        assert!(suspect(&mut world).await, "a jump of {jump} ms");

        let request_of = pb::ConfirmClockRequest { context: ctx() };
        let confirmed = world.admin.confirm_clock(request_of).await;
        let time = confirmed.expect("confirmed").into_inner().engine_time_ms;
        assert_eq!(time, held.engine_time_ms, "the last time that was used");
        assert!(!suspect(&mut world).await);
        let again = world.promise.reserve(request).await;
        assert!(again.expect("the first answer").into_inner().replayed);
        // Engine time never falls: where the clock was set back, it stands until the clock has caught up.
        let seen = world.promise.check(check("tea", "ams1", 1)).await;
        let seen = seen.expect("answered").into_inner();
        assert_eq!(seen.engine_time_ms, held.engine_time_ms + jump.max(0));
        // The hold of a quarter of an hour has run out where it went forward.
        let left = if jump > 0 { 10 } else { 6 };
        assert_eq!(seen.results[0].available, left);
    }
}
