//! A real server through real clients.

mod accuracy;
mod backup;
mod clock;
mod errors;
mod flight;
mod forecasts;
mod journal;
mod limits;
mod patience;
mod promise;
mod pushing;
mod raw;
mod recovery;
mod streams;
mod tls;
mod world;
