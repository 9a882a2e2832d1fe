//! A real server through real clients.

mod errors;
mod flight;
mod journal;
mod limits;
mod promise;
mod raw;
mod streams;
mod tls;
mod world;
