//! Requests made of many features at once, there and back: what is not told to be lost is there.

use gatewright_llm::Dialect;
use serde_json::{Map, Value, json};

use super::{Fate, fate, features, translated};
use crate::rig::Numbers;

/// Requests for each pair of dialects, unless `GATEWRIGHT_FUZZ` says how many.
const ROUNDS: usize = 100;

#[test]
fn what_is_carried_alone_is_carried_along_with_others() {
    let rounds = std::env::var_os("GATEWRIGHT_FUZZ").and_then(|rounds| rounds.to_str()?.parse::<usize>().ok());
    let rounds = rounds.map_or(ROUNDS, |all| all / 30);
    let (mut numbers, mut lost) = (Numbers(20), Vec::new());
    for client in Dialect::ALL {
        for upstream in Dialect::ALL.into_iter().filter(|other| *other != client) {
            let carried: Vec<Value> = features::all()
                .into_iter()
                .filter_map(|(_, said)| said.into_iter().find(|(dialect, _)| *dialect == client))
                .map(|(_, fragment)| fragment)
                .filter(|fragment| fate(client, upstream, fragment) == Fate::Carried)
                .collect();
            let ways: Vec<Way> =
                (0..rounds).map(|_| way(client, upstream, &request(client, &carried, &mut numbers))).collect();
            lost.extend(ways.iter().find_map(|way| if let Way::Lost(how) = way { Some(how.clone()) } else { None }));
            let whole = ways.iter().filter(|way| **way == Way::Whole).count();
            assert!(!lost.is_empty() || whole * 2 > rounds, "{client:?} to {upstream:?}: only {whole} of {rounds}");
        }
    }
    assert!(lost.is_empty(), "{}", lost.join("\n\n"));
}

/// What became of a request on its way there and back.
#[derive(PartialEq)]
enum Way {
    /// Nothing is lost.
    Whole,
    /// Something is, and it was said.
    Told,
    /// Something is, without a word.
    Lost(String),
}

fn way(client: Dialect, upstream: Dialect, body: &Value) -> Way {
    let Some((there, warning)) = translated(client, upstream, body) else { return Way::Told };
    let Some((back, warned)) = translated(upstream, client, &there) else { return Way::Told };
    if !warning.is_empty() || !warned.is_empty() {
        return Way::Told;
    }
    if features::holds(&plain(back.clone()), &plain(body.clone())) {
        return Way::Whole;
    }
    Way::Lost(format!("{client:?} to {upstream:?}:\n{body}\nbecame\n{there}\nand came back as\n{back}"))
}

/// A message of one text may say it with or without a part around it, as the sender likes.
fn plain(value: Value) -> Value {
    match value {
        Value::Array(items) => match items.as_slice() {
            [Value::Object(part)] if is_text(part) => part.get("text").cloned().unwrap_or_default(),
            // What a writer asks for besides, so that thoughts can come back.
            _ => items.into_iter().filter(|item| item != "reasoning.encrypted_content").map(plain).collect(),
        },
        Value::Object(members) => members.into_iter().map(|(name, value)| (name, plain(value))).collect(),
        other => other,
    }
}

fn is_text(part: &Map<String, Value>) -> bool {
    let kind = part.get("type").and_then(Value::as_str);
    part.len() == 2 && matches!(kind, Some("text" | "input_text" | "output_text")) && part.contains_key("text")
}

/// A request that says several of these, with texts of its own, in one conversation.
fn request(client: Dialect, carried: &[Value], numbers: &mut Numbers) -> Value {
    let turns = turns_of(client);
    let mut body = features::base(client);
    let mut conversation: Vec<Value> = Vec::new();
    for _ in 0..1 + numbers.below(6) {
        let Some(fragment) = carried.get(numbers.below(carried.len().max(1))) else { continue };
        let mut others: Map<String, Value> = fragment.as_object().cloned().unwrap_or_default();
        let said = others.remove(turns);
        let others = Value::Object(others);
        let begins = said.as_ref().is_some_and(|said| said[0]["role"] == "system");
        // An id is used once, and a system message stands first.
        let is_taken = others.to_string().contains("\"tools\"") && body.to_string().contains("\"tools\"");
        if conflicts(&body, &others) || is_taken || begins && !conversation.is_empty() {
            continue;
        }
        features::merge(&mut body, &others);
        if let Some(said) = said.as_ref().and_then(Value::as_array) {
            if conversation.last().is_some_and(|last| !is_models(last)) {
                conversation.push(answer(client));
            }
            conversation.extend_from_slice(said);
        }
    }
    if !conversation.is_empty() {
        body[turns] = conversation.into();
    }
    vary(&mut body, numbers);
    body
}

/// The member that holds the conversation.
fn turns_of(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Chat | Dialect::Messages | Dialect::Converse | Dialect::Cohere => "messages",
        Dialect::Responses => "input",
        Dialect::Gemini => "contents",
    }
}

fn is_models(turn: &Value) -> bool {
    turn["role"] == "assistant" || turn["role"] == "model" || turn["type"] == "function_call"
}

/// What the model said between two turns.
fn answer(dialect: Dialect) -> Value {
    match dialect {
        Dialect::Chat | Dialect::Messages | Dialect::Cohere => json!({ "role": "assistant", "content": "Hi" }),
        Dialect::Responses => {
            let content = json!([{ "type": "output_text", "text": "Hi", "annotations": [] }]);
            json!({ "type": "message", "role": "assistant", "content": content })
        }
        Dialect::Gemini => json!({ "role": "model", "parts": [{ "text": "Hi" }] }),
        Dialect::Converse => json!({ "role": "assistant", "content": [{ "text": "Hi" }] }),
    }
}

/// Whether both say something, and not the same.
fn conflicts(body: &Value, fragment: &Value) -> bool {
    match (body, fragment) {
        (Value::Object(body), Value::Object(fragment)) => {
            fragment.iter().any(|(name, value)| body.get(name).is_some_and(|body| conflicts(body, value)))
        }
        (body, fragment) => body != fragment,
    }
}

/// Puts other texts in place of those that say nothing.
fn vary(value: &mut Value, numbers: &mut Numbers) {
    match value {
        Value::String(text) if matches!(text.as_str(), "Hi" | "Be brief." | "done") => *text = words(numbers),
        Value::Array(items) => items.iter_mut().for_each(|item| vary(item, numbers)),
        Value::Object(members) => members.values_mut().for_each(|member| vary(member, numbers)),
        _ => {}
    }
}

fn words(numbers: &mut Numbers) -> String {
    const WORDS: [&str; 12] =
        ["one", "\"two\"", "\\", "\n", "é", "世界", "🎉", "\u{1}", "{\"a\":1}", "</x>", "data: [DONE]", "\u{2028}"];
    (0..1 + numbers.below(8)).map(|_| WORDS[numbers.below(WORDS.len())]).collect()
}
