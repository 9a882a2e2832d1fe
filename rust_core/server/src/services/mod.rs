//! The services on the network.

mod session;
mod stream;
pub(crate) mod unary;

pub(crate) use stream::Streams;
