//! What a configuration may hold: a value that cannot work is named at the start, and not by every call.

use std::fmt::Display;

use super::{
    ComputeConfig, ConfigError, EngineSettings, JournalMode, Limits, REMEMBERED_MIN, ServerConfig,
};

type Result = std::result::Result<(), ConfigError>;

fn wrong(setting: &'static str, value: &dyn Display, rule: &'static str) -> Result {
    Err(ConfigError {
        setting,
        value: value.to_string(),
        rule,
    })
}

/// Bytes of memory of this machine.
fn memory() -> u64 {
    let told = rustix::system::sysinfo();
    told.totalram.saturating_mul(u64::from(told.mem_unit))
}

impl ServerConfig {
    /// Checks that the settings can work together.
    ///
    /// # Errors
    /// Names the first setting that cannot.
    pub fn validate(&self) -> Result {
        if self.worker_threads > 256 {
            let rule = "at most 256 are allowed";
            return wrong("worker_threads", &self.worker_threads, rule);
        }
        if self.touch_memory_bytes > memory() {
            let rule = "it must be at most the memory of this machine";
            return wrong("touch_memory_bytes", &self.touch_memory_bytes, rule);
        }
        if let Some(address) = self
            .metrics_listen
            .filter(|address| !address.ip().is_loopback())
        {
            let rule = "the metrics page has no access control: bind it to a loopback address";
            return wrong("metrics_listen", &address, rule);
        }
        self.limits.validate()?;
        if self.journal.mode() == JournalMode::Group && self.journal.path.is_none() {
            return wrong("journal.path", &"missing", "mode group needs a directory");
        }
        self.engine.validate()?;
        let remembered = self.engine.remembered_requests;
        if self.journal.mode() == JournalMode::Group && (1..REMEMBERED_MIN).contains(&remembered) {
            let rule = "with a journal it must be 0 or at least 131072: an answer is remembered until it is durable";
            return wrong("engine.remembered_requests", &remembered, rule);
        }
        self.forecasts.validate()?;
        if let Some(compute) = &self.compute {
            compute.validate()?;
        }
        if let Some(traces) = &self.traces
            && !(0.0..=1.0).contains(&traces.sample_ratio)
        {
            let rule = "it must be 0 to 1";
            return wrong("traces.sample_ratio", &traces.sample_ratio, rule);
        }
        Ok(())
    }
}

impl Limits {
    fn validate(&self) -> Result {
        if !(1_024..=64 << 20).contains(&self.message_bytes) {
            let rule = "it must be 1 KiB to 64 MiB";
            return wrong("limits.message_bytes", &self.message_bytes, rule);
        }
        if !(1..=1_000_000).contains(&self.batch_rows) {
            let rule = "it must be 1 to 1000000";
            return wrong("limits.batch_rows", &self.batch_rows, rule);
        }
        if !(1_024..=1 << 20).contains(&self.header_bytes) {
            let rule = "it must be 1 KiB to 1 MiB";
            return wrong("limits.header_bytes", &self.header_bytes, rule);
        }
        for (setting, value) in [
            ("limits.watch_queue", self.watch_queue),
            ("limits.session_pipeline", self.session_pipeline),
            ("limits.connections", self.connections),
        ] {
            if value == 0 || value > 1 << 20 {
                return wrong(setting, &value, "it must be 1 to 1048576");
            }
        }
        // None of these means "without a limit" as 0: nothing would ever be answered.
        for (setting, value) in [
            (
                "limits.concurrent_streams",
                u64::from(self.concurrent_streams),
            ),
            ("limits.in_flight", self.in_flight as u64),
            ("limits.open_streams", self.open_streams as u64),
            ("limits.buffered_bytes", self.buffered_bytes as u64),
            ("limits.handshake_ms", self.handshake_ms),
            ("limits.request_body_ms", self.request_body_ms),
            ("limits.keep_alive_timeout_ms", self.keep_alive_timeout_ms),
        ] {
            if value == 0 {
                return wrong(setting, &value, "it must be at least 1");
            }
        }
        Ok(())
    }
}

