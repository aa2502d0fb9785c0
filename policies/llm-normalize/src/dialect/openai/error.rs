//! Writes an error as chat completions have it.

use serde::Serialize;

use crate::completion::{ErrorKind, UpstreamError};

#[derive(Serialize)]
struct Envelope<'a> {
    error: ErrorText<'a>,
}

#[derive(Serialize)]
struct ErrorText<'a> {
    message: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    param: Option<&'static str>,
    code: Option<&'static str>,
}

/// The text of an error, for a body or a stream.
pub(crate) fn write(error: &UpstreamError) -> String {
    let (kind, code) = match error.kind {
        ErrorKind::InvalidRequest => ("invalid_request_error", None),
        ErrorKind::Authentication => ("authentication_error", Some("invalid_api_key")),
        ErrorKind::Permission => ("permission_error", None),
        ErrorKind::NotFound => ("invalid_request_error", Some("model_not_found")),
        ErrorKind::TooLarge => ("invalid_request_error", Some("request_too_large")),
        ErrorKind::RateLimited => ("rate_limit_error", Some("rate_limit_exceeded")),
        ErrorKind::Overloaded => ("server_error", Some("overloaded")),
        ErrorKind::Truncated => ("server_error", Some("stream_truncated")),
        ErrorKind::Other => ("server_error", None),
    };
    let envelope = Envelope { error: ErrorText { message: &error.message, kind, param: None, code } };
    serde_json::to_string(&envelope).unwrap_or_default()
}
