//! OpenAI Chat Completions.

use gatewright_llm::Dialect::{Chat, Messages};
use gatewright_llm::dialect::{ChatThoughts, Heading, Options};
use gatewright_llm::fault::OnLoss;
use gatewright_llm::translate::{self, Asked};
use serde_json::{Value, json};

use crate::pairs::{data, heading, request, response, said, stream, try_request};
use crate::rig::parsed;

/// Everything that a request can say and OpenAI knows.
fn everything() -> Value {
    json!({
        "model": "gpt",
        "tools": [{ "type": "function", "function": { "name": "look", "description": "Looks.",
            "parameters": { "type": "object", "b": 1.0 }, "strict": true } }],
        "tool_choice": { "type": "function", "function": { "name": "look" } }, "parallel_tool_calls": false,
        "messages": [
            { "role": "system", "content": "Be brief." },
            { "role": "user", "name": "ann", "content": [
                { "type": "text", "text": "See \"this\" \u{1f600}" },
                { "type": "image_url", "image_url": { "url": "data:image/png;base64,AAAA", "detail": "high" } },
                { "type": "image_url", "image_url": { "url": "https://a.test/b.png" } },
                { "type": "input_audio", "input_audio": { "data": "BBBB", "format": "wav" } },
                { "type": "file", "file": { "filename": "a.pdf", "file_data": "data:application/pdf;base64,CCCC" } },
                { "type": "file", "file": { "file_id": "file_1" } } ] },
            { "role": "assistant", "content": "Well.", "tool_calls": [
                { "id": "call_1", "type": "function", "function": { "name": "look", "arguments": "{\"a\": 1}" } },
                { "id": "call_2", "type": "function", "function": { "name": "look", "arguments": "{}" } } ] },
            { "role": "tool", "tool_call_id": "call_1", "content": "none" },
            { "role": "tool", "tool_call_id": "call_2", "content": [{ "type": "text", "text": "a" }, { "type": "text", "text": "b" }] },
            { "role": "system", "content": "Now be long." },
            { "role": "assistant", "content": null, "refusal": "No." },
            { "role": "user", "content": "Go on." } ],
        "max_completion_tokens": 100, "temperature": 0.5, "top_p": 0.9, "stop": ["END"], "seed": 7,
        "presence_penalty": 0.1, "frequency_penalty": -0.1, "logprobs": true, "top_logprobs": 2, "reasoning_effort": "high",
        "user": "u1",
        "response_format": { "type": "json_schema", "json_schema": { "name": "answer", "description": "It.", "schema": { "type": "object" }, "strict": true } },
        "metadata": { "a": "b" }, "store": true, "prompt_cache_key": "k", "service_tier": "flex", "verbosity": "low",
        "logit_bias": { "50256": -100 }, "prediction": { "type": "content", "content": "x" },
        "stream": true, "stream_options": { "include_usage": true }
    })
}

#[test]
fn a_request_comes_back_as_it_was() {
    let (written, warning) = request(Chat, Chat, &everything());
    assert_eq!((written, warning.as_str()), (everything(), ""));
}

#[test]
fn what_messages_lack_is_refused_all_at_once_or_warned_of() {
    let refused = try_request(Chat, Messages, &everything()).unwrap_err();
    assert_eq!(refused.code(), "unsupported-field");
    let expected = "audio or video is not offered by this model's provider; \
        presence_penalty is not offered by this model's provider; \
        frequency_penalty is not offered by this model's provider; logprobs is not offered by this model's provider; \
        logit_bias is not offered by this model's provider";
    assert_eq!(refused.to_string(), expected);
    let text = everything().to_string();
    let asked = Asked { client: Chat, body: &text, model: None, stream: None };
    let request = translate::request(&asked, Messages, &Options::default(), OnLoss::Warn, |_| None).unwrap();
    let warned: Vec<&str> = request.warning.split("; ").collect();
    assert!(warned.contains(&"left out: logprobs, which is not offered by this model's provider"), "{warned:?}");
    for hint in ["left out: metadata", "left out: seed", "left out: service_tier"] {
        assert!(warned.contains(&hint), "{hint}: {warned:?}");
    }
    let strict = translate::request(&asked, Messages, &Options::default(), OnLoss::Refuse, |_| None);
    assert!(strict.unwrap_err().to_string().contains("left out: metadata"));
}

