//! The same job on the servers that people use for it today.

pub mod aio_server;
pub mod postgres;
pub mod postgres_server;
pub mod redis;
pub mod redis_server;

use std::path::PathBuf;

/// Looks for a program in PATH.
pub fn find_program(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|dir| dir.join(name))
        .find(|p| p.is_file())
}
