//! The side that speaks Anthropic: messages, counting tokens, models.

mod check;
mod reply;

use http::Response;
use serde_json::{Value, json};

use super::answer::Answer;
use super::body::Script;
use super::received::Received;
use super::settings::Settings;

/// Why a request is refused, in Anthropic's terms.
#[derive(Debug)]
struct Refusal {
    status: u16,
    message: String,
}

impl Refusal {
    fn new(message: impl Into<String>) -> Self {
        Self { status: 400, message: message.into() }
    }

    fn response(&self, received: &Received) -> Response<Script> {
        let error = json!({ "type": kind(self.status), "message": self.message });
        let request_id = format!("req_{}", received.token());
        Script::json(self.status, &json!({ "type": "error", "error": error, "request_id": request_id }))
    }
}

fn kind(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        504 => "timeout_error",
        529 => "overloaded_error",
        500.. => "api_error",
        _ => "invalid_request_error",
    }
}

/// `POST /v1/messages`.
pub(super) fn messages(received: &Received, settings: &Settings) -> Response<Script> {
    let asked = admit(received, settings).and_then(|()| parse(received));
    match asked.and_then(|body| check::messages(&body, check::Endpoint::Messages)) {
        Ok(prompt) => {
            let answer = Answer::to(&prompt);
            let reply = reply::Reply { token: received.token(), model: prompt.model, answer };
            if prompt.stream {
                Script::events(reply.events(settings.error_after).into_iter())
            } else {
                Script::json(200, &reply.whole())
            }
        }
        Err(refusal) => refusal.response(received),
    }
}

/// `POST /v1/messages/count_tokens`.
pub(super) fn count_tokens(received: &Received, settings: &Settings) -> Response<Script> {
    let asked = admit(received, settings).and_then(|()| parse(received));
    match asked.and_then(|body| check::messages(&body, check::Endpoint::CountTokens)) {
        Ok(prompt) => Script::json(200, &json!({ "input_tokens": prompt.input_tokens })),
        Err(refusal) => refusal.response(received),
    }
}

/// `GET /v1/models`.
pub(super) fn models(received: &Received, settings: &Settings) -> Response<Script> {
    if let Err(refusal) = admit(received, settings) {
        return refusal.response(received);
    }
    let model =
        |id, name| json!({ "type": "model", "id": id, "display_name": name, "created_at": "2026-01-01T00:00:00Z" });
    let data = [model("mock-small", "Mock Small"), model("mock-large", "Mock Large")];
    Script::json(200, &json!({ "data": data, "has_more": false, "first_id": "mock-small", "last_id": "mock-large" }))
}

fn admit(received: &Received, settings: &Settings) -> Result<(), Refusal> {
    if let Some(status) = settings.status {
        return Err(Refusal { status, message: format!("The mock was asked for {status}.") });
    }
    let has_key =
        ["x-api-key", "authorization"].iter().any(|name| received.header(name).is_some_and(|key| !key.is_empty()));
    if !settings.open && !has_key {
        return Err(Refusal { status: 401, message: "x-api-key header is required".to_owned() });
    }
    if received.header("anthropic-version").is_none() {
        return Err(Refusal::new("anthropic-version: header is required"));
    }
    Ok(())
}

fn parse(received: &Received) -> Result<Value, Refusal> {
    let refusal = || Refusal::new("The request body is not valid JSON: expected an object");
    received.json().filter(Value::is_object).ok_or_else(refusal)
}
