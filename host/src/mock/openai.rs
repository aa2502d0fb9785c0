//! The side that speaks OpenAI: chat completions, models, embeddings.

mod check;
mod reply;

use base64::Engine as _;
use http::Response;
use serde_json::{Value, json};

use super::answer::{Answer, tokens};
use super::body::Script;
use super::received::Received;
use super::settings::Settings;

/// Why a request is refused, in OpenAI's terms.
#[derive(Debug)]
struct Refusal {
    status: u16,
    message: String,
    param: Option<String>,
    code: Option<&'static str>,
}

impl Refusal {
    fn new(message: impl Into<String>, param: &str, code: &'static str) -> Self {
        let param = (!param.is_empty()).then(|| param.to_owned());
        Self { status: 400, message: message.into(), param, code: Some(code) }
    }

    fn response(&self) -> Response<Script> {
        let kind = match self.status {
            401 => "authentication_error",
            403 => "permission_error",
            429 => "rate_limit_error",
            500.. => "server_error",
            _ => "invalid_request_error",
        };
        let error = json!({ "message": self.message, "type": kind, "param": self.param, "code": self.code });
        Script::json(self.status, &json!({ "error": error }))
    }
}

/// `POST /v1/chat/completions`.
pub(super) fn chat(received: &Received, settings: &Settings) -> Response<Script> {
    let asked = admit(received, settings).and_then(|()| parse(received)).and_then(|body| check::chat(&body));
    match asked {
        Ok(check::Chat { prompt, include_usage, choices }) => {
            let answer = Answer::to(&prompt);
            let reply = reply::Reply { token: received.token(), model: prompt.model, answer, choices };
            if prompt.stream {
                Script::events(reply.events(include_usage, settings.error_after).into_iter())
            } else {
                Script::json(200, &reply.whole())
            }
        }
        Err(refusal) => refusal.response(),
    }
}

/// `GET /v1/models`.
pub(super) fn models(received: &Received, settings: &Settings) -> Response<Script> {
    if let Err(refusal) = admit(received, settings) {
        return refusal.response();
    }
    let model = |id| json!({ "id": id, "object": "model", "created": CREATED, "owned_by": "mock" });
    Script::json(200, &json!({ "object": "list", "data": [model("mock-small"), model("mock-large")] }))
}

/// `POST /v1/embeddings`.
pub(super) fn embeddings(received: &Received, settings: &Settings) -> Response<Script> {
    match admit(received, settings).and_then(|()| parse(received)).and_then(|body| embed(&body)) {
        Ok(value) => Script::json(200, &value),
        Err(refusal) => refusal.response(),
    }
}

fn embed(body: &Value) -> Result<Value, Refusal> {
    let model = check::model(body)?;
    let inputs: Vec<&str> = match body.get("input") {
        Some(Value::String(text)) => vec![text],
        Some(Value::Array(texts)) if !texts.is_empty() => texts.iter().filter_map(Value::as_str).collect(),
        _ => return Err(Refusal::new("Missing required parameter: 'input'.", "input", "missing_required_parameter")),
    };
    let dimensions = body.get("dimensions").and_then(Value::as_u64).unwrap_or(8).clamp(1, 4096);
    let as_base64 = body.get("encoding_format").and_then(Value::as_str) == Some("base64");
    let data = inputs.iter().enumerate().map(|(index, text)| {
        let vector = vector(text, dimensions);
        let embedding = if as_base64 {
            let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
            json!(base64::engine::general_purpose::STANDARD.encode(bytes))
        } else {
            json!(vector)
        };
        json!({ "object": "embedding", "index": index, "embedding": embedding })
    });
    let total: usize = inputs.iter().map(|text| tokens(text)).sum();
    let usage = json!({ "prompt_tokens": total, "total_tokens": total });
    Ok(json!({ "object": "list", "data": data.collect::<Vec<_>>(), "model": model, "usage": usage }))
}

/// The same numbers for the same text, each in 0..=1.
fn vector(text: &str, dimensions: u64) -> Vec<f32> {
    use sha2::Digest as _;
    let component = |index: u64| {
        let digest = sha2::Sha256::new().chain_update(index.to_le_bytes()).chain_update(text).finalize();
        f32::from(digest.first().copied().unwrap_or_default()) / 255.0
    };
    (0..dimensions).map(component).collect()
}

fn admit(received: &Received, settings: &Settings) -> Result<(), Refusal> {
    if let Some(status) = settings.status {
        let code = if status == 429 { Some("rate_limit_exceeded") } else { None };
        return Err(Refusal { status, message: format!("The mock was asked for {status}."), param: None, code });
    }
    let has_key = received.header("authorization").is_some_and(|value| value.len() > "Bearer ".len());
    if settings.open || has_key {
        return Ok(());
    }
    let message = "You didn't provide an API key. Provide it in an Authorization header using Bearer auth.".to_owned();
    Err(Refusal { status: 401, message, param: None, code: Some("invalid_api_key") })
}

fn parse(received: &Received) -> Result<Value, Refusal> {
    let message = "We could not parse the JSON body of your request.".to_owned();
    received.json().filter(Value::is_object).ok_or(Refusal { status: 400, message, param: None, code: None })
}

const CREATED: u64 = 1_700_000_000;
