//! Bespeak's load generator. It speaks only the public protocol; see loadtests/README.md.

mod bespeak;
mod connection;
mod farm;
mod grpc;
mod http2;
mod ids;
mod keys;
mod latency;
mod ledger;
mod machine;
mod peers;
mod probe;
mod process;
mod report;
mod rng;
mod round;
mod rows;
mod run;
mod scenario;
mod schedule;
mod system;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

/// The echo servers that are compared with run in this program: they get the server's allocator.
#[global_allocator]
static ALLOCATOR: bespeak_memory::Allocator = bespeak_memory::Allocator;

#[derive(Parser)]
#[command(
    name = "bespeak-bench",
    about = "Measures Bespeak and its peers at the same job"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measure the rows of the benchmark table, JSON lines out
    Run(run::Options),
    /// Serve the bare echo server that marks the floor
    Echo {
        #[arg(long, default_value = "127.0.0.1:0")]
        listen: SocketAddr,
        /// PEM file: serve within TLS
        #[arg(long, requires = "key")]
        certificate: Option<PathBuf>,
        /// PEM file of its key
        #[arg(long, requires = "certificate")]
        key: Option<PathBuf>,
        /// Straight on h2, without tonic's layers
        #[arg(long, conflicts_with = "certificate")]
        h2: bool,
    },
    /// Load a server in open loop: steps as JSON lines on standard input, a result line for each
    Steps(scenario::Options),
}

fn main() -> ExitCode {
    bespeak_memory::keep_huge_pages_whole();
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: no runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(async {
        match arguments.command {
            Command::Echo {
                listen,
                certificate,
                key,
                h2: false,
            } => bespeak::echo::serve(listen, certificate.zip(key)).await,
            Command::Echo { listen, .. } => bespeak::h2_echo::serve(listen).await,
            Command::Steps(options) => tokio::select! {
                result = scenario::run(options) => result,
                () = interrupted() => Err(anyhow::anyhow!("interrupted: servers stopped, data removed")),
                () = abandoned() => Err(anyhow::anyhow!("who gave the steps is gone: servers stopped, data removed")),
            },
            Command::Run(options) => tokio::select! {
                result = run::run(options) => result,
                () = interrupted() => Err(anyhow::anyhow!("interrupted: servers stopped, data removed")),
            },
        }
    });
    // A thread that waits for a line of standard input would be waited for.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Ends the run in the ordinary way on a signal, so that no server and no directory stays behind.
async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

/// Waits until the process that started this one is gone: a soak must not go on for an hour with nobody to tell.
async fn abandoned() {
    let first = std::os::unix::process::parent_id();
    let mut second = tokio::time::interval(Duration::from_secs(1));
    while std::os::unix::process::parent_id() == first {
        second.tick().await;
    }
}
