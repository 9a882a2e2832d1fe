//! Forecasts pushed over Flight, and the buffers that follow them.

use arrow_array::RecordBatch;
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::{Criteria, FlightDescriptor};
use arrow_ipc::reader::StreamReader;
use arrow_schema::Schema;
use bespeak_proto::v1 as pb;
use bespeak_proto::v1::forecast_service_client::ForecastServiceClient;
use bespeak_server::ServerConfig;
use futures_util::TryStreamExt;

use crate::pushing::{
    Row, batch, buffer_by_hand, days, digest, durable, follow, live, position, push, read, rows,
    shop, told, totals,
};
use crate::world::{HOUR, World, metrics_page, now_ms, reserve, why};

/// Four days cover 40 on average, 45 at .9 and 47 at .95.
const TEA: Row = ("tea", "ams1", 4, [40.0, 40.0, 45.0, 47.0]);
#[tokio::test]
async fn a_buffer_follows_the_totals_and_less_can_be_promised() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut world = shop(durable(dir.path())).await;
    buffer_by_hand(&mut world, "rum", "ams1", 2).await;
    assert_eq!(follow(&mut world, "ams1", "", 900_000).await, 0);
    let rum = ("rum", "ams1", 4, [40.0, 40.0, 45.0, 47.0]);
    let rtm = ("tea", "rtm1", 4, [40.0, 40.0, 45.0, 47.0]);
    let at = now_ms();
    assert_eq!(
        totals(&world, at, &[TEA, rum, rtm]).await.expect("kept"),
        [3, 3, 0, 1]
    );
    // .9 of the demand over lead and review time, less what is expected.
    assert_eq!(world.available("tea", "ams1").await, 15);
    assert_eq!(
        world.available("rum", "ams1").await,
        18,
        "a planner's buffer stays"
    );
    assert_eq!(
        world.available("tea", "rtm1").await,
        20,
        "no policy, no buffer"
    );
    let refused = world
        .promise
        .reserve(reserve("tea", "ams1", 16))
        .await
        .expect("answered");
    assert_eq!(refused.into_inner().outcome, pb::Outcome::Refused as i32);
    let seen = position(&mut world, "tea", "ams1").await;
    let origin = seen.buffer_forecast.expect("derived");
    assert_eq!(
        (origin.model.as_str(), origin.computed_at_ms),
        ("patch@1", at)
    );
    assert!(seen.buffer_follows_forecast && !origin.stale);
    let seen = position(&mut world, "rum", "ams1").await;
    assert_eq!(
        (
            seen.buffer,
            seen.buffer_forecast,
            seen.buffer_follows_forecast
        ),
        (2, None, false)
    );

    // What is there when a policy comes is used at once.
    assert_eq!(follow(&mut world, "rtm1", "tea", 950_000).await, 1);
    assert_eq!(world.available("tea", "rtm1").await, 13);

    // A small move changes nothing, a large one does, and both restarts and replay come to the same.
    let near = ("tea", "rtm1", 4, [40.0, 40.0, 45.0, 46.9]);
    assert_eq!(totals(&world, at + 1, &[near]).await.expect("kept")[3], 0);
    let far = ("tea", "rtm1", 4, [40.0, 40.0, 45.0, 50.0]);
    assert_eq!(totals(&world, at + 2, &[far]).await.expect("kept")[3], 1);
    assert_eq!(world.available("tea", "rtm1").await, 10);
    let day = ("tea", "ams1", 20_000, [10.0, 10.0, 12.0, 13.0]);
    days(&world, at, &[day]).await.expect("kept");
    assert_eq!(digest(&mut world).await, live(&world), "replayed and live");
    world.server.drain();
    world.server.wait().expect("ends well");

    let mut world = World::with(durable(dir.path())).await;
    assert_eq!(digest(&mut world).await, live(&world), "replayed and read");
    let seen = position(&mut world, "tea", "ams1").await;
    let origin = seen.buffer_forecast.expect("derived");
    assert_eq!((seen.buffer, origin.computed_at_ms), (5, at));
    assert_eq!(world.available("tea", "ams1").await, 15);
    assert_eq!(world.available("tea", "rtm1").await, 10);
    assert_eq!(rows(&read(&world, "forecast_totals").await), 3);
    assert_eq!(rows(&read(&world, "forecasts").await), 1);
    let newest = position(&mut world, "tea", "ams1")
        .await
        .forecast
        .expect("kept");
    assert_eq!(
        (newest.model.as_str(), newest.computed_at_ms),
        ("patch@1", at)
    );
    // It goes on where it stopped.
    assert_eq!(totals(&world, at + 3, &[near]).await.expect("kept")[3], 1);
    assert_eq!(world.available("tea", "rtm1").await, 13);
}

