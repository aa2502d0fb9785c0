//! Errors: exceptions with a name and a message.

use crate::dialect::Frame;
use crate::error::{ErrorKind, UpstreamError};
use crate::json::{Document, FromJson as _, object_text};

/// What an answer with an error's status says.
pub fn read(status: u16, body: &str) -> UpstreamError {
    named("", status, body)
}

/// What an exception says. Its name may stand in the body, too.
pub(super) fn named(name: &str, status: u16, body: &str) -> UpstreamError {
    let Ok(document) = Document::parse(body) else { return UpstreamError::of_status(status) };
    let text = |name: &str| document.root().member(name).and_then(String::from_json).filter(|text| !text.is_empty());
    let in_body = text("__type").or_else(|| text("code")).unwrap_or_default();
    let name = if name.is_empty() { in_body.rsplit('#').next().unwrap_or_default() } else { name };
    let message = text("message").or_else(|| text("Message")).or_else(|| text("originalMessage"));
    let message = message.unwrap_or_else(|| UpstreamError::of_status(status).message);
    let kind = match name.to_ascii_lowercase().trim_end_matches("exception") {
        "validation" | "" if status == 400 && is_too_long(&message) => ErrorKind::ContextTooLong,
        "validation" => ErrorKind::InvalidRequest,
        "throttling" | "toomanyrequests" => ErrorKind::RateLimited,
        "servicequotaexceeded" => ErrorKind::Quota,
        "accessdenied" => ErrorKind::Permission,
        "unrecognizedclient" | "expiredtoken" | "invalidsignature" | "incompletesignature" => ErrorKind::Authentication,
        "resourcenotfound" => ErrorKind::NotFound,
        "modeltimeout" => ErrorKind::Timeout,
        "serviceunavailable" | "modelnotready" => ErrorKind::Overloaded,
        _ => ErrorKind::of_status(status),
    };
    UpstreamError::told(kind, message)
}

fn is_too_long(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    ["too long", "maximum context", "too many input tokens"].iter().any(|words| message.contains(words))
}

/// The body of an error.
pub fn write(error: &UpstreamError) -> String {
    object_text(|body| {
        body.put("__type", exception(error.kind));
        body.put("message", &error.message);
    })
}

/// An error within a stream: the last frame, of one of the few exceptions that a stream may have.
pub fn stream(error: &UpstreamError) -> Frame {
    let name = match error.kind {
        ErrorKind::InvalidRequest | ErrorKind::ContextTooLong | ErrorKind::ContentRefused | ErrorKind::TooLarge => {
            "validationException"
        }
        ErrorKind::RateLimited | ErrorKind::Quota => "throttlingException",
        ErrorKind::Overloaded => "serviceUnavailableException",
        ErrorKind::Timeout | ErrorKind::Truncated => "modelStreamErrorException",
        ErrorKind::Authentication | ErrorKind::Permission | ErrorKind::NotFound | ErrorKind::Other => {
            "internalServerException"
        }
    };
    Frame::named(name, object_text(|body| body.put("message", &error.message)))
}

/// The status of an answer that is this error.
pub fn status(kind: ErrorKind) -> u16 {
    match kind {
        ErrorKind::Authentication => 403,
        ErrorKind::Timeout => 408,
        ErrorKind::TooLarge => 400,
        ErrorKind::Truncated | ErrorKind::Other => 500,
        other => other.status(),
    }
}

fn exception(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::InvalidRequest | ErrorKind::ContextTooLong | ErrorKind::ContentRefused | ErrorKind::TooLarge => {
            "ValidationException"
        }
        ErrorKind::Authentication => "UnrecognizedClientException",
        ErrorKind::Permission => "AccessDeniedException",
        ErrorKind::Quota => "ServiceQuotaExceededException",
        ErrorKind::RateLimited => "ThrottlingException",
        ErrorKind::NotFound => "ResourceNotFoundException",
        ErrorKind::Overloaded => "ServiceUnavailableException",
        ErrorKind::Timeout => "ModelTimeoutException",
        ErrorKind::Truncated | ErrorKind::Other => "InternalServerException",
    }
}
