//! The servers of one run: started when a row first needs them, filled with the same stock, one
//! awake at a time, and held to account at the end.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};

use crate::bespeak::client::{SessionClient, UnaryClient};
use crate::bespeak::flight::FlightClient;
use crate::bespeak::server::BespeakServer;
use crate::bespeak::{h2load, load};
use crate::connection::Connection;
use crate::grpc::Channel;
use crate::http2;
use crate::ledger::{Ledger, Verified};
use crate::peers::aio_server;
use crate::peers::postgres::PostgresConnection;
use crate::peers::postgres_server::PostgresServer;
use crate::peers::redis::RedisConnection;
use crate::peers::redis_server::RedisServer;
use crate::process::Process;
use crate::round::{self, Measured, Spec};
use crate::system::{Server, System};

/// Stock of an ordinary SKU: more than any run sells.
pub const PLENTY: u64 = 1_000_000_000;
/// SKUs beyond the ordinary ones that sell out, and what they begin with.
pub const SCARCE_SKUS: u32 = 8;
pub const SCARCE_UNITS: u64 = 200;

pub struct Settings {
    pub skus: u32,
    pub server_core: usize,
    pub server_command: Option<String>,
    pub aio_command: Option<String>,
}

pub struct Farm {
    dir: tempfile::TempDir,
    settings: Settings,
    running: BTreeMap<Server, Running>,
}

struct Running {
    kind: Kind,
    ledger: Ledger,
}

enum Kind {
    Grpc(BespeakServer),
    Redis(RedisServer),
    Postgres(PostgresServer),
}

impl Kind {
    fn process(&self) -> &Process {
        match self {
            Self::Grpc(server) => &server.process,
            Self::Redis(server) => &server.process,
            Self::Postgres(server) => &server.process,
        }
    }
}

impl Farm {
    /// # Errors
    /// No directory can be made under `parent`.
    pub fn new(parent: &Path, settings: Settings) -> Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix("bespeak-bench-")
            .tempdir_in(parent)?;
        Ok(Self {
            dir,
            settings,
            running: BTreeMap::new(),
        })
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Starts and fills a server unless it runs already; gives its version.
    ///
    /// # Errors
    /// It is not installed or does not come up.
    pub async fn start(&mut self, server: Server) -> Result<Option<String>> {
        if self.running.contains_key(&server) {
            return Ok(None);
        }
        let (dir, core) = (self.dir.path(), self.settings.server_core);
        let stocks: Arc<[u64]> = self.stocks().into();
        let (kind, version) = match server {
            Server::Echo => (
                Kind::Grpc(BespeakServer::start_echo(dir, core).await?),
                "tonic echo".to_owned(),
            ),
            Server::Bespeak => {
                let command = self.settings.server_command.as_deref().context(
                    "no command to start the server: give --server-command with {port} and {dir}",
                )?;
                let started = BespeakServer::start(command, dir, core).await?;
                load::load(started.port, stocks)
                    .await
                    .context("loading bespeak")?;
                (Kind::Grpc(started), "bespeak".to_owned())
            }
            Server::Aio => {
                let command = self.settings.aio_command.as_deref();
                let command = command.context(aio_server::MISSING)?;
                let started = aio_server::start(command, dir, core, &stocks).await?;
                (Kind::Grpc(started), "grpc.aio".to_owned())
            }
            Server::Redis | Server::RedisOff => {
                let started = if server == Server::Redis {
                    RedisServer::start(dir, core).await?
                } else {
                    RedisServer::start_without_log(dir, core).await?
                };
                RedisConnection::connect(started.port, 0)
                    .await?
                    .set_stock(0, &stocks)
                    .await?;
                let version = started.version.clone();
                (Kind::Redis(started), version)
            }
            Server::Postgres => {
                let started = PostgresServer::start(dir, core).await?;
                started.set_stock(0, &stocks).await?;
                let version = started.version.clone();
                (Kind::Postgres(started), version)
            }
        };
        if server.is_peer() {
            kind.process().pause();
        }
        let ledger = Ledger::new(self.settings.skus + SCARCE_SKUS);
        self.running.insert(server, Running { kind, ledger });
        Ok(Some(version))
    }

    /// One round on one system, with nothing else awake.
    ///
    /// # Errors
    /// The server was not started, or any operation failed.
    pub async fn round(&mut self, system: System, clients: usize, spec: &Spec) -> Result<Measured> {
        let server = system.server();
        let running = self
            .running
            .get(&server)
            .context("the server was not started")?;
        running.kind.process().resume();
        let measured = running.round(system, clients, spec, self.dir.path()).await;
        if server.is_peer() {
            running.kind.process().pause();
        }
        let log = || {
            format!(
                "{server:?}; the server's last words: {}",
                running.kind.process().log_tail()
            )
        };
        measured.with_context(log)
    }

