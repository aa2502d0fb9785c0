//! Lets clients of any LLM dialect use upstreams of any other.

mod asking;
mod memory;
mod passing;
mod settings;
mod translating;

use gatewright_llm::endpoint::Endpoint;
use gatewright_sdk::{
    Body, BodyError, Decision, Ending, Event, Exchange, Failure, Outcome, Policy, Problem, Reply, Scalar, export, log,
};

use memory::Memory;
pub use settings::Settings;

/// The policy.
pub struct LlmNormalize(Settings);

impl Policy for LlmNormalize {
    type Config = Settings;
    const SUMMARY: &'static str = "Lets clients of any LLM dialect use upstreams of any other";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const HEAP_BYTES: usize = 96 << 10;

    fn new(settings: Settings) -> Result<Self, String> {
        Ok(Self(settings))
    }

    fn validate(settings: &Settings) -> Vec<Problem> {
        settings.problems()
    }

    fn on_request_body(&self, exchange: &Exchange, content: &Body) -> Result<Decision, Failure> {
        let path = exchange.path();
        let Some(endpoint) = Endpoint::of_path(&path).filter(|_| exchange.method() == "POST") else {
            self.0.move_other(exchange, &path)?;
            return Ok(Decision::Detach);
        };
        // Usage and errors are read from the response, which nobody here decompresses.
        exchange.request_headers().set("accept-encoding", "identity")?;
        let target = self.0.target(exchange)?;
        if endpoint.dialect == target.dialect {
            self.pass_request(exchange, content, (&endpoint, &target))
        } else {
            self.translate_request(exchange, content, (&endpoint, &target))
        }
    }

    fn on_response(&self, exchange: &Exchange) -> Result<Decision, Failure> {
        let Some(memory) = Memory::load(exchange)? else { return Ok(Decision::Detach) };
        warn_client(exchange, &memory.warning);
        if !memory.is_passing() {
            translating::frame_for_client(exchange, memory.pair.client)?;
        }
        Ok(Decision::Next)
    }

    fn on_response_body(&self, exchange: &Exchange, content: &Body) -> Result<Decision, Failure> {
        let prices = &self.0.prices;
        match Memory::load(exchange)? {
            None => Ok(Decision::Detach),
            Some(memory) if memory.is_passing() => passing::pass_response(exchange, content, &memory, prices),
            Some(memory) => translating::translate_response(exchange, content, &memory, prices),
        }
    }

    fn on_event(&self, exchange: &Exchange, events: Vec<Event>, ending: Ending) -> Result<Outcome, Failure> {
        let prices = &self.0.prices;
        match Memory::load(exchange)? {
            None => Ok(Outcome::Detach),
            Some(memory) if memory.is_passing() => passing::pass_events(exchange, events, ending, (&memory, prices)),
            Some(memory) => translating::translate_events(exchange, events, ending, (&memory, prices)),
        }
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
        BodyError::BadPatch(_) => Reply::error(400, "invalid-request", "the body is no request of its dialect"),
    })
}

/// Where a client reads what was carried over with a change.
const WARNING_HEADER: &str = "x-gatewright-warning";

export!(LlmNormalize: on_request_body, on_response, on_response_body, on_event);
