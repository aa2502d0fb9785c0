//! Rules on requests.

use gatewright_llm::Dialect;
use gatewright_sdk::testing::{self, Body};
use gatewright_sdk::{Exchange, Policy};
use serde_json::{Value, json};

use crate::rig::{PATHS, emails, exchange, guard, passed};

/// A request that says an address wherever one can: as JSON, with blanks that nobody would write.
fn request(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Chat => concat!(
            r#"{ "model":"m","user":"a@x.org" ,"messages":[{"role":"system","content":"a@x.org\/"},"#,
            r#"{"role":"user","content":[ {"type":"text","text":"1.0 \u00e9 a\u0040x.org"},"#,
            r#"{"type":"image_url","image_url":{"url":"data:image/png;base64,a@x.org"}}]},"#,
            r#"{"role":"assistant","reasoning_content":"a@x.org","tool_calls":[{"id":"a@x.org","function":"#,
            r#"{"name":"f","arguments":"{\"to\":\"a\\u0040x.org\" }"}}]},"#,
            r#"{"role":"tool","tool_call_id":"a@x.org","content":"a@x.org"}],"#,
            r#""tools":[{"function":{"name":"f","description":"a@x.org"}}],"temperature":1e0}"#
        ),
        Dialect::Responses => concat!(
            r#"{"instructions":"a@x.org","input":[{"role":"user","content":[{"type":"input_text","text":"a@x.org"}]},"#,
            r#"{"type":"function_call","call_id":"c","arguments":"{\"to\":\"a@x.org\"}"},"#,
            r#"{"type":"function_call_output","output":"a@x.org"}],"metadata":{"a":"a@x.org"}}"#
        ),
        Dialect::Messages => concat!(
            r#"{"system":[{"type":"text","text":"a@x.org"}],"messages":[{"role":"user","content":"a@x.org"},"#,
            r#"{"role":"assistant","content":[{"type":"thinking","thinking":"a@x.org","signature":"a@x.org"},"#,
            r#"{"type":"tool_use","id":"t","name":"f","input":{ "to":"a\u0040x.org","id":"a@x.org"}}]},"#,
            r#"{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":[{"text":"a@x.org"}]},"#,
            r#"{"type":"document","source":{"type":"text","data":"a@x.org"}},"#,
            r#"{"type":"image","source":{"type":"base64","data":"a@x.org"}}]}]}"#
        ),
        Dialect::Gemini => concat!(
            r#"{"systemInstruction":{"parts":[{"text":"a@x.org"}]},"contents":[{"role":"user","parts":[{"text":"a@x.org"}]},"#,
            r#"{"role":"model","parts":[{"functionCall":{"name":"f","args":{"to":["a@x.org"]}}},{"text":"a@x.org","thought":true}]},"#,
            r#"{"role":"user","parts":[{"functionResponse":{"name":"f","response":{"name":"a@x.org"}}},"#,
            r#"{"inlineData":{"mimeType":"text/plain","data":"a@x.org"}}]}]}"#
        ),
        Dialect::Converse => concat!(
            r#"{"system":[{"text":"a@x.org"}],"messages":[{"role":"user","content":[{"text":"a@x.org"}]},"#,
            r#"{"role":"assistant","content":[{"reasoningContent":{"reasoningText":{"text":"a@x.org","signature":"a@x.org"}}},"#,
            r#"{"toolUse":{"toolUseId":"t","name":"f","input":{"to":"a@x.org"}}}]},"#,
            r#"{"role":"user","content":[{"toolResult":{"toolUseId":"t","content":[{"json":{"id":"a@x.org"}}]}}]}]}"#
        ),
        Dialect::Cohere => concat!(
            r#"{"messages":[{"role":"system","content":"a@x.org"},{"role":"user","content":"a@x.org"},"#,
            r#"{"role":"assistant","tool_plan":"a@x.org","tool_calls":[{"id":"c","function":{"arguments":"{\"a\":\"a@x.org\"}"}}]},"#,
            r#"{"role":"tool","tool_call_id":"c","content":[{"type":"document","document":{"data":{"id":"a@x.org"}}}]}],"#,
            r#""documents":[{"id":"a@x.org","data":{"title":"a@x.org"}}]}"#
        ),
    }
}

