//! Starts the service that a Python team would write first: grpc.aio, a dict, nothing kept.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::bespeak::server::BespeakServer;
use crate::process::{Process, Setup, free_port, until_connects};

pub const MISSING: &str = "no command to start it: give --aio-command with {port} and {stocks}";

/// `command` is what to run, with `{port}` and `{stocks}` to be filled in: a file with the stock of each SKU from 0 on,
/// one a line.
///
/// # Errors
/// The command names no place for them, or no server comes up.
pub async fn start(
    command: &str,
    dir: &Path,
    core: usize,
    stocks: &[u64],
) -> Result<BespeakServer> {
    ensure!(
        command.contains("{port}") && command.contains("{stocks}"),
        "--aio-command must say where {{port}} and {{stocks}} go, it is: {command}"
    );
    let file = dir.join("grpc-aio.stocks");
    let lines: String = stocks.iter().map(|stock| format!("{stock}\n")).collect();
    std::fs::write(&file, lines)?;
    let port = free_port()?;
    let mut words = command.split_whitespace().map(|word| {
        word.replace("{port}", &port.to_string())
            .replace("{stocks}", &file.display().to_string())
    });
    let mut command = Command::new(words.next().context("--aio-command is empty")?);
    command.args(words);
    let process = Process::start(
        "grpc-aio",
        command,
        &Setup::new(core, &dir.join("grpc-aio")),
    )?;
    until_connects(&process, port).await?;
    Ok(BespeakServer { process, port })
}
