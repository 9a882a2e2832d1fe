//! Steps of load in open loop against a server of the tool's own: JSON lines in, JSON lines out.

mod arrivals;
mod client;
mod drive;
mod due;
mod holds;
mod server;
mod spec;
mod tally;
mod tls;

use std::collections::BTreeMap;
use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Serialize;

use self::drive::Workers;
use self::server::Servers;
use self::spec::{Step, Target};
use self::tally::{Moment, Summary};
use crate::keys::KeyRing;
use crate::latency::{self, Latency};
use crate::ledger::Verified;
use crate::machine::{self, Machine};
use crate::probe::{self, Probe};

#[derive(clap::Args)]
pub struct Options {
    /// Positions with stock, receipts and commitments
    #[arg(long, default_value_t = 100_000)]
    positions: u32,
    /// Receipts a position
    #[arg(long, default_value_t = crate::bespeak::load::RECEIPTS)]
    receipts: u32,
    /// Everything within TLS, under a certificate made for the run
    #[arg(long)]
    tls: bool,
    /// Cores of the server [default: all but this program's]
    #[arg(long, value_delimiter = ',')]
    server_cores: Vec<usize>,
    /// Core of this program [default: the last one]
    #[arg(long)]
    client_core: Option<usize>,
    /// What starts the server, with {port} and {dir} where its port and data directory go
    #[arg(long)]
    server_command: String,
    /// Where data directories are made, on a disk; removed at the end [default: the system's]
    #[arg(long)]
    dir: Option<PathBuf>,
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Line {
    Machine {
        #[serde(flatten)]
        machine: Machine,
        version: &'static str,
        server_cores: Vec<usize>,
    },
    Server {
        server: &'static str,
        pid: u32,
        load_s: f64,
        positions: u32,
        receipts: u32,
        tls: bool,
        command: String,
    },
    Step(Box<StepLine>),
    Verified {
        #[serde(flatten)]
        verified: Verified,
    },
    Unverified {
        why: &'static str,
    },
}

#[derive(Serialize)]
struct StepLine {
    #[serde(flatten)]
    step: Step,
    calls: u64,
    /// Calls answered well within the measured time, by those that were due in it.
    achieved_share: f64,
    /// Why no latency is told; none when it is.
    refused: Option<String>,
    methods: BTreeMap<&'static str, Summary>,
    timeline: Vec<Moment>,
    /// How late the generator itself started operations.
    lag: Latency,
    server_cpu_us: f64,
    /// Cores' worth of work.
    server_busy: f64,
    client_busy: f64,
    foreign_busy: f64,
    /// Resident bytes of the server and bytes of its data, at the beginning and the end of the measured time.
    resident_bytes: (u64, u64),
    data_bytes: (u64, u64),
    before: Probe,
    after: Probe,
}

/// # Errors
/// A step cannot be run as it is written, a server does not come up, an answer was wrong, or an account does not add up.
pub async fn run(options: Options) -> Result<()> {
    let cores = std::thread::available_parallelism()?.get();
    let client_core = options.client_core.unwrap_or(cores - 1);
    let server_cores = if options.server_cores.is_empty() {
        let all = 0..cores;
        let others: Vec<usize> = all.filter(|&core| core != client_core).collect();
        if others.is_empty() {
            vec![client_core]
        } else {
            others
        }
    } else {
        options.server_cores.clone()
    };
    machine::pin_to(client_core).with_context(|| format!("cannot run on core {client_core}"))?;
    let dir = options.dir.clone().unwrap_or_else(std::env::temp_dir);
    probe::ensure_real_disk(&dir)?;
    write(&Line::Machine {
        machine: Machine::describe(server_cores[0], client_core),
        version: env!("CARGO_PKG_VERSION"),
        server_cores: server_cores.clone(),
    })?;
    let begin = Instant::now();
    let mut servers = Servers::start(&dir, &options, server_cores).await?;
    write(&Line::Server {
        server: "bespeak",
        pid: servers.process(Target::Server).pid(),
        load_s: begin.elapsed().as_secs_f64(),
        positions: options.positions,
        receipts: options.receipts,
        tls: options.tls,
        command: options.server_command.clone(),
    })?;
    while let Some(text) = next_line().await? {
        let step: Step = serde_json::from_str(&text).with_context(|| format!("step {text}"))?;
        let step = step.checked()?;
        let line = measure(step, &mut servers).await?;
        write(&Line::Step(Box::new(line)))?;
    }
    match servers.verify().await? {
        Ok(verified) => write(&Line::Verified { verified }),
        Err(why) => write(&Line::Unverified { why }),
    }
}

/// Waits for a line on a thread of its own: meanwhile connections are kept alive.
async fn next_line() -> Result<Option<String>> {
    tokio::task::spawn_blocking(|| {
        let mut text = String::new();
        loop {
            text.clear();
            if std::io::stdin().lock().read_line(&mut text)? == 0 {
                return Ok(None);
            }
            if !text.trim().is_empty() {
                return Ok(Some(text.trim().to_owned()));
            }
        }
    })
    .await?
}

fn write(line: &Line) -> Result<()> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, line)?;
    out.write_all(b"\n")?;
    Ok(out.flush()?)
}

