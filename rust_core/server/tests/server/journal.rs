//! Promises survive: a real journal in a directory.

use bespeak_proto::v1 as pb;
use bespeak_server::ServerConfig;
use bespeak_server::config::{JournalMode, JournalSettings};

use crate::world::{World, reserve};

pub fn durable(dir: &tempfile::TempDir) -> ServerConfig {
    let journal = JournalSettings {
        mode: Some(JournalMode::Group),
        path: Some(dir.path().to_owned()),
        segment_bytes: 32 << 20,
        ..Default::default()
    };
    ServerConfig {
        journal,
        ..ServerConfig::local()
    }
}

#[tokio::test]
async fn what_was_answered_is_found_after_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let request = reserve("tea", "ams1", 4);
    let mut world = World::with(durable(&dir)).await;
    world.put(&["tea"], &["ams1"]).await;
    world.stock("tea", "ams1", 10).await;
    let first = world
        .promise
        .reserve(request.clone())
        .await
        .expect("answered")
        .into_inner();
    assert_eq!(first.outcome(), pb::Outcome::Full);
    world.server.stop().expect("ends well");
    drop(world);

    let mut world = World::with(durable(&dir)).await;
    assert_eq!(world.available("tea", "ams1").await, 6);
    let again = world
        .promise
        .reserve(request)
        .await
        .expect("answered")
        .into_inner();
    assert_eq!(
        again,
        pb::ReserveResponse {
            replayed: true,
            ..first
        }
    );
}

#[tokio::test]
async fn many_clients_share_a_sync() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut world = World::with(durable(&dir)).await;
    world.put(&["tea"], &["ams1"]).await;
    world.stock("tea", "ams1", 1_000).await;
    let calls: Vec<_> = (0..64)
        .map(|_| {
            let mut client = world.promise.clone();
            tokio::spawn(async move {
                let mut seen = Vec::new();
                for _ in 0..10 {
                    let answer = client
                        .reserve(reserve("tea", "ams1", 1))
                        .await
                        .expect("answered")
                        .into_inner();
                    assert_eq!(answer.outcome(), pb::Outcome::Full);
                    seen.push(answer.revision);
                }
                assert!(seen.is_sorted(), "revisions rise for one caller");
            })
        })
        .collect();
    for call in calls {
        call.await.expect("no panic");
    }
    assert_eq!(world.available("tea", "ams1").await, 360);
    let store = world.server.api().expect("ready").store().observe();
    let batches = store.batch_records.expect("a journal");
    assert!(
        batches.sum > 2 * batches.count,
        "{} records in {} syncs",
        batches.sum,
        batches.count
    );
}
