//! Streams of an upstream that speaks Anthropic messages.

use gatewright_sdk::testing::Body;
use gatewright_sdk::{Ending, Exchange, Policy, Scalar};
use serde_json::{Value, json};

use crate::rig::{anthropic, asked, batch, parsed};

fn start(id: &str) -> Value {
    let usage = json!({ "input_tokens": 43, "output_tokens": 1 });
    json!({ "type": "message_start", "message": { "id": id, "model": "claude", "content": [], "usage": usage } })
}

fn open(index: u32, block: Value) -> Value {
    json!({ "type": "content_block_start", "index": index, "content_block": block })
}

fn delta(index: u32, delta: Value) -> Value {
    json!({ "type": "content_block_delta", "index": index, "delta": delta })
}

fn close(index: u32) -> Value {
    json!({ "type": "content_block_stop", "index": index })
}

fn ending(reason: &str) -> [Value; 2] {
    let usage = json!({ "input_tokens": 61, "output_tokens": 2 });
    [
        json!({ "type": "message_delta", "delta": { "stop_reason": reason, "stop_sequence": null }, "usage": usage }),
        json!({ "type": "message_stop" }),
    ]
}

fn texts(events: &[Value]) -> Vec<String> {
    events.iter().map(Value::to_string).collect()
}

/// All that a client gets, which must not depend on how the events were batched.
fn streamed(request: &Value, events: &[Value], last: Ending) -> (Vec<String>, Exchange) {
    let mut seen = Vec::new();
    for size in [1, 2, events.len().max(1)] {
        let exchange = asked(request.clone());
        let mut got = Vec::new();
        let mut is_finished = false;
        for part in texts(events).chunks(size) {
            if !is_finished {
                let (more, finished) = batch(&anthropic(), &exchange, part, Ending::Open);
                got.extend(more);
                is_finished = finished;
            }
        }
        if !is_finished {
            got.extend(batch(&anthropic(), &exchange, &[], last).0);
        }
        seen.push((got, exchange));
    }
    assert_eq!(seen[0].0, seen[1].0);
    assert_eq!(seen[1].0, seen[2].0);
    seen.remove(0)
}

fn choices(chunks: &[String]) -> Vec<Value> {
    chunks.iter().filter(|chunk| *chunk != "[DONE]").map(|chunk| parsed(chunk)["choices"][0].take()).collect()
}

#[test]
fn text_becomes_chunks_with_one_end() {
    let mut events = vec![start("msg_1"), json!({ "type": "ping" }), open(0, json!({ "type": "text", "text": "" }))];
    events.extend([
        delta(0, json!({ "type": "text_delta", "text": "Hé" })),
        delta(0, json!({ "type": "text_delta", "text": "llo" })),
    ]);
    events.push(close(0));
    events.extend(ending("end_turn"));
    events.push(delta(0, json!({ "type": "text_delta", "text": "late" })));
    let (chunks, exchange) = streamed(&json!({ "stream": true }), &events, Ending::Complete);

    let first = parsed(&chunks[0]);
    assert_eq!((first["id"].as_str(), first["object"].as_str()), (Some("msg_1"), Some("chat.completion.chunk")));
    assert_eq!((first["created"].as_u64(), first["model"].as_str()), (Some(1_700_000_000), Some("claude")));
    assert_eq!(chunks.len(), 5);
    assert_eq!(chunks.last().map(String::as_str), Some("[DONE]"));
    let choices = choices(&chunks);
    assert_eq!(
        choices[0],
        json!({ "index": 0, "delta": { "role": "assistant", "content": "" }, "finish_reason": null })
    );
    assert_eq!(choices[1]["delta"], json!({ "content": "Hé" }));
    assert_eq!(choices[2]["delta"], json!({ "content": "llo" }));
    assert_eq!(choices[3], json!({ "index": 0, "delta": {}, "finish_reason": "stop" }));
    assert_eq!(exchange.metadata_text("llm.outcome").as_deref(), Some("complete"));
    assert!(matches!(exchange.get_metadata("llm.input-tokens"), Some(Scalar::Number(count)) if count == 61.0));
    assert!(matches!(exchange.get_metadata("llm.output-tokens"), Some(Scalar::Number(count)) if count == 2.0));
}

#[test]
fn usage_is_the_last_value_and_only_for_who_asked() {
    let mut events = vec![start("m")];
    events.extend(ending("end_turn"));
    let asked_for = json!({ "stream": true, "stream_options": { "include_usage": true } });
    let (chunks, _) = streamed(&asked_for, &events, Ending::Complete);
    let usage = parsed(&chunks[chunks.len() - 2]);
    assert_eq!(usage["choices"], json!([]));
    assert_eq!(
        (usage["usage"]["prompt_tokens"].as_u64(), usage["usage"]["completion_tokens"].as_u64()),
        (Some(61), Some(2))
    );
    assert_eq!(chunks.iter().filter(|chunk| chunk.contains("\"usage\":{")).count(), 1);

    let (chunks, _) = streamed(&json!({ "stream": true }), &events, Ending::Complete);
    assert!(!chunks.iter().any(|chunk| chunk.contains("\"usage\"")));
}

