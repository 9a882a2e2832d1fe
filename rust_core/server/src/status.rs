//! Turns a failure into a gRPC status with `google.rpc.ErrorInfo` and, where it helps, `RetryInfo`.

use std::collections::HashMap;

use bespeak_proto::v1 as pb;
use tonic::Status;
use tonic_types::{ErrorDetails, StatusExt};

use crate::error::ApiError;

/// Domain of every `ErrorInfo`.
pub const ERROR_DOMAIN: &str = "bespeak";

impl From<ApiError> for Status {
    fn from(error: ApiError) -> Self {
        let code = error.code();
        let page = HashMap::from([("page".to_owned(), format!("docs/errors/{code}.md"))]);
        let mut details = ErrorDetails::with_error_info(code, ERROR_DOMAIN, page);
        if let Some(delay) = error.retry_after() {
            details.set_retry_info(Some(delay));
        }
        Self::with_error_details(error.grpc(), error.to_string(), details)
    }
}

/// The same failure inside a stream that goes on.
pub(crate) fn session_error(error: &ApiError) -> pb::SessionError {
    pb::SessionError {
        status: error.grpc() as i32,
        code: error.code().to_owned(),
        message: error.to_string(),
        retry_after_ms: error.retry_after().map_or(0, |delay| {
            i64::try_from(delay.as_millis()).unwrap_or(i64::MAX)
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_carries_code_page_and_delay() {
        let status = Status::from(ApiError::Overloaded {
            what: "streams",
            limit: 9,
            retry_ms: 20,
        });
        assert_eq!(status.code(), tonic::Code::ResourceExhausted);
        let details = status.get_error_details();
        let info = details.error_info().expect("error info");
        assert_eq!(
            (info.reason.as_str(), info.domain.as_str()),
            ("OVERLOADED", "bespeak")
        );
        assert_eq!(info.metadata["page"], "docs/errors/OVERLOADED.md");
        let delay = details.retry_info().and_then(|retry| retry.retry_delay);
        assert_eq!(delay, Some(std::time::Duration::from_millis(20)));
    }
}
