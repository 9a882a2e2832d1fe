//! What is done beside promises, and must not be felt by them: work on threads that stand back, with rests for others, and files
//! written in pieces.
//!
//! Why each is needed, and what was measured: `docs/decisions/0009`.

mod file;
mod rest;
mod thread;

pub use file::{PIECE_BYTES, PacedFile, write_out};
pub use rest::{Pace, rest_after};
pub use thread::{aside, lower_priority};
