//! What is done beside promises, and must not be felt by them: work on threads that stand back, with rests for others, files
//! written in pieces, and memory apart from what stays.
//!
//! Why each is needed, and what was measured: `docs/decisions/0009` and `0010`.

mod file;
mod memory;
mod rest;
mod thread;

pub use file::{PIECE_BYTES, PacedFile, write_out};
pub use memory::{Allocator, apart};
pub use rest::{Pace, rest_after};
pub use thread::{aside, lower_priority};
