//! Steps of load in open loop against a server of the tool's own: JSON lines in, JSON lines out.

mod again;
mod alarm;
mod arrivals;
mod client;
mod drive;
mod due;
mod forecasts;
mod holds;
mod plans;
mod samples;
mod server;
mod slot;
mod spec;
mod tables;
mod tally;
mod tls;
mod usage;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;

use self::again::Settled;
use self::arrivals::Op;
use self::drive::Workers;
use self::samples::Names;
use self::server::Servers;
use self::spec::{Step, Target};
use self::tally::{Moment, Summary};
use self::usage::{Memory, usage};
use crate::keys::KeyRing;
use crate::latency::{self, Latency};
use crate::ledger::Verified;
use crate::machine::{self, Machine};
use crate::probe::{self, Probe};
use crate::process;

#[derive(clap::Args)]
pub struct Options {
    /// Positions with stock, receipts and commitments
    #[arg(long, default_value_t = 100_000)]
    positions: u32,
    /// Receipts a position
    #[arg(long, default_value_t = crate::bespeak::load::RECEIPTS)]
    receipts: u32,
    /// Open commitments a position
    #[arg(long, default_value_t = crate::bespeak::load::COMMITMENTS)]
    commitments: u32,
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
    server_command: Option<String>,
    /// Port of a server that somebody else has started, on this machine and empty, in place of one of this program's
    #[arg(long)]
    attach: Option<u16>,
    /// Its process, for what it takes
    #[arg(long, requires = "attach")]
    attach_pid: Option<u32>,
    /// Its data directory, for what it keeps
    #[arg(long, requires = "attach")]
    attach_data: Option<PathBuf>,
    /// What starts a worker behind the server, with {address} where its address goes
    #[arg(long, conflicts_with = "attach")]
    worker_command: Option<String>,
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
        commitments: u32,
        tls: bool,
        command: String,
    },
    /// The measured time of a step whose calls are wanted one by one begins, on the clock that never jumps.
    Begins {
        name: String,
        monotonic_ns: u64,
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
    /// What sending again and asking showed, where the step looked after its writes.
    #[serde(skip_serializing_if = "Option::is_none")]
    settled: Option<Settled>,
    /// What the numbers in the samples stand for, where there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    legend: Option<Legend>,
    timeline: Vec<Moment>,
    /// How late the generator itself started operations.
    lag: Latency,
    server_cpu_us: f64,
    /// Cores' worth of work.
    server_busy: f64,
    client_busy: f64,
    foreign_busy: f64,
    /// Resident bytes of the server, medians of the first and the last quarter of the measured time; and bytes of its
    /// data, at its beginning and its end.
    resident_bytes: (u64, u64),
    data_bytes: (u64, u64),
    /// Bytes of `resident_bytes` that the server says are tables which grow with what was written lately: its index of
    /// request ids, its movements. Medians as well.
    table_bytes: (u64, u64),
    /// Both over the measured time.
    memory: Vec<Memory>,
    before: Probe,
    after: Probe,
}

#[derive(Serialize)]
struct Legend {
    path: PathBuf,
    ops: [&'static str; Op::ALL.len()],
    codes: Names,
    makers: Names,
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
        pid: servers.pid(Target::Server),
        load_s: begin.elapsed().as_secs_f64(),
        positions: options.positions,
        receipts: options.receipts,
        commitments: options.commitments,
        tls: options.tls,
        command: without_path(options.server_command.as_deref().unwrap_or_default()),
    })?;
    // Ends the step that runs: what is waited for has happened.
    let mut early = signal(SignalKind::user_defined1())?;
    while let Some(text) = next_line().await? {
        // Between steps the account may be asked for: `"verify"`.
        if text == "\"verify\"" {
            verify(&servers).await?;
            continue;
        }
        let step: Step = serde_json::from_str(&text).with_context(|| format!("step {text}"))?;
        let step = step.checked()?;
        let line = measure(step, &mut servers, &mut early).await?;
        write(&Line::Step(Box::new(line)))?;
    }
    verify(&servers).await?;
    process::connections_closed().await;
    Ok(())
}

async fn verify(servers: &Servers) -> Result<()> {
    match servers.verify().await? {
        Ok(verified) => write(&Line::Verified { verified }),
        Err(why) => write(&Line::Unverified { why }),
    }
}

