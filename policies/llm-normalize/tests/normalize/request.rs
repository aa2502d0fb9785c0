//! Requests to an upstream that speaks Anthropic messages.

use gatewright_sdk::testing::Body;
use gatewright_sdk::{Exchange, Policy, Scalar, testing};
use llm_normalize::LlmNormalize;
use serde_json::{Value, json};

use crate::rig::{anthropic, exchange, parsed, refused, translated, translated_by};

fn messages(messages: Value) -> Value {
    translated(json!({ "messages": messages })).0["messages"].take()
}

fn tool(name: &str) -> Value {
    json!({ "type": "function", "function": { "name": name, "parameters": { "type": "object" } } })
}

fn with(fields: Value) -> Value {
    let mut request = fields;
    request["messages"] = json!([{ "role": "user", "content": "Hi" }]);
    request
}

#[test]
fn path_headers_and_metadata_are_those_of_the_upstream() {
    let exchange = exchange().with_header("openai-organization", "acme").with_header("accept-encoding", "gzip");
    let request = json!({ "model": "fast", "stream": true, "messages": [{ "role": "user", "content": "Hi" }] });
    let body = Body::from(request.to_string().as_str());
    assert!(testing::passes(&anthropic().on_request_body(&exchange, &body)));
    assert_eq!(exchange.path(), "/v1/messages");
    assert_eq!(exchange.first_request_header("anthropic-version").as_deref(), Some("2023-06-01"));
    assert_eq!(exchange.first_request_header("accept-encoding").as_deref(), Some("identity"));
    assert_eq!(exchange.first_request_header("openai-organization"), None);
    assert_eq!(exchange.metadata_text("llm.requested-model").as_deref(), Some("fast"));
    assert_eq!(exchange.metadata_text("llm.model").as_deref(), Some("claude-haiku"));
    assert!(matches!(exchange.get_metadata("llm.stream"), Some(Scalar::Boolean(true))));
    let hello = json!([{ "type": "text", "text": "Hi" }]);
    let expected = json!({
        "model": "claude-haiku", "max_tokens": 4096, "stream": true, "messages": [{ "role": "user", "content": hello }],
    });
    assert_eq!(parsed(&body.text()), expected);
}

#[test]
fn what_is_no_chat_completion_passes_untouched() {
    for exchange in [Exchange::request("GET", "/v1/models"), Exchange::request("POST", "/v1/embeddings")] {
        let body = Body::from("anything");
        assert!(testing::passes(&anthropic().on_request_body(&exchange, &body)));
        assert_eq!(body.text(), "anything");
        exchange.respond(200, &[]);
        assert!(testing::passes(&anthropic().on_response_body(&exchange, &body)));
        assert_eq!(body.text(), "anything");
    }
}

#[test]
fn results_of_tools_come_first_and_in_one_message() {
    let call =
        |id: &str| json!({ "id": id, "type": "function", "function": { "name": "f", "arguments": "{\"a\": 1.0}" } });
    let sent = messages(json!([
        { "role": "user", "content": "Look." },
        { "role": "assistant", "content": null, "tool_calls": [call("c1"), call("c2")], "refusal": null, "annotations": [] },
        { "role": "tool", "tool_call_id": "c1", "content": "one" },
        { "role": "tool", "tool_call_id": "c2", "content": [{ "type": "text", "text": "two" }] },
        { "role": "user", "content": "And?" },
    ]));
    let text = |text: &str| json!({ "type": "text", "text": text });
    let used = |id: &str| json!({ "type": "tool_use", "id": id, "name": "f", "input": { "a": 1.0 } });
    let result = |id: &str, said: &str| json!({ "type": "tool_result", "tool_use_id": id, "content": [text(said)] });
    assert_eq!(
        sent,
        json!([
            { "role": "user", "content": [text("Look.")] },
            { "role": "assistant", "content": [used("c1"), used("c2")] },
            { "role": "user", "content": [result("c1", "one"), result("c2", "two"), text("And?")] },
        ])
    );
}

