//! No input makes the policy panic: every cut, and every replaced byte, of what it reads.

use gatewright_sdk::testing::Body;
use gatewright_sdk::{Ending, Event, Exchange, Policy};
use llm_normalize::LlmNormalize;
use serde_json::json;

use crate::rig::{anthropic, asked, exchange, openai};

const REQUEST: &str = r#"{"model":"fast","stream":true,"stream_options":{"include_usage":true},"temperature":1.5,"stop":["a"],
"messages":[{"role":"system","content":"S"},{"role":"user","content":[{"type":"text","text":"\ud83d\ude00é"},
{"type":"image_url","image_url":{"url":"data:image/png;base64,QUJD"}}]},{"role":"assistant","content":null,
"tool_calls":[{"id":"c","type":"function","function":{"name":"f.g","arguments":"{\"a\":1}"}}]},
{"role":"tool","tool_call_id":"c","content":"x"}],"tools":[{"type":"function","function":{"name":"f.g","parameters":{}}}],
"tool_choice":{"type":"function","function":{"name":"f.g"}},"reasoning_effort":"high",
"response_format":{"type":"json_schema","json_schema":{"name":"s","schema":{}}}}"#;
const RESPONSE: &str = r#"{"id":"m","model":"c","content":[{"type":"thinking","thinking":"t","signature":"s"},
{"type":"text","text":"\ud83d\ude00"},{"type":"tool_use","id":"t","name":"f","input":{"a":[1.0]}}],
"stop_reason":"tool_use","usage":{"input_tokens":1,"output_tokens":4294967295,"cache_read_input_tokens":4294967295}}"#;
const EVENTS: [&str; 7] = [
    r#"{"type":"message_start","message":{"id":"m","model":"c","usage":{"input_tokens":1}}}"#,
    r#"{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"t","name":"f","input":{"a":1}}}"#,
    r#"{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{\"a\""}}"#,
    r#"{"type":"content_block_stop","index":0}"#,
    r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":2}}"#,
    r#"{"type":"error","error":{"type":"overloaded_error","message":"m"}}"#,
    r#"{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":4},"finish_reason": "x"}"#,
];

/// Every cut of a text, and every byte of it replaced by one that means something in JSON.
fn mutations(text: &str) -> impl Iterator<Item = Vec<u8>> {
    let bytes = text.as_bytes().to_vec();
    let cuts = (0..bytes.len()).map({
        let bytes = bytes.clone();
        move |end| bytes.iter().take(end).copied().collect()
    });
    let replaced = (0..bytes.len()).flat_map(move |at| {
        let bytes = bytes.clone();
        b"\"{}[]:,0-n\\ \xff".iter().map(move |byte| {
            let mut changed = bytes.clone();
            changed[at] = *byte;
            changed
        })
    });
    cuts.chain(replaced)
}

#[test]
fn no_request_makes_it_panic() {
    for policy in [anthropic(), openai()] {
        for bytes in mutations(REQUEST) {
            let decided = policy.on_request_body(&exchange(), &Body::from(bytes.as_slice()));
            assert!(decided.is_ok(), "{decided:?}");
        }
    }
}

#[test]
fn no_response_makes_it_panic() {
    let asked_openai = || {
        let exchange = exchange();
        assert!(openai().on_request_body(&exchange, &Body::from(r#"{"model":"m"}"#)).is_ok());
        exchange
    };
    let check = |policy: LlmNormalize, exchange: &dyn Fn() -> Exchange| {
        for (status, bytes) in mutations(RESPONSE).flat_map(|bytes| [(200, bytes.clone()), (500, bytes)]) {
            let exchange = exchange();
            exchange.respond(status, &[]);
            // A failure is an answer; only a panic is not.
            let _decided = policy.on_response_body(&exchange, &Body::from(bytes.as_slice()));
        }
    };
    check(anthropic(), &|| asked(json!({})));
    check(openai(), &asked_openai);
}

#[test]
fn no_event_makes_it_panic() {
    for policy in [anthropic(), openai()] {
        for (place, event) in EVENTS.iter().enumerate() {
            for bytes in mutations(event) {
                let exchange = asked(json!({ "stream": true }));
                let mut data: Vec<_> = EVENTS.iter().map(|event| (*event).to_owned()).collect();
                data[place] = String::from_utf8_lossy(&bytes).into_owned();
                let events = data.into_iter().map(|data| Event { name: String::new(), data }).collect();
                assert!(policy.on_event(&exchange, events, Ending::Truncated).is_ok());
            }
        }
    }
}

#[test]
fn deep_nesting_is_refused_and_not_followed() {
    let deep = "[".repeat(100_000);
    for text in [deep.clone(), format!(r#"{{"model":"m","messages":{deep}"#), r#"{"a":"#.repeat(100_000)] {
        assert!(anthropic().on_request_body(&exchange(), &Body::from(text.as_str())).is_ok());
    }
}
