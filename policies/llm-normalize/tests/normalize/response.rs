//! Whole responses of an upstream that speaks Anthropic messages.

use gatewright_sdk::testing::Body;
use gatewright_sdk::{Exchange, Policy, Scalar, testing};
use serde_json::{Value, json};

use crate::rig::{anthropic, asked, exchange, parsed};

fn answered(exchange: &Exchange, content: &Value, stop_reason: &str) -> Value {
    let message = json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-haiku-1", "content": content,
        "stop_reason": stop_reason,
        "usage": { "input_tokens": 3, "cache_creation_input_tokens": 12304, "cache_read_input_tokens": 20, "output_tokens": 550 },
    });
    let body = Body::from(message.to_string().as_str());
    exchange.respond(200, &[("content-type", "application/json")]);
    assert!(testing::passes(&anthropic().on_response_body(exchange, &body)));
    parsed(&body.text())
}

#[test]
fn a_message_becomes_a_completion() {
    let exchange = asked(json!({}));
    let content = json!([{ "type": "text", "text": "Hello" }, { "type": "text", "text": " there" }]);
    let usage = json!({
        "prompt_tokens": 12327, "completion_tokens": 550, "total_tokens": 12877,
        "prompt_tokens_details": { "cached_tokens": 20, "cache_write_tokens": 12304 },
        "completion_tokens_details": { "reasoning_tokens": 0 },
    });
    let message = json!({ "role": "assistant", "content": "Hello there", "refusal": null, "annotations": [] });
    let choice = json!({ "index": 0, "message": message, "logprobs": null, "finish_reason": "stop" });
    assert_eq!(
        answered(&exchange, &content, "end_turn"),
        json!({
            "id": "msg_1", "object": "chat.completion", "created": 1_700_000_000, "model": "claude-haiku-1",
            "choices": [choice], "usage": usage,
        })
    );
    assert!(matches!(exchange.get_metadata("llm.input-tokens"), Some(Scalar::Number(count)) if count == 12327.0));
    assert!(matches!(exchange.get_metadata("llm.output-tokens"), Some(Scalar::Number(count)) if count == 550.0));
    assert_eq!(exchange.metadata_text("llm.outcome").as_deref(), Some("complete"));
}

#[test]
fn calls_of_tools_keep_their_arguments_as_written() {
    let message = r#"{"id":"m","model":"c","stop_reason":"tool_use","content":[
        {"type":"tool_use","id":"t1","name":"f","input":{}},{"type":"tool_use","id":"t2","name":"g","input":{ "z":1.0}}]}"#;
    let (exchange, body) = (asked(json!({})), Body::from(message));
    exchange.respond(200, &[]);
    assert!(testing::passes(&anthropic().on_response_body(&exchange, &body)));
    let choice = parsed(&body.text())["choices"][0].take();
    let call = |id: &str, name: &str, arguments: &str| json!({ "id": id, "type": "function", "function": { "name": name, "arguments": arguments } });
    assert_eq!(choice["message"]["content"], json!(null));
    assert_eq!(choice["message"]["tool_calls"], json!([call("t1", "f", "{}"), call("t2", "g", "{ \"z\":1.0}")]));
    assert_eq!(choice["finish_reason"], "tool_calls");
}

#[test]
fn every_reason_to_stop_has_a_counterpart() {
    for (reason, finish) in [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("something_new", "stop"),
    ] {
        let completion = answered(&asked(json!({})), &json!([]), reason);
        assert_eq!(completion["choices"][0]["finish_reason"], finish, "{reason}");
    }
}

/// Who signed a thought.
const FORMAT: &str = "anthropic-claude-v1";

#[test]
fn thoughts_keep_order_and_signatures() {
    let content = json!([
        { "type": "thinking", "thinking": "A", "signature": "sig-a" },
        { "type": "redacted_thinking", "data": "xyz" },
        { "type": "text", "text": "B" },
    ]);
    let completion = answered(&asked(json!({})), &content, "end_turn");
    let message = &completion["choices"][0]["message"];
    assert_eq!(message["reasoning_content"], "A");
    assert_eq!(
        message["reasoning_details"],
        json!([
            { "type": "reasoning.text", "index": 0, "text": "A", "signature": "sig-a", "format": FORMAT },
            { "type": "reasoning.encrypted", "index": 1, "data": "xyz", "format": FORMAT },
        ])
    );
}

#[test]
fn what_cannot_be_shown_is_a_warning() {
    let exchange = asked(json!({}));
    answered(&exchange, &json!([{ "type": "server_tool_use", "id": "s" }]), "end_turn");
    let warning = exchange.first_response_header("x-gatewright-warning").unwrap();
    assert_eq!(warning, "left out: a block of type \"server_tool_use\"");
}

#[test]
fn a_changed_name_of_a_tool_changes_back() {
    let tools = json!([{ "type": "function", "function": { "name": "files.read" } }]);
    let request = json!({ "model": "m", "messages": [{ "role": "user", "content": "Hi" }], "tools": tools });
    let (exchange, body) = (exchange(), Body::from(request.to_string().as_str()));
    assert!(testing::passes(&anthropic().on_request_body(&exchange, &body)));
    let sent = parsed(&body.text())["tools"][0]["name"].take();
    assert_ne!(sent, "files.read");
    let content = json!([{ "type": "tool_use", "id": "t", "name": sent, "input": {} }]);
    let completion = answered(&exchange, &content, "tool_use");
    assert_eq!(completion["choices"][0]["message"]["tool_calls"][0]["function"]["name"], "files.read");
}

#[test]
fn an_answer_that_cannot_be_read_is_the_providers_fault() {
    for text in ["", "{}", "<html>", "[]", r#"{"id":1}"#] {
        let exchange = asked(json!({}));
        exchange.respond(200, &[]);
        let body = Body::from(text);
        assert!(testing::passes(&anthropic().on_response_body(&exchange, &body)));
        assert_eq!(exchange.response_status(), Some(502));
        assert_eq!(parsed(&body.text())["error"]["type"], "server_error");
        assert_eq!(exchange.metadata_text("llm.outcome").as_deref(), Some("error"));
    }
}
