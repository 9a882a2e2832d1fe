//! Bespeak as the tool drives it: prebuilt protobuf over HTTP/2, and Arrow over Flight.

pub mod client;
pub mod echo;
pub mod flight;
pub mod h2_echo;
pub mod h2load;
pub mod load;
pub mod server;
pub mod wire;

/// The one location that the stock of every benchmark lies at.
pub const LOCATION: &str = "dc-1";
