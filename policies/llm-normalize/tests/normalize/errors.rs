//! Errors of an upstream that speaks Anthropic messages.

use gatewright_sdk::testing::Body;
use gatewright_sdk::{Policy, testing};
use serde_json::{Value, json};

use crate::rig::{anthropic, asked, parsed};

fn seen(status: u16, body: &str) -> (u16, Value) {
    let (exchange, body) = (asked(json!({})), Body::from(body));
    exchange.respond(status, &[("content-type", "text/html")]);
    assert!(testing::passes(&anthropic().on_response(&exchange)));
    assert!(testing::passes(&anthropic().on_response_body(&exchange, &body)));
    assert_eq!(exchange.first_response_header("content-type").as_deref(), Some("application/json"));
    assert_eq!(exchange.metadata_text("llm.outcome").as_deref(), Some("error"));
    (exchange.response_status().unwrap(), parsed(&body.text())["error"].take())
}

#[test]
fn an_error_keeps_its_status_and_message() {
    for (status, kind, sent, seen_kind, code) in [
        (400, "invalid_request_error", 400, "invalid_request_error", json!(null)),
        (401, "authentication_error", 401, "authentication_error", json!("invalid_api_key")),
        (403, "permission_error", 403, "permission_error", json!(null)),
        (404, "not_found_error", 404, "invalid_request_error", json!("model_not_found")),
        (413, "request_too_large", 413, "invalid_request_error", json!("request_too_large")),
        (429, "rate_limit_error", 429, "rate_limit_error", json!("rate_limit_exceeded")),
        (500, "api_error", 500, "server_error", json!(null)),
        (529, "overloaded_error", 503, "server_error", json!("overloaded")),
    ] {
        let body = json!({ "type": "error", "error": { "type": kind, "message": "because" }, "request_id": "r" });
        let expected = json!({ "message": "because", "type": seen_kind, "param": null, "code": code });
        assert_eq!(seen(status, &body.to_string()), (sent, expected));
    }
}

#[test]
fn an_error_of_something_between_says_its_status() {
    let (status, error) = seen(502, "<html>Bad Gateway</html>");
    assert_eq!((status, error["type"].as_str()), (502, Some("server_error")));
    assert_eq!(error["message"], "the provider answered with status 502");
}
