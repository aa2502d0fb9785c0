//! Refuses, redacts or flags what prompts and answers must not say.

mod arguments;
mod guard;
mod kind;
mod pattern;
mod rules;
mod run;
mod settings;
mod spelling;
mod waiting;
mod words;

use gatewright_llm::Dialect;
use gatewright_llm::dialect::Frame;
use gatewright_llm::endpoint::Endpoint;
use gatewright_llm::error::{ErrorKind, UpstreamError};
use gatewright_llm::json::Document;
use gatewright_llm::translate;
use gatewright_sdk::{
    Body, Decision, Ending, Event, Exchange, Failure, Outcome, Policy, Problem, Reply, Scalar, export, failure, metrics,
};
use serde::{Deserialize, Serialize};

use guard::{Guard, Passed};
use rules::Rules;
pub use settings::Settings;
use settings::{Action, Direction};

/// The policy.
pub struct PromptGuard {
    rules: Rules,
    status: u16,
    hold_back_bytes: usize,
}

/// What is kept from one phase to the next.
#[derive(Serialize, Deserialize)]
struct Memory {
    dialect: Dialect,
    /// What the request's rules did.
    strongest: usize,
    /// How far a stream is; none before it has begun.
    stream: Option<Guard>,
}

const MEMORY: &str = "guard";

impl Policy for PromptGuard {
    type Config = Settings;
    const SUMMARY: &'static str = "Refuses, redacts or flags what prompts and answers must not say";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const HEAP_BYTES: usize = 256 << 10;

    fn new(settings: Settings) -> Result<Self, String> {
        let hold_back_bytes = usize::try_from(settings.hold_back_bytes).unwrap_or(usize::MAX);
        Ok(Self { rules: Rules::new(settings.rules)?, status: settings.status, hold_back_bytes })
    }

    fn validate(settings: &Settings) -> Vec<Problem> {
        settings.problems()
    }

    fn on_request_body(&self, exchange: &Exchange, content: &Body) -> Result<Decision, Failure> {
        let path = exchange.path();
        let Some(endpoint) = Endpoint::of_path(&path).filter(|_| exchange.method() == "POST") else {
            return Ok(Decision::Detach);
        };
        let mut strongest = 0;
        if self.rules.look_at(Direction::Request) {
            let coding = exchange.request_header("content-encoding")?;
            if coding.is_some_and(|coding| coding != "identity") {
                let message = "send the body without a content coding";
                return Ok(Decision::Answer(Reply::error(415, "unsupported-encoding", message)));
            }
            let bytes = content.read_all();
            let Ok(body) = std::str::from_utf8(&bytes) else { return Ok(unreadable("the body is not UTF-8")) };
            let document = match Document::parse(body) {
                Ok(document) => document,
                Err(error) => return Ok(unreadable(&error.to_string())),
            };
            let mut guard = Guard::new(Direction::Request);
            guard.request(body, &document);
            let passed = guard.pass(&self.rules, self.hold_back_bytes);
            strongest = self.tell(exchange, &guard, &passed, 0)?;
            if passed.is_denied {
                let message = "the request says what this gateway does not let through";
                return Ok(Decision::Answer(Reply::error(self.status, "prompt-denied", message)));
            }
            replace(content, passed)?;
        }
        if !self.rules.look_at(Direction::Response) {
            return Ok(Decision::Detach);
        }
        // What is compressed cannot be looked at.
        exchange.request_headers().set("accept-encoding", "identity")?;
        Memory { dialect: endpoint.dialect, strongest, stream: None }.store(exchange)?;
        Ok(Decision::Next)
    }

    fn on_response_body(&self, exchange: &Exchange, content: &Body) -> Result<Decision, Failure> {
        let Some(memory) = Memory::load(exchange)? else { return Ok(Decision::Detach) };
        if !matches!(exchange.response_status(), Some(200..300)) {
            return Ok(Decision::Detach);
        }
        let bytes = content.read_all();
        let document = std::str::from_utf8(&bytes).ok().and_then(|body| Some((body, Document::parse(body).ok()?)));
        let Some((body, document)) = document else {
            let message = "the provider sent an answer that cannot be looked at";
            return Ok(Decision::Answer(Reply::error(502, "answer-unreadable", message)));
        };
        let mut guard = Guard::new(Direction::Response);
        guard.answer(body, &document);
        guard.close();
        let passed = guard.pass(&self.rules, self.hold_back_bytes);
        self.tell(exchange, &guard, &passed, memory.strongest)?;
        if passed.is_denied {
            return Ok(Decision::Answer(Reply::error(self.status, "answer-denied", ANSWER_DENIED)));
        }
        replace(content, passed)?;
        Ok(Decision::Next)
    }

