//! The rows of the benchmark table: who is compared at what, and what must hold.

use crate::keys::Shape;
use crate::peers::postgres::Style;
use crate::peers::redis_server::Fsync;
use crate::round::Job;
use crate::system::System;

pub struct Row {
    pub name: &'static str,
    pub title: &'static str,
    pub job: Job,
    pub keys: Shape,
    /// Systems with the clients each has.
    pub systems: Vec<(System, usize)>,
    /// Operations a second over all clients; closed loop when there is none.
    pub rate: Option<f64>,
    pub targets: Vec<Target>,
}

/// `ours` against `peer`, or against the bound itself when there is no peer.
pub struct Target {
    pub metric: Metric,
    pub ours: System,
    pub peer: Option<(System, usize)>,
    pub sense: Sense,
    pub bound: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Of reserves (or checks), microseconds.
    P50Us,
    P99Us,
    /// Reserves and settlements (or checks) a second.
    OpsPerS,
    /// Lines a second: of batches, of which each is one operation.
    LinesPerS,
    /// Server CPU microseconds an operation.
    ServerCpuUs,
    /// Cores that the generator needs for each core that the server is busy: above 1 it is the limit itself.
    GeneratorCores,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Sense {
    AtMost,
    AtLeast,
}

impl Sense {
    pub fn holds(self, value: f64, bound: f64) -> bool {
        match self {
            Self::AtMost => value <= bound,
            Self::AtLeast => value >= bound,
        }
    }
}

const UNARY: System = System::BespeakUnary { shared: false };
const UNARY_SHARED: System = System::BespeakUnary { shared: true };
const SESSION: System = System::BespeakSession { shared: false };
const SESSION_SHARED: System = System::BespeakSession { shared: true };
const REDIS: System = System::Redis(Fsync::Always);
const POSTGRES: System = System::Postgres(Style::OneStatement);
const MANY: usize = 64;
/// Where PostgreSQL has its best throughput: more connections convoy on hot rows.
const POSTGRES_BEST: usize = 16;
/// Below what every system in the row sustains.
const OPEN_RATE: f64 = 10_000.0;

pub fn rows() -> Vec<Row> {
    vec![
        Row {
            name: "check-cpu",
            title: "gRPC check, 64 streams: server CPU a request",
            job: Job::Check,
            keys: Shape::Uniform,
            systems: at(
                MANY,
                &[
                    UNARY_SHARED,
                    System::EchoUnary { shared: true },
                    SESSION_SHARED,
                    System::EchoSession { shared: true },
                ],
            ),
            rate: None,
            targets: vec![
                Target {
                    metric: Metric::ServerCpuUs,
                    ours: UNARY_SHARED,
                    peer: None,
                    sense: Sense::AtMost,
                    bound: 12.0,
                },
                Target {
                    metric: Metric::GeneratorCores,
                    ours: UNARY_SHARED,
                    peer: None,
                    sense: Sense::AtMost,
                    bound: 1.0,
                },
            ],
        },
        Row {
            name: "check-h2load",
            title: "gRPC check, 64 streams, by this generator and by h2load",
            job: Job::Check,
            keys: Shape::Single,
            systems: at(
                MANY,
                &[
                    UNARY_SHARED,
                    System::H2load { shared: true },
                    UNARY,
                    System::H2load { shared: false },
                ],
            ),
            rate: None,
            targets: Vec::new(),
        },
        Row {
            name: "reserve-1",
            title: "durable reserve, 1 client",
            job: Job::ReserveSettle,
            keys: Shape::Uniform,
            systems: at(
                1,
                &[
                    UNARY,
                    SESSION,
                    REDIS,
                    POSTGRES,
                    System::Postgres(Style::SelectForUpdate),
                    System::Redis(Fsync::Everysec),
                    System::Redis(Fsync::Off),
                    System::AioUnary,
                    System::EchoUnary { shared: false },
                ],
            ),
            rate: None,
            targets: [UNARY, SESSION]
                .map(|ours| against_redis(Metric::P50Us, ours, 1, 0.75))
                .into(),
        },
        Row {
            name: "reserve-16",
            title: "durable reserve, 16 clients",
            job: Job::ReserveSettle,
            keys: Shape::Uniform,
            systems: at(16, &[UNARY, SESSION, REDIS, POSTGRES]),
            rate: None,
            targets: Vec::new(),
        },
        zipf(),
        Row {
            name: "reserve-64-hot",
            title: "durable reserve, 64 clients, half on one SKU",
            job: Job::ReserveSettle,
            keys: Shape::OneHot,
            systems: at(MANY, &[SESSION, UNARY, REDIS]),
            rate: None,
            targets: [UNARY, SESSION]
                .map(|ours| against_redis(Metric::P99Us, ours, MANY, 1.0))
                .into(),
        },
        Row {
            name: "reserve-open",
            title: "durable reserve, open loop at 10,000 operations a second, Zipf",
            job: Job::ReserveSettle,
            keys: Shape::Zipf,
            systems: at(MANY, &[SESSION, UNARY, REDIS]),
            rate: Some(OPEN_RATE),
            targets: Vec::new(),
        },
        Row {
            name: "reserve-batch",
            title: "durable batch reserve, 8,192 lines a batch, 2 batches under way",
            job: Job::Batch,
            keys: Shape::Uniform,
            systems: at(2, &[System::BespeakFlight, REDIS]),
            rate: None,
            targets: vec![Target {
                metric: Metric::LinesPerS,
                ours: System::BespeakFlight,
                peer: None,
                sense: Sense::AtLeast,
                bound: 500_000.0,
            }],
        },
    ]
}

fn zipf() -> Row {
    let best = (POSTGRES, POSTGRES_BEST);
    let mut systems = at(
        MANY,
        &[
            SESSION,
            SESSION_SHARED,
            UNARY,
            UNARY_SHARED,
            REDIS,
            POSTGRES,
            System::EchoSession { shared: false },
            System::EchoUnary { shared: false },
        ],
    );
    systems.push(best);
    systems.push((System::Postgres(Style::SelectForUpdate), MANY));
    // For the reader's sense of scale: they answer before they are durable, or never are.
    systems.push((System::Redis(Fsync::Everysec), MANY));
    systems.push((System::Redis(Fsync::Off), MANY));
    systems.push((System::AioUnary, MANY));
    let throughput = |ours, peer, bound| Target {
        metric: Metric::OpsPerS,
        ours,
        peer: Some(peer),
        sense: Sense::AtLeast,
        bound,
    };
    Row {
        name: "reserve-64-zipf",
        title: "durable reserve, 64 clients, Zipf",
        job: Job::ReserveSettle,
        keys: Shape::Zipf,
        systems,
        rate: None,
        targets: vec![
            throughput(SESSION, (REDIS, MANY), 1.5),
            throughput(UNARY, (REDIS, MANY), 1.5),
            throughput(SESSION, (POSTGRES, MANY), 12.0),
            throughput(SESSION, best, 12.0),
        ],
    }
}

fn at(clients: usize, systems: &[System]) -> Vec<(System, usize)> {
    systems.iter().map(|&system| (system, clients)).collect()
}

fn against_redis(metric: Metric, ours: System, clients: usize, bound: f64) -> Target {
    Target {
        metric,
        ours,
        peer: Some((REDIS, clients)),
        sense: Sense::AtMost,
        bound,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_compares_systems_of_its_row() {
        for row in rows() {
            for target in &row.targets {
                assert!(
                    row.systems.iter().any(|(system, _)| *system == target.ours),
                    "{}",
                    row.name
                );
                if let Some(peer) = target.peer {
                    assert!(row.systems.contains(&peer), "{}", row.name);
                }
            }
        }
    }

    #[test]
    fn bounds_hold_on_their_own_side() {
        assert!(Sense::AtMost.holds(0.7, 0.75) && !Sense::AtMost.holds(0.8, 0.75));
        assert!(Sense::AtLeast.holds(1.6, 1.5) && !Sense::AtLeast.holds(1.4, 1.5));
    }
}
