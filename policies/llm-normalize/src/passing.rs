//! The phases for an upstream that speaks the client's dialect.

use gatewright_sdk::{Body, Decision, Ending, Event, Exchange, Failure, Outcome};

use crate::dialect::openai::passage::{Progress, RequestTexts, usage_of};
use crate::memory::{self, Memory};
use crate::{LlmNormalize, publish_request, unreadable};

impl LlmNormalize {
    pub(crate) fn pass_request(&self, exchange: &Exchange, content: &Body) -> Result<Decision, Failure> {
        let pointers = ["/model", "/stream", "/stream_options", "/stream_options/include_usage"];
        let [model, stream, stream_options, include_usage] = match content.json_texts(pointers) {
            Ok(texts) => texts,
            Err(error) => return Ok(unreadable(&error)),
        };
        let texts = RequestTexts { stream, stream_options, include_usage };
        // A request without a model is the upstream's to refuse.
        let requested: Option<String> = model.and_then(|model| serde_json::from_str(&model).ok());
        let Some(requested) = requested else { return Ok(Decision::Detach) };

        let alias = self.upstream_model(&requested);
        let model = alias.unwrap_or(&requested);
        let rename = alias
            .map(|model| format!(r#"{{"op":"replace","path":"/model","value":{}}}"#, serde_json::Value::from(model)));
        let operations: Vec<&str> = rename.as_deref().into_iter().chain(texts.ask_for_usage()).collect();
        if !operations.is_empty()
            && let Err(error) = content.json_patch(&format!("[{}]", operations.join(",")))
        {
            return Ok(unreadable(&error));
        }
        publish_request(exchange, &requested, model, texts.is_stream())?;
        Memory { stream_usage: texts.wants_usage(), ..Memory::default() }.store(exchange)?;
        Ok(Decision::Next)
    }
}

/// The response goes on as it is; only its usage is read.
pub(crate) fn pass_response(exchange: &Exchange, content: &Body) -> Result<Decision, Failure> {
    let outcome = match exchange.response_status() {
        Some(200..300) => "complete",
        _ => "error",
    };
    exchange.put_metadata_text("llm.outcome", outcome)?;
    if let Ok([Some(usage)]) = content.json_texts(["/usage"])
        && let Some(usage) = usage_of(&usage)
    {
        memory::publish_usage(exchange, usage)?;
    }
    Ok(Decision::Next)
}

pub(crate) fn pass_events(
    exchange: &Exchange,
    events: Vec<Event>,
    ending: Ending,
    memory: &Memory,
) -> Result<Outcome, Failure> {
    let before: Progress = memory::load_progress(exchange)?;
    let mut progress = before;
    let outcome = progress.read(events, ending, memory.stream_usage);
    if progress == before && ending == Ending::Open {
        return Ok(outcome);
    }
    memory::store_progress(exchange, &progress)?;
    if let Some(usage) = progress.usage {
        memory::publish_usage(exchange, usage)?;
    }
    if ending != Ending::Open || progress.is_over {
        let word = if progress.is_truncated { "truncated" } else { "complete" };
        exchange.put_metadata_text("llm.outcome", word)?;
    }
    Ok(outcome)
}