#[test]
fn earlier_thoughts_go_where_the_provider_takes_them() {
    let thoughts = json!([
        { "type": "reasoning.text", "text": "Hm.", "signature": "sig", "format": "anthropic-claude-v1", "index": 0 },
        { "type": "reasoning.encrypted", "data": "dark", "format": "anthropic-claude-v1", "index": 1 } ]);
    let call = json!({ "id": "c", "type": "function", "function": { "name": "n", "arguments": "{}" },
        "extra_content": { "google": { "thought_signature": "gsig" } } });
    let body = json!({ "model": "m", "messages": [
        { "role": "user", "content": "Hi" },
        { "role": "assistant", "content": "Well.", "reasoning_details": thoughts, "tool_calls": [call] } ] });
    let (text, mut written) = (body.to_string(), Vec::new());
    for style in [ChatThoughts::None, ChatThoughts::ReasoningContent, ChatThoughts::ReasoningDetails] {
        let asked = Asked { client: Chat, body: &text, model: None, stream: None };
        let options = Options { chat_thoughts: style, ..Options::default() };
        let request = translate::request(&asked, Chat, &options, OnLoss::default(), |_| None).unwrap();
        written.push((parsed(&request.body)["messages"][1].clone(), request.warning));
    }
    assert_eq!(written[0].0.get("reasoning_content"), None);
    assert_eq!(written[0].1, "left out: earlier thoughts");
    assert_eq!(written[1].0["reasoning_content"], "Hm.");
    assert_eq!(written[2], (body["messages"][1].clone(), String::new()));
    let (messages, _) = request(Chat, Messages, &body);
    assert_eq!(
        messages["messages"][1]["content"],
        json!([
        { "type": "thinking", "thinking": "Hm.", "signature": "sig" }, { "type": "redacted_thinking", "data": "dark" },
        { "type": "text", "text": "Well." }, { "type": "tool_use", "id": "c", "name": "n", "input": {} } ])
    );
}

/// Case 24: names that a provider refuses are changed everywhere, and changed back.
#[test]
fn long_names_of_tools_are_changed_and_changed_back() {
    let long = format!("mcp.server/{}", "x".repeat(80));
    let body = json!({ "model": "m", "tools": [{ "type": "function", "function": { "name": long } }, { "type": "function", "function": { "name": "n" } }],
        "tool_choice": { "type": "function", "function": { "name": long } },
        "messages": [{ "role": "user", "content": "Hi" },
            { "role": "assistant", "tool_calls": [{ "id": "c", "type": "function", "function": { "name": long, "arguments": "" } }] },
            { "role": "tool", "tool_call_id": "c", "content": "x" }] });
    let translated = try_request(Chat, Messages, &body).unwrap();
    let written = parsed(&translated.body);
    let short = written["tools"][0]["name"].as_str().unwrap();
    assert!(short.len() == 64 && short.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'), "{short}");
    assert_eq!(written["tool_choice"]["name"], short);
    assert_eq!(written["messages"][1]["content"][0]["name"], short);
    assert_eq!(written["tools"][1]["name"], "n");
    assert_eq!(translated.names.original(short.into()), *long.as_str());
    assert_eq!(translated.names.original("n".into()), *"n");
}

fn answer() -> Value {
    json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1_700_000_000, "model": "gpt",
        "choices": [{ "index": 0, "finish_reason": "tool_calls",
            "message": { "role": "assistant", "content": "See a.", "refusal": null,
                "reasoning_content": "Hm.", "reasoning_details": [{ "type": "reasoning.text", "text": "Hm.", "index": 0 }],
                "tool_calls": [{ "id": "call_1", "type": "function", "function": { "name": "look", "arguments": "{\"a\": 1}" } }],
                "annotations": [{ "type": "url_citation", "url_citation": { "start_index": 4, "end_index": 5, "title": "A", "url": "https://a.test" } }] },
            "logprobs": { "content": [{ "token": "See", "logprob": -0.5, "bytes": [83, 101, 101], "top_logprobs": [{ "token": "Saw", "logprob": -2, "bytes": null }] }], "refusal": null } }],
        "usage": { "prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150,
            "prompt_tokens_details": { "cached_tokens": 20, "audio_tokens": 3 }, "completion_tokens_details": { "reasoning_tokens": 9, "audio_tokens": 1 } }
    })
}

