//! The mock upstream itself: as strict as the providers, and countable.

use harness::{Mock, http_post};
use serde_json::{Value, json};

/// What the mock answers to a body: the status, and what is wrong.
fn ask(mock: &Mock, path: &str, body: &Value) -> (u16, String) {
    let reply = http_post(mock.address, path, "anthropic-version: 2023-06-01\r\n", &body.to_string());
    let message = reply.json()["error"]["message"].as_str().unwrap_or_default().to_owned();
    (reply.status, message)
}

#[test]
fn openais_rules_are_kept() {
    let mock = Mock::start(&["--open"]);
    let user = json!({ "role": "user", "content": "x" });
    let call = json!({ "id": "c", "type": "function", "function": { "name": "f", "arguments": "{}" } });
    let assistant = json!({ "role": "assistant", "content": null, "tool_calls": [call] });
    let result = json!({ "role": "tool", "tool_call_id": "c", "content": "y" });
    let messages = |messages: Value| json!({ "model": "m", "messages": messages });
    let cases = [
        (json!({ "messages": [user] }), "model"),
        (json!({ "model": "m" }), "messages"),
        (messages(json!([])), "empty array"),
        (messages(json!([{ "role": "robot", "content": "x" }])), "robot"),
        (messages(json!([user, result])), "must be a response"),
        (messages(json!([user, assistant])), "did not have response messages: c"),
        (messages(json!([user, assistant, user])), "did not have response messages: c"),
        (json!({ "model": "m", "messages": [user], "temperature": 3 }), "temperature"),
        (json!({ "model": "m", "messages": [user], "stream_options": {} }), "stream_options"),
        (json!({ "model": "m", "messages": [user], "tool_choice": "auto" }), "tool_choice"),
        (json!({ "model": "m", "messages": [user], "top_k": 1 }), "top_k"),
    ];
    for (body, part) in cases {
        let (status, message) = ask(&mock, "/v1/chat/completions", &body);
        assert!(status == 400 && message.contains(part), "{body}: {status} {message}");
    }
    assert_eq!(ask(&mock, "/v1/chat/completions", &messages(json!([user, assistant, result]))).0, 200);
}

#[test]
fn anthropics_rules_are_kept() {
    let mock = Mock::start(&["--open"]);
    let user = json!({ "role": "user", "content": "x" });
    let call = json!({ "type": "tool_use", "id": "c", "name": "f", "input": {} });
    let assistant = json!({ "role": "assistant", "content": [call] });
    let result = json!({ "type": "tool_result", "tool_use_id": "c", "content": "y" });
    let text = json!({ "type": "text", "text": "z" });
    let results = |content: Value| json!({ "role": "user", "content": content });
    let messages = |messages: Value| json!({ "model": "m", "max_tokens": 9, "messages": messages });
    let cases = [
        (json!({ "max_tokens": 9, "messages": [user] }), "model"),
        (json!({ "model": "m", "messages": [user] }), "max_tokens"),
        (messages(json!([])), "at least one"),
        (messages(json!([assistant])), "first message"),
        (messages(json!([user, user])), "alternate"),
        (messages(json!([{ "role": "system", "content": "x" }])), "system"),
        (messages(json!([user, assistant, user])), "without `tool_result`"),
        (messages(json!([user, assistant, results(json!([text, result]))])), "without `tool_result`"),
        (messages(json!([results(json!([result]))])), "unexpected `tool_use_id`"),
        (messages(json!([{ "role": "user", "content": "" }])), "non-empty"),
        (json!({ "model": "m", "max_tokens": 9, "messages": [user], "temperature": 1.5 }), "temperature"),
        (json!({ "model": "m", "max_tokens": 9, "messages": [user], "n": 1 }), "n: Extra inputs"),
    ];
    for (body, part) in cases {
        let (status, message) = ask(&mock, "/v1/messages", &body);
        assert!(status == 400 && message.contains(part), "{body}: {status} {message}");
    }
    let good = messages(json!([user, assistant, results(json!([result, text]))]));
    assert_eq!(ask(&mock, "/v1/messages", &good).0, 200);
}

#[test]
fn a_key_is_asked_for_unless_open() {
    let mock = Mock::start(&[]);
    for path in ["/v1/chat/completions", "/v1/messages", "/v1/embeddings"] {
        assert_eq!(ask(&mock, path, &json!({})).0, 401, "{path}");
    }
}
