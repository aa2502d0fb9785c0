//! Errors as Responses has them: of a body, of a stream and of an answer that failed.

use crate::dialect::Frame;
use crate::dialect::chat::error::kind_word;
use crate::error::{ErrorKind, UpstreamError};
use crate::json::{Document, FromJson, Json, object_text};

/// What an answer with an error's status says.
pub fn read(status: u16, body: &str) -> UpstreamError {
    let Ok(document) = Document::parse(body) else { return UpstreamError::of_status(status) };
    match document.root().member("error").filter(|error| error.is_object()) {
        Some(error) => read_object(error, ErrorKind::of_status(status)),
        None => UpstreamError::of_status(status),
    }
}

/// The error of an object with a `code` and a `message`; `otherwise` is what it is if the code says nothing.
pub(super) fn read_object(error: Json<'_>, otherwise: ErrorKind) -> UpstreamError {
    let text = |name: &str| error.member(name).and_then(String::from_json).filter(|text| !text.is_empty());
    let (code, kind) = (text("code"), text("type"));
    let known = code.as_deref().and_then(kind_of).or_else(|| kind.as_deref().and_then(kind_of));
    let message = text("message").or(code).unwrap_or_else(|| "the provider failed".to_owned());
    UpstreamError::told(known.unwrap_or(otherwise), message)
}

fn kind_of(code: &str) -> Option<ErrorKind> {
    Some(match code {
        "context_length_exceeded" => ErrorKind::ContextTooLong,
        "insufficient_quota" | "billing_hard_limit_reached" | "billing_not_active" => ErrorKind::Quota,
        "rate_limit_exceeded" | "rate_limit_error" | "too_many_requests" => ErrorKind::RateLimited,
        "invalid_api_key" | "authentication_error" => ErrorKind::Authentication,
        "permission_error" | "unsupported_country_region_territory" => ErrorKind::Permission,
        "model_not_found" | "not_found" | "not_found_error" => ErrorKind::NotFound,
        "server_is_overloaded" | "slow_down" | "overloaded" => ErrorKind::Overloaded,
        "request_too_large" => ErrorKind::TooLarge,
        "content_policy_violation" | "content_filter" | "image_content_policy_violation" | "bio_policy" => {
            ErrorKind::ContentRefused
        }
        "invalid_prompt" | "invalid_request" | "invalid_request_error" => ErrorKind::InvalidRequest,
        "vector_store_timeout" | "timeout" => ErrorKind::Timeout,
        "stream_truncated" => ErrorKind::Truncated,
        _ => return None,
    })
}

/// The body of an answer that is this error.
pub fn write(error: &UpstreamError) -> String {
    object_text(|body| {
        body.object("error", |object| {
            object.put("message", &error.message);
            object.put("type", kind_word(error.kind));
            object.put("param", None::<&str>);
            object.put("code", code_of(error.kind));
        });
    })
}

/// The error as an event of a stream in which nothing else was said.
pub fn stream(error: &UpstreamError) -> Frame {
    let data = object_text(|event| {
        event.put("type", "error");
        event.put("code", code_of(error.kind));
        event.put("message", &error.message);
        event.put("param", None::<&str>);
        event.put("sequence_number", 0_u32);
    });
    Frame::named("error", data)
}

/// The code that clients look at: they try again by it, or tell the person that there is no use.
pub(super) fn code_of(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::InvalidRequest => "invalid_prompt",
        ErrorKind::ContextTooLong => "context_length_exceeded",
        ErrorKind::ContentRefused => "content_policy_violation",
        ErrorKind::Authentication => "invalid_api_key",
        ErrorKind::Permission => "permission_error",
        ErrorKind::Quota => "insufficient_quota",
        ErrorKind::NotFound => "model_not_found",
        ErrorKind::TooLarge => "request_too_large",
        ErrorKind::RateLimited => "rate_limit_exceeded",
        ErrorKind::Overloaded => "server_is_overloaded",
        ErrorKind::Timeout | ErrorKind::Truncated | ErrorKind::Other => "server_error",
    }
}
