//! A server whose journal is still being read.

use std::io;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use bespeak_journal::storage::{FsStorage, Storage, StorageFile, WriterLock};
use bespeak_proto::v1::promise_service_client::PromiseServiceClient;
use bespeak_server::Server;
use bespeak_server::store::Surroundings;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::journal::durable;
use crate::world::{PATIENCE, World, check, connect, why};

/// A directory that lets nobody open a file before it is released.
struct Held {
    inner: FsStorage,
    released: Mutex<bool>,
    told: Condvar,
}

impl Held {
    fn release(&self) {
        *self.released.lock().expect("not poisoned") = true;
        self.told.notify_all();
    }
}

impl Storage for Held {
    fn describe(&self) -> String {
        self.inner.describe()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.inner.list()
    }

    fn create(&self, name: &str, len: u64) -> io::Result<Box<dyn StorageFile>> {
        self.inner.create(name, len)
    }

    fn open(&self, name: &str, write: bool) -> io::Result<Box<dyn StorageFile>> {
        let released = self.released.lock().expect("not poisoned");
        drop(
            self.told
                .wait_while(released, |released| !*released)
                .expect("not poisoned"),
        );
        self.inner.open(name, write)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.inner.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.inner.remove(name)
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.inner.sync_dir()
    }

    fn lock(&self) -> io::Result<Box<dyn WriterLock>> {
        self.inner.lock()
    }
}

#[tokio::test]
async fn nothing_is_served_before_the_journal_is_replayed() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut world = World::with(durable(&dir)).await;
    world.put(&["tea"], &["ams1"]).await;
    world.stock("tea", "ams1", 10).await;
    world.server.stop().expect("ends well");
    drop(world);

    let held = Arc::new(Held {
        inner: FsStorage::new(dir.path()).expect("a directory"),
        released: Mutex::new(false),
        told: Condvar::new(),
    });
    let around = Surroundings {
        storage: Some(Arc::clone(&held) as _),
        ..Default::default()
    };
    let mut config = durable(&dir);
    config.drain_ms = 50;
    let server = Server::start_in(config, around).expect("starts");
    let channel = connect(&server).await;
    let mut health = HealthClient::new(channel.clone());
    let mut promise = PromiseServiceClient::new(channel);
    let mut watch = Vec::new();
    for service in ["", "bespeak.v1.PromiseService"] {
        let request = HealthCheckRequest {
            service: service.to_owned(),
        };
        let mut news = health.watch(request).await.expect("answers").into_inner();
        let first = news.message().await.expect("goes on").expect("a status");
        assert_eq!(first.status(), ServingStatus::NotServing, "{service}");
        watch.push(news);
    }
    let early = why(promise.check(check("tea", "ams1", 1)).await);
    assert_eq!(early, (Code::Unavailable, "RECOVERING".to_owned()));
    assert!(server.wait_ready(Duration::ZERO).is_err());

    held.release();
    for mut news in watch {
        let next = news.message().await.expect("goes on").expect("a status");
        assert_eq!(next.status(), ServingStatus::Serving);
    }
    server.wait_ready(PATIENCE).expect("is ready");
    let answer = promise
        .check(check("tea", "ams1", 1))
        .await
        .expect("served");
    assert_eq!(answer.into_inner().results[0].available, 10);
}