#[tokio::test]
async fn a_wrong_table_changes_nothing_and_names_its_row() {
    let mut world = shop(ServerConfig::local()).await;
    follow(&mut world, "ams1", "", 900_000).await;
    let at = now_ms();
    totals(&world, at, &[TEA]).await.expect("kept");
    let good = ("tea", "ams1", 4, [80.0, 80.0, 99.0, 99.0]);
    for (bad, word) in [
        (
            ("tea", "ams1", 4, [80.0, 80.0, 99.0, 99.0]),
            "rows[1].horizon_days is 4",
        ),
        (
            ("rum", "ams1", 4, [80.0, 80.0, 70.0, 99.0]),
            "rows[1].0.9 is 70 after 80",
        ),
        (
            ("rum", "ams1", 4, [-1.0, 80.0, 99.0, 99.0]),
            "rows[1].mean is -1",
        ),
        (
            ("rum", "ams1", 4, [1.0, f64::NAN, 99.0, 99.0]),
            "rows[1].0.5 is NaN",
        ),
        (
            ("rum", "ams1", 4, [1.0, 1.0, 1.0, f64::INFINITY]),
            "rows[1].0.95 is inf",
        ),
        (
            ("rum", "ams1", 0, [1.0, 1.0, 1.0, 1.0]),
            "rows[1].horizon_days is 0",
        ),
        (
            ("rum", "rtm1", 4, [1.0, 1.0, 1.0, 1.0]),
            "rows[1].item is rum at rtm1",
        ),
        (
            ("gin", "ams1", 4, [1.0, 1.0, 1.0, 1.0]),
            "rows[1].item is gin at ams1",
        ),
    ] {
        for batches in [vec![vec![good, bad]], vec![vec![good], vec![bad]]] {
            let batches = batches
                .iter()
                .map(|rows| batch("horizon_days", rows))
                .collect();
            let told = push(&world, told("forecast_totals", "m@2", at + 9), batches).await;
            let status = told.expect_err(word);
            assert!(
                status.message().starts_with(word),
                "{word}: {}",
                status.message()
            );
            assert_eq!(why::<()>(Err(status)).1, "INVALID_ARGUMENT");
        }
    }
    let gap = [("tea", "ams1", 7, [1.0; 4]), ("tea", "ams1", 9, [1.0; 4])];
    let status = days(&world, at, &gap).await.expect_err("a gap");
    assert!(
        status.message().starts_with("rows[1].day is 9"),
        "{}",
        status.message()
    );
    assert_eq!(world.available("tea", "ams1").await, 15);
    assert_eq!(rows(&read(&world, "forecast_totals").await), 1);
    assert!(read(&world, "forecasts").await.is_empty());
}

