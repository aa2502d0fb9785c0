//! The phases for an upstream that speaks Anthropic messages.

use gatewright_sdk::{Body, Decision, Ending, Event, Exchange, Failure, Outcome, clock, failure};

use crate::completion::{ErrorKind, Step};
use crate::dialect::anthropic::request::Options;
use crate::dialect::anthropic::{self, ToolNames};
use crate::dialect::openai::{self, stream::Heading};
use crate::fault::Warnings;
use crate::memory::{self, Memory};
use crate::{LlmNormalize, publish_request, unreadable, warn_client};

impl LlmNormalize {
    pub(crate) fn translate_request(&self, exchange: &Exchange, content: &Body) -> Result<Decision, Failure> {
        if let Some(answer) = refuse_encoding(exchange) {
            return Ok(answer);
        }
        let Ok(text) = String::from_utf8(content.read_all()) else {
            return Ok(unreadable(&gatewright_sdk::BodyError::NotJson("the body is not UTF-8".to_owned())));
        };
        let (mut warnings, mut names) = (Warnings::default(), ToolNames::default());
        let mut conversation = match openai::request::read(&text, &mut warnings) {
            Ok(conversation) => conversation,
            Err(fault) => return Ok(fault.answer()),
        };
        let requested = conversation.model.clone();
        if let Some(model) = self.upstream_model(&requested) {
            model.clone_into(&mut conversation.model);
        }
        let options = Options { tokens_default: self.0.default_max_tokens, thinking: self.0.thinking };
        let body = match anthropic::request::write(&conversation, &options, &mut names, &mut warnings) {
            Ok(body) => body,
            Err(fault) => return Ok(fault.answer()),
        };
        content.replace(body.as_bytes())?;
        self.address(exchange)?;
        publish_request(exchange, &requested, &conversation.model, conversation.stream)?;
        let memory =
            Memory { stream_usage: conversation.stream_usage, tool_names: names.0, warning: warnings.header() };
        memory.store(exchange)?;
        Ok(Decision::Next)
    }

    /// Path and headers of the other API.
    fn address(&self, exchange: &Exchange) -> Result<(), Failure> {
        let path = exchange.path();
        let prefix = path.strip_suffix(openai::PATH).unwrap_or_default();
        exchange.set_path(&format!("{prefix}{}", anthropic::PATH), exchange.query().as_deref())?;
        let headers = exchange.request_headers();
        headers.set("content-type", "application/json")?;
        headers.set(anthropic::VERSION_HEADER, &self.0.anthropic_version)?;
        for name in ["openai-organization", "openai-project", "openai-beta"] {
            headers.remove(name)?;
        }
        Ok(())
    }
}

fn refuse_encoding(exchange: &Exchange) -> Option<Decision> {
    let coding = exchange.request_header("content-encoding").ok()??;
    (coding != "identity").then(|| unreadable(&gatewright_sdk::BodyError::Encoded))
}

pub(crate) fn translate_response(exchange: &Exchange, content: &Body, memory: Memory) -> Result<Decision, Failure> {
    let status = exchange.response_status().unwrap_or(200);
    let bytes = content.read_all();
    let (text, outcome) = if (200..300).contains(&status) {
        (completion_text(exchange, bytes, memory)?, "complete")
    } else {
        exchange.set_response_status(anthropic::error::status(status))?;
        (openai::error::write(&anthropic::error::read(&bytes, status)), "error")
    };
    content.replace(text.as_bytes())?;
    if let Some(headers) = exchange.response_headers() {
        headers.set("content-type", "application/json")?;
    }
    exchange.put_metadata_text("llm.outcome", outcome)?;
    Ok(Decision::Next)
}

fn completion_text(exchange: &Exchange, bytes: Vec<u8>, memory: Memory) -> Result<String, Failure> {
    let malformed = |because: String| failure("upstream-malformed", because);
    let text = String::from_utf8(bytes).map_err(|error| malformed(error.to_string()))?;
    let mut warnings = Warnings::default();
    let completion =
        anthropic::response::read(&text, &ToolNames(memory.tool_names), &mut warnings).map_err(malformed)?;
    memory::publish_usage(exchange, completion.usage)?;
    warn_client(exchange, &warnings.header());
    Ok(openai::response::write(&completion, now_seconds()))
}

pub(crate) fn translate_events(
    exchange: &Exchange,
    events: &[Event],
    ending: Ending,
    memory: Memory,
) -> Result<Outcome, Failure> {
    let (mut progress, created): (anthropic::stream::Progress, u64) = memory::load_progress(exchange)?;
    let created = if created == 0 { now_seconds() } else { created };
    let (was_over, usage_before) = (progress.is_over, progress.usage);
    let names = ToolNames(memory.tool_names);
    let mut steps = Vec::new();
    for event in events {
        progress.read(&event.data, &names, &mut steps);
    }
    if ending != Ending::Open {
        progress.close(&mut steps);
    }

    let heading = Heading { id: &progress.id, model: &progress.model, created, with_usage: memory.stream_usage };
    let mut sent = Vec::with_capacity(steps.len());
    for step in &steps {
        openai::stream::write(&heading, step, &mut sent);
    }
    memory::store_progress(exchange, &(&progress, created))?;
    if progress.usage != usage_before {
        memory::publish_usage(exchange, progress.usage)?;
    }
    if progress.is_over && !was_over {
        exchange.put_metadata_text("llm.outcome", outcome(&steps))?;
    }
    let has_failed = matches!(steps.last(), Some(Step::Error(_)));
    Ok(if has_failed { Outcome::Finish(sent) } else { Outcome::Send(sent) })
}

fn outcome(steps: &[Step]) -> &'static str {
    match steps.last() {
        Some(Step::Error(error)) if error.kind == ErrorKind::Truncated => "truncated",
        Some(Step::Error(_)) => "error",
        _ => "complete",
    }
}

fn now_seconds() -> u64 {
    let millis = clock::now().max(0.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative, and below 2^53")]
    let millis = millis as u64;
    millis / 1000
}
