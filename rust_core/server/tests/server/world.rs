//! A real server on a free port, and clients of it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bespeak_proto::v1 as pb;
use bespeak_proto::v1::admin_service_client::AdminServiceClient;
use bespeak_proto::v1::catalog_service_client::CatalogServiceClient;
use bespeak_proto::v1::promise_service_client::PromiseServiceClient;
use bespeak_proto::v1::supply_service_client::SupplyServiceClient;
use bespeak_server::store::Surroundings;
use bespeak_server::{Server, ServerConfig, ServerHandle};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tonic::transport::Channel;
use tonic_types::StatusExt;

pub const PATIENCE: Duration = Duration::from_secs(30);
/// An hour, in milliseconds.
pub const HOUR: i64 = 3_600_000;

/// A server with its clients.
pub struct World {
    pub server: ServerHandle,
    pub channel: Channel,
    pub promise: PromiseServiceClient<Channel>,
    pub supply: SupplyServiceClient<Channel>,
    pub catalog: CatalogServiceClient<Channel>,
    pub admin: AdminServiceClient<Channel>,
}

impl World {
    /// In memory, with the defaults.
    pub async fn new() -> Self {
        Self::with(ServerConfig::local()).await
    }

    /// With these settings.
    pub async fn with(config: ServerConfig) -> Self {
        Self::within(config, Surroundings::default()).await
    }

    /// With another clock or another disk.
    pub async fn within(mut config: ServerConfig, around: Surroundings) -> Self {
        // The test's own thread would have to answer the drain while it waits for it.
        config.drain_ms = 50;
        let server = Server::start_in(config, around).expect("starts");
        server.wait_ready(PATIENCE).expect("is ready");
        let channel = connect(&server).await;
        Self {
            promise: PromiseServiceClient::new(channel.clone()),
            supply: SupplyServiceClient::new(channel.clone()),
            catalog: CatalogServiceClient::new(channel.clone()),
            admin: AdminServiceClient::new(channel.clone()),
            channel,
            server,
        }
    }

    /// Puts items and locations of these names.
    pub async fn put(&mut self, items: &[&str], locations: &[&str]) {
        for item in items {
            let item = pb::Item {
                item: (*item).to_owned(),
                base_unit: "each".into(),
                ..Default::default()
            };
            let request = pb::PutItemRequest {
                context: ctx(),
                item: Some(item),
            };
            self.catalog.put_item(request).await.expect("item is put");
        }
        for location in locations {
            let location = pb::Location {
                location: (*location).to_owned(),
                ..Default::default()
            };
            let request = pb::PutLocationRequest {
                context: ctx(),
                location: Some(location),
            };
            self.catalog
                .put_location(request)
                .await
                .expect("location is put");
        }
    }

    /// Counts stock of a position.
    pub async fn stock(&mut self, item: &str, location: &str, quantity: u64) {
        let request = pb::SetOnHandRequest {
            context: ctx(),
            item: item.into(),
            location: location.into(),
            quantity,
            ..Default::default()
        };
        let answer = self
            .supply
            .set_on_hand(request)
            .await
            .expect("counted")
            .into_inner();
        assert_eq!(
            answer.result.map(|result| result.on_hand),
            Some(quantity as i64)
        );
    }

    /// Units that can be promised now.
    pub async fn available(&mut self, item: &str, location: &str) -> u64 {
        let answer = self
            .promise
            .check(check(item, location, 0))
            .await
            .expect("checked");
        answer.into_inner().results[0].available
    }
}

/// Starts a server and waits until it serves.
pub fn start(config: ServerConfig) -> ServerHandle {
    let server = Server::start(config).expect("starts");
    server.wait_ready(PATIENCE).expect("is ready");
    server
}

pub async fn connect(server: &ServerHandle) -> Channel {
    let address = format!("http://{}", server.address());
    Channel::from_shared(address)
        .expect("own address")
        .connect()
        .await
        .expect("connects")
}

/// The metrics page, of a server that was asked to have one.
pub async fn metrics_page(server: &ServerHandle) -> String {
    let address = server.metrics_address().expect("was asked for");
    let mut stream = tokio::net::TcpStream::connect(address)
        .await
        .expect("connects");
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .await
        .expect("sent");
    let mut page = String::new();
    stream.read_to_string(&mut page).await.expect("a page");
    page
}

/// A context with a request id that was never used.
pub fn ctx() -> Option<pb::RequestContext> {
    Some(pb::RequestContext {
        request_id: fresh_id(),
        ..Default::default()
    })
}

pub fn fresh_id() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    format!(
        "{:032x}",
        0x4000_8000_0000_0000_0000u128 << 12 | u128::from(NEXT.fetch_add(1, Ordering::Relaxed))
    )
}

pub fn check(item: &str, location: &str, quantity: u64) -> pb::CheckRequest {
    let line = pb::CheckLine {
        item: item.into(),
        location: location.into(),
        quantity,
        ..Default::default()
    };
    pb::CheckRequest {
        lines: vec![line],
        ..Default::default()
    }
}

pub fn reserve(item: &str, location: &str, quantity: u64) -> pb::ReserveRequest {
    let line = pb::ReserveLine {
        item: item.into(),
        location: location.into(),
        quantity,
        ..Default::default()
    };
    pb::ReserveRequest {
        context: ctx(),
        lines: vec![line],
        ..Default::default()
    }
}

pub fn promise(item: &str, locations: &[&str], quantity: u64) -> pb::PromiseRequest {
    let line = pb::PromiseLine {
        item: item.into(),
        quantity,
        ..Default::default()
    };
    pb::PromiseRequest {
        context: ctx(),
        lines: vec![line],
        locations: locations.iter().map(|name| (*name).to_owned()).collect(),
        ..Default::default()
    }
}

/// Status code and the code of its page in docs/errors.
pub fn why<T: std::fmt::Debug>(result: Result<T, tonic::Status>) -> (tonic::Code, String) {
    let status = result.expect_err("fails");
    let details = status.get_error_details();
    let reason = details.error_info().map(|info| info.reason.clone());
    (
        status.code(),
        reason.unwrap_or_else(|| format!("no error info in {status:?}")),
    )
}

/// Milliseconds since 1970.
pub fn now_ms() -> i64 {
    let since = std::time::UNIX_EPOCH.elapsed().expect("after 1970");
    since.as_millis() as i64
}
