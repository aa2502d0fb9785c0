//! Anthropic Messages.

use gatewright_llm::Dialect::{Chat, Messages};
use serde_json::{Value, json};

use crate::pairs::{data, heading, request, response, said, stream, try_request, typed};
use crate::rig::parsed;

/// Everything that a request can say.
fn everything() -> Value {
    json!({
        "model": "claude", "max_tokens": 20000,
        "tools": [{ "name": "look", "description": "Looks.", "input_schema": { "type": "object", "b": 1.0, "a": 2 },
            "strict": true, "cache_control": { "type": "ephemeral", "ttl": "1h" } }, { "name": "bare", "input_schema": { "type": "object" } }],
        "tool_choice": { "type": "auto", "disable_parallel_tool_use": true },
        "system": [{ "type": "text", "text": "Be brief.", "cache_control": { "type": "ephemeral" } }],
        "messages": [
            { "role": "user", "content": [
                { "type": "text", "text": "See \"this\" \u{1f600}" },
                { "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": "AAAA" } },
                { "type": "image", "source": { "type": "url", "url": "https://a.test/b.png" } },
                { "type": "image", "source": { "type": "file", "file_id": "file_1" } },
                { "type": "document", "source": { "type": "base64", "media_type": "application/pdf", "data": "BBBB" },
                    "title": "A", "context": "Old.", "citations": { "enabled": true } },
                { "type": "document", "source": { "type": "text", "media_type": "text/plain", "data": "Plain." } } ] },
            { "role": "assistant", "content": [
                { "type": "thinking", "thinking": "One.", "signature": "sigA" },
                { "type": "thinking", "thinking": "", "signature": "sigB" },
                { "type": "redacted_thinking", "data": "dark" },
                { "type": "text", "text": "Well.", "citations": [{ "type": "char_location", "cited_text": "Pl",
                    "document_index": 1, "document_title": null, "start_char_index": 0, "end_char_index": 2, "file_id": null }] },
                { "type": "tool_use", "id": "toolu_1", "name": "look", "input": { "z": 1e3, "a": "\u{e9}" } } ] },
            { "role": "user", "content": [
                { "type": "tool_result", "tool_use_id": "toolu_1", "is_error": true, "content": [
                    { "type": "text", "text": "None." },
                    { "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": "CCCC" } } ] },
                { "type": "text", "text": "Go on." } ] } ],
        "stop_sequences": ["END"], "top_k": 5, "temperature": 0.5,
        "output_config": { "format": { "type": "json_schema", "schema": { "type": "object" } } },
        "metadata": { "user_id": "u1" }, "stream": true
    })
}

#[test]
fn a_request_comes_back_as_it_was() {
    let (written, warning) = request(Messages, Messages, &everything());
    assert_eq!((written, warning.as_str()), (everything(), ""));
}

