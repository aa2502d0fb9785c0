//! Requests, answers and streams that are torn, changed and shuffled: nothing panics, all that is written is JSON, and
//! every stream ends once. `GATEWRIGHT_FUZZ` says how many rounds to do.

use gatewright_llm::Dialect;
use gatewright_llm::dialect::{Frame, Options, Output};
use gatewright_llm::fault::{Ledger, OnLoss};
use gatewright_llm::tool_name::ToolNames;
use gatewright_llm::translate::{self, Asked, Pair, Relay};
use serde_json::{Value, json};

use crate::matrix::features;
use crate::pairs::{data, heading};
use crate::rig::Numbers;

fn rounds() -> usize {
    let rounds = std::env::var_os("GATEWRIGHT_FUZZ").and_then(|rounds| rounds.to_str()?.parse().ok());
    rounds.unwrap_or(4_000)
}

/// Any value, or one of those that dialects are sensitive to.
fn any_value(numbers: &mut Numbers) -> Value {
    match numbers.below(12) {
        0 => Value::Null,
        1 => json!(numbers.below(2) == 0),
        2 => json!(-1),
        3 => json!(1e300),
        4 => json!(4_294_967_296_u64),
        5 => json!(""),
        6 => json!("\u{1f600}\u{0}\"\\"),
        7 => json!("data:;base64,"),
        8 => json!([]),
        9 => json!({}),
        10 => json!([[{ "type": "text" }]]),
        _ => json!("x".repeat(numbers.below(300))),
    }
}

/// Changes one place of a value.
fn change(value: &mut Value, numbers: &mut Numbers) {
    let goes_deeper = numbers.below(5) > 0;
    match value {
        Value::Object(object) if goes_deeper && !object.is_empty() => {
            let name = object.keys().nth(numbers.below(object.len())).cloned().unwrap_or_default();
            match numbers.below(8) {
                0 => drop(object.remove(&name)),
                1 => {
                    let taken = object.remove(&name).unwrap_or_default();
                    object.insert(format!("{name}_"), taken);
                }
                _ => change(object.entry(name).or_insert(Value::Null), numbers),
            }
        }
        Value::Array(array) if goes_deeper && !array.is_empty() => {
            let at = numbers.below(array.len());
            match numbers.below(8) {
                0 => drop(array.remove(at)),
                1 => array.push(array[at].clone()),
                _ => change(&mut array[at], numbers),
            }
        }
        value => *value = any_value(numbers),
    }
}

