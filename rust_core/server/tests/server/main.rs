//! A real server through real clients.

mod promise;
mod world;