#[test]
fn the_prompt_is_written_in_the_order_of_the_providers_cache() {
    let body = try_request(Messages, Messages, &everything()).unwrap().body;
    let place = |name: &str| body.find(&format!("\"{name}\":")).unwrap();
    assert!(place("tools") < place("system") && place("system") < place("messages"), "{body}");
    // What was written as a schema or as arguments stays as it was written.
    assert!(body.contains(r#""b":1.0"#), "{body}");
}

#[test]
fn what_nobody_offers_is_refused_by_its_name() {
    let cases = [
        (
            json!({ "tools": [{ "type": "web_search_20250305", "name": "web_search" }] }),
            "tools[0].type \"web_search_20250305\" is not offered by this model's provider",
        ),
        (json!({ "container": "c1" }), "container is not known"),
        (
            json!({ "messages": [{ "role": "user", "content": [{ "type": "search_result", "source": "s" }] }] }),
            "messages[0].content[0].type \"search_result\" is not offered by this model's provider",
        ),
        (json!({ "thinking": { "type": "sometimes" } }), "thinking.type must be enabled, adaptive or disabled"),
        (json!({ "max_tokens": "many" }), "max_tokens must be a whole number from 0 to 4294967295"),
        (json!({ "messages": [] }), "messages is missing or empty"),
    ];
    for (more, expected) in cases {
        let mut body = json!({ "model": "m", "max_tokens": 5, "messages": [{ "role": "user", "content": "Hi" }] });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        assert_eq!(try_request(Messages, Chat, &body).unwrap_err().to_string(), expected);
    }
}

/// Case 17: the answers of tools come first, pictures after them, and sides alternate.
#[test]
fn results_of_tools_are_messages_of_their_own_in_chat_completions() {
    let body = json!({ "model": "m", "max_tokens": 5, "messages": [
        { "role": "user", "content": "Hi" },
        { "role": "assistant", "content": [
            { "type": "tool_use", "id": "call_1", "name": "a", "input": {} }, { "type": "tool_use", "id": "call_2", "name": "b", "input": { "x": 1 } }] },
        { "role": "user", "content": [
            { "type": "text", "text": "Here are the results:" },
            { "type": "tool_result", "tool_use_id": "call_1", "content": "one" },
            { "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": "AAAA" } },
            { "type": "tool_result", "tool_use_id": "call_2", "is_error": true, "content": [{ "type": "text", "text": "two" }] }] }] });
    let (written, warning) = request(Messages, Chat, &body);
    assert_eq!(
        written["messages"],
        json!([
            { "role": "user", "content": "Hi" },
            { "role": "assistant", "content": null, "tool_calls": [
                { "id": "call_1", "type": "function", "function": { "name": "a", "arguments": "{}" } },
                { "id": "call_2", "type": "function", "function": { "name": "b", "arguments": "{\"x\":1}" } }] },
            { "role": "tool", "tool_call_id": "call_1", "content": "one" },
            { "role": "tool", "tool_call_id": "call_2", "content": "two" },
            { "role": "user", "content": [
                { "type": "text", "text": "Here are the results:" },
                { "type": "image_url", "image_url": { "url": "data:image/png;base64,AAAA" } }] },
        ])
    );
    assert_eq!(warning, "left out: a tool result's is_error");
}

fn answer() -> Value {
    json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude",
        "content": [
            { "type": "thinking", "thinking": "Hm.", "signature": "sig" },
            { "type": "redacted_thinking", "data": "dark" },
            { "type": "text", "text": "Hello." },
            { "type": "tool_use", "id": "toolu_1", "name": "look", "input": { "a": 1 } } ],
        "stop_reason": "tool_use", "stop_sequence": null,
        "usage": { "input_tokens": 3, "cache_creation_input_tokens": 12304, "cache_read_input_tokens": 0,
            "cache_creation": { "ephemeral_5m_input_tokens": 12000, "ephemeral_1h_input_tokens": 304 }, "output_tokens": 550 }
    })
}

#[test]
fn an_answer_comes_back_as_it_was() {
    assert_eq!(response(Messages, Messages, &answer()), (answer(), vec![]));
}

/// Case 19: the kinds of input add up in chat completions.
#[test]
fn the_kinds_of_input_add_up_in_chat_completions() {
    let (written, _) = response(Chat, Messages, &answer());
    assert_eq!(written["usage"]["prompt_tokens"], 12307);
    assert_eq!(written["usage"]["prompt_tokens_details"]["cached_tokens"], 0);
    assert_eq!(written["usage"]["completion_tokens"], 550);
    let (back, _) = response(Messages, Chat, &written);
    assert_eq!(back["usage"]["input_tokens"], 3);
}

fn frames(events: &[Value]) -> Vec<gatewright_llm::dialect::Frame> {
    let mut all = vec![
        json!({ "type": "message_start", "message": { "id": "msg_1", "type": "message", "role": "assistant",
        "model": "claude", "content": [], "stop_reason": null, "stop_sequence": null,
        "usage": { "input_tokens": 43, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 1 } } }),
    ];
    all.extend_from_slice(events);
    typed(&all)
}

fn end(reason: &str) -> [Value; 2] {
    let delta = json!({ "type": "message_delta", "delta": { "stop_reason": reason, "stop_sequence": null },
        "usage": { "input_tokens": 61, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 2 } });
    [delta, json!({ "type": "message_stop" })]
}

