//! What Prometheus expects of every process, under the names that it has for it.

use std::fs;
use std::sync::OnceLock;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};

/// Reads the files of /proc when asked. What cannot be read is left out.
#[derive(Debug)]
pub(super) struct Process;

/// The fields of /proc/self/stat that count here.
#[derive(Debug, PartialEq)]
struct Stat {
    cpu_seconds: f64,
    /// After the boot.
    started_seconds: f64,
    resident_bytes: f64,
}

fn stat(text: &str, ticks: f64, page: f64) -> Option<Stat> {
    // The program's name comes before, and may hold anything.
    let fields: Vec<&str> = text.rsplit_once(") ")?.1.split(' ').collect();
    let number = |field: usize| fields.get(field)?.parse::<f64>().ok();
    Some(Stat {
        cpu_seconds: (number(11)? + number(12)?) / ticks,
        started_seconds: number(19)? / ticks,
        resident_bytes: number(21)? * page,
    })
}

/// When the machine was started, in seconds of the epoch: read once, as a clock that is set moves it.
fn booted() -> Option<f64> {
    static BOOTED: OnceLock<Option<f64>> = OnceLock::new();
    *BOOTED.get_or_init(|| {
        let text = fs::read_to_string("/proc/stat").ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("btime "))?;
        line.trim().parse().ok()
    })
}

impl Collector for Process {
    fn encode(&self, mut out: DescriptorEncoder<'_>) -> std::fmt::Result {
        let text = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let read = stat(&text, clock_ticks_per_second() as f64, page_size() as f64);
        if let Some(read) = &read {
            out.encode_descriptor(
                "process_cpu_seconds",
                "Processor time, user and system",
                None,
                MetricType::Counter,
            )?
            .encode_counter::<NoLabelSet, f64, f64>(&read.cpu_seconds, None)?;
        }
        let started = read
            .as_ref()
            .and_then(|read| Some(booted()? + read.started_seconds));
        let files = fs::read_dir("/proc/self/fd").map(|all| all.count() as f64);
        let most = getrlimit(Resource::Nofile).current;
        for (name, help, value) in [
            (
                "process_start_time_seconds",
                "When the process was started, seconds of the epoch",
                started,
            ),
            (
                "process_resident_memory_bytes",
                "Memory that the process has in use",
                read.as_ref().map(|read| read.resident_bytes),
            ),
            ("process_open_fds", "Open files and connections", files.ok()),
            (
                "process_max_fds",
                "Files and connections that it may have open",
                most.map(|most| most as f64),
            ),
        ] {
            if let Some(value) = value {
                out.encode_descriptor(name, help, None, MetricType::Gauge)?
                    .encode_gauge(&value)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::{SystemTime, UNIX_EPOCH};

    use super::*;

    #[test]
    fn fields_are_found_whatever_the_program_is_called() {
        let text = "7 (a) b (c)) S 1 7 7 0 -1 0 1 2 3 4 250 50 0 0 20 0 9 0 1234 99 11 184";
        let read = Stat {
            cpu_seconds: 3.0,
            started_seconds: 12.34,
            resident_bytes: 45_056.0,
        };
        assert_eq!(stat(text, 100.0, 4096.0), Some(read));
        assert_eq!(stat("", 100.0, 4096.0), None);
    }

    #[test]
    fn this_process_began_before_now_and_after_the_boot() {
        let text = fs::read_to_string("/proc/self/stat").expect("its own");
        let read = stat(&text, clock_ticks_per_second() as f64, page_size() as f64).expect("read");
        let booted = booted().expect("a machine that was started");
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("after 1970");
        let age = now.as_secs_f64() - booted - read.started_seconds;
        assert!((-2.0..3_600.0).contains(&age), "{age} s old");
        assert!(read.resident_bytes > 1e6, "{read:?}");
    }
}