#[test]
fn one_side_twice_in_a_row_is_one_message() {
    let sent = messages(json!([
        { "role": "user", "content": "a" }, { "role": "user", "content": "b" },
        { "role": "assistant", "content": "c" }, { "role": "assistant", "content": "" }, { "role": "assistant", "content": "d" },
    ]));
    let roles: Vec<_> = sent.as_array().unwrap().iter().map(|message| message["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["user", "assistant"]);
    assert_eq!(sent[1]["content"].as_array().unwrap().len(), 2);
}

#[test]
fn system_messages_go_to_the_top() {
    let (sent, warning) = translated(json!({ "messages": [
        { "role": "system", "content": "S" },
        { "role": "developer", "content": [{ "type": "text", "text": "D", "cache_control": { "type": "ephemeral" } }] },
        { "role": "user", "content": "Hi" },
    ] }));
    let marked = json!({ "type": "text", "text": "D", "cache_control": { "type": "ephemeral" } });
    assert_eq!(sent["system"], json!([{ "type": "text", "text": "S" }, marked]));
    assert_eq!(warning, None);

    let late = json!([{ "role": "user", "content": "Hi" }, { "role": "system", "content": "S" }]);
    let (sent, warning) = translated(json!({ "messages": late }));
    assert_eq!(sent["system"][0]["text"], "S");
    assert!(warning.unwrap().contains("system message was moved"));
}

#[test]
fn images_and_files_keep_their_bytes_or_url() {
    let url = |url: &str| json!({ "type": "image_url", "image_url": { "url": url, "detail": "auto" } });
    let file =
        json!({ "type": "file", "file": { "filename": "a.pdf", "file_data": "data:application/pdf;base64,QUJD" } });
    let content = json!([url("data:image/png;base64,QUJD"), url("https://example.com/a.png"), file]);
    let sent = messages(json!([{ "role": "user", "content": content }]));
    assert_eq!(
        sent[0]["content"],
        json!([
            { "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": "QUJD" } },
            { "type": "image", "source": { "type": "url", "url": "https://example.com/a.png" } },
            { "type": "document", "title": "a.pdf",
              "source": { "type": "base64", "media_type": "application/pdf", "data": "QUJD" } },
        ])
    );
    let (code, message) =
        refused(json!({ "messages": [{ "role": "user", "content": [url("http://example.com/a.png")] }] }));
    assert_eq!(code, "invalid-request");
    assert!(message.starts_with("messages[0].content[0].image_url.url "), "{message}");
}

#[test]
fn tools_and_their_choice_are_carried_over() {
    let check = |choice: Value, expected: Value| {
        let mut request = with(json!({ "tools": [tool("f")] }));
        request.as_object_mut().unwrap().extend(choice.as_object().unwrap().clone());
        assert_eq!(translated(request).0["tool_choice"], expected, "{choice}");
    };
    check(json!({}), json!(null));
    check(json!({ "tool_choice": "auto" }), json!({ "type": "auto" }));
    check(json!({ "tool_choice": "none" }), json!({ "type": "none" }));
    check(json!({ "tool_choice": "required" }), json!({ "type": "any" }));
    let named = json!({ "type": "function", "function": { "name": "f" } });
    check(json!({ "tool_choice": named }), json!({ "type": "tool", "name": "f" }));
    let alone = json!({ "type": "auto", "disable_parallel_tool_use": true });
    check(json!({ "parallel_tool_calls": false }), alone);

    assert_eq!(translated(with(json!({ "tool_choice": "required" }))).0["tool_choice"], json!(null));
    let bare = json!([{ "type": "function", "function": { "name": "g", "description": "G" } }]);
    let expected = json!([{ "name": "g", "description": "G", "input_schema": { "type": "object" } }]);
    assert_eq!(translated(with(json!({ "tools": bare }))).0["tools"], expected);
}

#[test]
fn a_schema_keeps_the_bytes_it_was_written_with() {
    let request = r#"{"model":"m","messages":[{"role":"user","content":"Hi"}],"tools":[{"type":"function","function":{"name":"f","parameters":{ "type":"object","z":1.0,"a":1e3,"t":"\u00e9"}}}]}"#;
    let body = Body::from(request);
    assert!(testing::passes(&anthropic().on_request_body(&exchange(), &body)));
    assert!(body.text().contains(r#""input_schema":{ "type":"object","z":1.0,"a":1e3,"t":"\u00e9"}"#));
}

#[test]
fn a_name_that_the_upstream_refuses_is_changed_everywhere() {
    let name = format!("files.{}", "x".repeat(80));
    let request = json!({
        "messages": [
            { "role": "user", "content": "Hi" },
            { "role": "assistant", "tool_calls": [{ "id": "c", "type": "function", "function": { "name": name, "arguments": "" } }] },
            { "role": "tool", "tool_call_id": "c", "content": "" },
        ],
        "tools": [tool(&name), tool("files_y")],
        "tool_choice": { "type": "function", "function": { "name": name } },
    });
    let (sent, _) = translated(request);
    let changed = sent["tools"][0]["name"].as_str().unwrap();
    assert_eq!(changed.len(), 64);
    assert!(changed.starts_with("files_xxx"));
    assert_eq!(sent["tool_choice"]["name"], changed);
    assert_eq!(sent["messages"][1]["content"][0]["name"], changed);
    assert_eq!(sent["messages"][1]["content"][0]["input"], json!({}));
    assert_eq!(sent["tools"][1]["name"], "files_y");
}

#[test]
fn bounds_and_sampling_are_carried_over() {
    let check = |fields: Value, at: &str, expected: Value, warns: bool| {
        let (sent, warning) = translated(with(fields.clone()));
        assert_eq!((sent.pointer(at).cloned().unwrap_or_default(), warning.is_some()), (expected, warns), "{fields}");
    };
    check(json!({ "max_tokens": 7 }), "/max_tokens", json!(7), false);
    check(json!({ "max_tokens": 7, "max_completion_tokens": 9 }), "/max_tokens", json!(9), false);
    check(json!({ "stop": "x" }), "/stop_sequences", json!(["x"]), false);
    check(json!({ "stop": ["x", "y"] }), "/stop_sequences", json!(["x", "y"]), false);
    check(json!({ "stop": null }), "/stop_sequences", json!(null), false);
    check(json!({ "temperature": 0.5 }), "/temperature", json!(0.5), false);
    check(json!({ "temperature": 1.5 }), "/temperature", json!(1), true);
    check(json!({ "top_p": 0.5 }), "/top_p", json!(0.5), false);
    check(json!({ "user": "u" }), "/metadata/user_id", json!("u"), false);
    check(json!({ "seed": 1 }), "/seed", json!(null), true);
    check(json!({ "metadata": { "a": "b" } }), "/metadata", json!(null), true);
    check(json!({ "n": 1, "logprobs": false, "presence_penalty": 0, "logit_bias": {} }), "/n", json!(null), false);
    let schema = json!({ "type": "json_schema", "json_schema": { "name": "s", "strict": true, "schema": { "type": "object" } } });
    let format = json!({ "type": "json_schema", "schema": { "type": "object" } });
    check(json!({ "response_format": schema }), "/output_config/format", format, false);
    check(json!({ "response_format": { "type": "json_object" } }), "/output_config", json!(null), true);
}

#[test]
fn effort_is_carried_over_to_models_that_know_it() {
    let check = |fields: Value, thinking: Value, effort: Value, warns: bool| {
        let (sent, warning) = translated(with(fields.clone()));
        let seen = (sent["thinking"]["type"].clone(), sent["output_config"]["effort"].clone());
        assert_eq!((seen, sent["max_tokens"].clone()), ((thinking, effort), json!(4096)), "{fields}");
        assert_eq!(warning.is_some(), warns, "{fields}");
    };
    check(json!({}), json!(null), json!(null), false);
    check(json!({ "reasoning_effort": "none" }), json!("disabled"), json!(null), false);
    check(json!({ "reasoning_effort": "minimal" }), json!("adaptive"), json!("low"), false);
    check(json!({ "reasoning_effort": "xhigh" }), json!("adaptive"), json!("xhigh"), false);
    check(json!({ "reasoning_effort": "low", "temperature": 0.2 }), json!("adaptive"), json!("low"), true);
    let forced = json!({ "reasoning_effort": "low", "tools": [tool("f")], "tool_choice": "required" });
    check(forced, json!(null), json!(null), true);
}

#[test]
fn effort_becomes_a_budget_within_the_bound() {
    let policy: LlmNormalize = testing::configured(json!({ "dialect": "anthropic", "thinking": "budget" }));
    let check = |fields: Value, budget: Value, tokens: u32, warns: bool| {
        let (sent, warning) = translated_by(&policy, with(fields.clone()));
        let seen = (sent.pointer("/thinking/budget_tokens").cloned().unwrap_or_default(), sent["max_tokens"].clone());
        assert_eq!((seen, warning.is_some()), ((budget, json!(tokens)), warns), "{fields}");
    };
    check(json!({ "reasoning_effort": "none" }), json!(null), 4096, false);
    check(json!({ "reasoning_effort": "medium" }), json!(4096), 8192, false);
    check(json!({ "reasoning_effort": "high", "max_completion_tokens": 10_000 }), json!(5000), 10_000, false);
    check(json!({ "reasoning_effort": "high", "max_completion_tokens": 2048 }), json!(1024), 2048, false);
    check(json!({ "reasoning_effort": "high", "max_completion_tokens": 2047 }), json!(null), 2047, true);

    let call = json!({ "id": "c", "type": "function", "function": { "name": "f", "arguments": "{}" } });
    let (sent, warning) = translated_by(
        &policy,
        json!({ "reasoning_effort": "low", "messages": [
        { "role": "user", "content": "Hi" },
        { "role": "assistant", "tool_calls": [call] },
        { "role": "tool", "tool_call_id": "c", "content": "x" },
    ] }),
    );
    assert_eq!(sent["thinking"], json!(null));
    assert!(warning.unwrap().contains("did not come back"));
}

#[test]
fn signed_thoughts_come_back_as_they_were() {
    let details = json!([
        { "type": "reasoning.text", "index": 0, "text": "A", "signature": "sig-a" },
        { "type": "reasoning.text", "index": 1, "text": "", "signature": "sig-b" },
        { "type": "reasoning.encrypted", "index": 2, "data": "xyz" },
    ]);
    let assistant =
        json!({ "role": "assistant", "content": "B", "reasoning_content": "A", "reasoning_details": details });
    let (sent, warning) = translated(json!({ "messages": [{ "role": "user", "content": "Hi" }, assistant] }));
    let expected = json!([
        { "type": "thinking", "thinking": "A", "signature": "sig-a" },
        { "type": "thinking", "thinking": "", "signature": "sig-b" },
        { "type": "redacted_thinking", "data": "xyz" },
        { "type": "text", "text": "B" },
    ]);
    assert_eq!((sent["messages"][1]["content"].clone(), warning), (expected, None));

    let unsigned = json!({ "role": "assistant", "content": "B", "reasoning_content": "A" });
    let (sent, warning) = translated(json!({ "messages": [{ "role": "user", "content": "Hi" }, unsigned] }));
    assert_eq!(sent["messages"][1]["content"], json!([{ "type": "text", "text": "B" }]));
    assert!(warning.unwrap().contains("without a signature"));
}

#[test]
fn what_cannot_be_carried_over_is_refused_by_name() {
    let check = |fields: Value, at: &str| {
        let (code, message) = refused(with(fields));
        assert_eq!(code, "unsupported-field");
        assert!(message.starts_with(&format!("{at} ")), "{message}");
    };
    check(json!({ "n": 2 }), "n above 1");
    check(json!({ "logit_bias": { "1": 2 } }), "logit_bias");
    check(json!({ "logprobs": true }), "logprobs");
    check(json!({ "frequency_penalty": 0.1 }), "frequency_penalty");
    check(json!({ "web_search_options": { "a": 1 } }), "web_search_options");
    check(json!({ "functions": [{ "name": "f" }] }), "functions");
    check(
        json!({ "tools": [{ "type": "web_search_20250305", "name": "s" }] }),
        "tools[0].type \"web_search_20250305\"",
    );
    check(json!({ "tools": [{ "type": "function", "function": { "name": "f", "x": 1 } }] }), "tools[0].function.x");

    let message = json!({ "role": "user", "content": [{ "type": "smell", "smell": {} }] });
    let (code, message) = refused(json!({ "messages": [message] }));
    assert_eq!(code, "unsupported-field");
    assert!(message.starts_with("messages[0].content[0].type \"smell\""), "{message}");
}

#[test]
fn what_is_no_request_is_refused() {
    for (text, code) in [
        ("", "invalid-json"),
        ("[]", "invalid-request"),
        ("{", "invalid-json"),
        (r#"{"model":"m"}"#, "invalid-request"),
        (r#"{"messages":[]}"#, "invalid-request"),
        (r#"{"model":7,"messages":[{}]}"#, "invalid-request"),
        (r#"{"model":"m","model":"n","messages":[{"role":"user","content":""}]}"#, "unsupported-field"),
        (r#"{"model":"m","messages":[{"role":"king","content":""}]}"#, "unsupported-field"),
        (r#"{"model":"m","temperature":3,"messages":[{"role":"user","content":""}]}"#, "invalid-request"),
    ] {
        let answer = testing::answer(anthropic().on_request_body(&exchange(), &Body::from(text)));
        assert_eq!((answer.status, answer.code.as_str()), (400, code), "{text}");
    }
    let exchange = exchange().with_header("content-encoding", "gzip");
    assert_eq!(testing::answer(anthropic().on_request_body(&exchange, &Body::from(""))).status, 415);
}
