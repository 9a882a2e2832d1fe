//! A whole run: rows one after another, the systems of a row in turn and back again (A B, B A), so
//! that a drift of the machine weighs on all alike.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::bespeak::h2load;
use crate::farm::{Farm, SCARCE_SKUS, Settings};
use crate::keys::{KeyRing, Shape};
use crate::latency::{self, Latency};
use crate::machine::{self, Machine};
use crate::peers::{postgres_server, redis_server};
use crate::probe::{self, Probe};
use crate::process;
use crate::report::{Line, Report, RoundLine, judge};
use crate::round::{Job, Measured, Spec};
use crate::rows::{Row, rows};
use crate::system::{Server, System};

#[derive(clap::Args)]
pub struct Options {
    /// A short run that shows that everything works; its numbers mean little
    #[arg(long)]
    quick: bool,
    /// Only these rows
    #[arg(long, value_delimiter = ',')]
    rows: Vec<String>,
    /// Only these servers: bespeak, echo, redis, redis-off, postgres, grpc-aio
    #[arg(long, value_delimiter = ',')]
    servers: Vec<String>,
    /// How often each system of a row is measured [default: 4, quick: 1]
    #[arg(long)]
    passes: Option<usize>,
    /// Measured seconds of a round [default: 3, quick: 0.4]
    #[arg(long)]
    round_s: Option<f64>,
    /// SKUs with stock [default: 100000, quick: 2000]
    #[arg(long)]
    skus: Option<u32>,
    /// Core of the servers
    #[arg(long, default_value_t = 0)]
    server_core: usize,
    /// Core of this program
    #[arg(long, default_value_t = 1)]
    client_core: usize,
    /// What starts Bespeak, with {port} and {dir} where its port and data directory go
    #[arg(long)]
    server_command: Option<String>,
    /// What starts the grpc.aio service, with {port} and {stocks} where its port and the file of its stock go
    #[arg(long)]
    aio_command: Option<String>,
    /// Drop a round when a durable write or a trip over loopback took so many times as long after it as before, or before
    /// it as after; it is made once more
    #[arg(long, default_value_t = 2.0)]
    moved_factor: f64,
    /// Where data directories are made, on a disk; removed at the end [default: the system's]
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Also write the JSON lines to this file
    #[arg(long)]
    out: Option<PathBuf>,
}

const SELL_OUT_ROUNDS_MAX: usize = 50;
const SELL_OUT_CLIENTS: usize = 64;

/// How often a round is made when the machine moves during it each time.
const TRIES: usize = 2;

struct Plan {
    passes: usize,
    moved_factor: f64,
    warmup: Duration,
    measure: Duration,
    skus: u32,
    server_core: usize,
}

/// # Errors
/// A server gave a wrong answer, an account did not add up, or the machine cannot run it at all.
pub async fn run(options: Options) -> Result<()> {
    machine::pin_to(options.client_core)
        .with_context(|| format!("cannot run on core {}", options.client_core))?;
    let default = |quick, full| if options.quick { quick } else { full };
    let round_s = options.round_s.unwrap_or(default(0.4, 3.0));
    let plan = Plan {
        passes: options.passes.unwrap_or(if options.quick { 1 } else { 4 }),
        moved_factor: options.moved_factor,
        warmup: Duration::from_secs_f64(default(0.1, 1.0)),
        measure: Duration::from_secs_f64(round_s),
        skus: options
            .skus
            .unwrap_or(if options.quick { 2_000 } else { 100_000 }),
        server_core: options.server_core,
    };
    let dir = options.dir.clone().unwrap_or_else(std::env::temp_dir);
    probe::ensure_real_disk(&dir)?;
    let mut report = Report::new(options.out.as_deref())?;
    report.write(Line::Machine {
        machine: Machine::describe(options.server_core, options.client_core),
        version: env!("CARGO_PKG_VERSION"),
        passes: plan.passes,
        round_s,
        skus: plan.skus,
    })?;
    let mut farm = Farm::new(
        &dir,
        Settings {
            skus: plan.skus,
            server_core: options.server_core,
            server_command: options.server_command.clone(),
            aio_command: options.aio_command.clone(),
        },
    )?;
    let chosen = choose(&options.rows)?;
    let servers = start(&mut farm, &chosen, &options, &mut report).await?;
    for row in &chosen {
        measure(row, &plan, &mut farm, &servers, &mut report).await?;
    }
    if chosen.iter().any(|row| row.job != Job::Check) {
        sell_out(&mut farm, &servers, &plan).await?;
    }
    for (server, verified) in farm.verify().await? {
        report.write(Line::Verified {
            server: format!("{server:?}"),
            verified,
        })?;
    }
    eprintln!("{}", report.table());
    process::connections_closed().await;
    Ok(())
}

