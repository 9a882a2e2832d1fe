//! The gRPC and Arrow Flight server.

pub mod allocation;
pub mod api;
pub mod backup;
mod compute;
pub mod config;
pub mod convert;
pub mod demand;
mod dormant;
pub mod error;
mod flight;
pub mod forecasts;
pub mod gate;
#[doc(hidden)]
pub mod hostile;
pub mod method;
pub mod metrics;
mod run;
mod seats;
mod services;
mod shared;
mod start;
mod status;
pub mod store;
pub mod tables;
mod telemetry;
mod transport;
pub mod watch;

pub use config::ServerConfig;
pub use error::ApiError;
pub use start::{Server, ServerHandle, StartError};
pub use store::Surroundings;
pub use telemetry::log_json;