impl EngineSettings {
    fn validate(&self) -> Result {
        for (setting, value) in [
            ("engine.default_hold_ms", self.default_hold_ms),
            ("engine.max_hold_life_ms", self.max_hold_life_ms),
        ] {
            if value < 0 {
                let rule = "it must be at least 1, or 0 for the engine's default";
                return wrong(setting, &value, rule);
            }
        }
        Ok(())
    }
}

impl ComputeConfig {
    fn validate(&self) -> Result {
        // Others are taken by the transport, and each call would fail.
        let fits = |scheme: &&str| {
            let rest = self.address.strip_prefix(*scheme);
            rest.is_some_and(|rest| !rest.is_empty())
        };
        if !["http://", "unix:"].iter().any(fits) {
            let rule = "it must be http://host:port or unix:/path";
            return wrong("compute.address", &self.address, rule);
        }
        if self.timeout_ms == 0 {
            return wrong(
                "compute.timeout_ms",
                &self.timeout_ms,
                "it must be at least 1",
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::config::ServerConfig;

    #[test]
    fn what_would_refuse_every_call_is_named_at_the_start() {
        for (text, told) in [
            (
                r#"{"limits": {"in_flight": 0}}"#,
                "limits.in_flight is 0: it must be at least 1",
            ),
            (
                r#"{"limits": {"open_streams": 0}}"#,
                "limits.open_streams is 0: it must be at least 1",
            ),
            (
                r#"{"limits": {"concurrent_streams": 0}}"#,
                "limits.concurrent_streams is 0: it must be at least 1",
            ),
            (
                r#"{"limits": {"buffered_bytes": 0}}"#,
                "limits.buffered_bytes is 0: it must be at least 1",
            ),
            (
                r#"{"limits": {"handshake_ms": 0}}"#,
                "limits.handshake_ms is 0: it must be at least 1",
            ),
            (
                r#"{"limits": {"request_body_ms": 0}}"#,
                "limits.request_body_ms is 0: it must be at least 1",
            ),
            (
                r#"{"limits": {"keep_alive_timeout_ms": 0}}"#,
                "limits.keep_alive_timeout_ms is 0: it must be at least 1",
            ),
            (
                r#"{"compute": {"address": "http://h:1", "timeout_ms": 0}}"#,
                "compute.timeout_ms is 0: it must be at least 1",
            ),
            (
                r#"{"engine": {"default_hold_ms": -1}}"#,
                "engine.default_hold_ms is -1: it must be at least 1, or 0 for the engine's default",
            ),
            (
                r#"{"engine": {"max_hold_life_ms": -5}}"#,
                "engine.max_hold_life_ms is -5: it must be at least 1, or 0 for the engine's default",
            ),
        ] {
            let error = ServerConfig::from_json(text).expect_err(text);
            assert_eq!(error.to_string(), told, "{text}");
        }
    }

    #[test]
    fn what_means_never_or_the_default_stays_allowed() {
        for text in [
            r#"{"limits": {"keep_alive_ms": 0, "connection_age_ms": 0, "connection_grace_ms": 0}}"#,
            r#"{"limits": {"retry_ms": 0, "batch_slice_us": 0}, "drain_ms": 0}"#,
            r#"{"engine": {"default_hold_ms": 0, "max_hold_life_ms": 0}}"#,
        ] {
            assert!(ServerConfig::from_json(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn the_worker_has_an_address_that_can_be_called() {
        for (address, fits) in [
            ("http://127.0.0.1:7430", true),
            ("unix:/run/worker.sock", true),
            ("unix:///run/worker.sock", true),
            ("127.0.0.1:7430", false),
            ("localhost:7430", false),
            ("https://127.0.0.1:7430", false),
            ("http://", false),
            ("unix:", false),
            ("", false),
        ] {
            let text = format!(r#"{{"compute": {{"address": "{address}"}}}}"#);
            let read = ServerConfig::from_json(&text);
            assert_eq!(read.is_ok(), fits, "{address}");
            if let Err(error) = read {
                let told = format!(
                    "compute.address is {address}: it must be http://host:port or unix:/path"
                );
                assert_eq!(error.to_string(), told);
            }
        }
    }
}