fn whole_stream() -> Vec<gatewright_llm::dialect::Frame> {
    let mut events = vec![
        json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "thinking", "thinking": "", "signature": "" } }),
        json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "thinking_delta", "thinking": "Hm." } }),
        json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "signature_delta", "signature": "sig" } }),
        json!({ "type": "content_block_stop", "index": 0 }),
        json!({ "type": "content_block_start", "index": 1, "content_block": { "type": "redacted_thinking", "data": "dark" } }),
        json!({ "type": "content_block_stop", "index": 1 }),
        json!({ "type": "ping" }),
        json!({ "type": "content_block_start", "index": 2, "content_block": { "type": "text", "text": "" } }),
        json!({ "type": "content_block_delta", "index": 2, "delta": { "type": "text_delta", "text": "Hi \u{1f600}\n" } }),
        json!({ "type": "content_block_stop", "index": 2 }),
        json!({ "type": "content_block_start", "index": 3, "content_block": { "type": "tool_use", "id": "toolu_1", "name": "look", "input": {} } }),
        json!({ "type": "content_block_delta", "index": 3, "delta": { "type": "input_json_delta", "partial_json": "{\"a\":" } }),
        json!({ "type": "content_block_delta", "index": 3, "delta": { "type": "input_json_delta", "partial_json": "1}" } }),
        json!({ "type": "content_block_stop", "index": 3 }),
    ];
    events.extend(end("tool_use"));
    frames(&events)
}

#[test]
fn a_stream_comes_back_as_it_was() {
    let frames = whole_stream();
    let back = stream(Messages, Messages, &frames, &heading());
    assert_eq!(said(&back), said(&frames));
    assert!(back.iter().zip(&frames).all(|(one, other)| one.name == other.name));
}

#[test]
fn a_stream_becomes_chunks_and_comes_back() {
    let chunks =
        stream(Chat, Messages, &whole_stream(), &gatewright_llm::dialect::Heading { stream_usage: true, ..heading() });
    let deltas: Vec<Value> = said(&chunks).iter().map(|chunk| chunk["choices"][0]["delta"].clone()).collect();
    assert_eq!(
        deltas[1],
        json!({ "reasoning_content": "Hm.", "reasoning_details": [{ "type": "reasoning.text", "text": "Hm.", "index": 0 }] })
    );
    assert_eq!(deltas[2]["reasoning_details"][0]["signature"], "sig");
    assert_eq!(deltas[4], json!({ "content": "Hi \u{1f600}\n" }));
    let back = said(&stream(Messages, Chat, &chunks, &heading()));
    let kinds: Vec<&Value> = back
        .iter()
        .filter(|event| event["type"] == "content_block_start")
        .map(|event| &event["content_block"]["type"])
        .collect();
    assert_eq!(kinds, ["thinking", "redacted_thinking", "text", "tool_use"]);
    assert_eq!(back.last().unwrap()["type"], "message_stop");
    assert_eq!(back[back.len() - 2]["usage"]["input_tokens"], 61);
}

/// Case 1: a call without arguments has an empty object for them.
#[test]
fn a_call_without_arguments_has_an_empty_object() {
    let mut events = vec![
        json!({ "type": "content_block_start", "index": 1, "content_block": { "type": "tool_use", "id": "toolu_1", "name": "updateIssueList", "input": {} } }),
        json!({ "type": "content_block_delta", "index": 1, "delta": { "type": "input_json_delta", "partial_json": "" } }),
        json!({ "type": "content_block_stop", "index": 1 }),
    ];
    events.extend(end("tool_use"));
    let chunks = said(&stream(Chat, Messages, &frames(&events), &heading()));
    let calls: Vec<&Value> = chunks
        .iter()
        .map(|chunk| &chunk["choices"][0]["delta"]["tool_calls"][0])
        .filter(|call| !call.is_null())
        .collect();
    assert_eq!(calls[0]["function"], json!({ "name": "updateIssueList", "arguments": "" }));
    let arguments: String = calls.iter().map(|call| call["function"]["arguments"].as_str().unwrap()).collect();
    assert_eq!(arguments, "{}");
    let finish: Vec<&Value> =
        chunks.iter().map(|chunk| &chunk["choices"][0]["finish_reason"]).filter(|reason| reason.is_string()).collect();
    assert_eq!(finish, ["tool_calls"]);
}

