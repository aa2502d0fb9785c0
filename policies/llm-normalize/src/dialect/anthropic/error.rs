//! Reads an error as messages have it.

use serde::Deserialize;

use crate::completion::{ErrorKind, UpstreamError};

/// The error within a body or an event.
#[derive(Deserialize, Default)]
pub(super) struct ErrorText {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    message: String,
}

impl From<ErrorText> for UpstreamError {
    fn from(error: ErrorText) -> Self {
        let kind = match error.kind.as_str() {
            "invalid_request_error" => ErrorKind::InvalidRequest,
            "authentication_error" => ErrorKind::Authentication,
            "permission_error" | "billing_error" => ErrorKind::Permission,
            "not_found_error" => ErrorKind::NotFound,
            "request_too_large" => ErrorKind::TooLarge,
            "rate_limit_error" => ErrorKind::RateLimited,
            "overloaded_error" => ErrorKind::Overloaded,
            _ => ErrorKind::Other,
        };
        Self { kind, message: error.message }
    }
}

/// The error of a body; one that is not of this dialect says no more than its status.
pub(crate) fn read(body: &[u8], status: u16) -> UpstreamError {
    #[derive(Deserialize)]
    struct Envelope {
        error: ErrorText,
    }
    let error = serde_json::from_slice::<Envelope>(body).map(|envelope| UpstreamError::from(envelope.error));
    error.unwrap_or_else(|_| UpstreamError {
        kind: match status {
            400 | 422 => ErrorKind::InvalidRequest,
            401 => ErrorKind::Authentication,
            403 => ErrorKind::Permission,
            404 => ErrorKind::NotFound,
            413 => ErrorKind::TooLarge,
            429 => ErrorKind::RateLimited,
            503 | 529 => ErrorKind::Overloaded,
            _ => ErrorKind::Other,
        },
        message: format!("the provider answered with status {status}"),
    })
}

/// 529 is Anthropic's own; clients of other dialects know 503.
pub(crate) fn status(status: u16) -> u16 {
    if status == 529 { 503 } else { status }
}
