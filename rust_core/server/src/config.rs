//! Everything that can be set, read once and passed down.

mod validate;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use crate::forecasts::settings::ForecastSettings;

/// Fewest answers that a journal goes with: twice as many records as may wait for the disk, since as many again may be
/// on their way there. With fewer, a request would wait until the answers that fell out of memory are on the disk.
const REMEMBERED_MIN: usize = 131_072;

/// How a server is run. Every field has a default; unknown fields are refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerConfig {
    /// Address of the gRPC and Flight port; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Address of the Prometheus text page; `None` serves none.
    pub metrics_listen: Option<SocketAddr>,
    /// Threads that serve requests; 0 chooses: one for up to two cores, else half of them.
    pub worker_threads: usize,
    /// Limits on callers.
    pub limits: Limits,
    /// Certificates; `None` serves plain text.
    pub tls: Option<TlsConfig>,
    /// Where promises survive.
    pub journal: JournalSettings,
    /// The engine's policies.
    pub engine: EngineSettings,
    /// Forecasts kept beside the engine, and the buffers made from them.
    pub forecasts: ForecastSettings,
    /// The compute worker; without it the fallbacks answer.
    pub compute: Option<ComputeConfig>,
    /// Backups are written below this directory; `None` refuses them.
    pub backup_root: Option<PathBuf>,
    /// OpenTelemetry traces; `None` makes none.
    pub traces: Option<TraceConfig>,
    /// Bytes of memory that are touched at the start, so that no promise waits for the system, or for the host of a virtual
    /// machine, to give them; 0 touches none.
    pub touch_memory_bytes: u64,
    /// How long a drain waits for calls in progress, milliseconds.
    pub drain_ms: u64,
}

/// Limits on callers. Full means a refusal at once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Connections at a time.
    pub connections: usize,
    /// Streams of one connection at a time.
    pub concurrent_streams: u32,
    /// Requests taken up and not yet answered, all connections together.
    pub in_flight: usize,
    /// Long-lived streams (Session, WatchAvailability, Flight, reflection, health) at a time.
    pub open_streams: usize,
    /// Bytes of one message, either way.
    pub message_bytes: usize,
    /// Bytes of requests that have not fully arrived, all connections together.
    pub buffered_bytes: usize,
    /// Bytes of the headers of one request.
    pub header_bytes: u32,
    /// Time for the TLS and HTTP/2 handshakes, milliseconds.
    pub handshake_ms: u64,
    /// Time in which the message of a unary request must have arrived, milliseconds.
    pub request_body_ms: u64,
    /// Silence after which a connection is asked whether it lives, milliseconds.
    pub keep_alive_ms: u64,
    /// Time for its answer, milliseconds.
    pub keep_alive_timeout_ms: u64,
    /// Age at which a connection is asked to close, milliseconds; 0 never.
    pub connection_age_ms: u64,
    /// Time for its calls to end then, milliseconds.
    pub connection_grace_ms: u64,
    /// Changes kept for one slow watcher before it is told to check again.
    pub watch_queue: usize,
    /// Answers of one Session that may wait for durability.
    pub session_pipeline: usize,
    /// Rows of one Arrow batch.
    pub batch_rows: usize,
    /// Longest time that a batch holds the partition, microseconds.
    pub batch_slice_us: u64,
    /// What a shed caller is told to wait, milliseconds.
    pub retry_ms: u64,
}

/// Certificates in PEM files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// The server's certificate chain.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Authorities of client certificates; given, every caller needs one of theirs.
    #[serde(default)]
    pub client_authority: Option<PathBuf>,
}

/// When an answer counts as given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JournalMode {
    /// At once; a crash loses everything.
    Memory,
    /// After the sync of the group that it belongs to.
    Group,
}

