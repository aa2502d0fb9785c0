//! Errors as Cohere has them.

use crate::dialect::Frame;
use crate::error::{ErrorKind, UpstreamError};
use crate::json::{Document, FromJson, Json, object_text};

/// What an answer with an error's status says.
pub fn read(status: u16, body: &str) -> UpstreamError {
    let document = Document::parse(body).ok();
    let message = document.as_ref().and_then(|document| message(document.root()));
    let Some(message) = message else { return UpstreamError::of_status(status) };
    let kind = match status {
        400 | 422 if message.starts_with("too many tokens") => ErrorKind::ContextTooLong,
        // The code stands for content that was blocked, and for tokens that have run out.
        498 if message.contains("block") => ErrorKind::ContentRefused,
        498 => ErrorKind::Authentication,
        _ => ErrorKind::of_status(status),
    };
    UpstreamError::told(kind, message)
}

/// The text of an error.
pub(super) fn message(error: Json<'_>) -> Option<String> {
    error.member("message").and_then(String::from_json).filter(|message| !message.is_empty())
}

/// The body of an answer that is this error.
pub fn write(error: &UpstreamError) -> String {
    object_text(|body| body.put("message", &error.message))
}

/// The status of an answer that is this error.
pub fn status(kind: ErrorKind) -> u16 {
    if kind == ErrorKind::Quota { 402 } else { kind.status() }
}

/// The error as the last event of a stream.
pub fn stream(error: &UpstreamError) -> Frame {
    let data = object_text(|event| {
        event.put("type", "message-end");
        event.object("delta", |delta| {
            delta.put("error", &error.message);
            delta.put("finish_reason", if error.kind == ErrorKind::Timeout { "TIMEOUT" } else { "ERROR" });
        });
    });
    Frame::named("message-end", data)
}

/// The error that an end with this reason is, if it is one.
pub(super) fn of_finish(reason: &str, message: Option<String>) -> Option<UpstreamError> {
    let kind = match reason {
        "TIMEOUT" => ErrorKind::Timeout,
        "ERROR_LIMIT" => ErrorKind::ContextTooLong,
        "ERROR_TOXIC" => ErrorKind::ContentRefused,
        _ if reason == "ERROR" || message.is_some() => ErrorKind::Other,
        _ => return None,
    };
    Some(UpstreamError::told(kind, message.unwrap_or_else(|| "the provider failed".to_owned())))
}