fn choose(names: &[String]) -> Result<Vec<Row>> {
    let all = rows();
    if let Some(unknown) = names
        .iter()
        .find(|name| !all.iter().any(|row| row.name == **name))
    {
        let known: Vec<&str> = all.iter().map(|row| row.name).collect();
        bail!(
            "there is no row {unknown}: choose from {}",
            known.join(", ")
        );
    }
    Ok(all
        .into_iter()
        .filter(|r| names.is_empty() || names.iter().any(|n| n == r.name))
        .collect())
}

/// Starts what the rows need. A peer that is not installed is left out, loudly.
async fn start(
    farm: &mut Farm,
    rows: &[Row],
    options: &Options,
    report: &mut Report,
) -> Result<Vec<Server>> {
    let mut running = Vec::new();
    for server in [
        Server::Echo,
        Server::Redis,
        Server::RedisOff,
        Server::Postgres,
        Server::Aio,
        Server::Bespeak,
    ] {
        let name = server.name().to_owned();
        let needed = |row: &Row| {
            row.systems
                .iter()
                .any(|(system, _)| system.server() == server)
        };
        if !rows.iter().any(needed) {
            continue;
        }
        if !options.servers.is_empty() && !options.servers.contains(&name) {
            report.write(Line::Skipped {
                server: name,
                why: "not among --servers".to_owned(),
            })?;
            continue;
        }
        let missing = match server {
            Server::Redis | Server::RedisOff => crate::peers::find_program("redis-server")
                .is_none()
                .then_some(redis_server::MISSING),
            Server::Postgres => postgres_server::programs()
                .is_none()
                .then_some(postgres_server::MISSING),
            Server::Aio => options
                .aio_command
                .is_none()
                .then_some(crate::peers::aio_server::MISSING),
            Server::Echo | Server::Bespeak => None,
        };
        if let Some(why) = missing {
            report.write(Line::Skipped {
                server: name,
                why: why.to_owned(),
            })?;
            continue;
        }
        let begin = Instant::now();
        if let Some(version) = farm.start(server).await? {
            let load_s = begin.elapsed().as_secs_f64();
            report.write(Line::Server {
                server: name,
                version,
                load_s,
            })?;
        }
        running.push(server);
    }
    let asks_h2load = |row: &Row| row.systems.iter().any(|(system, _)| left_out(system));
    if rows.iter().any(asks_h2load) {
        report.write(Line::Skipped {
            server: h2load::PROGRAM.to_owned(),
            why: h2load::MISSING.to_owned(),
        })?;
    }
    Ok(running)
}

/// The other generator is asked for, and not installed.
fn left_out(system: &System) -> bool {
    matches!(system, System::H2load { .. }) && crate::peers::find_program(h2load::PROGRAM).is_none()
}

