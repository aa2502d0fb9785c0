//! Errors.

use gatewright_llm::dialect::gemini::error;
use gatewright_llm::error::{ErrorKind, UpstreamError};
use serde_json::json;

#[test]
fn an_error_is_of_its_kind() {
    let of = |status: u16, word: &str, message: &str, details: &str| {
        let body = json!({"error": {"code": status, "message": message, "status": word, "details": [{"x": details}]}});
        error::read(status, &body.to_string())
    };
    let cases = [
        (400, "INVALID_ARGUMENT", "no", "", ErrorKind::InvalidRequest),
        (400, "INVALID_ARGUMENT", "API key not valid.", "API_KEY_INVALID", ErrorKind::Authentication),
        (400, "INVALID_ARGUMENT", "The input token count (9) exceeds 8.", "", ErrorKind::ContextTooLong),
        (401, "UNAUTHENTICATED", "no", "", ErrorKind::Authentication),
        (403, "PERMISSION_DENIED", "no", "", ErrorKind::Permission),
        (404, "NOT_FOUND", "no", "", ErrorKind::NotFound),
        (429, "RESOURCE_EXHAUSTED", "no", "GenerateRequestsPerMinute", ErrorKind::RateLimited),
        (429, "RESOURCE_EXHAUSTED", "no", "GenerateRequestsPerDay", ErrorKind::Quota),
        (503, "UNAVAILABLE", "no", "", ErrorKind::Overloaded),
        (504, "DEADLINE_EXCEEDED", "no", "", ErrorKind::Timeout),
        (500, "INTERNAL", "no", "", ErrorKind::Other),
    ];
    for (status, word, message, details, kind) in cases {
        assert_eq!(of(status, word, message, details), UpstreamError::told(kind, message));
    }
    assert_eq!(error::read(503, "<html>"), UpstreamError::of_status(503));
    let listed = json!([{"error": {"code": 429, "message": "slow", "status": "RESOURCE_EXHAUSTED"}}]).to_string();
    assert_eq!(error::read(429, &listed), UpstreamError::told(ErrorKind::RateLimited, "slow"));
}

#[test]
fn an_error_that_is_written_is_read_as_the_same_kind() {
    let one_for_several =
        [ErrorKind::ContextTooLong, ErrorKind::ContentRefused, ErrorKind::Quota, ErrorKind::Truncated];
    for kind in ErrorKind::ALL.into_iter().filter(|kind| !one_for_several.contains(kind)) {
        let error = UpstreamError::told(kind, "It \"broke\".");
        assert_eq!(error::read(error::status(kind), &error::write(&error)), error);
        assert_eq!(error::stream(&error).data, error::write(&error));
    }
}