/// Where promises survive.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JournalSettings {
    /// When an answer counts as given; `None` is `group` with a path, and `memory` without one.
    pub mode: Option<JournalMode>,
    /// Directory of the journal; needed when the mode is `group`.
    pub path: Option<PathBuf>,
    /// Bytes of a segment; 0 is the journal's default.
    pub segment_bytes: u64,
    /// A snapshot is made after so many bytes of finished segments; 0 is the journal's default.
    pub snapshot_every_bytes: u64,
    /// How far back `AsOf` and reconcile reach, milliseconds; 0 is the journal's default, and less than 24 h keeps
    /// 24 h.
    pub retention_ms: u64,
    /// A jump of the clock beyond this stops promising, milliseconds; 0 is the journal's default.
    pub clock_jump_ms: u64,
    /// A clock further ahead of the last record than this at the start stops promising, milliseconds; 0 is the
    /// journal's default.
    pub downtime_ms: u64,
}

impl JournalSettings {
    /// When an answer counts as given: what is asked for, else what the path says. Nobody names a directory to have
    /// nothing written there.
    pub fn mode(&self) -> JournalMode {
        match (self.mode, &self.path) {
            (Some(mode), _) => mode,
            (None, Some(_)) => JournalMode::Group,
            (None, None) => JournalMode::Memory,
        }
    }
}

/// The engine's policies; 0 is the engine's default.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EngineSettings {
    /// Life of a hold when a request names none, milliseconds.
    pub default_hold_ms: i64,
    /// A hold's total life, extensions included, milliseconds.
    pub max_hold_life_ms: i64,
    /// Units that one customer may have in holds that are not confirmed.
    pub max_held_units_per_customer: u64,
    /// Answers remembered in memory.
    pub remembered_requests: usize,
}

/// The compute worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ComputeConfig {
    /// `http://host:port`, or `unix:/path`.
    pub address: String,
    /// Longest time for one call, milliseconds; then the fallback answers.
    #[serde(default = "ComputeConfig::default_timeout_ms")]
    pub timeout_ms: u64,
    /// Failures in a row that open the circuit.
    #[serde(default = "ComputeConfig::default_failures")]
    pub breaker_failures: u32,
    /// How long an open circuit stays open, milliseconds.
    #[serde(default = "ComputeConfig::default_open_ms")]
    pub breaker_open_ms: u64,
}

impl EngineSettings {
    /// The engine's own form, its defaults filled in.
    pub fn settings(&self) -> bespeak_engine::Settings {
        let standard = bespeak_engine::Settings::default();
        let or = |value: i64, default: i64| if value > 0 { value } else { default };
        bespeak_engine::Settings {
            default_hold_ms: or(self.default_hold_ms, standard.default_hold_ms),
            max_hold_life_ms: or(self.max_hold_life_ms, standard.max_hold_life_ms),
            max_held_units_per_customer: match self.max_held_units_per_customer {
                0 => standard.max_held_units_per_customer,
                units => units,
            },
            remembered_requests: match self.remembered_requests {
                0 => standard.remembered_requests,
                count => count,
            },
            hash_seed: hash_seed(),
        }
    }
}

/// A seed that callers cannot guess, so that they cannot choose names that collide.
fn hash_seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one("bespeak")
}

impl ComputeConfig {
    fn default_timeout_ms() -> u64 {
        30_000
    }

    fn default_failures() -> u32 {
        3
    }

    fn default_open_ms() -> u64 {
        5_000
    }
}

/// OpenTelemetry traces.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TraceConfig {
    /// OTLP collector, `http://host:port`.
    pub endpoint: String,
    /// Share of calls without a sampled parent that are traced, 0 to 1.
    #[serde(default)]
    pub sample_ratio: f64,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 7171)),
            metrics_listen: None,
            worker_threads: 0,
            limits: Limits::default(),
            tls: None,
            journal: JournalSettings::default(),
            engine: EngineSettings::default(),
            forecasts: ForecastSettings::default(),
            compute: None,
            backup_root: None,
            traces: None,
            touch_memory_bytes: 0,
            drain_ms: 10_000,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4_096,
            concurrent_streams: 200,
            in_flight: 4_096,
            open_streams: 1_024,
            message_bytes: 4 << 20,
            buffered_bytes: 256 << 20,
            header_bytes: 16 << 10,
            handshake_ms: 10_000,
            request_body_ms: 30_000,
            keep_alive_ms: 30_000,
            keep_alive_timeout_ms: 10_000,
            connection_age_ms: 30 * 60_000,
            connection_grace_ms: 30_000,
            watch_queue: 1_024,
            session_pipeline: 256,
            batch_rows: 65_536,
            batch_slice_us: 500,
            retry_ms: 50,
        }
    }
}