async fn measure(
    row: &Row,
    plan: &Plan,
    farm: &mut Farm,
    servers: &[Server],
    report: &mut Report,
) -> Result<()> {
    eprintln!("{}: {}", row.name, row.title);
    let mut before = probe::probe(farm.dir(), plan.server_core)?;
    for pass in 0..plan.passes {
        let mut systems: Vec<(System, usize)> = row
            .systems
            .iter()
            .copied()
            .filter(|(system, _)| servers.contains(&system.server()))
            .filter(|(system, _)| !left_out(system))
            .collect();
        if pass % 2 == 1 {
            systems.reverse();
        }
        for (place, (system, clients)) in systems.into_iter().enumerate() {
            let seed = 1 + pass as u64;
            let spec = Spec {
                job: row.job,
                keys: KeyRing::new(row.keys, plan.skus, seed),
                warmup: plan.warmup,
                measure: plan.measure,
                rate: row.rate,
                seed,
            };
            for attempt in 1..=TRIES {
                let measured = farm.round(system, clients, &spec).await?;
                let after = probe::probe(farm.dir(), plan.server_core)?;
                let probes = (before, after);
                let moved = probe::moved(&before, &after, plan.moved_factor);
                before = after;
                let line = line(row, &system, clients, (pass, place), &measured, probes);
                if let Some(why) = moved {
                    report.write(dropped(line, why))?;
                    // What was out of the ordinary once must not spoil the next round as well.
                    before = probe::probe(farm.dir(), plan.server_core)?;
                    if attempt < TRIES {
                        continue;
                    }
                } else if row.rate.is_some()
                    && let Err(why) = latency::refuse_lag(&measured.lag, &measured.first)
                {
                    let system = system.to_string();
                    report.write(Line::Refused {
                        row: row.name,
                        system,
                        pass,
                        why,
                    })?;
                } else {
                    report.write(Line::Round(line))?;
                }
                break;
            }
        }
    }
    let rounds = report.rounds(row.name);
    for target in &row.targets {
        if let Some(judged) = judge(row.name, row.title, target, &rounds) {
            report.write(Line::Row(judged))?;
        }
    }
    Ok(())
}

fn dropped(line: RoundLine, why: String) -> Line {
    Line::Dropped {
        row: line.row,
        system: line.system,
        clients: line.clients,
        pass: line.pass,
        ops_per_s: line.ops_per_s,
        before: line.before,
        after: line.after,
        why,
    }
}

fn line(
    row: &Row,
    system: &System,
    clients: usize,
    (pass, place_in_pass): (usize, usize),
    measured: &Measured,
    (before, after): (Probe, Probe),
) -> RoundLine {
    let seconds = measured.wall.as_secs_f64();
    let operations = measured.operations();
    let settles = !measured.settle.is_empty();
    RoundLine {
        row: row.name,
        system: system.to_string(),
        clients,
        pass,
        place_in_pass,
        seconds,
        operations,
        ops_per_s: operations as f64 / seconds,
        lines_per_s: (operations * row.job.lines() as u64) as f64 / seconds,
        reserves_per_s: measured.first.len() as f64 / seconds,
        refused: measured.refused,
        latency: Latency::from(&measured.first),
        settle_latency: settles.then(|| Latency::from(&measured.settle)),
        server_cpu_us: measured.server_cpu.as_secs_f64() * 1e6 / operations as f64,
        server_busy: measured.server_cpu.as_secs_f64() / seconds,
        client_busy: measured.client_cpu.as_secs_f64() / seconds,
        foreign_busy: measured.foreign_cpu.as_secs_f64() / seconds,
        generator_lag: row.rate.map(|_| Latency::from(&measured.lag)),
        backlog: row.rate.map(|_| measured.backlog),
        before,
        after,
    }
}

/// Sells the scarce SKUs until nothing is left, with many clients at once: the verification that
/// follows finds any unit sold twice.
async fn sell_out(farm: &mut Farm, servers: &[Server], plan: &Plan) -> Result<()> {
    for &server in servers {
        let Some(system) = server.usual_system() else {
            continue;
        };
        let spec = Spec {
            job: Job::ReserveSettle,
            keys: KeyRing::new(Shape::Uniform, SCARCE_SKUS, 99).shifted(plan.skus),
            warmup: Duration::ZERO,
            measure: Duration::from_millis(300),
            rate: None,
            seed: 99,
        };
        // As many short rounds as a slow machine needs.
        let mut refused = 0;
        for _ in 0..SELL_OUT_ROUNDS_MAX {
            refused = farm.round(system, SELL_OUT_CLIENTS, &spec).await?.refused;
            if refused > 0 {
                break;
            }
        }
        if refused == 0 {
            bail!("{system} never refused: the scarce SKUs did not sell out");
        }
    }
    Ok(())
}