/// Case 2: the index of a block is not that of a tool.
#[test]
fn tools_are_counted_by_themselves() {
    let mut events = vec![
        json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "" } }),
        json!({ "type": "content_block_stop", "index": 0 }),
    ];
    for index in [1, 2] {
        events.push(json!({ "type": "content_block_start", "index": index, "content_block": { "type": "tool_use", "id": format!("t{index}"), "name": "n", "input": {} } }));
        events.push(json!({ "type": "content_block_delta", "index": index, "delta": { "type": "input_json_delta", "partial_json": "{\"a\":1}" } }));
        events.push(json!({ "type": "content_block_stop", "index": index }));
    }
    events.extend(end("tool_use"));
    let chunks = said(&stream(Chat, Messages, &frames(&events), &heading()));
    let calls: Vec<(u64, bool)> = chunks
        .iter()
        .map(|chunk| &chunk["choices"][0]["delta"]["tool_calls"][0])
        .filter(|call| !call.is_null())
        .map(|call| (call["index"].as_u64().unwrap(), call["id"].is_string()))
        .collect();
    assert_eq!(calls, [(0, true), (0, false), (1, true), (1, false)]);
}

/// Case 3: blocks never interleave, whatever chat completions do.
#[test]
fn calls_that_come_together_are_told_one_after_the_other() {
    let call = |index: u32, more: Value| {
        let mut call = json!({ "index": index });
        call.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({ "id": "c1", "model": "m", "choices": [{ "index": 0, "delta": { "tool_calls": [call] }, "finish_reason": null }] })
    };
    let delta = |delta: Value| json!({ "id": "c1", "model": "m", "choices": [{ "index": 0, "delta": delta, "finish_reason": null }] });
    let chunks = data(&[
        delta(json!({ "role": "assistant", "reasoning_content": "Hm." })),
        delta(json!({ "content": "Well." })),
        call(0, json!({ "id": "a", "type": "function", "function": { "name": "n", "arguments": "" } })),
        call(1, json!({ "id": "b", "type": "function", "function": { "name": "n", "arguments": "{\"y\":" } })),
        call(0, json!({ "function": { "arguments": "{\"x\":1}" } })),
        call(1, json!({ "function": { "arguments": "2}" } })),
        json!({ "id": "c1", "model": "m", "choices": [{ "index": 0, "delta": {}, "finish_reason": "tool_calls" }] }),
        json!({ "id": "c1", "model": "m", "choices": [], "usage": { "prompt_tokens": 100, "completion_tokens": 50, "prompt_tokens_details": { "cached_tokens": 20 } } }),
        json!("[DONE]"),
    ]);
    let events = said(&stream(Messages, Chat, &chunks, &heading()));
    let shape: Vec<String> = events
        .iter()
        .filter_map(|event| {
            let index = event.get("index")?;
            Some(format!("{} {index}", event["type"].as_str()?.trim_start_matches("content_block_")))
        })
        .collect();
    assert_eq!(
        shape,
        [
            "start 0", "delta 0", "stop 0", "start 1", "delta 1", "stop 1", "start 2", "delta 2", "stop 2", "start 3",
            "delta 3", "delta 3", "stop 3"
        ]
    );
    let inputs: Vec<&Value> = events
        .iter()
        .filter(|event| event["content_block"]["type"] == "tool_use")
        .map(|event| &event["content_block"]["input"])
        .collect();
    assert_eq!(inputs, [&json!({}), &json!({})]);
    // Case 10: usage comes after the finish, and is told once.
    let ends: Vec<&Value> = events.iter().filter(|event| event["type"] == "message_delta").collect();
    assert_eq!(ends.len(), 1);
    assert_eq!(
        ends[0]["usage"],
        json!({ "input_tokens": 80, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 20, "output_tokens": 50 })
    );
    assert_eq!(events.last().unwrap(), &json!({ "type": "message_stop" }));
}

/// Case 13: the last figures hold, and none is added up; a start without figures has an estimate.
#[test]
fn usage_is_the_last_value() {
    let chunks = said(&stream(
        Chat,
        Messages,
        &frames(&end("end_turn")),
        &gatewright_llm::dialect::Heading { stream_usage: true, ..heading() },
    ));
    let usage = &chunks[chunks.len() - 2]["usage"];
    assert_eq!((&usage["prompt_tokens"], &usage["completion_tokens"]), (&json!(61), &json!(2)));
    let heading = gatewright_llm::dialect::Heading { input_estimate: 17, ..heading() };
    let start = json!({ "id": "c", "model": "m", "choices": [{ "index": 0, "delta": { "role": "assistant", "content": "x" }, "finish_reason": "stop" }] });
    let events = said(&stream(Messages, Chat, &data(&[start]), &heading));
    assert_eq!(events[0]["message"]["usage"]["input_tokens"], 17);
}