    /// Compares every started server's account with the answers it gave.
    ///
    /// # Errors
    /// An account does not add up.
    pub async fn verify(&self) -> Result<Vec<(Server, Verified)>> {
        let mut verified = Vec::new();
        let skus = self.settings.skus + SCARCE_SKUS;
        for (&server, running) in &self.running {
            running.kind.process().resume();
            let left = match &running.kind {
                Kind::Grpc(_) if server == Server::Echo => continue,
                Kind::Grpc(bespeak) => {
                    let mut channel = Channel::connect(bespeak.port).await?;
                    if server == Server::Bespeak {
                        load::reconcile(&mut channel).await?;
                    }
                    load::stocks(&mut channel, skus).await?
                }
                Kind::Redis(redis) => {
                    RedisConnection::connect(redis.port, 0)
                        .await?
                        .stocks(skus)
                        .await?
                }
                Kind::Postgres(postgres) => postgres.stocks().await?,
            };
            let begin = |sku| stock_of(sku, self.settings.skus);
            let account = running.ledger.verify(begin, &left);
            verified.push((server, account.with_context(|| format!("{server:?}"))?));
        }
        Ok(verified)
    }

    fn stocks(&self) -> Vec<u64> {
        let skus = self.settings.skus;
        (0..skus + SCARCE_SKUS)
            .map(|sku| stock_of(sku, skus))
            .collect()
    }
}

fn stock_of(sku: u32, skus: u32) -> u64 {
    if sku < skus { PLENTY } else { SCARCE_UNITS }
}

impl Running {
    async fn round(
        &self,
        system: System,
        clients: usize,
        spec: &Spec,
        dir: &Path,
    ) -> Result<Measured> {
        match (system, &self.kind) {
            (System::H2load { shared }, Kind::Grpc(server)) => {
                let pid = server.process.pid();
                h2load::run(server.port, clients, shared, spec, pid, dir).await
            }
            (
                System::EchoUnary { .. } | System::BespeakUnary { .. } | System::AioUnary,
                Kind::Grpc(server),
            ) => {
                let shared = system.shared();
                let channels = channels(server.port, clients, shared).await?;
                let client = |(salt, channel)| UnaryClient::new(channel, salt as u64);
                let connections = channels.into_iter().enumerate().map(client).collect();
                self.drive(connections, spec).await
            }
            (
                System::EchoSession { shared } | System::BespeakSession { shared },
                Kind::Grpc(server),
            ) => {
                let mut connections = Vec::new();
                let channels = channels(server.port, clients, shared).await?;
                for (salt, mut channel) in channels.into_iter().enumerate() {
                    connections.push(SessionClient::open(&mut channel, salt as u64).await?);
                }
                self.drive(connections, spec).await
            }
            (System::BespeakFlight, Kind::Grpc(server)) => {
                let mut connections = Vec::new();
                for salt in 0..clients {
                    let mut channel = Channel::connect(server.port).await?;
                    connections.push(FlightClient::open(&mut channel, salt as u64).await?);
                }
                self.drive(connections, spec).await
            }
            (System::Redis(fsync), Kind::Redis(server)) => {
                server.set_fsync(fsync).await?;
                let mut connections = Vec::new();
                for salt in 0..clients {
                    let connection = RedisConnection::connect(server.port, salt as u64).await?;
                    connections.push(connection);
                }
                self.drive(connections, spec).await
            }
            (System::Postgres(style), Kind::Postgres(server)) => {
                let mut connections = Vec::new();
                for salt in 0..clients {
                    let connection = PostgresConnection::connect(server.port, style, salt as u64);
                    connections.push(connection.await?);
                }
                self.drive(connections, spec).await
            }
            _ => unreachable!("{system:?} names its own server"),
        }
    }

    async fn drive<C: Connection>(&self, connections: Vec<C>, spec: &Spec) -> Result<Measured> {
        round::run(
            connections,
            spec,
            &self.ledger,
            &[self.kind.process().pid()],
        )
        .await
    }
}

/// One channel a client: its own connection, or all on one.
async fn channels(port: u16, clients: usize, shared: bool) -> Result<Vec<http2::Channel>> {
    if shared {
        return Ok(vec![http2::Channel::connect(port, None).await?; clients]);
    }
    let mut channels = Vec::with_capacity(clients);
    for _ in 0..clients {
        channels.push(http2::Channel::connect(port, None).await?);
    }
    Ok(channels)
}
