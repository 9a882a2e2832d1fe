//! What a caller is told when a request fails, and the one table that maps it to gRPC.
//!
//! A refusal for stock is an answer and never comes here.

use std::borrow::Cow;
use std::time::Duration;

use bespeak_engine::EngineError;
use tonic::Code;

/// Bytes of a caller's value that a message repeats.
const VALUE_BYTES_MAX: usize = 96;

/// A failed request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// The engine could not make sense of it.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A field is missing or out of its range.
    #[error("{field} is {value}, {rule}")]
    InvalidArgument {
        /// Path of the field, such as `lines[2].quantity`.
        field: Cow<'static, str>,
        /// What it held, shortened.
        value: String,
        /// What it may hold.
        rule: Cow<'static, str>,
    },
    /// The bytes are not the message of this method.
    #[error("the message cannot be decoded: {0}: encode it with the current proto files")]
    Malformed(String),
    /// Over the limit of one message.
    #[error(
        "message of {bytes} bytes exceeds the limit of {limit}: send fewer lines, or use the bulk interface"
    )]
    MessageTooLarge {
        /// Its size, as far as known.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// Compressed messages are not taken.
    #[error("messages compressed with {0} are not taken: send them uncompressed")]
    CompressionUnsupported(String),
    /// No such method.
    #[error(
        "method {0} does not exist: compare with the current proto files, or ask server reflection"
    )]
    UnknownMethod(String),
    /// A method or field of a later version.
    #[error("{0} is not available in this version: leave it out")]
    NotInThisVersion(&'static str),
    /// Every permit is taken.
    #[error("{what} are at their limit of {limit}: try again after {retry_ms} ms")]
    Overloaded {
        /// What there is too much of.
        what: &'static str,
        /// Its limit.
        limit: u64,
        /// When to come again.
        retry_ms: u64,
    },
    /// The deadline had passed when the command was taken up.
    #[error(
        "the deadline passed before the request was taken up: it was not executed, send it again with a longer one"
    )]
    DeadlinePassed,
    /// The journal is still being replayed.
    #[error("the journal is being replayed: wait until the health service says SERVING")]
    Recovering,
    /// The server is stopping.
    #[error("the server is stopping: connect to another, or wait until it is back")]
    Draining,
    /// The clock jumped.
    #[error("the clock jumped by {jump_ms} ms: check it, then call AdminService.ConfirmClock")]
    ClockSuspect {
        /// By how much.
        jump_ms: i64,
    },
    /// The journal no longer reaches back so far, or not yet so far forward.
    #[error(
        "{asked} lies outside of what the journal keeps, which is revision {oldest} to {newest}: ask within it"
    )]
    OutOfRetention {
        /// What was asked.
        asked: String,
        /// Oldest revision kept.
        oldest: u64,
        /// Newest revision.
        newest: u64,
    },
    /// The journal failed.
    #[error(
        "the journal failed: {0}: the write may or may not be durable, send it again with the same request id"
    )]
    JournalFailed(String),
    /// Forecasts cannot be kept or read.
    #[error("{0}")]
    ForecastsFailed(String),
    /// No network of this name.
    #[error("network {0} is not known: put it with AllocationService.PutNetwork first")]
    UnknownNetwork(String),
    /// Networks cannot be kept.
    #[error("{0}")]
    NetworksFailed(String),
    /// Needs a setting that this server was started without.
    #[error("{what} is not configured: {hint}")]
    NotConfigured {
        /// What.
        what: &'static str,
        /// What to set.
        hint: &'static str,
    },
    /// The compute worker says that the request is wrong.
    #[error("the compute worker refused: {0}")]
    ComputeRefused(String),
    /// A task of the server ended before its answer.
    #[error("the server lost track of the request ({0}): send it again with the same request id")]
    Internal(String),
}

impl ApiError {
    /// A field that is missing or out of its range.
    pub fn invalid(
        field: impl Into<Cow<'static, str>>,
        value: impl std::fmt::Display,
        rule: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::InvalidArgument {
            field: field.into(),
            value: shorten(&value.to_string()),
            rule: rule.into(),
        }
    }

    /// Adds where in the request the field stands: `quantity` becomes `lines[2].quantity`.
    #[must_use]
    pub fn inside(self, outer: &str, index: usize) -> Self {
        match self {
            Self::InvalidArgument { field, value, rule } => Self::InvalidArgument {
                field: format!("{outer}[{index}].{field}").into(),
                value,
                rule,
            },
            other => other,
        }
    }

    /// Adds the message that the field stands in: `context` becomes `hold.context`.
    #[must_use]
    pub fn under(self, outer: &str) -> Self {
        match self {
            Self::InvalidArgument { field, value, rule } => Self::InvalidArgument {
                field: format!("{outer}.{field}").into(),
                value,
                rule,
            },
            other => other,
        }
    }

