//! Errors as Anthropic has them.

use crate::dialect::Frame;
use crate::error::{ErrorKind, UpstreamError};
use crate::json::{Document, FromJson as _, Json, Text, object_text};

/// The error of a body; one that is not of this dialect says no more than its status.
pub fn read(status: u16, body: &str) -> UpstreamError {
    let Ok(document) = Document::parse(body) else { return UpstreamError::of_status(status) };
    let known = document.root().member("error").filter(|error| error.is_object());
    known.map_or_else(|| UpstreamError::of_status(status), |error| read_object(error, ErrorKind::of_status(status)))
}

/// The error within a body or an event; of the kind `otherwise` where its type says nothing.
pub(super) fn read_object(error: Json<'_>, otherwise: ErrorKind) -> UpstreamError {
    let text = |name: &str| error.member(name).and_then(Text::from_json).map(Text::into_string).unwrap_or_default();
    let message = text("message");
    let kind = match text("type").as_str() {
        "invalid_request_error" if message.starts_with("prompt is too long") => ErrorKind::ContextTooLong,
        "invalid_request_error" => ErrorKind::InvalidRequest,
        "authentication_error" => ErrorKind::Authentication,
        "permission_error" => ErrorKind::Permission,
        "billing_error" => ErrorKind::Quota,
        "not_found_error" => ErrorKind::NotFound,
        "request_too_large" => ErrorKind::TooLarge,
        "rate_limit_error" => ErrorKind::RateLimited,
        "timeout_error" => ErrorKind::Timeout,
        "overloaded_error" => ErrorKind::Overloaded,
        _ => otherwise,
    };
    UpstreamError::told(kind, message)
}

/// The body of an error.
pub fn write(error: &UpstreamError) -> String {
    object_text(|body| {
        body.put("type", "error");
        body.object("error", |object| {
            object.put("type", kind_word(error.kind));
            object.put("message", &error.message);
        });
    })
}

/// The error within a stream, which ends with it.
pub fn stream(error: &UpstreamError) -> Frame {
    Frame::named("error", write(error))
}

/// The status of an error, where Anthropic has its own.
pub fn status(kind: ErrorKind) -> u16 {
    match kind {
        ErrorKind::Overloaded => 529,
        other => other.status(),
    }
}

fn kind_word(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::InvalidRequest | ErrorKind::ContextTooLong | ErrorKind::ContentRefused => "invalid_request_error",
        ErrorKind::Authentication => "authentication_error",
        ErrorKind::Permission => "permission_error",
        ErrorKind::Quota => "billing_error",
        ErrorKind::NotFound => "not_found_error",
        ErrorKind::TooLarge => "request_too_large",
        ErrorKind::RateLimited => "rate_limit_error",
        ErrorKind::Overloaded => "overloaded_error",
        ErrorKind::Timeout => "timeout_error",
        ErrorKind::Truncated | ErrorKind::Other => "api_error",
    }
}
