//! The servers that steps are run against, filled before the first, held to account after the last.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tokio_rustls::TlsConnector;

use super::Options;
use super::again::{self, Settled};
use super::client::Client;
use super::drive::{self, Asked, Line, Shared};
use super::forecasts::Forecasts;
use super::holds::{HOLD_MS, Hold};
use super::plans::{self, Plans};
use super::slot::Slot;
use super::spec::{Step, Target, Transport};
use super::tls::Tls;
use super::usage::Told;
use crate::bespeak::flight::FlightClient;
use crate::bespeak::load::{self, Each};
use crate::bespeak::server::BespeakServer;
use crate::farm::PLENTY;
use crate::grpc::Channel;
use crate::http2;
use crate::ledger::{Ledger, Verified};
use crate::machine::cpu_ns;
use crate::process::{Process, Setup};

/// How long a worker may take to load its model and be asked.
const WORKER_MAX: Duration = Duration::from_secs(180);
/// How long a server may go on with what filling it has left it to do: half a minute with a million positions.
const REST_MAX: Duration = Duration::from_secs(900);
/// It is looked at so often, and is at rest when it has used so little of a core between two looks, twice in a row.
const LOOK: Duration = Duration::from_millis(250);
const AT_REST: f64 = 0.02;
/// Rows of a batch are held this long by the server; then the account would have to know which have expired.
const BATCHES_MAX: Duration = Duration::from_secs(14 * 60);

pub struct Servers {
    dir: tempfile::TempDir,
    cores: Vec<usize>,
    positions: u32,
    tls: Option<Tls>,
    bespeak: Main,
    /// The worker behind it, where one was asked for.
    worker: Option<Process>,
    echo: Option<BespeakServer>,
    /// The network of the batches is there, and the account has its positions.
    planned: bool,
    h2: Option<BespeakServer>,
    ledger: Ledger,
    /// Of what the echo server was asked: nobody holds it to account.
    nobodys: Ledger,
    /// When the last hold was left to expire, and the first batch was reserved.
    left: Option<Instant>,
    batches: Option<Instant>,
    unsure: bool,
    salt: u64,
}

/// The server that is measured: started here, or by somebody else who may start it again.
enum Main {
    Ours(BespeakServer),
    Theirs { port: u16, pid: u32, data: PathBuf },
}

