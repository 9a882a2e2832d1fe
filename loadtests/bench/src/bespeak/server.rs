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
            command.contains("{port}") && command.contains("{dir}"),
            "--server-command must say where {{port}} and {{dir}} go, it is: {command}"
        );
        let (program, arguments) = words.split_first().context("--server-command is empty")?;
        let mut command = Command::new(program);
        command.args(arguments);
        let process = Process::start("bespeak", command, &Setup::new(core, &data))?;
        until_connects(&process, port).await?;
        Ok(Self { process, port })
    }

    /// The echo server is this same program.
    ///
    /// # Errors
    /// It does not come up.
    pub async fn start_echo(dir: &Path, core: usize) -> Result<Self> {
        let port = free_port()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["echo", "--listen", &format!("127.0.0.1:{port}")]);
        let process = Process::start("echo", command, &Setup::new(core, &dir.join("echo")))?;
        until_connects(&process, port).await?;
        Ok(Self { process, port })
    }
}
