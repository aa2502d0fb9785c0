//! The shapes that APIs give their errors, so that an SDK makes its own exception of the gateway's.

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

use crate::config::Api;

/// An error of the gateway's or a policy's own.
pub(super) struct Fault<'a> {
    pub(super) status: StatusCode,
    /// A short stable token that clients may match on.
    pub(super) code: &'a str,
    /// For a person.
    pub(super) message: &'a str,
    pub(super) request_id: &'a str,
}

/// Where the SDKs of AWS find the name of an exception.
const AMZN_ERRORTYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");

/// The API that has a path, where the operator leaves it to the path.
#[must_use]
pub fn api_at(api: Api, path: &str) -> Api {
    if api != Api::Auto {
        return api;
    }
    let ends = |end: &str| path.ends_with(end);
    let last = path.rsplit('/').next().unwrap_or_default();
    if ends("/messages") || ends("/messages/count_tokens") {
        Api::Anthropic
    } else if path.starts_with("/v1beta/") || last.contains(':') && path.contains("/models/") {
        Api::Gemini
    } else if path.contains("/model/")
        && matches!(last, "converse" | "converse-stream" | "invoke" | "invoke-with-response-stream")
    {
        Api::Bedrock
    } else if path.contains("/v2/") && matches!(last, "chat" | "embed" | "rerank") {
        Api::Cohere
    } else if path.contains("/v1/") {
        Api::Openai
    } else {
        Api::Problem
    }
}

/// The body of an error; its content type goes into the headers.
pub(super) fn shape(api: Api, fault: &Fault<'_>, headers: &mut HeaderMap) -> Bytes {
    let mut content_type = "application/json";
    let body = match api {
        Api::Problem | Api::Auto => {
            content_type = "application/problem+json";
            problem(fault)
        }
        Api::Openai => json!({ "error": {
            "message": fault.message, "type": kind(fault.status), "param": null, "code": fault.code
        } }),
        Api::Anthropic => json!({
            "type": "error", "error": { "type": kind(fault.status), "message": fault.message },
            "code": fault.code, "request_id": fault.request_id
        }),
        Api::Gemini => json!({ "error": {
            "code": fault.status.as_u16(), "message": fault.message, "status": google_word(fault.status),
            "details": [{
                "@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": fault.code, "domain": "gatewright",
                "metadata": { "request_id": fault.request_id }
            }]
        } }),
        Api::Bedrock => {
            headers.insert(AMZN_ERRORTYPE, HeaderValue::from_static(amazon_word(fault.status)));
            json!({ "message": fault.message, "code": fault.code })
        }
        Api::Cohere => json!({ "id": fault.request_id, "message": fault.message, "code": fault.code }),
    };
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    Bytes::from(body.to_string())
}

fn problem(fault: &Fault<'_>) -> Value {
    let title = fault.status.canonical_reason().unwrap_or_else(|| kind(fault.status));
    json!({
        "type": "about:blank", "title": title, "status": fault.status.as_u16(), "detail": fault.message,
        "code": fault.code, "request_id": fault.request_id
    })
}

/// What an SDK of OpenAI's or Anthropic's API makes its exception of.
fn kind(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        503 | 529 => "overloaded_error",
        504 => "timeout_error",
        400..500 => "invalid_request_error",
        _ => "api_error",
    }
}

/// The name of a code of `google.rpc.Code`.
fn google_word(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "UNAUTHENTICATED",
        402 | 429 => "RESOURCE_EXHAUSTED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        503 => "UNAVAILABLE",
        504 => "DEADLINE_EXCEEDED",
        400..500 => "INVALID_ARGUMENT",
        _ => "INTERNAL",
    }
}

/// The name of an exception of Bedrock's runtime.
fn amazon_word(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 | 403 => "AccessDeniedException",
        402 => "ServiceQuotaExceededException",
        404 => "ResourceNotFoundException",
        429 => "ThrottlingException",
        503 => "ServiceUnavailableException",
        504 => "ModelTimeoutException",
        400..500 => "ValidationException",
        _ => "InternalServerException",
    }
}

#[cfg(test)]
mod tests {
    use super::api_at;
    use crate::config::Api;

    #[test]
    fn a_path_says_what_its_client_speaks() {
        let cases = [
            ("/v1/chat/completions", Api::Openai),
            ("/openai/v1/responses", Api::Openai),
            ("/v1/models", Api::Openai),
            ("/v1/messages", Api::Anthropic),
            ("/v1/messages/count_tokens", Api::Anthropic),
            ("/v1beta/models/gemini-pro:generateContent", Api::Gemini),
            ("/v1/projects/p/models/m:streamGenerateContent", Api::Gemini),
            ("/v1beta/models", Api::Gemini),
            ("/model/anthropic.claude%3A0/converse", Api::Bedrock),
            ("/model/x/invoke-with-response-stream", Api::Bedrock),
            ("/v2/chat", Api::Cohere),
            ("/v2/rerank", Api::Cohere),
            ("/orders/7", Api::Problem),
        ];
        for (path, api) in cases {
            assert_eq!(api_at(Api::Auto, path), api, "{path}");
            assert_eq!(api_at(Api::Problem, path), Api::Problem);
        }
    }
}
