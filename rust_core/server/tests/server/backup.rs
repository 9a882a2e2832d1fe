//! A backup of a running server carries what lies beside its journal.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_ipc::writer::StreamWriter;
use bespeak_journal::storage::FsStorage;
use bespeak_journal::{ManualClock, RestoreTo, verify_backup};
use bespeak_proto::v1 as pb;
use bespeak_server::ServerConfig;
use bespeak_server::backup::{Restored, back_up_at_rest, restore};
use bespeak_server::store::Surroundings;

use crate::accuracy::{accuracy, sell};
use crate::pushing::{Row, batch, days, durable, follow, position, push, read, told, totals};
use crate::world::{HOUR, World};

const FIRST_DAY: i32 = 20_000;
const START_MS: i64 = FIRST_DAY as i64 * 24 * HOUR + 9 * HOUR;
/// Four days cover 40 on average; what is kept back at .9.
const LITTLE: [f64; 4] = [40.0, 40.0, 45.0, 47.0];
const MUCH: [f64; 4] = [40.0, 40.0, 52.0, 55.0];

async fn open(place: &Path, journal: &str, clock: &Arc<ManualClock>) -> World {
    let config = ServerConfig {
        backup_root: Some(place.join("backups")),
        ..durable(&place.join(journal))
    };
    let around = Surroundings {
        clock: Arc::clone(clock) as _,
        ..Surroundings::default()
    };
    World::within(config, around).await
}

async fn back_up(world: &mut World, name: &str) -> u64 {
    let request = pb::BackupRequest {
        directory: name.into(),
    };
    let made = world.admin.backup(request).await.expect("copied");
    made.into_inner().revision
}

fn bring_back(place: &Path, name: &str, to: &str, moment: RestoreTo) -> Restored {
    restore(&place.join("backups").join(name), &place.join(to), moment).expect("brought back")
}

/// Two weeks of 4 a day from a day on.
async fn forecast(world: &World, item: &'static str, from: i32, at: i64) {
    let row = |day| (item, "ams1", day, [4.0, 4.0, 8.0, 9.0]);
    let rows: Vec<Row> = (from..from + 14).map(row).collect();
    days(world, at, &rows).await.expect("kept");
}

fn network(packages: &[i64]) -> Option<pb::Network> {
    let texts = |texts: Vec<String>| Arc::new(StringArray::from(texts)) as ArrayRef;
    let places = (0..packages.len()).map(|n| format!("p{n}")).collect();
    let batch = RecordBatch::try_from_iter([
        ("location", texts(places)),
        ("zone", texts(vec!["z".to_owned(); packages.len()])),
        (
            "package_minor",
            Arc::new(Int64Array::from(packages.to_vec())) as ArrayRef,
        ),
    ]);
    let batch = batch.expect("columns of one length");
    let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema()).expect("plain columns");
    writer.write(&batch).expect("plain columns");
    Some(pb::Network {
        rates: writer.into_inner().expect("plain columns").into(),
        ..Default::default()
    })
}

/// The version that a network has, or takes when it is not known.
fn version(world: &World, name: &str, packages: &[i64]) -> u64 {
    let request = pb::PutNetworkRequest {
        name: name.into(),
        network: network(packages),
    };
    let api = world.server.api().expect("ready");
    api.put_network(request).result.expect("sound").version
}

/// What a server says of buffers, forecasts and demand.
#[derive(Debug, PartialEq)]
struct Said {
    available: [u64; 2],
    positions: [pb::GetPositionResponse; 2],
    forecasts: [Vec<RecordBatch>; 2],
    demand: Vec<RecordBatch>,
    accuracy: pb::ForecastServiceAccuracyResponse,
}

async fn said(world: &mut World) -> Said {
    let mut known = Vec::new();
    for item in ["tea", "rum"] {
        let mut seen = position(world, item, "ams1").await;
        // A start may write records of its own.
        seen.revision = 0;
        known.push((world.available(item, "ams1").await, seen));
    }
    let [(tea, tea_seen), (rum, rum_seen)] = known.try_into().expect("two");
    Said {
        available: [tea, rum],
        positions: [tea_seen, rum_seen],
        forecasts: [
            read(world, "forecasts").await,
            read(world, "forecast_totals").await,
        ],
        demand: read(world, "demand_history").await,
        accuracy: accuracy(world, "", true).await,
    }
}

/// Times at which the forecasts of a table were computed, one a row.
fn computed(tables: &[RecordBatch]) -> Vec<i64> {
    let times = |table: &RecordBatch| {
        let column = table.column_by_name("computed_at_ms").expect("known");
        column.as_primitive::<Int64Type>().values().to_vec()
    };
    tables.iter().flat_map(times).collect()
}