#[test]
fn an_answer_comes_back_as_it_was() {
    assert_eq!(response(Chat, Chat, &answer()), (answer(), vec![]));
}

/// Case 22: arguments that were cut off become an empty object, since the client's dialect wants one.
#[test]
fn arguments_that_were_cut_off_become_an_empty_object() {
    let mut cut = answer();
    cut["choices"][0]["finish_reason"] = json!("length");
    cut["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"] = json!("{\"location\": \"Par");
    let (written, warnings) = response(Messages, Chat, &cut);
    assert_eq!(written["stop_reason"], "max_tokens");
    assert_eq!(written["content"][2]["input"], json!({}));
    assert!(warnings.contains(&"a call's arguments that are no JSON object became {}".to_owned()), "{warnings:?}");
}

#[expect(clippy::needless_pass_by_value, reason = "values are written where they are used")]
fn chunk(delta: Value, finish: Value) -> Value {
    json!({ "id": "c1", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "m",
        "choices": [{ "index": 0, "delta": delta, "finish_reason": finish }] })
}

fn text_of(events: &[Value]) -> String {
    events.iter().filter_map(|event| event["choices"][0]["delta"]["content"].as_str()).collect()
}

/// Case 12: what is no finish does not end, and odd frames do no harm.
#[test]
fn odd_frames_do_no_harm() {
    let mut first = chunk(json!({ "role": "assistant", "content": "One" }), json!(""));
    first["usage"] = Value::Null;
    let odd = data(&[
        json!(""),
        first,
        chunk(json!({ "content": " two" }), json!("null")),
        json!(" "),
        chunk(json!({ "content": " three" }), Value::Null),
        chunk(json!({}), json!("stop")),
        json!("[DONE]"),
        chunk(json!({ "content": "!" }), Value::Null),
    ]);
    let chunks = said(&stream(Chat, Chat, &odd, &heading()));
    assert_eq!(text_of(&chunks), "One two three");
    assert_eq!(chunks.last().unwrap(), "[DONE]");
}

/// Case 11: usage beside a choice counts, and a second finish is none.
#[test]
fn usage_beside_a_choice_counts_and_a_second_finish_is_none() {
    let mut last = chunk(json!({ "content": "" }), json!("stop"));
    last["usage"] = json!({ "prompt_tokens": 7, "completion_tokens": 3 });
    let twice = data(&[
        chunk(json!({ "content": "x" }), Value::Null),
        chunk(json!({ "content": "" }), json!("stop")),
        last,
        json!("[DONE]"),
    ]);
    let events = said(&stream(Messages, Chat, &twice, &heading()));
    assert_eq!(events.iter().filter(|event| event["type"] == "message_stop").count(), 1);
    assert_eq!(events.iter().filter(|event| event["type"] == "content_block_delta").count(), 1);
    assert_eq!(events[events.len() - 2]["usage"]["input_tokens"], 7);
}

