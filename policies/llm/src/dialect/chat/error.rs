//! Errors as OpenAI has them.

use crate::dialect::Frame;
use crate::error::{ErrorKind, UpstreamError};
use crate::json::{Document, FromJson as _, Json, Text, object_text};

/// The error of a body; one that is not of this dialect says no more than its status.
pub fn read(status: u16, body: &str) -> UpstreamError {
    let Ok(document) = Document::parse(body) else { return UpstreamError::of_status(status) };
    document.root().member("error").map_or_else(|| UpstreamError::of_status(status), |error| read_object(status, error))
}

/// The error within a body or an event, where some have a mere text.
pub(super) fn read_object(status: u16, error: Json<'_>) -> UpstreamError {
    let text = |name: &str| error.member(name).and_then(Text::from_json).map(Text::into_string).unwrap_or_default();
    let message = Text::from_json(error).map_or_else(|| text("message"), Text::into_string);
    let kind = match (text("code").as_str(), text("type").as_str()) {
        ("context_length_exceeded" | "string_above_max_length", _) => ErrorKind::ContextTooLong,
        ("content_filter" | "content_policy_violation" | "moderation_blocked", _) => ErrorKind::ContentRefused,
        ("insufficient_quota", _) | (_, "insufficient_quota") => ErrorKind::Quota,
        ("invalid_api_key", _) | (_, "authentication_error") => ErrorKind::Authentication,
        ("model_not_found", _) => ErrorKind::NotFound,
        ("rate_limit_exceeded", _) | (_, "rate_limit_error" | "tokens" | "requests") => ErrorKind::RateLimited,
        (_, "permission_error") => ErrorKind::Permission,
        (_, "overloaded_error") => ErrorKind::Overloaded,
        (_, "invalid_request_error") if status == 200 => ErrorKind::InvalidRequest,
        // Within a stream there is no status; some have a number for the code.
        _ => {
            let code = error.member("code").and_then(u32::from_json).and_then(|code| u16::try_from(code).ok());
            ErrorKind::of_status(if status == 200 { code.unwrap_or(500) } else { status })
        }
    };
    UpstreamError::told(kind, message)
}

/// The body of an error.
pub fn write(error: &UpstreamError) -> String {
    object_text(|body| {
        body.object("error", |object| {
            object.put("message", &error.message);
            object.put("type", kind_word(error.kind));
            object.put("param", None::<bool>);
            object.put("code", code_word(error.kind));
        });
    })
}

/// The error within a stream, which ends with it.
pub fn stream(error: &UpstreamError) -> Frame {
    Frame::unnamed(write(error))
}

/// The type of an error, as OpenAI has it.
pub(crate) fn kind_word(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::InvalidRequest
        | ErrorKind::ContextTooLong
        | ErrorKind::ContentRefused
        | ErrorKind::NotFound
        | ErrorKind::TooLarge => "invalid_request_error",
        ErrorKind::Authentication => "authentication_error",
        ErrorKind::Permission => "permission_error",
        ErrorKind::Quota => "insufficient_quota",
        ErrorKind::RateLimited => "rate_limit_error",
        ErrorKind::Overloaded | ErrorKind::Timeout | ErrorKind::Truncated | ErrorKind::Other => "server_error",
    }
}

/// OpenAI's own codes, and the vocabulary's words for what it has none for.
fn code_word(kind: ErrorKind) -> Option<&'static str> {
    Some(match kind {
        ErrorKind::InvalidRequest | ErrorKind::Permission | ErrorKind::Other => return None,
        ErrorKind::ContextTooLong => "context_length_exceeded",
        ErrorKind::ContentRefused => "content_filter",
        ErrorKind::Authentication => "invalid_api_key",
        ErrorKind::Quota => "insufficient_quota",
        ErrorKind::NotFound => "model_not_found",
        ErrorKind::RateLimited => "rate_limit_exceeded",
        ErrorKind::TooLarge | ErrorKind::Overloaded | ErrorKind::Timeout | ErrorKind::Truncated => kind.word(),
    })
}
