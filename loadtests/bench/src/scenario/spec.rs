//! What a step asks for, as it is written in JSON, and what of it cannot be done.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use super::arrivals::Op;
use crate::keys::Shape;

/// Streams that a server takes on one connection, less some for what is not measured.
const STREAMS_MAX: usize = 190;
/// Lines that the server takes in one request, and rows in one batch.
const LINES_MAX: usize = 256;
const ROWS_MAX: usize = 65_536;
/// Orders of one batch and series of one forecast, so that a message stays below the server's limit.
const ORDERS_MAX: usize = 2_000;
const SERIES_MAX: usize = 500;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    Server,
    /// The bare gRPC server with finished answers: the floor.
    Echo,
    /// The same straight on h2, unary calls alone.
    H2,
}

impl Target {
    /// Whether nobody holds it to account.
    pub fn bare(self) -> bool {
        self != Self::Server
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// One call an operation.
    Unary,
    /// One long-lived stream a worker; supply events go beside it, as calls.
    Session,
    /// Tables of orders: `lines` rows an operation, reserves only.
    Flight,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arrivals {
    Poisson,
    Constant,
}

/// Operations by their weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mix {
    pub check: u32,
    pub reserve: u32,
    /// Steps of open reservations: of eight, three confirm, three fulfil and two release.
    pub finish: u32,
    /// Stock found or lost.
    pub supply: u32,
    /// Batches of `orders`, planned and held.
    pub allocate: u32,
    /// Forecasts of `series` by a model.
    pub forecast: u32,
}

impl Mix {
    pub fn weights(self) -> [u32; Op::ALL.len()] {
        [
            self.check,
            self.reserve,
            self.finish,
            self.supply,
            self.allocate,
            self.forecast,
        ]
    }
}

/// The server is stopped (SIGSTOP) within the measured time, as a machine's pause would.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pause {
    pub at_s: f64,
    pub for_s: f64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    pub name: String,
    #[serde(default = "server")]
    pub target: Target,
    #[serde(default = "unary")]
    pub transport: Transport,
    pub mix: Mix,
    #[serde(default = "uniform")]
    pub keys: Shape,
    #[serde(default = "poisson")]
    pub arrivals: Arrivals,
    /// Operations a second.
    pub rate: f64,
    /// The rate at the end of the measured time, reached evenly; none stays at `rate`.
    #[serde(default)]
    pub rate_to: Option<f64>,
    #[serde(default = "sixteen")]
    pub connections: usize,
    /// Operations that one connection has under way at most. More that are due wait, and their wait counts.
    #[serde(default = "sixteen")]
    pub streams: usize,
    /// Lines of one check or reserve.
    #[serde(default = "one")]
    pub lines: usize,
    /// Orders of one batch.
    #[serde(default = "fifty")]
    pub orders: usize,
    /// Time for one plan; the server hands what has more than 250 ms to the worker.
    #[serde(default = "fifty_ms")]
    pub budget_ms: i64,
    /// Series of one forecast, and steps ahead.
    #[serde(default = "ten")]
    pub series: usize,
    #[serde(default = "two_weeks")]
    pub horizon: u32,
    #[serde(default = "one_second")]
    pub warmup_s: f64,
    pub measure_s: f64,
    /// Operations that are not answered so long after the last one was due have failed.
    #[serde(default = "twenty_seconds")]
    pub drain_s: f64,
    /// The generator rests until the next call is due and does not spin: it is some tens of microseconds later, and
    /// takes most of a core less.
    #[serde(default)]
    pub rest: bool,
    #[serde(default)]
    pub seed: u64,
    /// How late the generator itself may start operations (p99), as a share of the p99 that it would report.
    #[serde(default = "tenth")]
    pub lag_share_max: f64,
    #[serde(default)]
    pub pause: Option<Pause>,
    /// Where one line of 24 bytes is written for each call that was due in the measured time.
    #[serde(default)]
    pub samples: Option<PathBuf>,
    /// Connections that are lost are made again, writes without a good answer are sent again when the load is over, and
    /// every reservation that was acknowledged is asked for then.
    #[serde(default)]
    pub reconnect: bool,
}

fn server() -> Target {
    Target::Server
}
fn unary() -> Transport {
    Transport::Unary
}
fn uniform() -> Shape {
    Shape::Uniform
}
fn poisson() -> Arrivals {
    Arrivals::Poisson
}
fn sixteen() -> usize {
    16
}
fn one() -> usize {
    1
}
fn fifty() -> usize {
    50
}
fn fifty_ms() -> i64 {
    50
}
fn ten() -> usize {
    10
}
fn two_weeks() -> u32 {
    14
}
fn one_second() -> f64 {
    1.0
}
fn twenty_seconds() -> f64 {
    20.0
}
fn tenth() -> f64 {
    0.1
}

