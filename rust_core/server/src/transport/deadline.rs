//! The caller's deadline, as gRPC carries it.

use std::time::{Duration, Instant};

use http::HeaderMap;

use crate::error::ApiError;

/// Reads `grpc-timeout`; `None` is no deadline.
///
/// # Errors
/// `InvalidArgument` when the header is not at most eight digits and a unit.
pub fn deadline(headers: &HeaderMap, arrived: Instant) -> Result<Option<Instant>, ApiError> {
    let Some(value) = headers.get("grpc-timeout") else {
        return Ok(None);
    };
    let timeout = value.to_str().ok().and_then(parse).ok_or_else(|| {
        let shown = String::from_utf8_lossy(value.as_bytes());
        ApiError::invalid(
            "grpc-timeout",
            shown,
            "it must be at most 8 digits and one of H M S m u n",
        )
    })?;
    // A deadline beyond the clock's range is none.
    Ok(arrived.checked_add(timeout))
}

fn parse(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(count * 3_600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

/// Whether a command may still be taken up. Asked once.
///
/// # Errors
/// `DeadlinePassed`.
#[inline]
pub fn check(deadline: Option<Instant>) -> Result<(), ApiError> {
    match deadline {
        Some(end) if Instant::now() >= end => Err(ApiError::DeadlinePassed),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_as_the_protocol_writes_them() {
        assert_eq!(parse("1S"), Some(Duration::from_secs(1)));
        assert_eq!(
            parse("99999999H"),
            Some(Duration::from_secs(99_999_999 * 3_600))
        );
        assert_eq!(parse("0n"), Some(Duration::ZERO));
        for bad in ["", "S", "1", "1s", "123456789S", "-1S", "1.5S", "+1S", "1é"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
