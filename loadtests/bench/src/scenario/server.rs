//! The servers that steps are run against, filled before the first, held to account after the last.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::Options;
use super::client::Client;
use super::drive::{self, Shared};
use super::holds::{HOLD_MS, Hold};
use super::spec::{Step, Target, Transport};
use super::tls::Tls;
use crate::bespeak::load;
use crate::bespeak::server::BespeakServer;
use crate::farm::PLENTY;
use crate::grpc::Channel;
use crate::ledger::{Ledger, Verified};
use crate::process::Process;

/// Rows of a batch are held this long by the server; then the account would have to know which have expired.
const BATCHES_MAX: Duration = Duration::from_secs(14 * 60);

pub struct Servers {
    dir: tempfile::TempDir,
    cores: Vec<usize>,
    positions: u32,
    tls: Option<Tls>,
    bespeak: BespeakServer,
    echo: Option<BespeakServer>,
    ledger: Ledger,
    /// Of what the echo server was asked: nobody holds it to account.
    nobodys: Ledger,
    /// When the last hold was left to expire, and the first batch was reserved.
    left: Option<Instant>,
    batches: Option<Instant>,
    unsure: bool,
    salt: u64,
}

impl Servers {
    /// # Errors
    /// No server comes up, or it refuses what it is filled with.
    pub async fn start(parent: &Path, options: &Options, cores: Vec<usize>) -> Result<Self> {
        ensure!(options.positions > 0, "--positions is 0: give at least 1");
        ensure!(options.receipts > 0, "--receipts is 0: give at least 1");
        let dir = tempfile::Builder::new()
            .prefix("bespeak-bench-")
            .tempdir_in(parent)?;
        let tls = if options.tls {
            Some(Tls::new(dir.path())?)
        } else {
            None
        };
        let mut environment = Vec::new();
        if let Some(tls) = &tls {
            let names = ["CERTIFICATE", "KEY"].map(|name| ["BESPEAK_SERVER__TLS__", name].concat());
            let files = [&tls.certificate, &tls.key];
            environment.extend(
                names
                    .into_iter()
                    .zip(files.map(|file| file.display().to_string())),
            );
        }
        let environment: Vec<(&str, String)> = environment
            .iter()
            .map(|(name, value)| (name.as_str(), value.clone()))
            .collect();
        let bespeak =
            BespeakServer::start_with(&options.server_command, dir.path(), &cores, &environment)
                .await?;
        let channel = connect(&bespeak, tls.as_ref()).await?;
        let stocks: Arc<[u64]> = vec![PLENTY; options.positions as usize].into();
        load::load_over(channel, stocks, options.receipts)
            .await
            .with_context(|| format!("filling the server; {}", bespeak.process.log_tail()))?;
        Ok(Self {
            dir,
            cores,
            positions: options.positions,
            tls,
            bespeak,
            echo: None,
            ledger: Ledger::new(options.positions),
            nobodys: Ledger::new(options.positions),
            left: None,
            batches: None,
            unsure: false,
            salt: 0,
        })
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn positions(&self) -> u32 {
        self.positions
    }

    pub fn first_core(&self) -> usize {
        self.cores[0]
    }

    pub fn process(&self, target: Target) -> &Process {
        &self.server(target).process
    }

    pub fn ledger(&self, target: Target) -> Ledger {
        match target {
            Target::Server => self.ledger.clone(),
            Target::Echo => self.nobodys.clone(),
        }
    }

    fn server(&self, target: Target) -> &BespeakServer {
        match (target, &self.echo) {
            (Target::Echo, Some(echo)) => echo,
            _ => &self.bespeak,
        }
    }

    /// Bytes of everything that the server keeps.
    pub fn data_bytes(&self) -> u64 {
        bytes_below(&self.dir.path().join("bespeak"))
    }

    /// Workers' lines for a step: `streams` on each of `connections`.
    ///
    /// # Errors
    /// A server does not take them.
    pub async fn clients(&mut self, step: &Step) -> Result<Vec<Client>> {
        if step.target == Target::Echo && self.echo.is_none() {
            let tls = self.tls.as_ref();
            let files = tls.map(|tls| (tls.certificate.as_path(), tls.key.as_path()));
            let echo = BespeakServer::start_echo_with(self.dir.path(), &self.cores, files).await?;
            self.echo = Some(echo);
        }
        let mut clients = Vec::with_capacity(step.connections * step.streams);
        for _ in 0..step.connections {
            let channel = connect(self.server(step.target), self.tls.as_ref()).await?;
            for _ in 0..step.streams {
                self.salt += 1;
                let client = Client::open(channel.clone(), step.transport, step.target, self.salt);
                clients.push(client.await?);
            }
        }
        Ok(clients)
    }

    /// Releases what a step left open, and notes what it left to expire.
    ///
    /// # Errors
    /// The server is gone, or answers wrongly.
    pub async fn settle(&mut self, step: &Step, rest: Vec<Hold>, shared: &Shared) -> Result<()> {
        if step.target == Target::Echo {
            return Ok(());
        }
        if shared.holds.lock().is_ok_and(|holds| holds.left) {
            self.left = Some(Instant::now());
        }
        self.unsure |= shared.unsure.load(Ordering::Relaxed);
        if step.transport == Transport::Flight {
            self.batches.get_or_insert_with(Instant::now);
        }
        let channel = connect(&self.bespeak, self.tls.as_ref()).await?;
        let mut client = Client::open(channel, Transport::Unary, step.target, u64::MAX).await?;
        drive::release(rest, &mut client, &self.ledger).await
    }

    /// Holds the server to what it answered, or says why it cannot be. Its own proof must hold in any case.
    ///
    /// # Errors
    /// An account does not add up.
    pub async fn verify(&self) -> Result<Result<Verified, &'static str>> {
        let mut channel = connect(&self.bespeak, self.tls.as_ref()).await?;
        load::reconcile(&mut channel).await?;
        if self.unsure {
            return Ok(Err(
                "writes without a good answer may have been done or not",
            ));
        }
        if self
            .batches
            .is_some_and(|first| first.elapsed() > BATCHES_MAX)
        {
            return Ok(Err("holds of batches have expired since they were made"));
        }
        if let Some(left) = self.left {
            // A second more, as the server's clock is not this one.
            let expired = left + Duration::from_millis(HOLD_MS as u64 + 1_000);
            tokio::time::sleep_until(expired.into()).await;
        }
        let left = load::stocks(&mut channel, self.positions).await?;
        self.ledger.verify(|_| PLENTY, &left).map(Ok)
    }
}

async fn connect(server: &BespeakServer, tls: Option<&Tls>) -> Result<Channel> {
    match tls {
        None => Channel::connect(server.port).await,
        Some(tls) => Channel::connect_tls(server.port, &tls.connector).await,
    }
}

fn bytes_below(path: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(path) else {
        return 0;
    };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(found) if found.is_dir() => bytes_below(&entry.path()),
            Ok(found) => found.len(),
            // It was removed meanwhile.
            Err(_) => 0,
        })
        .sum()
}