#[tokio::test]
async fn a_wrong_descriptor_or_column_is_named() {
    let world = shop(ServerConfig::local()).await;
    let sound = || vec![batch("horizon_days", &[TEA])];
    for (descriptor, word) in [
        (
            "forecast_totals".to_owned(),
            "descriptor is forecast_totals, it must be JSON",
        ),
        (
            "{\"table\": \"forecast_totals\"}".to_owned(),
            "descriptor is",
        ),
        (told("forecast_totals", "", 0), "descriptor.model"),
        (
            told("forecast_totals", "m", now_ms() + HOUR),
            "descriptor.computed_at_ms",
        ),
        (
            told("forecast_totals", "m", -1),
            "descriptor.computed_at_ms",
        ),
        (told("forecasts", "m", 0), "column is horizon_days"),
        (told("nothing", "m", 0), "descriptor is"),
    ] {
        let status = push(&world, descriptor, sound()).await.expect_err(word);
        assert!(
            status.message().starts_with(word),
            "{word}: {}",
            status.message()
        );
    }
    let batches = sound();
    let whole = batches[0].num_columns();
    for (columns, word) in [
        (
            (0..whole).filter(|n| *n != 3).collect::<Vec<_>>(),
            "column is mean",
        ),
        (vec![0, 1, 2, 3], "columns is 0 levels"),
        ((1..whole).collect(), "column is item"),
    ] {
        let part = batches[0].project(&columns).expect("a part");
        let sent = push(&world, told("forecast_totals", "m", 0), vec![part]).await;
        let status = sent.expect_err(word);
        assert!(
            status.message().starts_with(word),
            "{word}: {}",
            status.message()
        );
    }
}

#[tokio::test]
async fn a_stale_forecast_is_told_wherever_it_is_seen() {
    let config = ServerConfig {
        metrics_listen: Some("127.0.0.1:0".parse().expect("an address")),
        ..ServerConfig::local()
    };
    let mut world = shop(config).await;
    let now = now_ms();
    let day = |item| (item, "ams1", 20_000, [10.0, 10.0, 12.0, 13.0]);
    days(&world, now - 40 * HOUR, &[day("tea")])
        .await
        .expect("kept");
    days(&world, now - HOUR, &[day("rum")]).await.expect("kept");
    assert!(
        position(&mut world, "tea", "ams1")
            .await
            .forecast
            .expect("kept")
            .stale
    );
    assert!(
        !position(&mut world, "rum", "ams1")
            .await
            .forecast
            .expect("kept")
            .stale
    );
    let request = pb::GetStatsRequest::default();
    let stats = world
        .admin
        .get_stats(request)
        .await
        .expect("answered")
        .into_inner();
    let stats = stats.forecasts.expect("told");
    assert_eq!(
        (stats.positions, stats.stale_positions, stats.position_days),
        (2, 1, 2)
    );
    assert!(stats.oldest_age_ms >= 40 * HOUR && stats.newest_age_ms < 2 * HOUR);
    let page = metrics_page(&world.server).await;
    assert!(
        page.contains("bespeak_forecast_stale_positions 1"),
        "{page}"
    );
    assert!(page.contains("bespeak_forecast_age_seconds 144"), "{page}");
    // What is older than what is kept does not replace it.
    assert_eq!(
        days(&world, now - 2 * HOUR, &[day("rum")])
            .await
            .expect("taken"),
        [0, 1, 1, 0]
    );
    // A new one ends it.
    days(&world, now, &[day("tea")]).await.expect("kept");
    assert!(
        !position(&mut world, "tea", "ams1")
            .await
            .forecast
            .expect("kept")
            .stale
    );
}

#[tokio::test]
async fn forecasts_of_positions_come_from_the_store_and_say_so() {
    let world = shop(ServerConfig::local()).await;
    let at = now_ms() - 40 * HOUR;
    let rows = [0, 1, 2].map(|n| ("tea", "ams1", 20_000 + n, [10.0, 10.0, 12.0, 13.0]));
    days(&world, at, &rows).await.expect("kept");
    let mut service = ForecastServiceClient::new(world.channel.clone());
    let asked = |item: &str| pb::ForecastPosition {
        item: item.into(),
        location: "ams1".into(),
    };
    let request = pb::ForecastRequest {
        positions: vec![asked("rum"), asked("tea")],
        quantiles: vec![0.9],
        horizon: 2,
        ..Default::default()
    };
    let answer = service
        .forecast(request.clone())
        .await
        .expect("answered")
        .into_inner();
    assert_eq!(
        (answer.source(), answer.made_by.as_str()),
        (pb::ForecastSource::Store, "patch@1")
    );
    assert!(answer.stale && !answer.fallback && answer.age_ms >= 40 * HOUR);
    let table = StreamReader::try_new(&*answer.forecast, None).expect("a stream");
    let batches: Vec<_> = table.map(|batch| batch.expect("sound")).collect();
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 2);
    let fields = batches[0].schema();
    let names: Vec<_> = fields
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .collect();
    let expected = [
        "item_id",
        "location",
        "model",
        "computed_at_ms",
        "stale",
        "timestamp",
        "mean",
        "0.9",
    ];
    assert_eq!(names, expected);
    for (wrong, word) in [
        (
            pb::ForecastRequest {
                quantiles: vec![0.7],
                ..request.clone()
            },
            "quantiles is 0.7, the levels that are kept are 0.5, 0.9, 0.95",
        ),
        (
            pb::ForecastRequest {
                positions: vec![asked("gin")],
                ..request.clone()
            },
            "item gin",
        ),
        (
            pb::ForecastRequest {
                model: "patch".into(),
                ..request.clone()
            },
            "model is given",
        ),
        (
            pb::ForecastRequest {
                horizon: 367,
                ..request.clone()
            },
            "horizon is 367",
        ),
    ] {
        let status = service.forecast(wrong).await.expect_err(word);
        assert!(
            status.message().starts_with(word),
            "{word}: {}",
            status.message()
        );
    }
}

