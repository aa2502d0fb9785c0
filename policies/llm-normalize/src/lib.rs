//! Lets clients that speak OpenAI chat completions use upstreams of another dialect.

mod completion;
mod conversation;
mod dialect;
mod fault;
mod memory;
mod passing;
mod reader;
mod translating;

use std::collections::BTreeMap;

use gatewright_sdk::{
    Body, BodyError, Decision, Ending, Event, Exchange, Failure, Outcome, Policy, Problem, Reply, Scalar, export, log,
    problem,
};
use schemars::JsonSchema;
use serde::Deserialize;

use dialect::anthropic::ThinkingStyle;
use dialect::{Dialect, openai};
use memory::Memory;

/// Settings of `llm-normalize`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// What the upstream speaks.
    dialect: Dialect,
    /// Names of models that clients use, each with the upstream's name for it. Others pass as they are.
    #[serde(default)]
    models: BTreeMap<String, String>,
    /// The bound on an answer's tokens where the client gives none; Anthropic needs one.
    #[serde(default = "default_max_tokens")]
    #[schemars(range(min = 1))]
    default_max_tokens: u32,
    /// How an Anthropic upstream's models are told to think, where a client asks for an effort.
    #[serde(default)]
    thinking: ThinkingStyle,
    /// The version of the API that an Anthropic upstream is asked for.
    #[serde(default = "default_version")]
    anthropic_version: String,
}

fn default_max_tokens() -> u32 {
    4096
}

fn default_version() -> String {
    "2023-06-01".to_owned()
}

/// The policy.
pub struct LlmNormalize(Settings);

impl Policy for LlmNormalize {
    type Config = Settings;
    const SUMMARY: &'static str = "Lets clients that speak OpenAI chat completions use upstreams of another dialect";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const HEAP_BYTES: usize = 96 << 10;

    fn new(settings: Settings) -> Result<Self, String> {
        Ok(Self(settings))
    }

    fn validate(settings: &Settings) -> Vec<Problem> {
        let mut problems = Vec::new();
        if settings.default_max_tokens == 0 {
            problems.push(problem("/default_max_tokens", "an answer has at least 1 token"));
        }
        for (alias, model) in &settings.models {
            if model.is_empty() {
                problems.push(problem(&format!("/models/{alias}"), "say the upstream's name of the model"));
            }
        }
        problems
    }

    fn on_request_body(&self, exchange: &Exchange, content: &Body) -> Result<Decision, Failure> {
        if exchange.method() != "POST" || !exchange.path().ends_with(openai::PATH) {
            return Ok(Decision::Detach);
        }
        // Usage and errors are read from the response, which nobody here decompresses.
        exchange.request_headers().set("accept-encoding", "identity")?;
        match self.0.dialect {
            Dialect::Openai => self.pass_request(exchange, content),
            Dialect::Anthropic => self.translate_request(exchange, content),
        }
    }

    fn on_response(&self, exchange: &Exchange) -> Result<Decision, Failure> {
        let Some(memory) = Memory::load(exchange)? else { return Ok(Decision::Detach) };
        warn_client(exchange, &memory.warning);
        Ok(Decision::Next)
    }

    fn on_response_body(&self, exchange: &Exchange, content: &Body) -> Result<Decision, Failure> {
        let Some(memory) = Memory::load(exchange)? else { return Ok(Decision::Detach) };
        match self.0.dialect {
            Dialect::Openai => passing::pass_response(exchange, content),
            Dialect::Anthropic => translating::translate_response(exchange, content, memory),
        }
    }

    fn on_event(&self, exchange: &Exchange, events: Vec<Event>, ending: Ending) -> Result<Outcome, Failure> {
        let Some(memory) = Memory::load(exchange)? else { return Ok(Outcome::Detach) };
        match self.0.dialect {
            Dialect::Openai => passing::pass_events(exchange, events, ending, &memory),
            Dialect::Anthropic => translating::translate_events(exchange, &events, ending, memory),
        }
    }
}

impl LlmNormalize {
    /// The upstream's name of a model.
    fn upstream_model(&self, requested: &str) -> Option<&str> {
        self.0.models.get(requested).map(String::as_str)
    }
}

/// Shares what is asked for with the policies around.
fn publish_request(exchange: &Exchange, requested: &str, model: &str, stream: bool) -> Result<(), Failure> {
    let text = |name: &str, text: &str| (name.to_owned(), Scalar::Text(text.to_owned()));
    let stream = ("llm.stream".to_owned(), Scalar::Boolean(stream));
    exchange.put_metadata_many(&[text("llm.requested-model", requested), text("llm.model", model), stream])?;
    Ok(())
}

/// Says what was carried over with a change. An answer is worth more than its warning, so where
/// the header is refused the operator is told instead.
fn warn_client(exchange: &Exchange, warning: &str) {
    if warning.is_empty() {
        return;
    }
    let told = exchange.response_headers().map(|headers| headers.append(WARNING_HEADER, warning));
    if !matches!(told, Some(Ok(()))) {
        log::emit(log::Level::Warn, warning, &[]);
    }
}

/// What a body that cannot be read means to the client.
fn unreadable(error: &BodyError) -> Decision {
    Decision::Answer(match error {
        BodyError::NotJson(because) => Reply::error(400, "invalid-json", because),
        BodyError::Encoded => Reply::error(415, "unsupported-encoding", "send the body without a content coding"),
        BodyError::TooLarge => Reply::error(413, "body-too-large", "the body is too large"),
        BodyError::BadPatch(_) => Reply::error(400, "invalid-request", "the body is not a chat completion request"),
    })
}

/// Where a client reads what was carried over with a change.
const WARNING_HEADER: &str = "x-gatewright-warning";

export!(LlmNormalize: on_request_body, on_response, on_response_body, on_event);