/// A configuration that cannot work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{setting} is {value}: {rule}")]
pub struct ConfigError {
    /// Path of the setting.
    pub setting: &'static str,
    /// What it held.
    pub value: String,
    /// What it may hold.
    pub rule: &'static str,
}

impl ServerConfig {
    /// A server in memory on a free loopback port: for tests and the embedded default.
    pub fn local() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            ..Self::default()
        }
    }

    /// Reads JSON, as the Python side sends it.
    ///
    /// # Errors
    /// Names the field that is unknown or does not fit.
    pub fn from_json(text: &str) -> Result<Self, ConfigError> {
        let config: Self = serde_json::from_str(text).map_err(|error| ConfigError {
            setting: "configuration",
            value: error.to_string(),
            rule: "compare with docs/operate/server.md",
        })?;
        config.validate()?;
        Ok(config)
    }

    /// Threads that serve requests.
    pub fn threads(&self) -> usize {
        match self.worker_threads {
            0 => {
                let cores = std::thread::available_parallelism().map_or(1, usize::from);
                if cores <= 2 { 1 } else { cores / 2 }
            }
            chosen => chosen,
        }
    }

    /// How long a drain waits for calls in progress.
    pub fn drain(&self) -> Duration {
        Duration::from_millis(self.drain_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_hold_and_json_round_trips() {
        let config = ServerConfig::default();
        config.validate().expect("defaults work");
        let text = serde_json::to_string(&config).expect("plain values");
        assert_eq!(ServerConfig::from_json(&text).expect("own output"), config);
    }

    #[test]
    fn answers_are_remembered_until_they_are_durable() {
        let waiting = bespeak_journal::PartitionConfig::default().pending_records_max;
        assert_eq!(REMEMBERED_MIN, 2 * waiting);
        for (text, fits) in [
            (
                r#"{"journal": {"path": "j"}, "engine": {"remembered_requests": 131071}}"#,
                false,
            ),
            (
                r#"{"journal": {"path": "j"}, "engine": {"remembered_requests": 131072}}"#,
                true,
            ),
            (r#"{"journal": {"path": "j"}}"#, true),
            (r#"{"engine": {"remembered_requests": 10}}"#, true),
        ] {
            assert_eq!(ServerConfig::from_json(text).is_ok(), fits, "{text}");
        }
    }

    #[test]
    fn a_path_asks_for_a_journal() {
        for (journal, mode) in [
            ("{}", JournalMode::Memory),
            (r#"{"mode": "memory"}"#, JournalMode::Memory),
            (r#"{"path": "j"}"#, JournalMode::Group),
            (r#"{"mode": null, "path": "j"}"#, JournalMode::Group),
            (r#"{"mode": "group", "path": "j"}"#, JournalMode::Group),
            (r#"{"mode": "memory", "path": "j"}"#, JournalMode::Memory),
        ] {
            let text = format!(r#"{{"journal": {journal}}}"#);
            let config = ServerConfig::from_json(&text).expect(journal);
            assert_eq!(config.journal.mode(), mode, "{journal}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (text, word) in [
            (r#"{"listenn": "127.0.0.1:1"}"#, "listenn"),
            (r#"{"limits": {"in_flight": -1}}"#, "in_flight"),
            (r#"{"journal": {"mode": "group"}}"#, "journal.path"),
            (r#"{"metrics_listen": "0.0.0.0:9090"}"#, "loopback"),
            (
                r#"{"touch_memory_bytes": 1000000000000000}"#,
                "memory of this machine",
            ),
            (
                r#"{"traces": {"endpoint": "http://x", "sample_ratio": 2}}"#,
                "sample_ratio",
            ),
        ] {
            let error = ServerConfig::from_json(text)
                .map(|_| ())
                .expect_err(text)
                .to_string();
            let named =
                error.contains(word) || (word == "in_flight" && error.contains("invalid value"));
            assert!(named, "{text}: {error}");
        }
    }
}