    /// The code of its page in docs/errors.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Engine(error) => error.code(),
            Self::InvalidArgument { .. } => "INVALID_ARGUMENT",
            Self::Malformed(_) => "MALFORMED",
            Self::MessageTooLarge { .. } => "MESSAGE_TOO_LARGE",
            Self::CompressionUnsupported(_) => "COMPRESSION_UNSUPPORTED",
            Self::UnknownMethod(_) => "UNKNOWN_METHOD",
            Self::NotInThisVersion(_) => "NOT_IN_THIS_VERSION",
            Self::Overloaded { .. } => "OVERLOADED",
            Self::DeadlinePassed => "DEADLINE_PASSED",
            Self::Recovering => "RECOVERING",
            Self::Draining => "DRAINING",
            Self::ClockSuspect { .. } => "CLOCK_SUSPECT",
            Self::OutOfRetention { .. } => "OUT_OF_RETENTION",
            Self::JournalFailed(_) => "JOURNAL_FAILED",
            Self::ForecastsFailed(_) => "FORECASTS_FAILED",
            Self::UnknownNetwork(_) => "UNKNOWN_NETWORK",
            Self::NetworksFailed(_) => "NETWORKS_FAILED",
            Self::NotConfigured { .. } => "NOT_CONFIGURED",
            Self::ComputeRefused(_) => "COMPUTE_REFUSED",
            Self::Internal(_) => "INTERNAL",
        }
    }

    /// The gRPC status code.
    pub fn grpc(&self) -> Code {
        match self {
            Self::Engine(error) => engine_grpc(error),
            Self::InvalidArgument { .. } | Self::Malformed(_) | Self::ComputeRefused(_) => {
                Code::InvalidArgument
            }
            Self::MessageTooLarge { .. } | Self::Overloaded { .. } => Code::ResourceExhausted,
            Self::CompressionUnsupported(_)
            | Self::UnknownMethod(_)
            | Self::NotInThisVersion(_) => Code::Unimplemented,
            Self::DeadlinePassed => Code::DeadlineExceeded,
            Self::Recovering
            | Self::Draining
            | Self::ClockSuspect { .. }
            | Self::ForecastsFailed(_)
            | Self::NetworksFailed(_)
            | Self::JournalFailed(_) => Code::Unavailable,
            Self::UnknownNetwork(_) => Code::NotFound,
            Self::OutOfRetention { .. } => Code::OutOfRange,
            Self::NotConfigured { .. } => Code::FailedPrecondition,
            Self::Internal(_) => Code::Internal,
        }
    }

    /// When sending the same again may help.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Overloaded { retry_ms, .. } => Some(Duration::from_millis(*retry_ms)),
            Self::Recovering | Self::Draining => Some(Duration::from_secs(1)),
            Self::Internal(_) => Some(Duration::from_millis(100)),
            _ => None,
        }
    }
}

fn engine_grpc(error: &EngineError) -> Code {
    match error {
        EngineError::UnknownItem(_)
        | EngineError::UnknownLocation(_)
        | EngineError::UnknownRegion(_)
        | EngineError::UnknownReceipt(_)
        | EngineError::UnknownReservation(_)
        | EngineError::UnknownLine { .. } => Code::NotFound,
        EngineError::ReceiptExists(_) | EngineError::RequestIdReused(_) => Code::AlreadyExists,
        EngineError::UnknownUnit { .. }
        | EngineError::InexactUnit { .. }
        | EngineError::InvalidArgument { .. }
        | EngineError::LooserRule { .. } => Code::InvalidArgument,
        EngineError::RequestIdTooOld(_) => Code::FailedPrecondition,
        EngineError::SourceBelowWindow { .. }
        | EngineError::CountTooOld { .. }
        | EngineError::CountOvertaken { .. } => Code::OutOfRange,
        EngineError::Full { .. } => Code::ResourceExhausted,
    }
}

/// A caller's value as a message shows it: quoted where it could be mistaken, and not longer than a line.
pub(crate) fn shorten(value: &str) -> String {
    let mut end = value.len().min(VALUE_BYTES_MAX);
    while !value.is_char_boundary(end) {
        end -= 1;
    }
    let shown: String = value[..end]
        .chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect();
    match (value.is_empty(), end < value.len()) {
        (true, _) => "empty".to_owned(),
        (false, true) => format!("{shown}… ({} bytes)", value.len()),
        (false, false) => shown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_named_with_its_place_in_the_request() {
        let error = ApiError::invalid("quantity", 0, "it must be at least 1").inside("lines", 2);
        assert_eq!(
            error.to_string(),
            "lines[2].quantity is 0, it must be at least 1"
        );
        assert_eq!(error.code(), "INVALID_ARGUMENT");
    }

    #[test]
    fn long_and_hostile_values_are_shortened_at_a_character() {
        let text = "é".repeat(200);
        let shown = shorten(&text);
        assert!(
            shown.len() < 130 && shown.ends_with("(400 bytes)"),
            "{shown}"
        );
        assert_eq!(shorten("a\nb\0"), "a\u{fffd}b\u{fffd}");
        assert_eq!(shorten(""), "empty");
    }

    #[test]
    fn only_what_a_retry_can_cure_says_when() {
        assert!(ApiError::Draining.retry_after().is_some());
        assert!(
            ApiError::NotInThisVersion("confidence")
                .retry_after()
                .is_none()
        );
        assert!(
            ApiError::Engine(EngineError::UnknownItem("x".into()))
                .retry_after()
                .is_none()
        );
    }
}
