//! A server whose journal is still being read.

use std::io;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use bespeak_journal::storage::{FsStorage, Storage, StorageFile, WriterLock};
use bespeak_proto::v1::promise_service_client::PromiseServiceClient;
use bespeak_server::store::Surroundings;
use bespeak_server::{Server, ServerHandle};
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::journal::durable;
use crate::world::{PATIENCE, World, check, connect, metrics_page, reserve, why};

/// A directory that lets files be opened only as often as it was told. Whoever it holds for too long fails, so that a
/// test that gives up is not held by its own server.
pub struct Held {
    inner: FsStorage,
    door: Mutex<Door>,
    told: Condvar,
}

#[derive(Default)]
struct Door {
    allowed: usize,
    waiting: bool,
}

impl Held {
    pub fn new(dir: &tempfile::TempDir) -> Arc<Self> {
        Arc::new(Self {
            inner: FsStorage::new(dir.path()).expect("a directory"),
            door: Mutex::default(),
            told: Condvar::new(),
        })
    }

    /// Lets one more file be opened, and returns once the next one is asked for.
    fn step(&self) {
        let mut door = self.door.lock().expect("not poisoned");
        door.allowed += 1;
        door.waiting = false;
        self.told.notify_all();
        let (door, patience) = self
            .told
            .wait_timeout_while(door, PATIENCE, |door| !door.waiting)
            .expect("not poisoned");
        drop(door);
        assert!(!patience.timed_out(), "no further file was opened");
    }

    /// Lets no file be opened any more.
    pub fn shut(&self) {
        let mut door = self.door.lock().expect("not poisoned");
        (door.allowed, door.waiting) = (0, false);
    }

    /// Whether a file is asked for that may not be opened.
    pub fn is_asked(&self) -> bool {
        self.door.lock().expect("not poisoned").waiting
    }

    pub fn release(&self) {
        self.door.lock().expect("not poisoned").allowed = usize::MAX;
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
        let mut door = self.door.lock().expect("not poisoned");
        if door.allowed == 0 {
            door.waiting = true;
            self.told.notify_all();
        }
        let (mut door, patience) = self
            .told
            .wait_timeout_while(door, PATIENCE, |door| door.allowed == 0)
            .expect("not poisoned");
        if patience.timed_out() {
            return Err(io::Error::from(io::ErrorKind::TimedOut));
        }
        door.allowed -= 1;
        drop(door);
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

    let held = Held::new(&dir);
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

fn revision(server: &ServerHandle) -> u64 {
    let store = server.api().expect("is ready").store();
    let revision = store.partition().peek(|state| state.revision());
    revision.expect("is open")
}

/// Held at each file in turn, until the replay of the records has begun.
#[tokio::test]
async fn the_metrics_page_tells_how_far_the_replay_is() {
    const RESERVED: u64 = 20;
    let dir = tempfile::tempdir().expect("a directory");
    let mut world = World::with(durable(&dir)).await;
    world.put(&["tea"], &["ams1"]).await;
    world.stock("tea", "ams1", RESERVED).await;
    for _ in 0..RESERVED {
        let answer = world.promise.reserve(reserve("tea", "ams1", 1)).await;
        answer.expect("answered");
    }
    let before = revision(&world.server);
    world.server.stop().expect("ends well");
    drop(world);

    let held = Held::new(&dir);
    let around = Surroundings {
        storage: Some(Arc::clone(&held) as _),
        ..Default::default()
    };
    let mut config = durable(&dir);
    config.drain_ms = 50;
    config.metrics_listen = Some("127.0.0.1:0".parse().expect("an address"));
    let server = Server::start_in(config, around).expect("starts");
    let lag = |page: &str| -> u64 {
        let line = page
            .lines()
            .find(|line| line.starts_with("bespeak_replay_lag_records "));
        let value = line.and_then(|line| line.split(' ').nth(1));
        value
            .and_then(|value| value.parse().ok())
            .expect("a number")
    };
    let mut page = metrics_page(&server).await;
    while lag(&page) == 0 {
        held.step();
        page = metrics_page(&server).await;
    }
    let whole = lag(&page);
    assert!(page.contains("bespeak_serving 0"));
    held.release();
    server.wait_ready(PATIENCE).expect("is ready");
    // A server that idles before it is stopped writes a tick or two more.
    assert!(
        (before..=revision(&server)).contains(&whole),
        "{whole} of at least {before}: nothing has been replayed yet"
    );
    page = metrics_page(&server).await;
    assert_eq!(lag(&page), 0);
    assert!(page.contains("bespeak_serving 1"));
}
