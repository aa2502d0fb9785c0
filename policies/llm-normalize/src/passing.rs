//! The phases for an upstream that speaks as the client does: all passes byte for byte but for the model's alias, and
//! is looked at to know how it went.

use gatewright_llm::Dialect;
use gatewright_llm::dialect::{Frame, Heading};
use gatewright_llm::endpoint::{self, Endpoint};
use gatewright_llm::price::Price;
use gatewright_llm::translate::{self, Outcome as Went, Pair, Watch};
use gatewright_sdk::{Body, Decision, Ending, Event, Exchange, Failure, Outcome};

use crate::asking::StreamTexts;
use crate::memory::{self, Memory, Progress};
use crate::settings::Target;
use crate::{LlmNormalize, publish_request, unreadable};

impl LlmNormalize {
    pub(crate) fn pass_request(
        &self,
        exchange: &Exchange,
        content: &Body,
        (endpoint, target): (&Endpoint<'_>, &Target),
    ) -> Result<Decision, Failure> {
        let pointers = ["/model", "/stream", "/stream_options", "/stream_options/include_usage"];
        let [model, stream, options, include_usage] = match content.json_texts(pointers) {
            Ok(texts) => texts,
            Err(error) => return Ok(unreadable(&error)),
        };
        let texts = StreamTexts { stream, options, include_usage };
        let in_body = model.and_then(|model| serde_json::from_str::<String>(&model).ok());
        let in_path = endpoint.model.as_deref();
        // A request without a model is the upstream's to refuse.
        let Some(requested) = in_path.or(in_body.as_deref()) else { return Ok(Decision::Detach) };

        let alias = self.0.upstream_model(requested);
        let model = alias.unwrap_or(requested);
        let stream = endpoint.stream.unwrap_or_else(|| texts.is_stream());
        let prefix = target.path_prefix.as_deref().unwrap_or(endpoint.prefix);
        if alias.is_some() && in_path.is_some() || prefix != endpoint.prefix {
            let (path, _) = endpoint::path(endpoint.dialect, prefix, model, stream);
            exchange.set_path(&path, exchange.query().as_deref())?;
        }
        let rename = alias.filter(|_| in_path.is_none());
        let rename = rename
            .map(|model| format!(r#"{{"op":"replace","path":"/model","value":{}}}"#, serde_json::Value::from(model)));
        let usage = texts.ask_for_usage().filter(|_| endpoint.dialect == Dialect::Chat);
        let operations: Vec<&str> = rename.as_deref().into_iter().chain(usage).collect();
        if !operations.is_empty()
            && let Err(error) = content.json_patch(&format!("[{}]", operations.join(",")))
        {
            return Ok(unreadable(&error));
        }
        publish_request(exchange, requested, model, stream)?;
        let heading = Heading {
            model: model.to_owned(),
            stream_usage: texts.wants_usage(),
            input_estimate: translate::estimate(content.len()),
            ..Heading::default()
        };
        let pair = Pair { client: endpoint.dialect, upstream: endpoint.dialect };
        Memory { pair, heading, names: Default::default(), warning: String::new() }.store(exchange)?;
        Ok(Decision::Next)
    }
}

/// The response goes on as it is; only its usage is read.
pub(crate) fn pass_response(
    exchange: &Exchange,
    content: &Body,
    memory: &Memory,
    prices: &[Price],
) -> Result<Decision, Failure> {
    if !matches!(exchange.response_status(), Some(200..300)) {
        exchange.put_metadata_text("llm.outcome", "error")?;
        return Ok(Decision::Next);
    }
    let pointer = if memory.pair.client == Dialect::Gemini { "/usageMetadata" } else { "/usage" };
    let usage = match content.json_texts([pointer]) {
        Ok([Some(usage)]) => translate::usage(memory.pair.client, &usage),
        Ok(_) | Err(_) => None,
    };
    match usage {
        Some(usage) => memory::publish(exchange, (&memory.heading.model, prices), &usage, Went::Complete)?,
        None => exchange.put_metadata_text("llm.outcome", "complete")?,
    }
    Ok(Decision::Next)
}

pub(crate) fn pass_events(
    exchange: &Exchange,
    events: Vec<Event>,
    ending: Ending,
    (memory, prices): (&Memory, &[Price]),
) -> Result<Outcome, Failure> {
    let client = memory.pair.client;
    let mut progress = Progress::load(exchange, || Watch::new(client))?;
    let was_over = progress.now.tally().outcome.is_some();
    let mut kept = Vec::with_capacity(events.len());
    let (mut found, mut is_changed) = (None, false);
    for event in events {
        let frame = Frame { name: event.name, data: event.data };
        found = progress.now.read(&frame, &memory.heading);
        if found.is_some() {
            break;
        }
        if client == Dialect::Chat && !memory.heading.stream_usage && translate::is_usage_alone(&frame.data) {
            is_changed = true;
        } else {
            kept.push(Event { name: frame.name, data: frame.data });
        }
    }
    if ending != Ending::Open && found.is_none() {
        found = progress.now.close();
    }
    progress.store(exchange)?;
    let tally = progress.now.tally();
    if let Some(outcome) = tally.outcome.filter(|_| !was_over) {
        memory::publish(exchange, (&memory.heading.model, prices), &tally.usage(&memory.heading), outcome)?;
    }
    Ok(match found {
        Some(error) => {
            let frame = translate::error_frame(client, &error);
            kept.push(Event { name: frame.name, data: frame.data });
            Outcome::Finish(kept)
        }
        None if is_changed => Outcome::Send(kept),
        None => Outcome::Pass,
    })
}
