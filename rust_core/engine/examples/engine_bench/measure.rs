//! Samples, JSON lines and the size of the process.

use std::fmt::Write as _;
use std::time::Duration;

/// Nanoseconds an operation, one value a run.
#[derive(Default)]
pub struct Samples(Vec<f64>);

impl Samples {
    pub fn add(&mut self, elapsed: Duration, operations: usize) {
        self.0.push(elapsed.as_nanos() as f64 / operations as f64);
    }

    pub fn quantile(&self, level: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted[((sorted.len() - 1) as f64 * level).round() as usize]
    }
}

/// One result.
pub struct Line(String);

impl Line {
    pub fn new(bench: &str, positions: u32) -> Self {
        Self(format!(
            "{{\"bench\": \"engine_{bench}\", \"positions\": {positions}"
        ))
    }

    pub fn number(mut self, name: &str, value: u64) -> Self {
        write!(self.0, ", \"{name}\": {value}").expect("text takes it");
        self
    }

    /// Median, 90th percentile and lowest of the runs' means.
    pub fn quantiles(mut self, unit: &str, samples: &Samples) -> Self {
        for (name, level) in [("median", 0.5), ("p90", 0.9), ("lowest", 0.0)] {
            let value = samples.quantile(level);
            write!(self.0, ", \"{name}_{unit}\": {value:.1}").expect("text takes it");
        }
        self
    }

    pub fn print(self) {
        println!("{}}}", self.0);
    }
}

/// Resident memory of this process.
pub fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    kib.and_then(|kib| kib.parse::<u64>().ok())
        .map_or(0, |kib| kib << 10)
}

/// Time that this thread has spent on a core: what a busy machine adds to the clock is left out. To the last tick.
pub fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let on_core = stat
        .split_whitespace()
        .next()
        .and_then(|ns| ns.parse().ok());
    Duration::from_nanos(on_core.unwrap_or(0))
}