/// How often the address stays: where it names something, or is no text.
fn kept(dialect: Dialect) -> usize {
    match dialect {
        Dialect::Chat => 4,
        Dialect::Messages => 2,
        Dialect::Responses | Dialect::Gemini | Dialect::Converse | Dialect::Cohere => 1,
    }
}

#[test]
fn every_text_of_every_dialect_is_looked_at_and_no_other_byte_changes() {
    for (path, dialect) in PATHS {
        let body = request(dialect);
        let redacted = passed(&emails(), path, body);
        assert_eq!(redacted.matches("a@x.org").count(), kept(dialect), "{dialect:?}: {redacted}");
        assert!(redacted.matches("[email]").count() >= 4, "{dialect:?}: {redacted}");
        // Where it was written is all that changed.
        let plain = |text: &str| {
            ["a\\\\u0040x.org", "a\\u0040x.org", "a@x.org", "[email]"]
                .iter()
                .fold(text.to_owned(), |text, from| text.replace(from, "#"))
        };
        assert_eq!(plain(&redacted), plain(body), "{dialect:?}");
        assert!(serde_json::from_str::<Value>(&redacted).is_ok(), "{redacted}");
    }
}

#[test]
fn nothing_found_changes_nothing() {
    let policy = guard(&json!([{ "name": "x", "words": ["zebra"], "action": "redact" }]));
    for (path, dialect) in PATHS {
        assert_eq!(passed(&policy, path, request(dialect)), request(dialect));
    }
    let flag = guard(&json!([{ "name": "x", "kinds": ["email"], "action": "flag" }]));
    assert_eq!(passed(&flag, PATHS[0].0, request(Dialect::Chat)), request(Dialect::Chat));
}

/// What is left of texts of each role and part, in a request of chat completions.
fn left(rule: &Value) -> Vec<&'static str> {
    let names = ["system", "user", "assistant", "tool", "thought", "call", "definition"];
    let text = |name: &str| format!("zebra {name}");
    let call = json!({ "id": "c", "function": { "name": "f", "arguments": json!({ "a": text("call") }).to_string() } });
    let body = json!({
        "messages": [
            { "role": "developer", "content": text("system") },
            { "role": "user", "content": text("user") },
            { "role": "assistant", "content": text("assistant"), "reasoning_content": text("thought"), "tool_calls": [call] },
            { "role": "tool", "tool_call_id": "c", "content": text("tool") },
        ],
        "tools": [{ "type": "function", "function": { "name": "f", "description": text("definition") } }]
    });
    let redacted = passed(&guard(&json!([rule])), "/v1/chat/completions", &body.to_string());
    names.into_iter().filter(|name| redacted.contains(&text(name))).collect()
}

#[test]
fn a_rule_looks_where_it_is_told_to() {
    let rule = |more: Value| {
        let mut rule = json!({ "name": "x", "words": ["zebra"], "action": "redact" });
        rule.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        left(&rule)
    };
    let nothing: [&str; 0] = [];
    assert_eq!(rule(json!({})), nothing);
    assert_eq!(rule(json!({ "where": ["response"] })).len(), 7);
    let user = rule(json!({ "roles": ["user"] }));
    assert_eq!(user, ["system", "assistant", "tool", "thought", "call", "definition"]);
    assert_eq!(rule(json!({ "parts": ["text"] })), ["thought", "call", "definition"]);
    assert_eq!(rule(json!({ "parts": ["calls", "thoughts"] })), ["system", "user", "assistant", "tool", "definition"]);
}

