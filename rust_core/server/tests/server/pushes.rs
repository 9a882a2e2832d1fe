//! Pushes of forecasts that take their time.

use arrow_flight::flight_service_client::FlightServiceClient;
use bespeak_server::ServerConfig;
use futures_util::{StreamExt, stream};
use tokio::task::JoinHandle;
use tonic::Code;
use tonic_types::StatusExt;

use crate::pushing::{Row, batch, days, messages, shop, told};
use crate::world::{PATIENCE, World, now_ms};

const DAY: Row = ("tea", "ams1", 20_000, [10.0, 10.0, 12.0, 13.0]);

/// A caller who sends one batch and then nothing, and comes again when refused.
async fn slow(world: &World) -> JoinHandle<()> {
    let sent = messages(
        told("forecasts", "patch@1", now_ms()),
        vec![batch("day", &[DAY])],
    )
    .await;
    let mut client = FlightServiceClient::new(world.channel.clone());
    tokio::spawn(async move {
        let endless = || stream::iter(sent.clone()).chain(stream::pending());
        while client.do_put(endless()).await.is_err() {}
    })
}

/// Each push keeps its table in memory, and used to be taken however many there were.
#[tokio::test]
async fn pushes_are_few_at_once_and_their_seats_come_back() {
    let world = shop(ServerConfig::local()).await;
    let held = [slow(&world).await, slow(&world).await];
    let refusal = async {
        loop {
            if let Err(refused) = days(&world, now_ms(), &[DAY]).await {
                return refused;
            }
        }
    };
    let refused = tokio::time::timeout(PATIENCE, refusal)
        .await
        .expect("both seats are taken in the end");
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    let what = "pushes of forecasts are at their limit of 2";
    assert!(refused.message().starts_with(what), "{refused}");
    let details = refused.get_error_details();
    assert_eq!(
        details.error_info().map(|info| info.reason.as_str()),
        Some("OVERLOADED")
    );
    assert!(
        details
            .retry_info()
            .is_some_and(|retry| retry.retry_delay.is_some())
    );
    for one in held {
        one.abort();
    }
    let taken = async {
        while let Err(refused) = days(&world, now_ms(), &[DAY]).await {
            assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
        }
    };
    tokio::time::timeout(PATIENCE, taken)
        .await
        .expect("the seats of those who are gone come back");
}
