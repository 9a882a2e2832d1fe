//! JSON lines as results come, and a table at the end.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::latency::Latency;
use crate::ledger::Verified;
use crate::machine::Machine;
use crate::probe::Probe;
use crate::rows::{Metric, Sense, Target};

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Line {
    Machine {
        #[serde(flatten)]
        machine: Machine,
        version: &'static str,
        passes: usize,
        round_s: f64,
        skus: u32,
    },
    Server {
        server: String,
        version: String,
        load_s: f64,
    },
    /// A peer that is not compared, and why. Never left out in silence.
    Skipped {
        server: String,
        why: String,
    },
    Round(RoundLine),
    /// A round whose numbers must not be used.
    Refused {
        row: &'static str,
        system: String,
        pass: usize,
        why: String,
    },
    /// A round during which the machine moved; it is not counted.
    Dropped {
        row: &'static str,
        system: String,
        clients: usize,
        pass: usize,
        ops_per_s: f64,
        before: Probe,
        after: Probe,
        why: String,
    },
    Row(RowLine),
    Verified {
        server: String,
        #[serde(flatten)]
        verified: Verified,
    },
}

#[derive(Clone, Serialize)]
pub struct RoundLine {
    pub row: &'static str,
    pub system: String,
    pub clients: usize,
    pub pass: usize,
    pub place_in_pass: usize,
    pub seconds: f64,
    pub operations: u64,
    pub ops_per_s: f64,
    /// Lines reserved or checked or settled a second: more than operations only for batches.
    pub lines_per_s: f64,
    pub reserves_per_s: f64,
    /// Reserves refused for want of stock.
    pub refused: u64,
    /// Reserves, or checks.
    pub latency: Latency,
    pub settle_latency: Option<Latency>,
    pub server_cpu_us: f64,
    /// Share of their cores that server and client were busy: a client near 1 is the limit itself.
    pub server_busy: f64,
    pub client_busy: f64,
    /// Cores' worth of work of neither: much of it means that the machine was not ours alone.
    pub foreign_busy: f64,
    /// Open loop: lateness of the generator, and operations still waiting at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generator_lag: Option<Latency>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backlog: Option<usize>,
    pub before: Probe,
    pub after: Probe,
}

impl RoundLine {
    pub fn metric(&self, metric: Metric) -> f64 {
        match metric {
            Metric::P50Us => self.latency.p50_us,
            Metric::P99Us => self.latency.p99_us,
            Metric::OpsPerS => self.ops_per_s,
            Metric::LinesPerS => self.lines_per_s,
            Metric::ServerCpuUs => self.server_cpu_us,
            Metric::GeneratorCores => self.client_busy / self.server_busy,
        }
    }
}

#[derive(Clone, Serialize)]
pub struct RowLine {
    pub row: &'static str,
    pub title: &'static str,
    pub metric: Metric,
    pub ours: String,
    /// The peer whose measure divides ours; without one the measure itself is meant.
    pub peer: Option<String>,
    pub sense: Sense,
    pub bound: f64,
    pub median: f64,
    pub min: f64,
    pub max: f64,
    pub met: bool,
}

/// Median and range over the passes of ours divided by the peer's in the same pass.
pub fn judge(
    row: &'static str,
    title: &'static str,
    target: &Target,
    rounds: &[RoundLine],
) -> Option<RowLine> {
    let of = |system: String, pass: usize, clients: Option<usize>| {
        rounds
            .iter()
            .find(|round| {
                round.system == system
                    && round.pass == pass
                    && clients.is_none_or(|clients| round.clients == clients)
            })
            .map(|round| round.metric(target.metric))
    };
    let passes = rounds.iter().map(|round| round.pass).max()? + 1;
    let mut values: Vec<f64> = (0..passes)
        .filter_map(|pass| {
            let ours = of(target.ours.to_string(), pass, None)?;
            match target.peer {
                None => Some(ours),
                Some((peer, clients)) => Some(ours / of(peer.to_string(), pass, Some(clients))?),
            }
        })
        .collect();
    if values.is_empty() {
        return None;
    }
    let median = median(&mut values);
    let peer = target
        .peer
        .map(|(system, clients)| format!("{system}/{clients}"));
    Some(RowLine {
        row,
        title,
        metric: target.metric,
        ours: target.ours.to_string(),
        peer,
        sense: target.sense,
        bound: target.bound,
        median,
        min: values[0],
        max: values[values.len() - 1],
        met: target.sense.holds(median, target.bound),
    })
}

/// Sorts the values; they must not be empty.
fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 {
        values[middle]
    } else {
        f64::midpoint(values[middle - 1], values[middle])
    }
}

/// Where lines go: standard output, and a file when asked for.
pub struct Report {
    file: Option<File>,
    rounds: Vec<RoundLine>,
    rows: Vec<RowLine>,
    notes: Vec<String>,
    dropped: usize,
}