    fn on_event(&self, exchange: &Exchange, events: Vec<Event>, ending: Ending) -> Result<Outcome, Failure> {
        let Some(mut memory) = Memory::load(exchange)? else { return Ok(Outcome::Detach) };
        let mut guard = memory.stream.take().unwrap_or_else(|| Guard::new(Direction::Response));
        for event in events {
            guard.event(memory.dialect, Frame { name: event.name, data: event.data });
        }
        if ending != Ending::Open {
            guard.close();
        }
        let passed = guard.pass(&self.rules, self.hold_back_bytes);
        memory.strongest = self.tell(exchange, &guard, &passed, memory.strongest)?;
        memory.stream = Some(guard);
        memory.store(exchange)?;
        if !passed.is_changed && !passed.is_denied {
            return Ok(Outcome::Pass);
        }
        let mut frames = passed.frames;
        if passed.is_denied {
            let error = UpstreamError::new(ErrorKind::ContentRefused, ANSWER_DENIED);
            frames.push(translate::error_frame(memory.dialect, &error));
        }
        let events = frames.into_iter().map(|frame| Event { name: frame.name, data: frame.data }).collect();
        Ok(if passed.is_denied { Outcome::Finish(events) } else { Outcome::Send(events) })
    }
}

const ANSWER_DENIED: &str = "the answer says what this gateway does not let through";

impl PromptGuard {
    /// Tells which rules matched, never what. Returns the strongest of what they did.
    fn tell(&self, exchange: &Exchange, guard: &Guard, passed: &Passed, before: usize) -> Result<usize, Failure> {
        if passed.hits.is_empty() {
            return Ok(before);
        }
        let names: Vec<&str> =
            guard.matched.iter().filter_map(|rule| self.rules.get(*rule)).map(|rule| rule.name.as_str()).collect();
        let did = guard.matched.iter().filter_map(|rule| self.rules.get(*rule)).map(|rule| rule.action as usize + 1);
        let strongest = did.max().unwrap_or(0).max(before);
        let way = if guard.direction == Direction::Request { "request" } else { "response" };
        let action = [Action::Flag, Action::Redact, Action::Deny];
        let word = strongest.checked_sub(1).and_then(|at| action.get(at)).map_or("", |action| action.word());
        let text = |name: &str, text: &str| (name.to_owned(), Scalar::Text(text.to_owned()));
        let entries = [text(&format!("guard.{way}"), &names.join(",")), text("guard.action", word)];
        exchange.put_metadata_many(&entries)?;
        for number in &guard.matched {
            let count = passed.hits.iter().filter(|hit| hit.rule == *number).count();
            if let (Some(rule), Ok(count @ 1..)) = (self.rules.get(*number), u32::try_from(count)) {
                let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
                let labels = [label("rule", &rule.name), label("action", rule.action.word()), label("where", way)];
                metrics::add("guard_matches", &labels, count);
            }
        }
        Ok(strongest)
    }
}

impl Memory {
    fn load(exchange: &Exchange) -> Result<Option<Self>, Failure> {
        let decode =
            |state: Vec<u8>| serde_json::from_slice(&state).map_err(|error| failure("state", error.to_string()));
        exchange.get_state(MEMORY).map(decode).transpose()
    }

    fn store(&self, exchange: &Exchange) -> Result<(), Failure> {
        let state = serde_json::to_vec(self).map_err(|error| failure("state", error.to_string()))?;
        exchange.put_state(MEMORY, &state).map_err(Into::into)
    }
}

/// Writes a body that rules changed.
fn replace(content: &Body, mut passed: Passed) -> Result<(), Failure> {
    match passed.frames.pop() {
        Some(frame) if passed.is_changed => content.replace(frame.data.as_bytes()).map_err(Into::into),
        _ => Ok(()),
    }
}

fn unreadable(because: &str) -> Decision {
    Decision::Answer(Reply::error(400, "invalid-json", because))
}

export!(PromptGuard: on_request_body, on_response_body, on_event);
