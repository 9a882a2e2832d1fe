//! The services on the network.

mod session;
mod stream;
pub mod unary;

pub(crate) use stream::Streams;
