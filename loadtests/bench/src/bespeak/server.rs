//! Starts Bespeak, and the bare echo server, each on the server's core.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::process::{Process, Setup, free_port, until_connects};

pub struct BespeakServer {
    pub process: Process,
    pub port: u16,
}

impl BespeakServer {
    /// `command` is what to run, with `{port}` and `{dir}` to be filled in.
    ///
    /// # Errors
    /// The command is empty, or no server comes up.
    pub async fn start(command: &str, dir: &Path, core: usize) -> Result<Self> {
        Self::start_with(command, dir, &[core], &[]).await
    }

    /// The same on several cores, with more in its environment. A server that keeps nothing needs no `{dir}`.
    ///
    /// # Errors
    /// As for [`Self::start`].
    pub async fn start_with(
        command: &str,
        dir: &Path,
        cores: &[usize],
        environment: &[(&str, String)],
    ) -> Result<Self> {
        let port = free_port()?;
        let data = dir.join("bespeak");
        let words: Vec<String> = command
            .split_whitespace()
            .map(|w| {
                w.replace("{port}", &port.to_string())
                    .replace("{dir}", &data.display().to_string())
            })
            .collect();
        ensure!(
            command.contains("{port}")
                && (command.contains("{dir}") || command.contains("--memory")),
            "--server-command must say where {{port}} and {{dir}} go, it is: {command}"
        );
        let (program, arguments) = words.split_first().context("--server-command is empty")?;
        let mut command = Command::new(program);
        command.args(arguments);
        command.envs(environment.iter().map(|(name, value)| (*name, value)));
        let setup = Setup::new(0, &data).cores(cores);
        let process = Process::start("bespeak", command, &setup)?;
        until_connects(&process, port).await?;
        Ok(Self { process, port })
    }

    /// The echo server is this same program.
    ///
    /// # Errors
    /// It does not come up.
    pub async fn start_echo(dir: &Path, core: usize) -> Result<Self> {
        Self::start_echo_with(dir, &[core], None).await
    }

    /// The same on several cores, within TLS where files of a certificate and its key are given.
    ///
    /// # Errors
    /// As for [`Self::start_echo`].
    pub async fn start_echo_with(
        dir: &Path,
        cores: &[usize],
        tls: Option<(&Path, &Path)>,
    ) -> Result<Self> {
        let port = free_port()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["echo", "--listen", &format!("127.0.0.1:{port}")]);
        if let Some((certificate, key)) = tls {
            command.arg("--certificate").arg(certificate);
            command.arg("--key").arg(key);
        }
        Self::started("echo", command, port, dir, cores).await
    }

    /// The echo server straight on h2.
    ///
    /// # Errors
    /// As for [`Self::start_echo`].
    pub async fn start_h2(dir: &Path, cores: &[usize]) -> Result<Self> {
        let port = free_port()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["echo", "--h2", "--listen", &format!("127.0.0.1:{port}")]);
        Self::started("h2", command, port, dir, cores).await
    }

    async fn started(
        name: &str,
        command: Command,
        port: u16,
        dir: &Path,
        cores: &[usize],
    ) -> Result<Self> {
        let setup = Setup::new(0, &dir.join(name)).cores(cores);
        let process = Process::start(name, command, &setup)?;
        until_connects(&process, port).await?;
        Ok(Self { process, port })
    }
}
