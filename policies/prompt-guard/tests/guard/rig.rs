//! One exchange, and streams of every dialect.

use gatewright_llm::Dialect;
use gatewright_llm::dialect::{Frame, Heading, Output};
use gatewright_llm::tool_name::ToolNames;
use gatewright_llm::translate::{Pair, Relay};
use gatewright_sdk::testing::Body;
use gatewright_sdk::{Ending, Event, Exchange, Outcome, Policy, testing};
use prompt_guard::PromptGuard;
use serde_json::{Value, json};

/// A path of each dialect.
pub(crate) const PATHS: [(&str, Dialect); 6] = [
    ("/v1/chat/completions", Dialect::Chat),
    ("/v1/responses", Dialect::Responses),
    ("/v1/messages", Dialect::Messages),
    ("/v1beta/models/m:streamGenerateContent?alt=sse", Dialect::Gemini),
    ("/model/m/converse-stream", Dialect::Converse),
    ("/v2/chat", Dialect::Cohere),
];

pub(crate) fn guard(rules: &Value) -> PromptGuard {
    testing::configured(json!({ "rules": rules }))
}

/// A JSON text as a value to look into.
pub(crate) fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| unreachable!("{error}: {text}"))
}

/// Redacts addresses of electronic mail.
pub(crate) fn emails() -> PromptGuard {
    guard(&json!([{ "name": "email", "kinds": ["email"], "action": "redact" }]))
}

pub(crate) fn exchange(path: &str) -> Exchange {
    Exchange::request("POST", path)
}

/// What a request to a path becomes.
pub(crate) fn passed(policy: &PromptGuard, path: &str, body: &str) -> String {
    let (exchange, body) = (exchange(path), Body::from(body));
    let decided = policy.on_request_body(&exchange, &body);
    assert!(testing::passes(&decided), "{decided:?}");
    body.text()
}

/// An exchange whose request has passed, and whose answer begins.
pub(crate) fn asked(policy: &PromptGuard, path: &str) -> Exchange {
    let exchange = exchange(path);
    let decided = policy.on_request_body(&exchange, &Body::from("{}"));
    assert!(testing::passes(&decided), "{decided:?}");
    exchange.respond(200, &[]);
    exchange
}

/// What a whole answer becomes.
pub(crate) fn answered(policy: &PromptGuard, path: &str, body: &str) -> String {
    let (exchange, body) = (asked(policy, path), Body::from(body));
    let decided = policy.on_response_body(&exchange, &body);
    assert!(testing::passes(&decided), "{decided:?}");
    body.text()
}

/// What is streamed: pieces of a text, or of a call's arguments.
#[derive(Clone, Copy)]
pub(crate) enum Streamed {
    Text,
    Arguments,
}

fn heading() -> Heading {
    Heading { seed: "seed".into(), model: "m".into(), ..Heading::default() }
}

fn relayed(pair: Pair, frames: impl IntoIterator<Item = Frame>) -> Vec<Frame> {
    let mut relay = Relay::new(pair);
    let mut output = Output::default();
    for frame in frames {
        relay.read(&frame, &ToolNames::default(), &heading(), &mut output);
    }
    relay.close(&heading(), &mut output);
    output.frames
}

/// A stream of a dialect that says these pieces.
pub(crate) fn frames(dialect: Dialect, what: Streamed, pieces: &[&str]) -> Vec<Frame> {
    let chunk = |delta: Value, finish: Value| {
        let choice = json!({ "index": 0, "delta": delta, "finish_reason": finish });
        Frame::unnamed(json!({ "id": "c", "model": "m", "choices": [choice] }).to_string())
    };
    let call = |function: Value| json!({ "tool_calls": [{ "index": 0, "id": "call_1", "function": function }] });
    let mut chunks = vec![chunk(json!({ "role": "assistant", "content": "" }), Value::Null)];
    if let Streamed::Arguments = what {
        chunks.push(chunk(call(json!({ "name": "f", "arguments": "" })), Value::Null));
    }
    chunks.extend(pieces.iter().map(|piece| match what {
        Streamed::Text => chunk(json!({ "content": piece }), Value::Null),
        Streamed::Arguments => chunk(call(json!({ "arguments": piece })), Value::Null),
    }));
    let finish = if let Streamed::Arguments = what { "tool_calls" } else { "stop" };
    chunks.extend([chunk(json!({}), json!(finish)), Frame::unnamed("[DONE]")]);
    if dialect == Dialect::Chat { chunks } else { relayed(Pair { client: dialect, upstream: Dialect::Chat }, chunks) }
}

/// What a client of a dialect reads of a stream: the text, the arguments, and how it ended (`error` or a finish).
pub(crate) fn read(dialect: Dialect, frames: Vec<Frame>) -> (String, String, String) {
    let chunks = relayed(Pair { client: Dialect::Chat, upstream: dialect }, frames);
    let (mut text, mut arguments, mut end) = (String::new(), String::new(), String::new());
    for chunk in chunks.iter().filter(|chunk| chunk.data != "[DONE]") {
        let chunk = parsed(&chunk.data);
        let choice = &chunk["choices"][0];
        text.push_str(choice["delta"]["content"].as_str().unwrap_or_default());
        let function = &choice["delta"]["tool_calls"][0]["function"];
        arguments.push_str(function["arguments"].as_str().unwrap_or_default());
        if chunk["error"].is_object() {
            end.push_str("error");
        }
        end.push_str(choice["finish_reason"].as_str().unwrap_or_default());
    }
    (text, arguments, end)
}

/// What a client gets of a stream that comes in batches, and whether the guard ended it.
pub(crate) fn streamed(policy: &PromptGuard, path: &str, batches: &[Vec<Frame>]) -> (Vec<Frame>, bool) {
    let exchange = asked(policy, path);
    let mut got = Vec::new();
    for (index, batch) in batches.iter().enumerate() {
        let ending = if index + 1 == batches.len() { Ending::Complete } else { Ending::Open };
        let (frames, is_ended) = one_batch(policy, &exchange, batch, ending);
        got.extend(frames);
        if is_ended {
            return (got, true);
        }
    }
    (got, false)
}

pub(crate) fn one_batch(
    policy: &PromptGuard,
    exchange: &Exchange,
    batch: &[Frame],
    ending: Ending,
) -> (Vec<Frame>, bool) {
    let event = |frame: &Frame| Event { name: frame.name.clone(), data: frame.data.clone() };
    let outcome = policy.on_event(exchange, batch.iter().map(event).collect(), ending);
    let frames = |events: Vec<Event>| {
        events.into_iter().map(|event| Frame { name: event.name, data: event.data }).collect::<Vec<_>>()
    };
    match outcome.unwrap_or_else(|failure| unreachable!("{failure:?}")) {
        Outcome::Pass | Outcome::Detach => (batch.to_vec(), false),
        Outcome::Send(events) => (frames(events), false),
        Outcome::Finish(events) => (frames(events), true),
    }
}
