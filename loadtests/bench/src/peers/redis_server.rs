//! Starts redis-server in a directory of its own.

use std::path::Path;

use anyhow::{Context, Result, bail};

use super::find_program;
use super::redis::RedisConnection;
use crate::process::{Process, Setup, free_port, until_connects};

pub const MISSING: &str = "redis-server is not installed: apt-get install redis-server";

/// When Redis calls its log durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fsync {
    Always,
    /// Up to a second of answers can be lost.
    Everysec,
    /// No log at all: a server of its own, started without one.
    Off,
}

impl Fsync {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::Everysec => "everysec",
            Self::Off => "off",
        }
    }
}

pub struct RedisServer {
    pub process: Process,
    pub port: u16,
    pub version: String,
}

impl RedisServer {
    /// # Errors
    /// redis-server is missing or does not come up; the message says which.
    pub async fn start(dir: &Path, core: usize) -> Result<Self> {
        Self::start_with(&dir.join("redis"), core, "").await
    }

    /// One that keeps nothing.
    ///
    /// # Errors
    /// As for [`Self::start`].
    pub async fn start_without_log(dir: &Path, core: usize) -> Result<Self> {
        Self::start_with(&dir.join("redis-off"), core, "appendonly no\n").await
    }

    async fn start_with(data: &Path, core: usize, more: &str) -> Result<Self> {
        let program = find_program("redis-server").context(MISSING)?;
        let version = std::process::Command::new(&program)
            .arg("--version")
            .output()?
            .stdout;
        let version = String::from_utf8_lossy(&version)
            .split_whitespace()
            .find_map(|word| word.strip_prefix("v=").map(|v| format!("redis {v}")))
            .unwrap_or_default();
        std::fs::create_dir(data)?;
        let port = free_port()?;
        let conf = data.join("redis.conf");
        let text = format!(
            "{}\nbind 127.0.0.1\nport {port}\ndir {}\n{more}",
            include_str!("../../../peers/redis/redis.conf"),
            data.display()
        );
        std::fs::write(&conf, text)?;
        let mut command = std::process::Command::new(program);
        command.arg(&conf);
        let process = Process::start("redis-server", command, &Setup::new(core, data))?;
        until_connects(&process, port).await?;
        Ok(Self {
            process,
            port,
            version,
        })
    }

    /// # Errors
    /// The server refuses the setting.
    pub async fn set_fsync(&self, fsync: Fsync) -> Result<()> {
        let mut connection = RedisConnection::connect(self.port, 0).await?;
        let enabled = if fsync == Fsync::Off { 0 } else { 1 };
        if fsync != Fsync::Off {
            connection
                .command(&["CONFIG", "SET", "appendfsync", fsync.as_str()])
                .await?;
        }
        // A server that quietly kept another policy would win for the wrong reason.
        let set = connection.command(&["INFO", "persistence"]).await?;
        if !format!("{set:?}").contains(&format!("aof_enabled:{enabled}")) {
            bail!(
                "redis keeps its append-only file otherwise than {} asks",
                fsync.as_str()
            );
        }
        Ok(())
    }
}
