//! The server alone, without Python: for benchmarks, and where nothing else is wanted.
//!
//! `bespeak-server [CONFIG]`, where CONFIG is a JSON file or the JSON itself. Without one it serves from memory on a
//! free loopback port. One line on standard output says where; logs go to standard error. `BESPEAK_LOG` filters
//! them.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use bespeak_server::{Server, ServerConfig};

/// As in the extension, so that what is measured here holds there.
#[global_allocator]
static ALLOCATOR: bespeak_memory::Allocator = bespeak_memory::Allocator;

fn main() -> ExitCode {
    bespeak_memory::keep_huge_pages_whole();
    bespeak_memory::keep_all();
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell when standard error is closed.
            let _ = writeln!(std::io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let config = match (arguments.next(), arguments.next()) {
        (None, _) => ServerConfig::local(),
        (Some(given), None) if given.as_encoded_bytes().starts_with(b"{") => {
            ServerConfig::from_json(&given.to_string_lossy())?
        }
        (Some(path), None) => {
            let text = std::fs::read_to_string(&path)
                .map_err(|error| format!("cannot read {}: {error}", Path::new(&path).display()))?;
            ServerConfig::from_json(&text)?
        }
        (Some(_), Some(_)) => return Err("usage: bespeak-server [CONFIG]".into()),
    };
    bespeak_memory::touch(config.touch_memory_bytes);
    bespeak_server::log_json(&std::env::var("BESPEAK_LOG").unwrap_or_default())?;
    Server::run(config, |handle| {
        let mut out = std::io::stdout();
        let told = writeln!(out, "listening {}", handle.address()).and_then(|()| out.flush());
        if let Err(error) = told {
            tracing::warn!(%error, "nobody reads standard output");
        }
    })?;
    Ok(())
}