#[test]
fn a_refusal_says_that_and_not_what() {
    let rules = json!([
        { "name": "names", "words": ["Project Zebra"], "action": "deny" },
        { "name": "mail", "kinds": ["email"], "action": "flag" },
    ]);
    let policy = guard(&rules);
    let body = r#"{"messages":[{"role":"user","content":"about PROJECT-zebra, a@x.org"}]}"#;
    let exchange = exchange("/v1/chat/completions");
    let answer = testing::answer(policy.on_request_body(&exchange, &Body::from(body)));
    assert_eq!((answer.status, answer.code.as_str()), (403, "prompt-denied"));
    assert!(!answer.message.to_lowercase().contains("zebra"));
    assert_eq!(exchange.metadata_text("guard.request").as_deref(), Some("names,mail"));
    assert_eq!(exchange.metadata_text("guard.action").as_deref(), Some("deny"));
    assert_eq!(testing::metric_total("guard_matches"), 2);
    assert!(testing::logged_lines().is_empty());

    let mild: prompt_guard::PromptGuard = testing::configured(json!({ "rules": rules, "status": 400 }));
    let answer = testing::answer(mild.on_request_body(&exchange, &Body::from(body)));
    assert_eq!(answer.status, 400);
}

#[test]
fn where_rules_overlap_the_first_is_written_and_nothing_shines_through() {
    let policy = guard(&json!([
        { "name": "a", "patterns": ["bcd", "\\bü\\w+"], "action": "redact", "replacement": "\"1\"" },
        { "name": "b", "patterns": ["abc", "def", "z{3}"], "action": "redact", "replacement": "" },
    ]));
    let body = r#"{"messages":[{"content":"xabcdefx über kübel zzzzzz."}]}"#;
    let expected = r#"{"messages":[{"content":"xx \"1\" kübel ."}]}"#;
    assert_eq!(passed(&policy, "/v1/chat/completions", body), expected);
}

#[test]
fn values_of_arguments_stay_json() {
    let policy = guard(&json!([
        { "name": "card", "kinds": ["credit-card"], "action": "redact", "replacement": "\"" },
        { "name": "not", "patterns": ["\\{", "true"], "action": "redact" },
    ]));
    let object = r#"{"messages":[{"role":"assistant","content":[{"type":"tool_use","input":{"n":-4111111111111111,"s":"4111111111111111","b":true}}]}]}"#;
    let expected = r#"{"messages":[{"role":"assistant","content":[{"type":"tool_use","input":{"n":"\"","s":"\"","b":"[not]"}}]}]}"#;
    assert_eq!(passed(&policy, "/v1/messages", object), expected);
    let text = r#"{"messages":[{"role":"assistant","tool_calls":[{"function":{"arguments":"{\"n\":4111111111111111,\"s\":\"{\"}"}}]}]}"#;
    let body: Value = serde_json::from_str(&passed(&policy, "/v1/chat/completions", text)).unwrap();
    let arguments = body["messages"][0]["tool_calls"][0]["function"]["arguments"].as_str().unwrap();
    assert_eq!(arguments, r#"{"n":"\"","s":"[not]"}"#);
}

#[test]
fn a_body_that_cannot_be_looked_at_does_not_pass() {
    let check = |exchange: Exchange, body: &[u8], status: u16, code: &str| {
        let answer = testing::answer(emails().on_request_body(&exchange, &Body::from(body)));
        assert_eq!((answer.status, answer.code.as_str()), (status, code));
    };
    let path = "/v1/messages";
    check(exchange(path), b"{", 400, "invalid-json");
    check(exchange(path), b"\xff", 400, "invalid-json");
    check(exchange(path).with_header("content-encoding", "gzip"), b"{}", 415, "unsupported-encoding");
}

#[test]
fn other_requests_are_left_alone() {
    for (method, path) in [("POST", "/v1/embeddings"), ("GET", "/v1/chat/completions")] {
        let body = Body::from("a@x.org");
        assert!(testing::passes(&emails().on_request_body(&Exchange::request(method, path), &body)));
        assert_eq!(body.text(), "a@x.org");
    }
}
