//! One exchange between a client and an upstream.

use gatewright_sdk::testing::Body;
use gatewright_sdk::{Ending, Event, Exchange, Outcome, Policy, testing};
use llm_normalize::LlmNormalize;
use serde_json::{Value, json};

pub(crate) fn anthropic() -> LlmNormalize {
    testing::configured(json!({ "dialect": "anthropic", "models": { "fast": "claude-haiku" } }))
}

pub(crate) fn openai() -> LlmNormalize {
    testing::configured(json!({ "dialect": "openai", "models": { "fast": "gpt-mini" } }))
}

pub(crate) fn exchange() -> Exchange {
    testing::set_clock_ms(1_700_000_000_000.0);
    Exchange::request("POST", "/v1/chat/completions").with_header("content-type", "application/json")
}

/// What an Anthropic upstream gets of a request, and the warning that the client gets.
pub(crate) fn translated(request: Value) -> (Value, Option<String>) {
    translated_by(&anthropic(), request)
}

pub(crate) fn translated_by(policy: &LlmNormalize, mut request: Value) -> (Value, Option<String>) {
    request["model"] = json!("fast");
    let (exchange, body) = (exchange(), Body::from(request.to_string().as_str()));
    let decided = policy.on_request_body(&exchange, &body);
    assert!(testing::passes(&decided), "{decided:?}");
    exchange.respond(200, &[]);
    assert!(testing::passes(&policy.on_response(&exchange)));
    (parsed(&body.text()), exchange.first_response_header("x-gatewright-warning"))
}

/// The code and the message with which a request is refused.
pub(crate) fn refused(mut request: Value) -> (String, String) {
    request["model"] = json!("fast");
    let answer = testing::answer(anthropic().on_request_body(&exchange(), &Body::from(request.to_string().as_str())));
    assert_eq!(answer.status, 400);
    (answer.code, answer.message)
}

/// An exchange whose request has gone out to an Anthropic upstream.
pub(crate) fn asked(mut request: Value) -> Exchange {
    request["model"] = json!("fast");
    request["messages"] = json!([{ "role": "user", "content": "Hi" }]);
    let exchange = exchange();
    let decided = anthropic().on_request_body(&exchange, &Body::from(request.to_string().as_str()));
    assert!(testing::passes(&decided), "{decided:?}");
    exchange
}

/// The events that a client gets for one batch, and whether the stream was ended.
pub(crate) fn batch(
    policy: &LlmNormalize,
    exchange: &Exchange,
    data: &[String],
    ending: Ending,
) -> (Vec<String>, bool) {
    let events: Vec<_> = data.iter().map(|data| Event { name: String::new(), data: data.clone() }).collect();
    match policy.on_event(exchange, events, ending).unwrap() {
        Outcome::Pass | Outcome::Detach => (data.to_vec(), false),
        Outcome::Send(events) => (events.into_iter().map(|event| event.data).collect(), false),
        Outcome::Finish(events) => (events.into_iter().map(|event| event.data).collect(), true),
    }
}

pub(crate) fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| unreachable!("{error}: {text}"))
}