impl Main {
    fn port(&self) -> u16 {
        match self {
            Self::Ours(server) => server.port,
            Self::Theirs { port, .. } => *port,
        }
    }
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
        let mut environment: Vec<(String, String)> = Vec::new();
        if let Some(tls) = &tls {
            let names = ["CERTIFICATE", "KEY"].map(|name| ["BESPEAK_SERVER__TLS__", name].concat());
            let files = [&tls.certificate, &tls.key];
            environment.extend(
                names
                    .into_iter()
                    .zip(files.map(|file| file.display().to_string())),
            );
        }
        let worker = match &options.worker_command {
            Some(command) => {
                let address = format!("unix:{}", dir.path().join("worker.sock").display());
                let name = ["BESPEAK_SERVER__", "COMPUTE__ADDRESS"].concat();
                environment.push((name, address.clone()));
                Some(start_worker(command, &address, dir.path(), &cores)?)
            }
            None => None,
        };
        let environment: Vec<(&str, String)> = environment
            .iter()
            .map(|(name, value)| (name.as_str(), value.clone()))
            .collect();
        let bespeak = match (options.attach, &options.server_command) {
            (Some(port), _) => Main::Theirs {
                port,
                pid: options.attach_pid.unwrap_or(0),
                data: options.attach_data.clone().unwrap_or_default(),
            },
            (None, Some(command)) => Main::Ours(
                BespeakServer::start_with(command, dir.path(), &cores, &environment).await?,
            ),
            (None, None) => bail!("give --server-command or --attach"),
        };
        let channel = connect(bespeak.port(), tls.as_ref().map(|tls| &tls.connector)).await?;
        let stocks: Arc<[u64]> = vec![PLENTY; options.positions as usize].into();
        let each = Each {
            receipts: options.receipts,
            commitments: options.commitments,
        };
        load::load_over(channel, stocks, each)
            .await
            .with_context(|| match &bespeak {
                Main::Ours(server) => {
                    format!("filling the server; {}", server.process.log_tail())
                }
                Main::Theirs { port, .. } => format!("filling the server on port {port}"),
            })?;
        if let Main::Ours(server) = &bespeak {
            until_at_rest(server.process.pid()).await?;
        }
        Ok(Self {
            dir,
            cores,
            positions: options.positions,
            tls,
            bespeak,
            worker,
            echo: None,
            planned: false,
            h2: None,
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

    /// The process, where it is one of this program's.
    pub fn process(&self, target: Target) -> Option<&Process> {
        match (self.bare(target), &self.bespeak) {
            (Some(bare), _) => Some(&bare.process),
            (None, Main::Ours(server)) => Some(&server.process),
            (None, Main::Theirs { .. }) => None,
        }
    }

    fn bare(&self, target: Target) -> Option<&BespeakServer> {
        match target {
            Target::Server => None,
            Target::Echo => self.echo.as_ref(),
            Target::H2 => self.h2.as_ref(),
        }
    }

    pub fn pid(&self, target: Target) -> u32 {
        match (&self.bespeak, self.process(target)) {
            (_, Some(process)) => process.pid(),
            (Main::Theirs { pid, .. }, None) => *pid,
            (Main::Ours(server), None) => server.process.pid(),
        }
    }

    pub fn ledger(&self, target: Target) -> Ledger {
        match target {
            Target::Server => self.ledger.clone(),
            Target::Echo | Target::H2 => self.nobodys.clone(),
        }
    }

    fn port(&self, target: Target) -> u16 {
        let bare = self.bare(target);
        bare.map_or_else(|| self.bespeak.port(), |bare| bare.port)
    }

    fn connector(&self) -> Option<&TlsConnector> {
        self.tls.as_ref().map(|tls| &tls.connector)
    }

    /// For what is not measured, and for tables.
    async fn connect(&self, target: Target) -> Result<Channel> {
        connect(self.port(target), self.connector()).await
    }

    /// A client of unary calls that is not measured.
    async fn aside(&self) -> Result<Client> {
        let port = self.port(Target::Server);
        let channel = http2::Channel::connect(port, self.connector()).await?;
        Client::open(channel, None, Transport::Unary, Target::Server, u64::MAX).await
    }

    /// What a step asks beside orders and stock: its network is put, and its forecasts come from the worker.
    ///
    /// # Errors
    /// The server refuses it, or the worker does not answer.
    pub async fn ready(&mut self, step: &Step) -> Result<Asked> {
        let mut asked = Asked::default();
        if step.mix.allocate > 0 {
            if !self.planned {
                plans::fill(self.connect(Target::Server).await?).await?;
                self.ledger = self.ledger.grown(plans::POSITIONS);
                self.planned = true;
            }
            let plans = Plans::new(step.seed, step.orders, step.budget_ms, self.positions)?;
            asked.plans = Some(Arc::new(plans));
        }
        if step.mix.forecast > 0 {
            let forecasts = Forecasts::new(step.seed, step.series, step.horizon)?;
            if self.worker.is_some() {
                self.until_worker_answers(&forecasts).await?;
            }
            asked.forecasts = Some(Arc::new(forecasts));
        }
        Ok(asked)
    }

    async fn until_worker_answers(&self, forecasts: &Forecasts) -> Result<()> {
        let mut client = self.aside().await?;
        let deadline = Instant::now() + WORKER_MAX;
        loop {
            let answer = client.forecast(forecasts.request(0)).await?;
            if !answer.fallback {
                return Ok(());
            }
            let said = || self.worker.as_ref().map(Process::log_tail);
            ensure!(
                Instant::now() < deadline,
                "no forecast comes from the worker: {}",
                said().unwrap_or_default()
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Bytes of everything that the server keeps.
    pub fn data_bytes(&self) -> u64 {
        match &self.bespeak {
            Main::Ours(_) => bytes_below(&self.dir.path().join("bespeak")),
            Main::Theirs { data, .. } => bytes_below(data),
        }
    }

    /// What the server says of itself; nothing of a bare server, and where it does not say.
    pub async fn told(&self, target: Target) -> Told {
        let stats = async {
            let mut channel = self.connect(target).await?;
            load::stats(&mut channel).await
        };
        match target {
            Target::Server => stats
                .await
                .map_or_else(|_| Told::default(), |stats| Told::from(&stats)),
            Target::Echo | Target::H2 => Told::default(),
        }
    }

    /// Workers' lines for a step: `streams` on each of `connections`.
    ///
    /// # Errors
    /// A server does not take them.
    pub async fn clients(&mut self, step: &Step) -> Result<Vec<Line>> {
        if step.target == Target::Echo && self.echo.is_none() {
            let tls = self.tls.as_ref();
            let files = tls.map(|tls| (tls.certificate.as_path(), tls.key.as_path()));
            let echo = BespeakServer::start_echo_with(self.dir.path(), &self.cores, files).await?;
            self.echo = Some(echo);
        }
        if step.target == Target::H2 && self.h2.is_none() {
            ensure!(self.tls.is_none(), "the server on h2 alone knows no TLS");
            self.h2 = Some(BespeakServer::start_h2(self.dir.path(), &self.cores).await?);
        }
        let mut clients = Vec::with_capacity(step.connections * step.streams);
        for _ in 0..step.connections {
            let tls = self.connector().cloned();
            let slot = Arc::new(Slot::connect(self.port(step.target), tls).await?);
            let mut tables = match step.transport {
                Transport::Flight => Some(self.connect(step.target).await?),
                Transport::Unary | Transport::Session => None,
            };
            for _ in 0..step.streams {
                self.salt += 1;
                let flight = match &mut tables {
                    Some(channel) => Some(FlightClient::open(channel, self.salt).await?),
                    None => None,
                };
                let channel = slot.channel().await;
                let client =
                    Client::open(channel, flight, step.transport, step.target, self.salt).await?;
                let slot = slot.clone();
                clients.push(Line { client, slot });
            }
        }
        Ok(clients)
    }

    /// Releases what a step left open, and notes what it left to expire. Where the step looked after its writes, those
    /// without a good answer are sent again, and all that was acknowledged is asked for.
    ///
    /// # Errors
    /// The server is gone, or answers wrongly.
    pub async fn settle(
        &mut self,
        step: &Step,
        mut rest: Vec<Hold>,
        shared: &Shared,
    ) -> Result<Option<Settled>> {
        if step.target.bare() {
            return Ok(None);
        }
        if shared.holds.lock().is_ok_and(|holds| holds.left) {
            self.left = Some(Instant::now());
        }
        self.unsure |= shared.unsure.load(Ordering::Relaxed);
        if step.transport == Transport::Flight {
            self.batches.get_or_insert_with(Instant::now);
        }
        let mut settled = None;
        let mut channel = self.connect(Target::Server).await?;
        if step.reconnect {
            load::until_serving(&mut channel).await?;
        }
        let mut client = self.aside().await?;
        if step.reconnect {
            let (unsure, mut acknowledged) = shared.looked_after();
            let plans = shared.plans();
            let (more, mut found) =
                again::send(unsure, &mut client, &self.ledger, plans, &mut acknowledged).await?;
            rest.extend(more);
            found.acknowledged = again::find(acknowledged, &channel).await?;
            settled = Some(found);
        }
        drive::release(rest, &mut client, &self.ledger).await?;
        Ok(settled)
    }

    /// Holds the server to what it answered, or says why it cannot be. Its own proof must hold in any case.
    ///
    /// # Errors
    /// An account does not add up.
    pub async fn verify(&self) -> Result<Result<Verified, &'static str>> {
        let mut channel = self.connect(Target::Server).await?;
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
        let mut left = load::stocks(&mut channel, self.positions).await?;
        if self.planned {
            left.extend(plans::stocks(&mut channel).await?);
        }
        self.ledger.verify(|_| PLENTY, &left).map(Ok)
    }
}

/// Waits until a server has done what it does by itself after it was filled: its snapshots and indexes are none of the
/// first step's.
async fn until_at_rest(pid: u32) -> Result<()> {
    let deadline = Instant::now() + REST_MAX;
    let mut quiet = 0;
    let (mut before, mut looked) = (cpu_ns(pid)?, Instant::now());
    while quiet < 2 {
        ensure!(
            Instant::now() < deadline,
            "the server is still busy {} s after it was filled: fill it with fewer positions, or see what else it does",
            REST_MAX.as_secs()
        );
        tokio::time::sleep(LOOK).await;
        let used = cpu_ns(pid)? - before;
        let share = used as f64 / looked.elapsed().as_nanos() as f64;
        quiet = if share < AT_REST { quiet + 1 } else { 0 };
        (before, looked) = (before + used, Instant::now());
    }
    Ok(())
}

async fn connect(port: u16, tls: Option<&TlsConnector>) -> Result<Channel> {
    match tls {
        None => Channel::connect(port).await,
        Some(tls) => Channel::connect_tls(port, tls).await,
    }
}

fn start_worker(command: &str, address: &str, dir: &Path, cores: &[usize]) -> Result<Process> {
    let words: Vec<String> = command
        .split_whitespace()
        .map(|word| word.replace("{address}", address))
        .collect();
    ensure!(
        command.contains("{address}"),
        "--worker-command must say where {{address}} goes, it is: {command}"
    );
    let (program, arguments) = words.split_first().context("--worker-command is empty")?;
    let mut command = Command::new(program);
    command.args(arguments);
    let setup = Setup::new(0, &dir.join("worker")).cores(cores);
    Process::start("worker", command, &setup)
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