/// Case 14: the same message twice is one; another one is an error, and nothing of it goes on.
#[test]
fn two_messages_in_one_stream_are_an_error() {
    let mut events = vec![
        json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "tool_use", "id": "t", "name": "n", "input": {} } }),
        json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "input_json_delta", "partial_json": "{\"value\":\"Spark" } }),
    ];
    let (same, other) =
        (frames(&[]), json!({ "type": "message_start", "message": { "id": "msg_second", "model": "m", "usage": {} } }));
    let mut spliced = frames(&events);
    spliced.extend(same.clone());
    spliced.extend(typed(&[other]));
    events[1]["delta"]["partial_json"] = json!("ling\"}");
    spliced.extend(typed(&events));
    spliced.extend(typed(&end("tool_use")));
    let chunks = said(&stream(Chat, Messages, &spliced, &heading()));
    assert!(chunks.last().unwrap()["error"]["message"].is_string(), "{chunks:?}");
    assert_eq!(chunks.iter().filter(|chunk| chunk.get("error").is_some()).count(), 1);
    assert!(chunks.iter().all(|chunk| chunk["choices"][0]["finish_reason"].is_null()));
    let again = [same.clone(), same, typed(&end("end_turn"))].concat();
    let chunks = said(&stream(Chat, Messages, &again, &heading()));
    assert_eq!(chunks.last().unwrap(), "[DONE]");
    assert_eq!(chunks.len(), 3);
}

/// Case 15: a stream that is cut off ends in an error, never in a made-up finish.
#[test]
fn a_stream_that_is_cut_off_ends_in_an_error() {
    let frames = whole_stream();
    for kept in 0..frames.len() - 1 {
        let chunks = said(&stream(Chat, Messages, &frames[..kept], &heading()));
        assert_eq!(chunks.last().unwrap()["error"]["code"], "stream_truncated", "{kept}");
        assert!(!chunks.contains(&json!("[DONE]")));
        let back = said(&stream(Messages, Messages, &frames[..kept], &heading()));
        assert_eq!(back.last().unwrap()["type"], "error");
        assert!(back.iter().all(|event| event["type"] != "message_stop"));
    }
}

#[test]
fn errors_keep_their_kind() {
    use gatewright_llm::dialect::chat;
    use gatewright_llm::dialect::messages;
    use gatewright_llm::error::{ErrorKind, UpstreamError};
    for kind in ErrorKind::ALL {
        let error = UpstreamError::told(kind, "Because.");
        let (there, body) = (messages::error::status(kind), messages::error::write(&error));
        let read = messages::error::read(there, &body);
        assert_eq!(read.message, "Because.");
        assert!((400..600).contains(&there));
        let body = parsed(&chat::error::write(&read));
        assert_eq!(body["error"]["message"], "Because.");
    }
    let overloaded =
        messages::error::read(529, r#"{"type":"error","error":{"type":"overloaded_error","message":"Later."}}"#);
    assert_eq!((overloaded.kind, overloaded.kind.status()), (ErrorKind::Overloaded, 503));
    assert_eq!(messages::error::read(404, "<html>").kind, ErrorKind::NotFound);
}

#[test]
fn where_the_type_of_an_error_says_nothing_its_status_does() {
    use gatewright_llm::dialect::messages::error;
    use gatewright_llm::error::ErrorKind;
    for (status, body) in [
        (503, r#"{"type":"error","error":{"type":"api_error","message":"Because."}}"#),
        (429, r#"{"type":"error","error":{"type":"a_later_error","message":"Because."}}"#),
        (422, r#"{"error":{"message":"Because."}}"#),
    ] {
        let read = error::read(status, body);
        assert_eq!((read.kind, &*read.message), (ErrorKind::of_status(status), "Because."));
    }
}