#[test]
fn calls_are_counted_from_0_and_have_arguments() {
    let call = |id: &str, name: &str| json!({ "type": "tool_use", "id": id, "name": name, "input": {} });
    let arguments = |text: &str| json!({ "type": "input_json_delta", "partial_json": text });
    let mut events = vec![start("m"), open(0, json!({ "type": "text", "text": "Look" })), close(0)];
    events.extend([open(1, call("t1", "f")), delta(1, arguments("")), close(1)]);
    events.extend([open(2, call("t2", "g")), delta(2, arguments("{\"a\":")), delta(2, arguments("1.0}")), close(2)]);
    events.extend(ending("tool_use"));
    let (chunks, _) = streamed(&json!({ "stream": true }), &events, Ending::Complete);
    let calls: Vec<_> =
        choices(&chunks).into_iter().filter_map(|choice| choice["delta"]["tool_calls"].get(0).cloned()).collect();
    let begins = |index: u32, id: &str, name: &str| json!({ "index": index, "id": id, "type": "function", "function": { "name": name, "arguments": "" } });
    let goes_on = |index: u32, arguments: &str| json!({ "index": index, "function": { "arguments": arguments } });
    let expected =
        [begins(0, "t1", "f"), goes_on(0, "{}"), begins(1, "t2", "g"), goes_on(1, "{\"a\":"), goes_on(1, "1.0}")];
    assert_eq!(calls, expected);
    assert_eq!(choices(&chunks).pop().unwrap()["finish_reason"], "tool_calls");
}

#[test]
fn thoughts_carry_their_signature() {
    let mut events = vec![start("m"), open(0, json!({ "type": "thinking", "thinking": "", "signature": "" }))];
    events.push(delta(0, json!({ "type": "thinking_delta", "thinking": "A" })));
    events.push(delta(0, json!({ "type": "signature_delta", "signature": "sig" })));
    events.extend([close(0), open(1, json!({ "type": "redacted_thinking", "data": "xyz" })), close(1)]);
    events.extend(ending("end_turn"));
    let (chunks, _) = streamed(&json!({ "stream": true }), &events, Ending::Complete);
    let choices = choices(&chunks);
    let details = |at: usize| choices[at]["delta"]["reasoning_details"][0].clone();
    assert_eq!(choices[1]["delta"]["reasoning_content"], "A");
    assert_eq!(details(1), json!({ "type": "reasoning.text", "index": 0, "text": "A" }));
    assert_eq!(
        details(2),
        json!({ "type": "reasoning.text", "index": 0, "signature": "sig", "format": "anthropic-claude-v1" })
    );
    assert_eq!(
        details(3),
        json!({ "type": "reasoning.encrypted", "index": 1, "data": "xyz", "format": "anthropic-claude-v1" })
    );
}

/// The stream has an error, and nothing that looks like a good end.
fn ends_in_error(events: &[Value], last: Ending, code: &Value, outcome: &str) {
    let (chunks, exchange) = streamed(&json!({ "stream": true }), events, last);
    let error = parsed(chunks.last().unwrap())["error"].take();
    assert_eq!(error["code"], *code, "{chunks:?}");
    assert!(!chunks.iter().any(|chunk| chunk == "[DONE]" || chunk.contains("\"finish_reason\":\"")), "{chunks:?}");
    assert_eq!(chunks.iter().filter(|chunk| chunk.starts_with("{\"error\"")).count(), 1);
    assert_eq!(exchange.metadata_text("llm.outcome").as_deref(), Some(outcome));
}

#[test]
fn a_truncated_stream_ends_in_an_error() {
    let text = [start("m"), open(0, json!({ "type": "text", "text": "Hel" }))];
    for last in [Ending::Complete, Ending::Truncated] {
        ends_in_error(&[], last, &json!("stream_truncated"), "truncated");
        ends_in_error(&text, last, &json!("stream_truncated"), "truncated");
        ends_in_error(&[start("m"), ending("end_turn")[0].clone()], last, &json!("stream_truncated"), "truncated");
        ends_in_error(&[start("m"), ending("end_turn")[1].clone()], last, &json!("stream_truncated"), "truncated");
    }
}

#[test]
fn an_error_in_the_stream_is_passed_on() {
    let overloaded = json!({ "type": "error", "error": { "type": "overloaded_error", "message": "Overloaded" } });
    ends_in_error(&[start("m"), overloaded], Ending::Complete, &json!("overloaded"), "error");
    ends_in_error(&[start("m"), json!("not an event")], Ending::Complete, &json!(null), "error");
}

#[test]
fn a_second_message_never_mixes_with_the_first() {
    let call = json!({ "type": "tool_use", "id": "t", "name": "f", "input": {} });
    let half = delta(0, json!({ "type": "input_json_delta", "partial_json": "{\"value\":\"Spark" }));
    let spliced = [start("first"), open(0, call), half, start("second"), close(0)];
    ends_in_error(&spliced, Ending::Complete, &json!(null), "error");

    let mut twice = vec![start("m"), start("m"), open(0, json!({ "type": "text", "text": "Hi" })), close(0)];
    twice.extend(ending("end_turn"));
    let (chunks, _) = streamed(&json!({ "stream": true }), &twice, Ending::Complete);
    assert_eq!(chunks.len(), 4);
}

#[test]
fn a_second_attempt_starts_a_stream_anew() {
    let exchange = asked(json!({ "stream": true }));
    let overloaded = json!({ "type": "error", "error": { "type": "overloaded_error", "message": "Overloaded" } });
    assert!(batch(&anthropic(), &exchange, &texts(&[start("first"), overloaded]), Ending::Complete).1);

    let request = json!({ "model": "m", "stream": true, "messages": [{ "role": "user", "content": "Hi" }] });
    exchange.set_path("/v1/chat/completions", None).unwrap();
    assert!(anthropic().on_request_body(&exchange, &Body::from(request.to_string().as_str())).is_ok());
    let mut events = vec![start("second")];
    events.extend(ending("end_turn"));
    let (chunks, _) = batch(&anthropic(), &exchange, &texts(&events), Ending::Complete);
    assert_eq!(chunks.last().map(String::as_str), Some("[DONE]"));
}
