//! Forecasts as they are pushed, and the little shop that they are of.

use std::path::Path;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::UInt64Type;
use arrow_array::{ArrayRef, Date32Array, Float64Array, Int32Array, RecordBatch, StringArray};
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::{FlightData, FlightDescriptor, Ticket};
use arrow_ipc::reader::StreamReader;
use bespeak_engine::State;
use bespeak_proto::v1 as pb;
use bespeak_server::ServerConfig;
use bespeak_server::config::JournalSettings;
use futures_util::{StreamExt, TryStreamExt, stream};

use crate::world::{World, ctx};

pub type Row = (&'static str, &'static str, i32, [f64; 4]);

/// Mean and levels .5, .9 and .95 of each row.
pub fn batch(key: &str, rows: &[Row]) -> RecordBatch {
    let texts = |values: Vec<&str>| Arc::new(StringArray::from(values)) as ArrayRef;
    let keys: Vec<i32> = rows.iter().map(|row| row.2).collect();
    let keys: ArrayRef = match key {
        "day" => Arc::new(Date32Array::from(keys)),
        _ => Arc::new(Int32Array::from(keys)),
    };
    let column = |n: usize| {
        let values = rows.iter().map(|row| row.3[n]);
        Arc::new(Float64Array::from_iter_values(values)) as ArrayRef
    };
    RecordBatch::try_from_iter([
        ("item", texts(rows.iter().map(|row| row.0).collect())),
        ("location", texts(rows.iter().map(|row| row.1).collect())),
        (key, keys),
        ("mean", column(0)),
        ("0.5", column(1)),
        ("0.9", column(2)),
        ("0.95", column(3)),
    ])
    .expect("columns of one length")
}

/// A push, as it is sent.
pub async fn messages(descriptor: String, batches: Vec<RecordBatch>) -> Vec<FlightData> {
    let descriptor = FlightDescriptor::new_cmd(descriptor);
    FlightDataEncoderBuilder::new()
        .with_flight_descriptor(Some(descriptor))
        .build(stream::iter(batches.into_iter().map(Ok::<_, FlightError>)))
        .try_collect()
        .await
        .expect("sound tables")
}

/// Positions, rows, older, buffers changed.
pub async fn push(
    world: &World,
    descriptor: String,
    batches: Vec<RecordBatch>,
) -> Result<[u64; 4], tonic::Status> {
    let messages = messages(descriptor, batches).await;
    let mut client = FlightServiceClient::new(world.channel.clone());
    let mut answers = client.do_put(stream::iter(messages)).await?.into_inner();
    let answer = answers.next().await.expect("an answer")?;
    let mut reader = StreamReader::try_new(&*answer.app_metadata, None).expect("a stream");
    let row = reader.next().expect("a row").expect("sound");
    let number = |name| {
        row.column_by_name(name)
            .expect("known")
            .as_primitive::<UInt64Type>()
            .value(0)
    };
    Ok(["positions", "rows", "older", "buffers_changed"].map(number))
}

pub fn told(table: &str, model: &str, at: i64) -> String {
    format!("{{\"table\": \"{table}\", \"model\": \"{model}\", \"computed_at_ms\": {at}}}")
}

pub async fn totals(world: &World, at: i64, rows: &[Row]) -> Result<[u64; 4], tonic::Status> {
    push(
        world,
        told("forecast_totals", "patch@1", at),
        vec![batch("horizon_days", rows)],
    )
    .await
}

pub async fn days(world: &World, at: i64, rows: &[Row]) -> Result<[u64; 4], tonic::Status> {
    push(
        world,
        told("forecasts", "patch@1", at),
        vec![batch("day", rows)],
    )
    .await
}

pub async fn read(world: &World, ticket: &str) -> Vec<RecordBatch> {
    let mut client = FlightServiceClient::new(world.channel.clone());
    let answers = client
        .do_get(Ticket::new(ticket.to_owned()))
        .await
        .expect("answered");
    let answers = answers
        .into_inner()
        .map_err(|status| FlightError::Tonic(Box::new(status)));
    FlightRecordBatchStream::new_from_flight_data(answers)
        .try_collect()
        .await
        .expect("tables")
}

pub fn rows(batches: &[RecordBatch]) -> usize {
    batches.iter().map(RecordBatch::num_rows).sum()
}

pub async fn follow(world: &mut World, location: &str, item: &str, level_ppm: u32) -> u64 {
    let policy = pb::BufferPolicy {
        source: pb::BufferSource::Forecast.into(),
        level_ppm,
        lead_time_days: 3,
        review_days: 1,
        ..Default::default()
    };
    let request = pb::PutBufferPolicyRequest {
        context: ctx(),
        location: location.into(),
        item: item.into(),
        policy: Some(policy),
    };
    let answer = world.catalog.put_buffer_policy(request).await.expect("put");
    answer.into_inner().buffers_changed
}

pub async fn position(world: &mut World, item: &str, location: &str) -> pb::GetPositionResponse {
    let request = pb::GetPositionRequest {
        item: item.into(),
        location: location.into(),
    };
    world
        .supply
        .get_position(request)
        .await
        .expect("answered")
        .into_inner()
}

pub async fn buffer_by_hand(world: &mut World, item: &str, location: &str, quantity: u64) {
    let request = pb::PutBufferRequest {
        context: ctx(),
        item: item.into(),
        location: location.into(),
        quantity,
        ..Default::default()
    };
    world.catalog.put_buffer(request).await.expect("put");
}

pub fn durable(path: &Path) -> ServerConfig {
    ServerConfig {
        journal: JournalSettings {
            path: Some(path.to_owned()),
            ..Default::default()
        },
        ..ServerConfig::local()
    }
}

pub async fn shop(config: ServerConfig) -> World {
    let mut world = World::with(config).await;
    world.put(&["tea", "rum"], &["ams1", "rtm1"]).await;
    world.stock("tea", "ams1", 20).await;
    world.stock("tea", "rtm1", 20).await;
    world.stock("rum", "ams1", 20).await;
    world
}

/// The digest of the state that answers; `digest` gives that of one made from the journal.
pub fn live(world: &World) -> String {
    let api = world.server.api().expect("ready");
    let digest = api.store().partition().peek(State::digest).expect("open");
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub async fn digest(world: &mut World) -> String {
    let request = pb::GetStatsRequest { with_digest: true };
    world
        .admin
        .get_stats(request)
        .await
        .expect("answered")
        .into_inner()
        .digest
}
