//! Publishes prompts as REST endpoints with typed parameters and answers.

mod answer;
mod api;
mod schema;
mod settings;
mod template;

use gatewright_sdk::{Body, Decision, Exchange, Failure, Policy, Problem, Reply, Scalar, export};
use serde_json::{Value, json};

use api::{Api, Target, Version};
use schema::Fault;
pub use settings::Settings;

/// The policy.
pub struct PromptApi {
    apis: Vec<Api>,
    completions_path: String,
}

/// Under which the endpoint and the version of an exchange are kept.
const ASKED: &str = "asked";

impl Policy for PromptApi {
    type Config = Settings;
    const SUMMARY: &'static str = "Publishes prompts as REST endpoints with typed parameters and answers";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const HEAP_BYTES: usize = 64 << 10;

    fn new(settings: Settings) -> Result<Self, String> {
        let apis = settings.apis.into_iter().map(Api::new).collect::<Result<_, _>>()?;
        Ok(Self { apis, completions_path: settings.completions_path })
    }

    fn validate(settings: &Settings) -> Vec<Problem> {
        settings.problems()
    }

    fn on_request_body(&self, exchange: &Exchange, content: &Body) -> Result<Decision, Failure> {
        let path = exchange.path();
        let found = self.apis.iter().enumerate().find_map(|(index, api)| Some((index, api, api.target(&path)?)));
        let Some((index, api, target)) = found else { return Ok(Decision::Detach) };
        let method = exchange.method();
        match target {
            Target::Unknown => Ok(refuse(404, "unknown-version", "there is no such version", &[])),
            Target::Description if method == "GET" => {
                let reply = Reply::new(200);
                reply.set_body("application/json", api.description.as_bytes());
                Ok(Decision::Answer(reply))
            }
            Target::Description => Ok(not_allowed("GET")),
            Target::Version(version) if method == "POST" => self.ask(exchange, content, index, version),
            Target::Version(_) => Ok(not_allowed("POST")),
        }
    }

    fn on_response_body(&self, exchange: &Exchange, content: &Body) -> Result<Decision, Failure> {
        let Some(version) = self.asked(exchange) else { return Ok(Decision::Detach) };
        let status = exchange.response_status().unwrap_or(502);
        let tell = |outcome: &str| exchange.put_metadata_text("prompt.outcome", outcome);
        if !(200..300).contains(&status) {
            tell("error")?;
            // What else is wrong between the gateway and the provider is not the client's to see.
            let status = if matches!(status, 429 | 503 | 504) { status } else { 502 };
            return Ok(keeping_retry_after(
                exchange,
                problem(status, "provider-error", "the provider gave no answer", &[]),
            ));
        }
        let completion = serde_json::from_slice::<Value>(&content.read_all()).unwrap_or_default();
        let answer = match answer::read(&completion, version) {
            Ok(answer) => answer,
            Err(missing) => {
                tell(missing.code)?;
                return Ok(refuse(502, missing.code, missing.detail, &missing.faults));
            }
        };
        tell("complete")?;
        content.replace(answer.as_bytes())?;
        if let Some(headers) = exchange.response_headers() {
            headers.set("content-type", "application/json")?;
            headers.set("x-prompt-version", &version.name)?;
            for (name, member) in [("input", "prompt_tokens"), ("output", "completion_tokens")] {
                if let Some(count) = completion["usage"][member].as_u64() {
                    headers.set(&format!("x-usage-{name}-tokens"), &count.to_string())?;
                }
            }
        }
        Ok(Decision::Next)
    }
}

impl PromptApi {
    /// Turns parameters into the request of a chat completion.
    fn ask(&self, exchange: &Exchange, content: &Body, index: usize, version: &Version) -> Result<Decision, Failure> {
        if !accepts_json(exchange) {
            return Ok(refuse(406, "not-acceptable", "the answer is application/json, and not streamed", &[]));
        }
        // The gateway reads the body: it has one JSON text, and no name twice.
        let text = match content.json_texts([""]) {
            Ok([text]) => text.unwrap_or_default(),
            Err(_) => {
                return Ok(refuse(400, "invalid-json", "the body is not one JSON text, or has a name twice", &[]));
            }
        };
        let Ok(parameters) = serde_json::from_str::<Value>(&text) else {
            return Ok(refuse(400, "invalid-json", "the body is not one JSON text", &[]));
        };
        let request = match version.request(parameters) {
            Ok(request) => request,
            Err(faults) => {
                return Ok(refuse(400, "invalid-parameters", "the parameters are not as described", &faults));
            }
        };
        content.replace(request.as_bytes())?;
        exchange.set_path(&self.completions_path, None)?;
        let headers = exchange.request_headers();
        headers.set("content-type", "application/json")?;
        headers.set("accept", "application/json")?;
        headers.set("accept-encoding", "identity")?;
        exchange.put_state(ASKED, format!("{index} {}", version.name).as_bytes())?;
        let text = |name: &str, text: &str| (name.to_owned(), Scalar::Text(text.to_owned()));
        let path = self.apis.get(index).map(Api::path).unwrap_or_default();
        exchange.put_metadata_many(&[text("prompt.api", path), text("prompt.version", &version.name)])?;
        Ok(Decision::Next)
    }

    /// The version that the request was for.
    fn asked(&self, exchange: &Exchange) -> Option<&Version> {
        let state = String::from_utf8(exchange.get_state(ASKED)?).ok()?;
        let (index, name) = state.split_once(' ')?;
        self.apis.get(index.parse::<usize>().ok()?)?.version(name)
    }
}

/// Whether a client takes JSON: one that says nothing does (RFC 9110 §12.5.1).
fn accepts_json(exchange: &Exchange) -> bool {
    let fields = exchange.request_headers().get_all("accept");
    let ranges = fields.iter().flat_map(|field| field.split(|byte| *byte == b','));
    let ranges = ranges.map(|range| range.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii());
    let mut ranges = ranges.filter(|range| !range.is_empty()).peekable();
    ranges.peek().is_none() || ranges.any(|range| [&b"*/*"[..], b"application/*", b"application/json"].contains(&range))
}

fn not_allowed(method: &str) -> Decision {
    Decision::Answer(
        problem(405, "method-not-allowed", "this path has another method", &[]).with_header("allow", method),
    )
}

fn refuse(status: u16, code: &str, detail: &str, faults: &[Fault]) -> Decision {
    Decision::Answer(problem(status, code, detail, faults))
}

fn keeping_retry_after(exchange: &Exchange, reply: Reply) -> Decision {
    let wait = exchange.response_headers().and_then(|headers| headers.get("retry-after").ok().flatten());
    Decision::Answer(match wait {
        Some(wait) => reply.with_header("retry-after", &wait),
        None => reply,
    })
}

/// An answer of RFC 9457, whatever API the route speaks.
fn problem(status: u16, code: &str, detail: &str, faults: &[Fault]) -> Reply {
    let title = match status {
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        429 => "Too Many Requests",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Bad Gateway",
    };
    let mut body = json!({ "title": title, "status": status, "detail": detail, "code": code });
    if !faults.is_empty() {
        let faults = faults.iter().map(|fault| json!({ "pointer": fault.at, "detail": fault.message }));
        body["errors"] = faults.collect();
    }
    let reply = Reply::new(status);
    reply.set_body("application/problem+json", body.to_string().as_bytes());
    reply
}

export!(PromptApi: on_request_body, on_response_body);
