//! Forecasts beside the demand that came: scored against it, and corrected by it in the course of the day.

use std::path::Path;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use bespeak_journal::ManualClock;
use bespeak_proto::v1 as pb;
use bespeak_proto::v1::forecast_service_client::ForecastServiceClient;
use bespeak_server::ServerConfig;
use bespeak_server::store::Surroundings;

use crate::pushing::{Row, days, durable, read};
use crate::world::{HOUR, World, ctx};

/// A morning of the first day, UTC.
const FIRST_DAY: i32 = 20_000;
const START_MS: i64 = FIRST_DAY as i64 * 24 * HOUR + 9 * HOUR;

async fn world(dir: Option<&Path>, clock: &Arc<ManualClock>) -> World {
    let config = dir.map_or_else(ServerConfig::local, durable);
    let around = Surroundings {
        clock: Arc::clone(clock) as _,
        ..Surroundings::default()
    };
    World::within(config, around).await
}

pub async fn sell(world: &mut World, item: &str, quantity: i64) {
    let request = pb::AdjustOnHandRequest {
        context: ctx(),
        item: item.into(),
        location: "ams1".into(),
        delta: -quantity,
        reason: pb::AdjustReason::Sale.into(),
        ..Default::default()
    };
    world.supply.adjust_on_hand(request).await.expect("sold");
}

/// Two weeks of each item from the second day on: 4 a day, levels .5, .9 and .95 at 4, 8 and 9.
async fn forecast(world: &World, items: &[&'static str], at: i64) {
    let rows: Vec<Row> = items
        .iter()
        .flat_map(|item| {
            (1..15).map(|ahead| (*item, "ams1", FIRST_DAY + ahead, [4.0, 4.0, 8.0, 9.0]))
        })
        .collect();
    days(world, at, &rows).await.expect("kept");
}

pub async fn accuracy(
    world: &World,
    location: &str,
    by_location: bool,
) -> pb::ForecastServiceAccuracyResponse {
    let request = pb::ForecastServiceAccuracyRequest {
        location: location.into(),
        by_location,
        ..Default::default()
    };
    let mut service = ForecastServiceClient::new(world.channel.clone());
    let answer = service.accuracy(request).await.expect("answered");
    answer.into_inner()
}

/// Expected of the day, its dispersion, and who said so, of an item at ams1.
async fn outlook(world: &World, item: &str) -> (Option<f64>, Option<f64>, String) {
    let ticket = format!(r#"{{"table": "nowcast", "items": ["{item}"], "locations": ["ams1"]}}"#);
    let tables = read(world, &ticket).await;
    let table: &RecordBatch = tables.first().expect("a row");
    let column = |name| table.column_by_name(name).expect("known");
    let number = |name| {
        column(name)
            .as_primitive::<Float64Type>()
            .iter()
            .next()
            .flatten()
    };
    let made_by = column("made_by").as_string::<i32>().value(0).to_owned();
    (number("day_ahead"), number("dispersion"), made_by)
}

#[tokio::test]
async fn forecasts_are_held_against_what_was_sold_in_stock() {
    let dir = tempfile::tempdir().expect("a directory");
    for dir in [None, Some(dir.path())] {
        let clock = Arc::new(ManualClock::new(START_MS));
        let mut world = world(dir, &clock).await;
        world.put(&["tea", "rum", "gin"], &["ams1", "rtm1"]).await;
        for item in ["tea", "rum", "gin"] {
            world.stock(item, "ams1", 20).await;
        }
        forecast(&world, &["tea", "rum"], START_MS).await;
        assert!(
            accuracy(&world, "", true).await.rows.is_empty(),
            "no day is over"
        );

        clock.pass(24 * HOUR);
        sell(&mut world, "tea", 3).await;
        sell(&mut world, "gin", 5).await;
        // It sells out: what was sold is not what was asked for.
        sell(&mut world, "rum", 20).await;
        clock.pass(24 * HOUR);

        let said = accuracy(&world, "", true).await;
        assert_eq!(
            (said.from_day, said.to_day),
            (FIRST_DAY as u32 + 2 - 28, FIRST_DAY as u32 + 1)
        );
        let places: Vec<_> = said.rows.iter().map(|row| row.location.as_str()).collect();
        assert_eq!(places, ["", "ams1"]);
        for row in &said.rows {
            assert_eq!((row.model.as_str(), row.lead_days), ("patch@1", 1));
            assert_eq!((row.position_days, row.demand), (1, 3.0));
            assert!((row.bias.expect("demand") - 1.0 / 3.0).abs() < 1e-9);
            // Losses of .5 × 1, .1 × 5 and .05 × 6.
            let wql = 2.0 * (0.5 + 0.5 + 0.3) / 3.0 / 3.0;
            assert!(
                (row.wql.expect("demand") - wql).abs() < 1e-9,
                "{:?}",
                row.wql
            );
            let covered: Vec<_> = row
                .coverage
                .iter()
                .map(|at| (at.level, at.covered))
                .collect();
            assert_eq!(covered, [(0.5, 1.0), (0.9, 1.0), (0.95, 1.0)]);
            assert_eq!(row.coverage_80, None);
        }
        assert!(accuracy(&world, "rtm1", false).await.rows.is_empty());
        let before = accuracy(&world, "ams1", false).await;
        assert_eq!(before.rows.len(), 1);

        // Today began 39 hours after that forecast was made: it is too old for the day.
        let (mean, _, made_by) = outlook(&world, "tea").await;
        assert_eq!((mean, made_by.as_str()), (Some(1.5), "climatology@1"));
        let latest = START_MS - 9 * HOUR + 48 * HOUR - 36 * HOUR;
        forecast(&world, &["tea"], latest - 1).await;
        assert_eq!(outlook(&world, "tea").await.2, "climatology@1");
        // Of an item that came today nothing better is known.
        world.put(&["kit"], &["ams1"]).await;
        world.stock("kit", "ams1", 20).await;
        assert_eq!(outlook(&world, "kit").await, (None, None, String::new()));
        forecast(&world, &["kit"], latest - 1).await;
        let (mean, _, made_by) = outlook(&world, "kit").await;
        assert_eq!((mean, made_by.as_str()), (Some(4.0), "stale forecast"));

        forecast(&world, &["tea"], latest).await;
        // The deviation is 4 over 1.28 of a normal one, and 4 are expected.
        let (mean, dispersion, made_by) = outlook(&world, "tea").await;
        assert_eq!((mean, made_by.as_str()), (Some(4.0), "forecast"));
        assert!(
            (dispersion.expect("known") - 2.436).abs() < 0.01,
            "{dispersion:?}"
        );
        let (mean, _, made_by) = outlook(&world, "gin").await;
        assert_eq!((mean, made_by.as_str()), (Some(2.5), "climatology@1"));

        let Some(dir) = dir else { continue };
        world.server.drain();
        world.server.wait().expect("ends well");
        let world = self::world(Some(dir), &clock).await;
        assert_eq!(accuracy(&world, "ams1", false).await, before);
        assert_eq!(outlook(&world, "tea").await.2, "forecast");
        // Late in the day it is no older for it than in the morning.
        clock.pass(14 * HOUR);
        assert_eq!(outlook(&world, "tea").await.2, "forecast");
        // A forecast that ends before today says nothing of it.
        clock.pass(14 * 24 * HOUR);
        assert_eq!(outlook(&world, "tea").await.2, "climatology@1");
    }
}