async fn measure(step: Step, servers: &mut Servers) -> Result<StepLine> {
    let clients = servers.clients(&step).await?;
    let keys = KeyRing::new(step.keys, servers.positions(), step.seed);
    let core = servers.first_core();
    let before = probe::probe(servers.dir(), core)?;
    let ledger = servers.ledger(step.target);
    let workers = Workers::start(clients, &step, &keys, &ledger);
    let pid = servers.process(step.target).pid();

    let begin = Instant::now();
    let measured = begin + step.warmup();
    workers.shared.tally().begins(measured);
    let process = servers.process(step.target);
    let (_, used, ()) = tokio::join!(
        workers.pace(&step, begin),
        usage(pid, servers, measured, step.measure()),
        async {
            if let Some(pause) = step.pause {
                let at = measured + Duration::from_secs_f64(pause.at_s);
                tokio::time::sleep_until(at.into()).await;
                process.pause();
                tokio::time::sleep(Duration::from_secs_f64(pause.for_s)).await;
                process.resume();
            }
        }
    );
    let used = used?;
    let shared = workers.shared.clone();
    let rest = workers.end().await?;
    servers.settle(&step, rest, &shared).await?;
    let after = probe::probe(servers.dir(), core)?;
    let tally = shared.tally();
    let refused = latency::refuse_lag_of(tally.lag(), &tally.latency(), step.lag_share_max).err();
    let seconds = step.measure_s;
    Ok(StepLine {
        calls: tally.calls(),
        achieved_share: tally.achieved_share(),
        methods: tally.summaries(refused.is_none()),
        timeline: if refused.is_none() {
            tally.timeline()
        } else {
            Vec::new()
        },
        refused,
        lag: Latency::from(tally.lag()),
        server_cpu_us: used.server.as_secs_f64() * 1e6 / tally.calls().max(1) as f64,
        server_busy: used.server.as_secs_f64() / seconds,
        client_busy: used.client.as_secs_f64() / seconds,
        foreign_busy: used.foreign.as_secs_f64() / seconds,
        resident_bytes: used.resident,
        data_bytes: used.data,
        before,
        after,
        step,
    })
}

struct Usage {
    server: Duration,
    client: Duration,
    foreign: Duration,
    resident: (u64, u64),
    data: (u64, u64),
}

/// What the measured time took.
async fn usage(pid: u32, servers: &Servers, begin: Instant, measured: Duration) -> Result<Usage> {
    let kept = || {
        let resident = machine::tree_resident_bytes(pid).unwrap_or(0);
        (resident, servers.data_bytes())
    };
    let now = || -> Result<[u64; 3]> {
        let own = machine::cpu_ns(std::process::id())?;
        Ok([
            machine::tree_cpu_ns(pid).unwrap_or(0),
            own,
            machine::busy_ns()?,
        ])
    };
    tokio::time::sleep_until(begin.into()).await;
    let (before, kept_before) = (now()?, kept());
    tokio::time::sleep_until((begin + measured).into()).await;
    let (after, kept_after) = (now()?, kept());
    let [server, client, busy] =
        std::array::from_fn(|index| after[index].saturating_sub(before[index]));
    Ok(Usage {
        server: Duration::from_nanos(server),
        client: Duration::from_nanos(client),
        foreign: Duration::from_nanos(busy.saturating_sub(server + client)),
        resident: (kept_before.0, kept_after.0),
        data: (kept_before.1, kept_after.1),
    })
}
