//! Settings of a partition.

use std::time::Duration;

use bespeak_engine::Settings;

use crate::config::LogConfig;

use super::codec::RECORD_SCHEMA;

/// Who syncs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncBy {
    /// A thread takes whatever is queued, syncs it, and takes what has been queued meanwhile.
    Thread,
    /// Whoever waits syncs, itself or as part of another's sync: no change of threads. For callers
    /// that block anyway. The thread only takes what nobody waited for.
    Waiter,
    /// An event loop syncs at the end of each of its turns, by [`super::Partition::end_turn`], when
    /// all that had come has been executed: no change of threads, and one sync for the whole turn.
    /// The thread steps in where a turn is long or brings much.
    Turn,
}

/// Calls within one turn after which the thread syncs what they left, so that an answer never
/// waits for a loop that is always busy.
pub(super) const TURN_CALLS: u32 = 256;
/// Bytes of records that are left to the thread: an event loop shall not stand still for long.
pub(super) const TURN_BYTES: usize = 64 << 10;

/// How a partition runs.
#[derive(Debug, Clone)]
pub struct PartitionConfig {
    /// The engine's settings.
    pub settings: Settings,
    /// The log's settings.
    pub log: LogConfig,
    /// Who syncs; default the thread.
    pub sync_by: SyncBy,
    /// Most records that may wait for a sync; default 65,536.
    pub pending_records_max: usize,
    /// Most bytes of records that may wait for a sync; default 16 MiB.
    pub pending_bytes_max: usize,
    /// Largest jump of the clock, either way, that is taken as it is; default 60 s.
    pub clock_jump_ms: i64,
    /// A clock that is further ahead of the journal's last record at the start is suspect; default 7 days. Nobody lets
    /// the service be down for longer without a look at the machine, and a clock that lost its battery is years off.
    pub downtime_ms: i64,
    /// After so long without a write the journal is sealed; default 20 ms.
    pub seal_after: Duration,
    /// Time that only reads have used is journaled at this distance; default 1 s.
    pub tick_every_ms: i64,
    /// How far back `as_of`, reconcile and restore to a point in time reach; default 7 days. Less than 24 h keeps
    /// 24 h, because answers are given again for so long.
    pub retention_ms: u64,
    /// A snapshot is made after so many bytes of finished segments; default 256 MiB. 0 for never.
    pub snapshot_every_bytes: u64,
}

impl Default for PartitionConfig {
    fn default() -> Self {
        Self {
            settings: Settings::default(),
            log: LogConfig {
                schema: RECORD_SCHEMA,
                ..LogConfig::default()
            },
            sync_by: SyncBy::Thread,
            pending_records_max: 65_536,
            pending_bytes_max: 16 << 20,
            clock_jump_ms: 60_000,
            downtime_ms: 7 * 24 * 3_600_000,
            seal_after: Duration::from_millis(20),
            tick_every_ms: 1_000,
            retention_ms: 7 * 24 * 3_600_000,
            snapshot_every_bytes: 256 << 20,
        }
    }
}
