//! The machine: pinning to a core, CPU time of processes, a description for the report.

use std::io;

use anyhow::{Context, Result};
use serde::Serialize;

#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    pub cpu: String,
    pub cores: usize,
    pub memory_mib: u64,
    pub kernel: String,
    /// Vector extensions that change what servers can do.
    pub vector: Vec<String>,
    pub server_core: usize,
    pub client_core: usize,
}

/// The clock that never jumps, as every process of the machine reads it.
pub fn monotonic_ns() -> u64 {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: a plain system call that fills the struct; this clock is always there.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

impl Machine {
    pub fn describe(server_core: usize, client_core: usize) -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let cpuinfo = read("/proc/cpuinfo");
        let field = |name: &str| {
            let line = cpuinfo.lines().find(|line| line.starts_with(name));
            line.and_then(|l| l.split_once(':'))
                .map(|(_, v)| v.trim().to_owned())
                .unwrap_or_default()
        };
        let flags = field("flags");
        let has = |flag: &&str| flags.split(' ').any(|f| f == *flag);
        let memory_kib: u64 = read("/proc/meminfo")
            .split_whitespace()
            .nth(1)
            .and_then(|value| value.parse().ok())
            .unwrap_or(0);
        Self {
            cpu: field("model name"),
            cores: cpuinfo
                .lines()
                .filter(|line| line.starts_with("processor"))
                .count(),
            memory_mib: memory_kib / 1024,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            vector: ["avx2", "avx512f", "avx512_bf16"]
                .iter()
                .filter(|flag| has(flag))
                .map(|flag| (*flag).to_owned())
                .collect(),
            server_core,
            client_core,
        }
    }
}

/// Keeps the calling thread, and what it starts from then on, on one core.
///
/// # Errors
/// The core does not exist or may not be used.
pub fn pin_to(core: usize) -> io::Result<()> {
    pin_to_set(&set_of(&[core]))
}

/// Cores as the system takes them. One beyond its bound is left out.
pub fn set_of(cores: &[usize]) -> libc::cpu_set_t {
    // SAFETY: an all-zero cpu_set_t is valid, and CPU_SET checks the bound.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        for &core in cores {
            libc::CPU_SET(core, &mut set);
        }
        set
    }
}

/// As [`pin_to`], to any of several cores. Takes no memory, so that it may run between fork and exec.
///
/// # Errors
/// None of the cores exists or may be used.
pub fn pin_to_set(set: &libc::cpu_set_t) -> io::Result<()> {
    // SAFETY: the call reads the set only.
    let status = unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), set) };
    if status == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Resident bytes of a process and the processes under it.
///
/// # Errors
/// The process has ended.
pub fn tree_resident_bytes(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))
        .with_context(|| format!("memory of process {pid}"))?;
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
        .unwrap_or(0);
    let below = children(pid)
        .into_iter()
        .map(|child| tree_resident_bytes(child).unwrap_or(0));
    Ok(kib * 1024 + below.sum::<u64>())
}

/// CPU nanoseconds, user and system, that a process has used, ended threads included.
///
/// # Errors
/// There is no such process.
pub fn cpu_ns(pid: u32) -> Result<u64> {
    let mut clock: libc::clockid_t = 0;
    // SAFETY: plain libc calls that write to the locals given.
    let time = unsafe {
        let status = libc::clock_getcpuclockid(pid.cast_signed(), &raw mut clock);
        anyhow::ensure!(
            status == 0,
            "process {pid} has no CPU clock (error {status}): it ended"
        );
        let mut time: libc::timespec = std::mem::zeroed();
        if libc::clock_gettime(clock, &raw mut time) != 0 {
            return Err(io::Error::last_os_error()).context(format!("CPU time of process {pid}"));
        }
        time
    };
    Ok(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

/// CPU nanoseconds of a process and the processes under it (PostgreSQL has one a connection).
///
/// # Errors
/// The process has ended.
pub fn tree_cpu_ns(pid: u32) -> Result<u64> {
    let mut total = cpu_ns(pid)?;
    for child in children(pid) {
        // A child may end between the listing and the reading.
        total += tree_cpu_ns(child).unwrap_or(0);
    }
    Ok(total)
}

/// CPU nanoseconds that the whole machine has spent at work, time stolen by its host included.
///
/// # Errors
/// The kernel does not tell.
pub fn busy_ns() -> Result<u64> {
    let stat = std::fs::read_to_string("/proc/stat").context("/proc/stat")?;
    let fields = stat
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(1);
    let ticks: Vec<u64> = fields.map(str::parse).collect::<Result<_, _>>()?;
    anyhow::ensure!(
        ticks.len() >= 8,
        "/proc/stat has {} numbers, 8 expected",
        ticks.len()
    );
    // user, nice, system, idle, iowait, irq, softirq, steal
    let busy: u64 = [0, 1, 2, 5, 6, 7].iter().map(|&field| ticks[field]).sum();
    // SAFETY: a plain look-up of a constant of the system.
    let hertz = unsafe { libc::sysconf(libc::_SC_CLK_TCK) }
        .max(1)
        .cast_unsigned();
    Ok(busy * (1_000_000_000 / hertz))
}

fn children(pid: u32) -> Vec<u32> {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    tasks
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("children")).ok())
        .flat_map(|list| {
            list.split_whitespace()
                .filter_map(|p| p.parse().ok())
                .collect::<Vec<u32>>()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_grows_with_work() {
        let pid = std::process::id();
        let before = cpu_ns(pid).unwrap();
        let mut sum = 0u64;
        while cpu_ns(pid).unwrap() < before + 2_000_000 {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(tree_cpu_ns(pid).unwrap() >= before + 2_000_000);
        assert!(busy_ns().unwrap() > 0);
    }

    #[test]
    fn an_ended_process_is_an_error() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id();
        child.wait().unwrap();
        assert!(cpu_ns(pid).is_err());
    }

    #[test]
    fn pinning_to_a_core_that_is_not_there_fails() {
        assert!(pin_to(1_000).is_err());
    }
}
