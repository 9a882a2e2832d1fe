//! What is compared: a server, and how its clients talk to it.

use std::fmt;

use crate::peers::postgres::Style;
use crate::peers::redis_server::Fsync;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Server {
    Bespeak,
    Echo,
    Redis,
    Postgres,
}

impl Server {
    /// Peers sleep while others are measured. Ours stays awake: it would take the sleep for a jump
    /// of the clock.
    pub fn is_peer(self) -> bool {
        matches!(self, Self::Redis | Self::Postgres)
    }

    /// How its clients talk to it where nothing else is asked; nothing for a server without stock.
    pub fn usual_system(self) -> Option<System> {
        match self {
            Self::Bespeak => Some(System::BespeakSession { shared: false }),
            Self::Echo => None,
            Self::Redis => Some(System::Redis(Fsync::Always)),
            Self::Postgres => Some(System::Postgres(Style::OneStatement)),
        }
    }
}

/// `shared` puts all clients on one connection, as the callers inside one gRPC process are;
/// otherwise each has its own, as Redis and PostgreSQL clients do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    BespeakUnary {
        shared: bool,
    },
    BespeakSession {
        shared: bool,
    },
    /// Tables of orders over Arrow Flight.
    BespeakFlight,
    EchoUnary {
        shared: bool,
    },
    EchoSession {
        shared: bool,
    },
    Redis(Fsync),
    Postgres(Style),
}

impl System {
    pub fn server(self) -> Server {
        match self {
            Self::BespeakUnary { .. } | Self::BespeakSession { .. } | Self::BespeakFlight => {
                Server::Bespeak
            }
            Self::EchoUnary { .. } | Self::EchoSession { .. } => Server::Echo,
            Self::Redis(_) => Server::Redis,
            Self::Postgres(_) => Server::Postgres,
        }
    }
}

impl fmt::Display for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let connections = |shared: &bool| if *shared { "-shared" } else { "" };
        match self {
            Self::BespeakUnary { shared } => write!(f, "bespeak-unary{}", connections(shared)),
            Self::BespeakSession { shared } => write!(f, "bespeak-session{}", connections(shared)),
            Self::BespeakFlight => write!(f, "bespeak-flight"),
            Self::EchoUnary { shared } => write!(f, "echo-unary{}", connections(shared)),
            Self::EchoSession { shared } => write!(f, "echo-session{}", connections(shared)),
            Self::Redis(fsync) => write!(f, "redis-{}", fsync.as_str()),
            Self::Postgres(Style::OneStatement) => write!(f, "postgres"),
            Self::Postgres(Style::SelectForUpdate) => write!(f, "postgres-for-update"),
        }
    }
}
