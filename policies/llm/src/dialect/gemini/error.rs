//! Errors, as all of Google's interfaces have them.

use super::text;
use crate::dialect::Frame;
use crate::error::{ErrorKind, UpstreamError};
use crate::json::{Document, Json, object_text};

/// What an answer with an error's status says.
pub fn read(status: u16, body: &str) -> UpstreamError {
    let document = Document::parse(body);
    let error = document.as_ref().ok().and_then(|document| of_body(document.root()));
    error.map_or_else(|| UpstreamError::of_status(status), |error| read_error(status, error))
}

/// The error in a body. A stream that is no stream of events has it in a list.
pub(super) fn of_body(body: Json<'_>) -> Option<Json<'_>> {
    let body = body.items().and_then(|mut items| items.next()).unwrap_or(body);
    body.member("error").filter(|error| error.is_object())
}

/// What an error says.
pub(super) fn read_error(status: u16, error: Json<'_>) -> UpstreamError {
    let said = |name| error.member(name).and_then(text).map(|text| text.into_string()).unwrap_or_default();
    let (word, message) = (said("status"), said("message"));
    let code = error.member("code").and_then(|code| code.written().parse().ok()).unwrap_or(status);
    let details = error.member("details").map_or("", Json::written);
    let kind = match word.as_str() {
        _ if details.contains("API_KEY_INVALID") => ErrorKind::Authentication,
        "INVALID_ARGUMENT" if is_too_long(&message) => ErrorKind::ContextTooLong,
        "INVALID_ARGUMENT" if code == 413 => ErrorKind::TooLarge,
        "INVALID_ARGUMENT" | "FAILED_PRECONDITION" | "OUT_OF_RANGE" => ErrorKind::InvalidRequest,
        "UNAUTHENTICATED" => ErrorKind::Authentication,
        "PERMISSION_DENIED" => ErrorKind::Permission,
        "NOT_FOUND" => ErrorKind::NotFound,
        // What is used up for the day does not come back in a minute.
        "RESOURCE_EXHAUSTED" if details.contains("PerDay") => ErrorKind::Quota,
        "RESOURCE_EXHAUSTED" => ErrorKind::RateLimited,
        "UNAVAILABLE" => ErrorKind::Overloaded,
        "DEADLINE_EXCEEDED" => ErrorKind::Timeout,
        _ => ErrorKind::of_status(code),
    };
    let message = if message.is_empty() { UpstreamError::of_status(code).message } else { message };
    UpstreamError::told(kind, message)
}

fn is_too_long(message: &str) -> bool {
    message.contains("token count") && message.contains("exceeds") || message.contains("maximum number of tokens")
}

/// The body of an error.
pub fn write(error: &UpstreamError) -> String {
    object_text(|body| {
        body.object("error", |object| {
            object.put("code", status(error.kind));
            object.put("message", &error.message);
            object.put("status", word(error.kind));
        });
    })
}

/// An error within a stream: the last frame.
pub fn stream(error: &UpstreamError) -> Frame {
    Frame::unnamed(write(error))
}

/// The status of an answer that is this error.
pub fn status(kind: ErrorKind) -> u16 {
    match kind {
        ErrorKind::Truncated | ErrorKind::Other => 500,
        other => other.status(),
    }
}

fn word(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::InvalidRequest | ErrorKind::ContextTooLong | ErrorKind::ContentRefused | ErrorKind::TooLarge => {
            "INVALID_ARGUMENT"
        }
        ErrorKind::Authentication => "UNAUTHENTICATED",
        ErrorKind::Permission => "PERMISSION_DENIED",
        ErrorKind::Quota | ErrorKind::RateLimited => "RESOURCE_EXHAUSTED",
        ErrorKind::NotFound => "NOT_FOUND",
        ErrorKind::Overloaded => "UNAVAILABLE",
        ErrorKind::Timeout => "DEADLINE_EXCEEDED",
        ErrorKind::Truncated | ErrorKind::Other => "INTERNAL",
    }
}
