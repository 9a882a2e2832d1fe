//! A real server through real clients.

mod accuracy;
mod backup;
mod clock;
mod errors;
mod flight;
mod forecasts;
mod journal;
mod limits;
mod overload;
mod patience;
mod promise;
mod pushes;
mod pushing;
mod raw;
mod recovery;
mod retries;
mod streams;
mod tls;
mod world;
