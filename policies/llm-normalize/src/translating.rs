//! The phases for an upstream that speaks another dialect than the client.

use gatewright_llm::Dialect;
use gatewright_llm::dialect::{Frame, Heading, Output, messages};
use gatewright_llm::endpoint::{self, Endpoint};
use gatewright_llm::error::{ErrorKind, UpstreamError};
use gatewright_llm::fault::{Fault, Ledger};
use gatewright_llm::price::Price;
use gatewright_llm::translate::{self, Asked, Outcome as Went, Pair, Relay};
use gatewright_sdk::{
    Body, BodyError, Decision, Ending, Event, Exchange, Failure, Outcome, Reply, clock, failure, log,
};

use crate::memory::{self, Memory, Progress};
use crate::settings::Target;
use crate::{LlmNormalize, publish_request, unreadable, warn_client};

impl LlmNormalize {
    pub(crate) fn translate_request(
        &self,
        exchange: &Exchange,
        content: &Body,
        (endpoint, target): (&Endpoint<'_>, &Target),
    ) -> Result<Decision, Failure> {
        if let Some(answer) = refuse(exchange, endpoint) {
            return Ok(answer);
        }
        let Ok(text) = String::from_utf8(content.read_all()) else {
            return Ok(unreadable(&BodyError::NotJson("the body is not UTF-8".to_owned())));
        };
        let client = endpoint.dialect;
        let asked = Asked { client, body: &text, model: endpoint.model.as_deref(), stream: endpoint.stream };
        let rename = |requested: &str| self.0.upstream_model(requested).map(str::to_owned);
        let request = match translate::request(&asked, target.dialect, &target.options, self.0.on_loss.into(), rename) {
            Ok(request) => request,
            Err(fault) => return Ok(answer(&fault)),
        };
        content.replace(request.body.as_bytes())?;
        self.address(exchange, (endpoint, target), &request.model, request.stream)?;
        publish_request(exchange, &request.requested, &request.model, request.stream)?;
        let is_letter = |letter: &char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds since 1970")]
        let created = (clock::now() / 1000.0) as u64;
        let heading = Heading {
            seed: exchange.id().chars().filter(is_letter).collect(),
            model: request.model,
            created,
            stream_usage: request.stream_usage,
            input_estimate: translate::estimate(content.len()),
        };
        let pair = Pair { client, upstream: target.dialect };
        Memory { pair, heading, names: request.names, warning: request.warning }.store(exchange)?;
        Ok(Decision::Next)
    }

    /// Path and headers of the other API. The client's credential is for the gateway, and no other provider's.
    fn address(
        &self,
        exchange: &Exchange,
        (endpoint, target): (&Endpoint<'_>, &Target),
        model: &str,
        stream: bool,
    ) -> Result<(), Failure> {
        let begins = endpoint::default_prefix(target.dialect);
        let is_alike = endpoint::default_prefix(endpoint.dialect) == begins && !begins.is_empty();
        let prefix = target.path_prefix.as_deref().unwrap_or(if is_alike { endpoint.prefix } else { begins });
        let (path, query) = endpoint::path(target.dialect, prefix, model, stream);
        exchange.set_path(&path, query)?;
        let headers = exchange.request_headers();
        headers.set("content-type", "application/json")?;
        // One look at all of them costs less than one for each that is not there.
        let sent: Vec<String> = headers.entries().into_iter().map(|(name, _)| name).collect();
        for name in FOREIGN_HEADERS.into_iter().filter(|name| sent.iter().any(|sent| sent == name)) {
            headers.remove(name)?;
        }
        if target.dialect == Dialect::Messages {
            headers.set(messages::VERSION_HEADER, &self.0.anthropic_version)?;
        }
        Ok(())
    }
}

/// What clients of each dialect send beside the body, which says nothing to another provider.
const FOREIGN_HEADERS: [&str; 13] = [
    "authorization",
    "x-api-key",
    "x-goog-api-key",
    "api-key",
    "openai-organization",
    "openai-project",
    "openai-beta",
    "anthropic-version",
    "anthropic-beta",
    "anthropic-dangerous-direct-browser-access",
    "x-goog-api-client",
    "x-amz-security-token",
    "x-amz-date",
];

fn refuse(exchange: &Exchange, endpoint: &Endpoint<'_>) -> Option<Decision> {
    let coding = exchange.request_header("content-encoding").ok()?;
    if coding.is_some_and(|coding| coding != "identity") {
        return Some(unreadable(&BodyError::Encoded));
    }
    let is_sse = || exchange.query().is_some_and(|query| query.split('&').any(|pair| pair == "alt=sse"));
    let is_list = endpoint.dialect == Dialect::Gemini && endpoint.stream == Some(true) && !is_sse();
    is_list.then(|| {
        let message = "a stream as one JSON array is not translated; ask for events with ?alt=sse";
        Decision::Answer(Reply::error(400, "unsupported-framing", message))
    })
}

fn answer(fault: &Fault) -> Decision {
    Decision::Answer(Reply::error(400, fault.code(), &fault.to_string()))
}

/// The headers of a stream as the client's dialect has them; the gateway frames its events by the content type.
pub(crate) fn frame_for_client(exchange: &Exchange, client: Dialect) -> Result<(), Failure> {
    let Some(headers) = exchange.response_headers() else { return Ok(()) };
    let kind = headers.get("content-type").ok().flatten().unwrap_or_default();
    if kind.starts_with("text/event-stream") || kind.starts_with("application/vnd.amazon.eventstream") {
        let kind = match client {
            Dialect::Converse => "application/vnd.amazon.eventstream",
            _ => "text/event-stream; charset=utf-8",
        };
        headers.set("content-type", kind)?;
    }
    Ok(())
}

pub(crate) fn translate_response(
    exchange: &Exchange,
    content: &Body,
    memory: &Memory,
    prices: &[Price],
) -> Result<Decision, Failure> {
    let status = exchange.response_status().unwrap_or(200);
    let bytes = content.read_all();
    let text = String::from_utf8_lossy(&bytes);
    let headers = exchange.response_headers().ok_or_else(|| failure("response", "there is none"))?;
    headers.set("content-type", "application/json")?;
    if !(200..300).contains(&status) {
        let (status, body) = translate::error(memory.pair, status, &text);
        return fail(exchange, content, status, &body);
    }
    let mut ledger = Ledger::default();
    match translate::response(memory.pair, &text, &memory.names, &memory.heading, &mut ledger) {
        Ok(response) => {
            content.replace(response.body.as_bytes())?;
            warn_client(exchange, &ledger.close().unwrap_or_default());
            memory::publish(exchange, (&memory.heading.model, prices), &response.usage, Went::Complete)?;
        }
        Err(error) => {
            let error = if error.is_found { UpstreamError::new(ErrorKind::Other, error.message) } else { error };
            let (status, body) = translate::error_in(memory.pair.client, &error);
            return fail(exchange, content, status, &body);
        }
    }
    Ok(Decision::Next)
}

fn fail(exchange: &Exchange, content: &Body, status: u16, body: &str) -> Result<Decision, Failure> {
    exchange.set_response_status(status)?;
    content.replace(body.as_bytes())?;
    exchange.put_metadata_text("llm.outcome", "error")?;
    Ok(Decision::Next)
}

pub(crate) fn translate_events(
    exchange: &Exchange,
    events: Vec<Event>,
    ending: Ending,
    (memory, prices): (&Memory, &[Price]),
) -> Result<Outcome, Failure> {
    let mut progress = Progress::load(exchange, || Relay::new(memory.pair))?;
    let was_over = progress.now.tally().outcome.is_some();
    let mut output = Output::default();
    for event in events {
        let frame = Frame { name: event.name, data: event.data };
        progress.now.read(&frame, &memory.names, &memory.heading, &mut output);
    }
    if ending != Ending::Open {
        progress.now.close(&memory.heading, &mut output);
    }
    progress.store(exchange)?;
    // The headers are gone, so only the operator can be told.
    for warning in output.ledger.warnings() {
        log::emit(log::Level::Warn, &format!("a streamed answer was not carried over whole: {warning}"), &[]);
    }
    let tally = progress.now.tally();
    if let Some(outcome) = tally.outcome.filter(|_| !was_over) {
        memory::publish(exchange, (&memory.heading.model, prices), &tally.usage(&memory.heading), outcome)?;
    }
    let events = output.frames.into_iter().map(|frame| Event { name: frame.name, data: frame.data }).collect();
    // After a good end nothing more is to come, and the connection to the upstream can be used again.
    let is_bad = matches!(tally.outcome, Some(Went::Truncated | Went::Error));
    Ok(if is_bad { Outcome::Finish(events) } else { Outcome::Send(events) })
}