/// The text of a value with so many changes; sometimes cut.
fn changed(value: &Value, numbers: &mut Numbers) -> String {
    let mut value = value.clone();
    for _ in 0..numbers.below(4) {
        change(&mut value, numbers);
    }
    let mut text = value.to_string();
    if numbers.below(16) == 0 {
        let at = (0..=numbers.below(text.len() + 1)).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(at);
    }
    text
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

fn any_dialect(numbers: &mut Numbers) -> Dialect {
    Dialect::ALL[numbers.below(Dialect::ALL.len())]
}

#[test]
fn changed_requests_are_translated_or_refused() {
    let mut numbers = Numbers(11);
    let all: Vec<(Dialect, Value)> = features::all().into_iter().flat_map(|(_, fragments)| fragments).collect();
    let mut good = 0;
    for _ in 0..rounds() {
        let (client, mut body) = {
            let (client, fragment) = &all[numbers.below(all.len())];
            let mut body = features::base(*client);
            features::merge(&mut body, fragment);
            (*client, body)
        };
        for (dialect, fragment) in [&all[numbers.below(all.len())], &all[numbers.below(all.len())]] {
            if *dialect == client {
                features::merge(&mut body, fragment);
            }
        }
        let body = changed(&body, &mut numbers);
        let on_loss = [OnLoss::ByWeight, OnLoss::Warn, OnLoss::Refuse][numbers.below(3)];
        let asked = Asked { client, body: &body, model: None, stream: None };
        for upstream in Dialect::ALL {
            match translate::request(&asked, upstream, &Options::DEFAULT, on_loss, |_| None) {
                Ok(request) => {
                    assert!(is_json(&request.body), "{client:?} {upstream:?} {body}: {}", request.body);
                    good += 1;
                }
                Err(fault) => assert!(!fault.to_string().is_empty()),
            }
        }
    }
    assert!(good > rounds() / 2, "{good}");
}

/// An answer with everything that most can say.
fn answer() -> Value {
    json!({ "id": "a1", "model": "m", "choices": [{ "index": 0, "finish_reason": "tool_calls", "message": {
        "role": "assistant", "content": "See a.", "reasoning_details": [
            { "type": "reasoning.text", "text": "Hm.", "signature": "c2ln", "format": "anthropic-claude-v1", "index": 0 },
            { "type": "reasoning.encrypted", "data": "ZGFyaw==", "format": "google-gemini-v1", "index": 1 }],
        "annotations": [{ "type": "url_citation", "url_citation": { "start_index": 4, "end_index": 5, "title": "A", "url": "https://a.test" } }],
        "tool_calls": [{ "id": "c1", "type": "function", "function": { "name": "look", "arguments": "{\"a\":[1,2.5,\"\u{1f600}\"]}" } },
            { "id": "c2", "type": "function", "function": { "name": "look", "arguments": "{}" } }] } }],
        "usage": { "prompt_tokens": 100, "completion_tokens": 50, "prompt_tokens_details": { "cached_tokens": 20 } } })
}

#[test]
fn changed_answers_are_translated_or_the_providers_fault() {
    let mut numbers = Numbers(13);
    let names = ToolNames::default();
    let own: Vec<(Dialect, Value)> = Dialect::ALL
        .into_iter()
        .map(|dialect| {
            let pair = Pair { client: dialect, upstream: Dialect::Chat };
            let written = translate::response(pair, &answer().to_string(), &names, &heading(), &mut Ledger::default());
            (dialect, crate::rig::parsed(&written.unwrap().body))
        })
        .collect();
    let mut good = 0;
    for _ in 0..rounds() {
        let (upstream, body) = &own[numbers.below(own.len())];
        let body = changed(body, &mut numbers);
        for client in Dialect::ALL {
            let pair = Pair { client, upstream: *upstream };
            match translate::response(pair, &body, &names, &heading(), &mut Ledger::default()) {
                Ok(response) => {
                    assert!(is_json(&response.body), "{pair:?} {body}: {}", response.body);
                    good += 1;
                }
                Err(error) => assert!(!error.message.is_empty()),
            }
            let (status, error) = translate::error(pair, 400 + u16::try_from(numbers.below(200)).unwrap(), &body);
            assert!(is_json(&error) && (400..600).contains(&status), "{pair:?} {body}");
        }
    }
    assert!(good > rounds(), "{good}");
}

/// The same answer, as chat completions stream it.
fn streamed() -> Vec<Frame> {
    let chunk = |delta: Value, finish: Option<&str>| json!({ "id": "a1", "model": "m", "choices": [{ "index": 0, "delta": delta, "finish_reason": finish }] });
    let call = |index: u32, id: Option<&str>, arguments: &str| {
        let name = id.map(|_| "look");
        chunk(
            json!({ "tool_calls": [{ "index": index, "id": id, "function": { "name": name, "arguments": arguments } }] }),
            None,
        )
    };
    data(&[
        chunk(
            json!({ "role": "assistant", "reasoning_details": [{ "type": "reasoning.text", "text": "Hm.", "index": 0 }] }),
            None,
        ),
        chunk(
            json!({ "reasoning_details": [{ "type": "reasoning.text", "signature": "c2ln", "format": "anthropic-claude-v1", "index": 0 }] }),
            None,
        ),
        chunk(json!({ "content": "See \u{1f600}" }), None),
        chunk(json!({ "content": " a.\n" }), None),
        call(0, Some("c1"), ""),
        call(1, Some("c2"), "{\"b\":"),
        call(0, None, "{\"a\":1}"),
        call(1, None, "2}"),
        chunk(json!({}), Some("tool_calls")),
        json!({ "id": "a1", "choices": [], "usage": { "prompt_tokens": 9, "completion_tokens": 4 } }),
        json!("[DONE]"),
    ])
}

#[test]
fn changed_streams_end_once_and_say_nothing_after() {
    let mut numbers = Numbers(17);
    let own: Vec<(Dialect, Vec<Frame>)> = Dialect::ALL
        .into_iter()
        .map(|dialect| (dialect, crate::pairs::stream(dialect, Dialect::Chat, &streamed(), &heading())))
        .collect();
    let mut whole = 0;
    for _ in 0..rounds() {
        let (upstream, frames) = &own[numbers.below(own.len())];
        let mut frames = frames.clone();
        for _ in 0..numbers.below(4) {
            let (at, other) = (numbers.below(frames.len()), numbers.below(frames.len()));
            match numbers.below(5) {
                0 => drop(frames.remove(at)),
                1 => frames.insert(at, frames[other].clone()),
                2 => frames.swap(at, other),
                _ => {
                    let value = serde_json::from_str(&frames[at].data).unwrap_or_default();
                    frames[at].data = changed(&value, &mut numbers);
                }
            }
            if frames.is_empty() {
                frames.push(Frame::default());
            }
        }
        let client = any_dialect(&mut numbers);
        whole += u32::from(check_stream(Pair { client, upstream: *upstream }, &frames));
    }
    assert!(whole > 100, "{whole}");
}

/// Whether the stream ended well.
fn check_stream(pair: Pair, frames: &[Frame]) -> bool {
    let (mut relay, mut output) = (Relay::new(pair), Output::default());
    let names = ToolNames::default();
    for frame in frames {
        let (was_over, before) = (relay.tally().outcome.is_some(), output.frames.len());
        relay.read(frame, &names, &heading(), &mut output);
        assert!(!was_over || output.frames.len() == before, "{pair:?} goes on after its end: {frames:?}");
    }
    let was_over = relay.tally().outcome.is_some();
    let before = output.frames.len();
    relay.close(&heading(), &mut output);
    assert!(!was_over || output.frames.len() == before, "{pair:?} ends twice: {frames:?}");
    assert!(relay.tally().outcome.is_some(), "{pair:?} never ends: {frames:?}");
    for frame in &output.frames {
        assert!(frame.data == "[DONE]" || is_json(&frame.data), "{pair:?} {frame:?}");
    }
    relay.tally().outcome == Some(translate::Outcome::Complete)
}