#[tokio::test]
async fn an_answer_that_cannot_be_sent_is_not_made() {
    let world = shop(ServerConfig::local()).await;
    let rows: Vec<Row> = (0..366)
        .map(|n| ("tea", "ams1", 20_000 + n, [10.0, 10.0, 12.0, 13.0]))
        .collect();
    days(&world, now_ms(), &rows).await.expect("kept");
    let mut service = ForecastServiceClient::new(world.channel.clone());
    let position = pb::ForecastPosition {
        item: "tea".into(),
        location: "ams1".into(),
    };
    let mut ask = async |times: usize| {
        let positions = vec![position.clone(); times];
        let request = pb::ForecastRequest {
            positions,
            ..Default::default()
        };
        service.forecast(request).await
    };
    ask(10).await.expect("answered");
    let refused = ask(10_000).await;
    assert!(
        format!("{refused:?}").contains("message of 117120000 bytes exceeds the limit of 4194304"),
        "{refused:?}"
    );
    assert_eq!(why(refused).1, "MESSAGE_TOO_LARGE");
}

#[tokio::test]
async fn tables_of_forecasts_are_described_as_they_are_read() {
    let world = shop(ServerConfig::local()).await;
    let day = ("tea", "ams1", 20_000, [10.0, 10.0, 12.0, 13.0]);
    days(&world, now_ms(), &[day]).await.expect("kept");
    let held = read(&world, "forecasts").await.remove(0).schema();
    let mut client = FlightServiceClient::new(world.channel.clone());
    let listed: Vec<_> = client
        .list_flights(Criteria::default())
        .await
        .expect("answered")
        .into_inner()
        .try_collect()
        .await
        .expect("entries");
    let names = listed.iter().flat_map(|info| &info.flight_descriptor);
    let names: Vec<_> = names.flat_map(|descriptor| &descriptor.path).collect();
    assert!(names.iter().any(|name| *name == "forecasts"), "{names:?}");
    assert!(names.iter().any(|name| *name == "positions"), "{names:?}");
    for word in ["forecasts", r#"{"table": "forecasts", "location": "ams1"}"#] {
        let descriptor = FlightDescriptor::new_path(vec![word.to_owned()]);
        let info = client.get_flight_info(descriptor.clone()).await;
        let info = info.expect("answered").into_inner();
        assert_eq!(info.try_decode_schema().expect("a schema"), *held, "{word}");
        let schema = client.get_schema(descriptor).await.expect("answered");
        let schema = Schema::try_from(&schema.into_inner()).expect("a schema");
        assert_eq!(schema, *held, "{word}");
    }
}

#[tokio::test]
async fn accuracy_needs_the_demand_that_came() {
    let world = shop(ServerConfig::local()).await;
    let mut service = ForecastServiceClient::new(world.channel.clone());
    let request = pb::ForecastServiceAccuracyRequest {
        from_day: 9,
        to_day: 8,
        ..Default::default()
    };
    service
        .accuracy(request)
        .await
        .expect_err("days the wrong way round, or no history");
}
