//! The services on the network.

mod codec;
mod session;
mod stream;
pub(crate) mod unary;

pub(crate) use stream::Streams;
