//! A real server through real clients.

mod journal;
mod promise;
mod world;