#[tokio::test]
async fn what_lies_beside_the_journal_comes_back_with_it() {
    let place = tempfile::tempdir().expect("a directory");
    let place = place.path();
    let clock = Arc::new(ManualClock::new(START_MS));
    let mut world = open(place, "journal", &clock).await;
    world.put(&["tea", "rum"], &["ams1"]).await;
    world.stock("tea", "ams1", 60).await;
    world.stock("rum", "ams1", 60).await;
    follow(&mut world, "ams1", "", 900_000).await;
    assert_eq!(version(&world, "first", &[1]), 1);
    assert_eq!(version(&world, "second", &[2, 3]), 2);
    totals(&world, START_MS, &[("tea", "ams1", 4, LITTLE)])
        .await
        .expect("kept");
    totals(&world, START_MS, &[("rum", "ams1", 4, LITTLE)])
        .await
        .expect("kept");
    forecast(&world, "tea", FIRST_DAY + 1, START_MS).await;
    forecast(&world, "rum", FIRST_DAY + 1, START_MS).await;
    for sold in [3, 5, 4] {
        clock.pass(24 * HOUR);
        sell(&mut world, "tea", sold).await;
    }
    let early = said(&mut world).await;
    assert_eq!(early.available, [43, 55], "the buffers of 5 are in");
    assert!(!early.accuracy.rows.is_empty() && !early.demand.is_empty());
    let early_ms = START_MS + 72 * HOUR;
    let early_revision = back_up(&mut world, "early").await;

    // A sale of the first day is told late, and forecasts of tea are replaced.
    clock.pass(24 * HOUR);
    let late = pb::AdjustOnHandRequest {
        context: crate::world::ctx(),
        item: "tea".into(),
        location: "ams1".into(),
        delta: -2,
        reason: pb::AdjustReason::Sale.into(),
        happened_at_ms: START_MS + HOUR,
        ..Default::default()
    };
    world.supply.adjust_on_hand(late).await.expect("sold");
    let at = early_ms + 24 * HOUR;
    totals(&world, at, &[("tea", "ams1", 4, MUCH)])
        .await
        .expect("kept");
    forecast(&world, "tea", FIRST_DAY + 5, at).await;
    clock.pass(24 * HOUR);
    sell(&mut world, "rum", 7).await;
    let full = said(&mut world).await;
    assert_eq!(full.available, [34, 48]);
    back_up(&mut world, "full").await;
    drop(world);

    // To the end all is as it was.
    let restored = bring_back(place, "full", "again", RestoreTo::End);
    assert_eq!(
        (restored.forecasts_left_out, restored.demand_days_left_out),
        (0, 0)
    );
    assert!(restored.beside >= 4, "{restored:?}");
    let mut world = open(place, "again", &clock).await;
    assert_eq!(said(&mut world).await, full);
    assert_eq!(version(&world, "second", &[2, 3]), 2, "it was known");
    drop(world);

    // So it is of a copy that is made when no server runs.
    back_up_at_rest(&place.join("journal"), &place.join("backups/rest")).expect("copied");
    bring_back(place, "rest", "rested", RestoreTo::End);
    let mut world = open(place, "rested", &clock).await;
    assert_eq!(said(&mut world).await, full);
    assert_eq!(version(&world, "second", &[2, 3]), 2, "it was known");
    drop(world);

    // The clock stands where it stood, so that ages are the same.
    let clock = Arc::new(ManualClock::new(early_ms));
    bring_back(place, "early", "then", RestoreTo::End);
    let mut world = open(place, "then", &clock).await;
    assert_eq!(said(&mut world).await, early);
    drop(world);

    // An earlier moment of a later backup: buffers and demand are of it; forecasts that were replaced are not there.
    for (to, moment) in [
        ("by-revision", RestoreTo::Revision(early_revision)),
        ("by-time", RestoreTo::TimeMs(early_ms as u64)),
    ] {
        let clock = Arc::new(ManualClock::new(early_ms));
        let restored = bring_back(place, "full", to, moment);
        assert_eq!(
            restored.forecasts_left_out, 2,
            "{to}: days and totals of tea"
        );
        assert_eq!(restored.journal.newest.revision, early_revision);
        let mut world = open(place, to, &clock).await;
        let found = said(&mut world).await;
        assert_eq!(found.available, early.available, "{to}");
        assert_eq!(found.demand, early.demand, "{to}");
        let tea = &found.positions[0];
        assert_eq!(tea.buffer_forecast, early.positions[0].buffer_forecast);
        assert_eq!(tea.forecast, None, "what it was made from is gone");
        assert_eq!(found.positions[1], early.positions[1], "{to}");
        for kept in &found.forecasts {
            assert!(!computed(kept).is_empty());
            assert!(computed(kept).iter().all(|at| *at <= early_ms), "{to}");
        }
        // It goes on from there, whatever is done to it.
        sell(&mut world, "tea", 9).await;
        clock.pass(24 * HOUR);
        sell(&mut world, "tea", 1).await;
        let went_on = said(&mut world).await;
        drop(world);
        let mut world = open(place, to, &clock).await;
        assert_eq!(said(&mut world).await, went_on, "{to}");
    }
}

