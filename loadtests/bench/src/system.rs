//! What is compared: a server, and how its clients talk to it.

use std::fmt;

use crate::peers::postgres::Style;
use crate::peers::redis_server::Fsync;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Server {
    Bespeak,
    Echo,
    Redis,
    /// Without a log.
    RedisOff,
    Postgres,
    /// A grpc.aio service of Python with a dict.
    Aio,
}

impl Server {
    /// What it is called on the command line and in lines.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bespeak => "bespeak",
            Self::Echo => "echo",
            Self::Redis => "redis",
            Self::RedisOff => "redis-off",
            Self::Postgres => "postgres",
            Self::Aio => "grpc-aio",
        }
    }

    /// Peers sleep while others are measured. Ours stays awake: it would take the sleep for a jump
    /// of the clock.
    pub fn is_peer(self) -> bool {
        !matches!(self, Self::Bespeak | Self::Echo)
    }

    /// How its clients talk to it where nothing else is asked; nothing for a server without stock.
    pub fn usual_system(self) -> Option<System> {
        match self {
            Self::Bespeak => Some(System::BespeakSession { shared: false }),
            Self::Echo => None,
            Self::Redis => Some(System::Redis(Fsync::Always)),
            Self::RedisOff => Some(System::Redis(Fsync::Off)),
            Self::Aio => Some(System::AioUnary),
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
    /// Checks of Bespeak by h2load in place of this tool's own client.
    H2load {
        shared: bool,
    },
    /// One gRPC call an operation, its own connection a client.
    AioUnary,
    Redis(Fsync),
    Postgres(Style),
}

impl System {
    /// Whether all its clients are on one connection.
    pub fn shared(self) -> bool {
        matches!(
            self,
            Self::BespeakUnary { shared: true }
                | Self::BespeakSession { shared: true }
                | Self::EchoUnary { shared: true }
                | Self::EchoSession { shared: true }
                | Self::H2load { shared: true }
        )
    }

    pub fn server(self) -> Server {
        match self {
            Self::BespeakUnary { .. }
            | Self::BespeakSession { .. }
            | Self::BespeakFlight
            | Self::H2load { .. } => Server::Bespeak,
            Self::EchoUnary { .. } | Self::EchoSession { .. } => Server::Echo,
            Self::AioUnary => Server::Aio,
            Self::Redis(Fsync::Off) => Server::RedisOff,
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
            Self::H2load { shared } => write!(f, "h2load{}", connections(shared)),
            Self::AioUnary => write!(f, "grpc-aio"),
            Self::Redis(fsync) => write!(f, "redis-{}", fsync.as_str()),
            Self::Postgres(Style::OneStatement) => write!(f, "postgres"),
            Self::Postgres(Style::SelectForUpdate) => write!(f, "postgres-for-update"),
        }
    }
}
