//! What a step takes of the machine: CPU, memory, disk.

use std::time::{Duration, Instant};

use anyhow::Result;
use bespeak_proto::v1::GetStatsResponse;
use serde::Serialize;
use tokio::sync::Notify;

use super::server::Servers;
use super::spec::Target;
use crate::machine;

/// How often memory is looked at, but for short rounds, in which it is once a second.
const SAMPLES: u32 = 240;

pub(super) struct Usage {
    pub server: Duration,
    pub client: Duration,
    pub foreign: Duration,
    /// Bytes of the server's data, at the beginning and the end.
    pub data: (u64, u64),
    /// At least one.
    pub memory: Vec<Memory>,
}

/// The server's memory at one moment.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Memory {
    /// Seconds into the measured time.
    pub at_s: f64,
    pub resident_bytes: u64,
    #[serde(flatten)]
    pub told: Told,
}

/// What the server says of itself then.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Told {
    /// Of its index of request ids and of its movements, the latter twice: a snapshot's second state has them as well, and
    /// its memory is kept.
    pub table_bytes: u64,
    /// Of its last snapshot, and the segments of its journal: fewer when a snapshot let some be removed.
    pub snapshot_revision: u64,
    pub journal_segments: u64,
}

impl From<&GetStatsResponse> for Told {
    fn from(stats: &GetStatsResponse) -> Self {
        Self {
            table_bytes: stats.request_index_bytes + 2 * stats.movement_bytes,
            snapshot_revision: stats.last_snapshot_revision,
            journal_segments: stats.journal_segments,
        }
    }
}

/// What the measured time took.
///
/// # Errors
/// The machine does not tell its times.
pub(super) async fn usage(
    pid: u32,
    servers: &Servers,
    target: Target,
    begin: Instant,
    measured: Duration,
    early: &Notify,
) -> Result<Usage> {
    let now = || -> Result<[u64; 3]> {
        let own = machine::cpu_ns(std::process::id())?;
        Ok([
            machine::tree_cpu_ns(pid).unwrap_or(0),
            own,
            machine::busy_ns()?,
        ])
    };
    let memory_now = async || Memory {
        at_s: begin.elapsed().as_secs_f64(),
        resident_bytes: machine::tree_resident_bytes(pid).unwrap_or(0),
        told: servers.told(target).await,
    };
    tokio::time::sleep_until(begin.into()).await;
    let (before, data_before) = (now()?, servers.data_bytes());
    let mut memory = vec![memory_now().await];
    let every = (measured / SAMPLES).max(Duration::from_secs(1));
    let ended = async {
        tokio::select! {
            () = tokio::time::sleep_until((begin + measured).into()) => {}
            () = early.notified() => {}
        }
    };
    tokio::pin!(ended);
    loop {
        tokio::select! {
            () = &mut ended => break,
            () = tokio::time::sleep(every) => memory.push(memory_now().await),
        }
    }
    let (after, data_after) = (now()?, servers.data_bytes());
    memory.push(memory_now().await);
    let [server, client, busy] =
        std::array::from_fn(|index| after[index].saturating_sub(before[index]));
    Ok(Usage {
        server: Duration::from_nanos(server),
        client: Duration::from_nanos(client),
        foreign: Duration::from_nanos(busy.saturating_sub(server + client)),
        data: (data_before, data_after),
        memory,
    })
}

/// Medians of the first and of the last quarter: a server may take memory for the time of a snapshot only.
pub(super) fn ends(memory: &[Memory], bytes: impl Fn(&Memory) -> u64) -> (u64, u64) {
    let quarter = (memory.len() / 4).max(1);
    let median = |part: &[Memory]| {
        let mut sorted: Vec<u64> = part.iter().map(&bytes).collect();
        sorted.sort_unstable();
        sorted[sorted.len() / 2]
    };
    (
        median(&memory[..quarter]),
        median(&memory[memory.len() - quarter..]),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_grows_is_seen_and_what_comes_and_goes_is_not() {
        let found = |samples: &[u64]| {
            let memory: Vec<Memory> = samples
                .iter()
                .map(|&resident_bytes| Memory {
                    at_s: 0.0,
                    resident_bytes,
                    told: Told {
                        table_bytes: 2 * resident_bytes,
                        ..Told::default()
                    },
                })
                .collect();
            let tables = ends(&memory, |memory| memory.told.table_bytes);
            let resident = ends(&memory, |memory| memory.resident_bytes);
            assert_eq!(tables, (2 * resident.0, 2 * resident.1));
            resident
        };
        assert_eq!(found(&[7]), (7, 7));
        assert_eq!(found(&[5, 9]), (5, 9));
        assert_eq!(found(&[5, 50, 5, 5, 5, 50, 5, 5, 5, 5, 50, 5]), (5, 5));
        assert_eq!(found(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]), (2, 11));
    }
}
