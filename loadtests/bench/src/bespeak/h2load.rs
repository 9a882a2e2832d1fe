//! The same checks by h2load, a load generator of others: whether ours tells the truth. It sends one request again and
//! again, closed loop, and writes a line for each answer.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};

use super::wire::Requests;
use crate::latency::{self, histogram};
use crate::machine;
use crate::peers::find_program;
use crate::round::{Measured, Spec};

pub const PROGRAM: &str = "h2load";
pub const MISSING: &str = "h2load is not installed: apt-get install nghttp2-client";
/// Longer than the round, so that its end is not measured.
const BEYOND: Duration = Duration::from_millis(500);
const END_MAX: Duration = Duration::from_secs(20);

/// One round. It runs on this tool's core, which the tool leaves to it.
///
/// # Errors
/// h2load is missing, or an answer was not HTTP 200.
pub async fn run(
    port: u16,
    clients: usize,
    shared: bool,
    spec: &Spec,
    server: u32,
    dir: &Path,
) -> Result<Measured> {
    let program = find_program(PROGRAM).context(MISSING)?;
    let (body, log) = (dir.join("h2load.body"), dir.join("h2load.log"));
    std::fs::write(
        &body,
        Requests::new(false).check(spec.keys.walk(0, 1).next_sku()),
    )?;
    let _ = std::fs::remove_file(&log);
    let (connections, streams) = if shared { (1, clients) } else { (clients, 1) };
    let child = Command::new(program)
        .args([
            "-t",
            "1",
            "-c",
            &connections.to_string(),
            "-m",
            &streams.to_string(),
        ])
        .args(["-H", "content-type: application/grpc", "-H", "te: trailers"])
        .arg(format!("--warm-up-time={}ms", spec.warmup.as_millis()))
        .arg(format!(
            "--duration={}ms",
            (spec.measure + BEYOND).as_millis()
        ))
        .arg(format!("--data={}", body.display()))
        .arg(format!("--log-file={}", log.display()))
        .arg(format!(
            "http://127.0.0.1:{port}/bespeak.v1.PromiseService/Check"
        ))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let mut child = Ended(child);
    // What it logs, it logs after its own warm-up.
    tokio::time::sleep(spec.warmup + BEYOND / 2).await;
    let cpu = || {
        Ok::<_, anyhow::Error>([
            machine::tree_cpu_ns(server)?,
            machine::cpu_ns(child.0.id())?,
            machine::busy_ns()?,
        ])
    };
    let (before, begin, begin_us) = (cpu()?, Instant::now(), now_us());
    tokio::time::sleep(spec.measure).await;
    let (after, wall, end_us) = (cpu()?, begin.elapsed(), now_us());
    let deadline = Instant::now() + END_MAX;
    while child.0.try_wait()?.is_none() {
        ensure!(Instant::now() < deadline, "h2load does not end");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let [server, client, busy] = std::array::from_fn(|index| {
        Duration::from_nanos(after[index].saturating_sub(before[index]))
    });
    let mut measured = Measured {
        first: histogram(),
        settle: histogram(),
        lag: histogram(),
        refused: 0,
        wall,
        server_cpu: server,
        client_cpu: client,
        foreign_cpu: busy.saturating_sub(server + client),
        backlog: 0,
    };
    for line in std::fs::read_to_string(&log)?.lines() {
        let (start_us, took_us) = answer(line)?;
        if (begin_us..end_us).contains(&(start_us + took_us)) {
            latency::record(&mut measured.first, Duration::from_micros(took_us));
        }
    }
    std::fs::remove_file(log)?;
    ensure!(
        measured.operations() > 0,
        "h2load logged no answer within {wall:?}"
    );
    Ok(measured)
}

/// When it was asked, since the epoch, and how long the answer took: microseconds of a line of the log.
fn answer(line: &str) -> Result<(u64, u64)> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [start, status, took] = fields[..] else {
        bail!("h2load logged {line:?}: three fields expected");
    };
    ensure!(status == "200", "h2load was answered with status {status}");
    Ok((start.parse()?, took.parse()?))
}

fn now_us() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_micros() as u64
}

/// It must not outlive a round that failed.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_log_are_read_and_others_refused() {
        assert_eq!(
            answer("1795000000000001\t200\t345").unwrap(),
            (1_795_000_000_000_001, 345)
        );
        assert!(
            answer("1795000000000001\t500\t345")
                .unwrap_err()
                .to_string()
                .contains("500")
        );
        assert!(answer("1795000000000001\t200").is_err());
        assert!(answer("x\t200\t345").is_err());
    }
}