/// Case 2, the other way: indexes neither begin at 0 nor are dense, or are all the same, or are not there.
#[test]
fn any_new_index_or_id_is_a_new_call() {
    let call = |more: Value| {
        let mut call = json!({ "type": "function", "function": { "name": "n", "arguments": "{}" } });
        call.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        chunk(json!({ "tool_calls": [call] }), Value::Null)
    };
    for calls in [
        [json!({ "index": 1, "id": "a" }), json!({ "index": 5, "id": "b" })],
        [json!({ "index": 0, "id": "a" }), json!({ "index": 0, "id": "b" })],
        [json!({ "id": "a" }), json!({ "id": "b" })],
        [json!({ "index": 0 }), json!({ "index": 1 })],
    ] {
        let [one, two] = calls.clone().map(call);
        let events = said(&stream(
            Messages,
            Chat,
            &data(&[one, two, chunk(json!({}), json!("stop")), json!("[DONE]")]),
            &heading(),
        ));
        let starts: Vec<&Value> = events.iter().filter(|event| event["type"] == "content_block_start").collect();
        assert_eq!(starts.len(), 2, "{calls:?}");
        assert_ne!(starts[0]["content_block"]["id"], starts[1]["content_block"]["id"]);
        // Some say `stop` where they mean that tools are called.
        assert_eq!(events[events.len() - 2]["delta"]["stop_reason"], "tool_use");
    }
}

#[test]
fn usage_is_told_to_clients_that_asked_and_to_nobody_else() {
    let mut usage = chunk(json!({}), Value::Null);
    usage["choices"] = json!([]);
    usage["usage"] = json!({ "prompt_tokens": 7, "completion_tokens": 3 });
    let frames = data(&[chunk(json!({ "content": "x" }), json!("stop")), usage, json!("[DONE]")]);
    let without = said(&stream(Chat, Chat, &frames, &heading()));
    assert!(without.iter().all(|chunk| chunk.get("usage").is_none()), "{without:?}");
    let with = said(&stream(Chat, Chat, &frames, &Heading { stream_usage: true, ..heading() }));
    assert_eq!(with[with.len() - 2]["usage"]["prompt_tokens"], 7);
    assert_eq!(with[with.len() - 2]["choices"], json!([]));
}

/// Case 15: neither a made-up finish nor `[DONE]`, even where the provider says it.
#[test]
fn a_stream_that_never_finished_ends_in_an_error() {
    for last in [None, Some(json!("[DONE]"))] {
        let mut frames = vec![chunk(json!({ "content": "x" }), Value::Null)];
        frames.extend(last);
        let chunks = said(&stream(Chat, Chat, &data(&frames), &heading()));
        assert_eq!(chunks.last().unwrap()["error"]["code"], "stream_truncated");
        let events = said(&stream(Messages, Chat, &data(&frames), &heading()));
        assert_eq!(events.last().unwrap()["error"]["type"], "api_error");
    }
    let told = data(&[json!({ "error": { "message": "Later.", "code": 429 } })]);
    let chunks = said(&stream(Chat, Chat, &told, &heading()));
    assert_eq!(chunks.last().unwrap()["error"]["code"], "rate_limit_exceeded");
}

#[test]
fn probabilities_and_sources_are_streamed() {
    let mut first = chunk(json!({ "content": "See a." }), Value::Null);
    first["choices"][0]["logprobs"] = answer()["choices"][0]["logprobs"].clone();
    let cited = chunk(json!({ "annotations": answer()["choices"][0]["message"]["annotations"] }), Value::Null);
    let chunks = said(&stream(Chat, Chat, &data(&[first, cited, chunk(json!({}), json!("stop"))]), &heading()));
    assert!(chunks.iter().any(|chunk| chunk["choices"][0]["logprobs"]["content"][0]["token"] == "See"), "{chunks:?}");
    let cited: Vec<&Value> = chunks
        .iter()
        .map(|chunk| &chunk["choices"][0]["delta"]["annotations"][0])
        .filter(|one| !one.is_null())
        .collect();
    assert_eq!(cited, [&answer()["choices"][0]["message"]["annotations"][0]]);
}