#[tokio::test]
async fn a_push_is_in_a_backup_with_its_buffers_or_not_at_all() {
    const ITEMS: usize = 300;
    let place = tempfile::tempdir().expect("a directory");
    let clock = Arc::new(ManualClock::new(START_MS));
    let mut world = open(place.path(), "journal", &clock).await;
    let names: Vec<&'static str> = (0..ITEMS).map(|n| &*format!("sku-{n}").leak()).collect();
    world.put(&names, &["ams1"]).await;
    for name in &names {
        world.stock(name, "ams1", 100).await;
    }
    follow(&mut world, "ams1", "", 900_000).await;
    let rows = |numbers: [f64; 4]| -> Vec<Row> {
        names
            .iter()
            .map(|name| (*name, "ams1", 4, numbers))
            .collect()
    };
    let (low, high) = (rows(LITTLE), rows(MUCH));
    totals(&world, START_MS - 1_000, &high).await.expect("kept");
    let stop = AtomicBool::new(false);
    let pushes = async {
        let mut at = START_MS - 1_000;
        while !stop.load(Ordering::Relaxed) {
            at += 1;
            let rows = if at % 2 == 0 { &high } else { &low };
            let table = batch("horizon_days", rows);
            let pushed = push(&world, told("forecast_totals", "patch@1", at), vec![table]);
            assert_eq!(
                pushed.await.expect("kept")[3],
                ITEMS as u64,
                "all of them moved"
            );
        }
        at
    };
    let mut admin = world.admin.clone();
    let copies = async {
        for n in 0..6 {
            let directory = format!("copy-{n}");
            admin
                .backup(pb::BackupRequest { directory })
                .await
                .expect("copied");
        }
        stop.store(true, Ordering::Relaxed);
    };
    let (last, ()) = tokio::join!(pushes, copies);
    assert!(last > START_MS - 1_000 + 1, "pushed meanwhile");
    drop(world);
    for n in 0..6 {
        let (from, to) = (format!("copy-{n}"), format!("again-{n}"));
        bring_back(place.path(), &from, &to, RestoreTo::End);
        let mut world = open(place.path(), &to, &clock).await;
        let kept = computed(&read(&world, "forecast_totals").await);
        assert_eq!(kept.len(), ITEMS);
        assert!(kept.iter().all(|at| *at == kept[0]), "one push, whole");
        for name in [names[0], names[ITEMS / 2], names[ITEMS - 1]] {
            let seen = position(&mut world, name, "ams1").await;
            let made = seen.buffer_forecast.expect("derived").computed_at_ms;
            assert_eq!(
                made, kept[0],
                "copy {n}: {name} has the buffer of its forecast"
            );
            assert_eq!(seen.buffer, if made % 2 == 0 { 12 } else { 5 });
        }
    }
}

#[tokio::test]
async fn damage_beside_the_journal_is_named_and_what_is_there_is_not_taken_over() {
    let place = tempfile::tempdir().expect("a directory");
    let place = place.path();
    let clock = Arc::new(ManualClock::new(START_MS));
    let mut world = open(place, "journal", &clock).await;
    world.put(&["tea"], &["ams1"]).await;
    world.stock("tea", "ams1", 60).await;
    let row = [("tea", "ams1", 4, LITTLE)];
    totals(&world, START_MS, &row).await.expect("kept");
    back_up(&mut world, "copy").await;
    drop(world);
    let copy = place.join("backups/copy");

    let foreign = place.join("taken/forecasts");
    std::fs::create_dir_all(&foreign).expect("a directory");
    std::fs::write(foreign.join("mine"), "mine").expect("a write");
    let refused = restore(&copy, &place.join("taken"), RestoreTo::End).expect_err("not empty");
    assert!(
        refused
            .to_string()
            .contains("forecasts is not empty (mine)"),
        "{refused}"
    );

    let mut files = std::fs::read_dir(copy.join("forecasts")).expect("it is there");
    let file = files.next().expect("one").expect("readable").path();
    let mut bytes = std::fs::read(&file).expect("readable");
    bytes[40] ^= 1;
    std::fs::write(&file, bytes).expect("a write");
    let name = file.file_name().expect("a name").to_str().expect("plain");
    let told = restore(&copy, &place.join("again"), RestoreTo::End).expect_err("damaged");
    assert!(
        told.to_string()
            .contains(&format!("forecasts/{name} is damaged")),
        "{told}"
    );
    let storage = FsStorage::existing(&copy).expect("it is there");
    let told = verify_backup(&storage).expect_err("damaged");
    assert!(told.to_string().contains(name), "{told}");
}