/// A command as lines tell it: they may be shown to others, who need not know where its program lies.
fn without_path(command: &str) -> String {
    let (program, arguments) = command.split_once(' ').unwrap_or((command, ""));
    let name = program.rsplit('/').next().unwrap_or(program);
    format!("{name} {arguments}").trim_end().to_owned()
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

async fn measure(mut step: Step, servers: &mut Servers, early: &mut Signal) -> Result<StepLine> {
    ensure!(
        step.pause.is_none() || servers.process(step.target).is_some(),
        "step {}: only a server that this program has started is paused",
        step.name
    );
    let asked = servers.ready(&step).await?;
    let clients = servers.clients(&step).await?;
    let keys = KeyRing::new(step.keys, servers.positions(), step.seed);
    let core = servers.first_core();
    let before = probe::probe(servers.dir(), core)?;
    let ledger = servers.ledger(step.target);
    let workers = Workers::start(clients, &step, &keys, &ledger, asked);
    let pid = servers.pid(step.target);

    let begin = Instant::now();
    let measured = begin + step.warmup();
    workers.shared.tally().begins(measured);
    if step.samples.is_some() {
        let until = measured.saturating_duration_since(Instant::now());
        write(&Line::Begins {
            name: step.name.clone(),
            monotonic_ns: machine::monotonic_ns() + until.as_nanos() as u64,
        })?;
    }
    let process = servers.process(step.target);
    let (stopped, told, paced) = (Cell::new(None), Notify::new(), Notify::new());
    let (ran, used, (), ()) = tokio::join!(
        async {
            let ran = workers.pace(&step, begin, &stopped).await;
            paced.notify_one();
            ran
        },
        usage(pid, servers, step.target, measured, step.measure(), &told),
        async {
            if let (Some(pause), Some(process)) = (step.pause, process) {
                let at = measured + Duration::from_secs_f64(pause.at_s);
                tokio::time::sleep_until(at.into()).await;
                process.pause();
                tokio::time::sleep(Duration::from_secs_f64(pause.for_s)).await;
                process.resume();
            }
        },
        async {
            tokio::select! {
                _ = early.recv() => {
                    let now = Instant::now();
                    workers.shared.tally().ends(now);
                    stopped.set(Some(now));
                    told.notify_one();
                }
                () = paced.notified() => {}
            }
        }
    );
    if let Some(at) = stopped.get() {
        let ran = at.saturating_duration_since(measured).as_secs_f64();
        step.measure_s = step.measure_s.min(ran.max(f64::MIN_POSITIVE));
    }
    ran?;
    let used = used?;
    let shared = workers.shared.clone();
    let rest = workers.end().await?;
    let settled = servers.settle(&step, rest, &shared).await?;
    let after = probe::probe(servers.dir(), core)?;
    let tally = shared.tally();
    let refused = latency::refuse_lag_of(&tally.lag(), &tally.latency(), step.lag_share_max).err();
    if let (Some(path), Some(samples)) = (&step.samples, tally.samples()) {
        samples.write(path)?;
    }
    let legend = step.samples.clone().map(|path| Legend {
        path,
        ops: Op::ALL.map(Op::name),
        codes: tally.codes.clone(),
        makers: tally.makers.clone(),
    });
    let seconds = step.measure_s;
    Ok(StepLine {
        calls: tally.calls(),
        achieved_share: tally.achieved_share(),
        methods: tally.summaries(refused.is_none()),
        settled,
        legend,
        timeline: if refused.is_none() {
            tally.timeline()
        } else {
            Vec::new()
        },
        refused,
        lag: Latency::from(&tally.lag()),
        server_cpu_us: used.server.as_secs_f64() * 1e6 / tally.calls().max(1) as f64,
        server_busy: used.server.as_secs_f64() / seconds,
        client_busy: used.client.as_secs_f64() / seconds,
        foreign_busy: used.foreign.as_secs_f64() / seconds,
        resident_bytes: usage::ends(&used.memory, |memory| memory.resident_bytes),
        data_bytes: used.data,
        table_bytes: usage::ends(&used.memory, |memory| memory.told.table_bytes),
        memory: used.memory,
        before,
        after,
        step,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_told_without_where_its_program_lies() {
        assert_eq!(
            without_path("/a/b/python -m serving server --data {dir}"),
            "python -m serving server --data {dir}"
        );
        assert_eq!(without_path("server"), "server");
    }
}