impl Step {
    /// # Errors
    /// A field is out of its range; the message names it.
    pub fn checked(self) -> Result<Self> {
        let name = &self.name;
        let positive = |field: &str, value: f64| {
            ensure!(
                value > 0.0 && value.is_finite(),
                "step {name}: {field} is {value}: give a number above 0"
            );
            Ok(())
        };
        positive("rate", self.rate)?;
        positive("rate_to", self.rate_to.unwrap_or(1.0))?;
        positive("measure_s", self.measure_s)?;
        positive("drain_s", self.drain_s)?;
        positive("lag_share_max", self.lag_share_max)?;
        ensure!(
            self.warmup_s >= 0.0 && self.warmup_s.is_finite(),
            "step {name}: warmup_s is {}",
            self.warmup_s
        );
        let total: u64 = self.mix.weights().iter().map(|&w| u64::from(w)).sum();
        ensure!(
            (1..=1_000_000).contains(&total),
            "step {name}: the weights of mix add up to {total}: give 1 to 1000000"
        );
        ensure!(
            self.connections > 0,
            "step {name}: connections is 0: give at least 1"
        );
        ensure!(
            (1..=STREAMS_MAX).contains(&self.streams),
            "step {name}: streams is {}: a connection takes 1 to {STREAMS_MAX}",
            self.streams
        );
        let most = match self.transport {
            Transport::Flight => ROWS_MAX,
            Transport::Unary | Transport::Session => LINES_MAX,
        };
        ensure!(
            (1..=most).contains(&self.lines),
            "step {name}: lines is {}: give 1 to {most}",
            self.lines
        );
        if self.transport == Transport::Flight {
            let only = self.mix.reserve > 0 && total == u64::from(self.mix.reserve);
            ensure!(
                only && self.target == Target::Server,
                "step {name}: Flight steps only reserve, on the server"
            );
        }
        for (field, value, most) in [
            ("orders", self.orders, ORDERS_MAX),
            ("series", self.series, SERIES_MAX),
            ("horizon", self.horizon as usize, 366),
        ] {
            ensure!(
                (1..=most).contains(&value),
                "step {name}: {field} is {value}: give 1 to {most}"
            );
        }
        ensure!(
            (1..=600_000).contains(&self.budget_ms),
            "step {name}: budget_ms is {}: give 1 to 600000",
            self.budget_ms
        );
        ensure!(
            self.target == Target::Server || self.mix.allocate + self.mix.forecast == 0,
            "step {name}: the echo server knows no plans and no forecasts"
        );
        ensure!(
            !self.reconnect || self.transport == Transport::Unary,
            "step {name}: reconnect is for unary calls: what a stream had under way cannot be sent again"
        );
        if let Some(pause) = self.pause {
            let end = pause.at_s + pause.for_s;
            ensure!(
                pause.at_s >= 0.0 && pause.for_s > 0.0 && end <= self.measure_s,
                "step {name}: the pause must lie within measure_s"
            );
        }
        Ok(self)
    }

    pub fn warmup(&self) -> Duration {
        Duration::from_secs_f64(self.warmup_s)
    }

    pub fn measure(&self) -> Duration {
        Duration::from_secs_f64(self.measure_s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(change: &str) -> Result<Step> {
        let text = format!(
            r#"{{"name": "s", "mix": {{"check": 1}}, "rate": 10, "measure_s": 1{change}}}"#
        );
        serde_json::from_str::<Step>(&text)?.checked()
    }

    #[test]
    fn little_has_to_be_said() {
        let step = read("").unwrap();
        assert_eq!((step.connections, step.streams, step.lines), (16, 16, 1));
        assert_eq!(step.arrivals, Arrivals::Poisson);
    }

    #[test]
    fn what_cannot_be_done_is_named() {
        for (change, told) in [
            (r#", "rate_to": -1"#, "rate_to is -1"),
            (r#", "streams": 500"#, "streams is 500"),
            (r#", "lines": 0"#, "lines is 0"),
            (r#", "connections": 0"#, "connections is 0"),
            (r#", "transport": "flight""#, "only reserve"),
            (
                r#", "pause": {"at_s": 0.5, "for_s": 1}"#,
                "within measure_s",
            ),
            (r#", "orders": 5000"#, "orders is 5000"),
            (r#", "budget_ms": -1"#, "budget_ms is -1"),
            (
                r#", "reconnect": true, "transport": "session""#,
                "unary calls",
            ),
            (r#", "burst": 1"#, "burst"),
            (r#", "keys": "normal""#, "normal"),
        ] {
            let error = format!("{:#}", read(change).unwrap_err());
            assert!(error.contains(told), "{change}: {error}");
        }
    }
}