impl Report {
    /// # Errors
    /// The file cannot be written.
    pub fn new(out: Option<&Path>) -> Result<Self> {
        let create = |path: &Path| {
            File::create(path).with_context(|| format!("cannot write {}", path.display()))
        };
        let file = out.map(create).transpose()?;
        Ok(Self {
            file,
            rounds: Vec::new(),
            rows: Vec::new(),
            notes: Vec::new(),
            dropped: 0,
        })
    }

    /// # Errors
    /// Standard output or the file takes no more.
    pub fn write(&mut self, line: Line) -> Result<()> {
        let mut text = serde_json::to_string(&line)?;
        text.push('\n');
        io::stdout().write_all(text.as_bytes())?;
        if let Some(file) = &mut self.file {
            file.write_all(text.as_bytes())?;
        }
        match line {
            Line::Round(round) => self.rounds.push(round),
            Line::Row(row) => self.rows.push(row),
            Line::Skipped { server, why } => {
                let note = format!("NOT COMPARED: {server}: {why}");
                eprintln!("{note}");
                self.notes.push(note);
            }
            Line::Refused {
                row,
                system,
                pass,
                why,
            } => {
                self.notes
                    .push(format!("REFUSED: {row}, {system}, pass {pass}: {why}"));
            }
            Line::Dropped {
                row,
                system,
                pass,
                why,
                ..
            } => {
                self.dropped += 1;
                self.notes
                    .push(format!("DROPPED: {row}, {system}, pass {pass}: {why}"));
            }
            Line::Verified { server, verified } => self.notes.push(format!(
                "verified: {server}: {} units of {} SKUs sold, {} oversold",
                verified.units_sold, verified.skus, verified.units_oversold
            )),
            Line::Machine { .. } | Line::Server { .. } => {}
        }
        Ok(())
    }

    pub fn rounds(&self, row: &str) -> Vec<RoundLine> {
        self.rounds
            .iter()
            .filter(|round| round.row == row)
            .cloned()
            .collect()
    }

    /// The readable end of a run: medians a system, then the targets.
    pub fn table(&self) -> String {
        let mut out = format!(
            "\n{:<16} {:<22} {:>7} {:>10} {:>9} {:>9} {:>9} {:>8} {:>7} {:>7} {:>6}\n",
            "row",
            "system",
            "clients",
            "ops/s",
            "p50 us",
            "p99 us",
            "p99.9 us",
            "cpu us",
            "server",
            "client",
            "other"
        );
        let mut seen: Vec<(&str, &str, usize)> = Vec::new();
        for round in &self.rounds {
            let key = (round.row, round.system.as_str(), round.clients);
            if seen.contains(&key) {
                continue;
            }
            seen.push(key);
            let same: Vec<&RoundLine> = self
                .rounds
                .iter()
                .filter(|r| (r.row, r.system.as_str(), r.clients) == key)
                .collect();
            let mid = |value: fn(&RoundLine) -> f64| {
                median(&mut same.iter().map(|r| value(r)).collect::<Vec<f64>>())
            };
            out.push_str(&format!(
                "{:<16} {:<22} {:>7} {:>10.0} {:>9.0} {:>9.0} {:>9.0} {:>8.1} {:>6.0}% {:>6.0}% {:>5.0}%\n",
                round.row,
                round.system,
                round.clients,
                mid(|r| r.ops_per_s),
                mid(|r| r.latency.p50_us),
                mid(|r| r.latency.p99_us),
                mid(|r| r.latency.p999_us),
                mid(|r| r.server_cpu_us),
                100.0 * mid(|r| r.server_busy),
                100.0 * mid(|r| r.client_busy),
                100.0 * mid(|r| r.foreign_busy),
            ));
        }
        out.push('\n');
        for row in &self.rows {
            let sign = if row.sense == Sense::AtMost {
                "<="
            } else {
                ">="
            };
            let unit = if row.peer.is_some() { " x" } else { "" };
            out.push_str(&format!(
                "{} {}: {:?} of {}{}: {:.2}{unit} ({:.2}..{:.2}), must be {sign} {}{unit}\n",
                if row.met { "met   " } else { "MISSED" },
                row.title,
                row.metric,
                row.ours,
                row.peer
                    .as_ref()
                    .map_or(String::new(), |peer| format!(" / {peer}")),
                row.median,
                row.min,
                row.max,
                row.bound,
            ));
        }
        out.push_str(&format!(
            "{} rounds counted, {} dropped because the machine moved\n",
            self.rounds.len(),
            self.dropped
        ));
        for note in &self.notes {
            out.push_str(note);
            out.push('\n');
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_between_the_two() {
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&mut [4.0, 1.0, 2.0, 3.0]), 2.5);
    }
}
