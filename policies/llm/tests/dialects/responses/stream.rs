//! Streams: what is read of them, and what comes of reading and writing.

mod writer;

use gatewright_llm::dialect::responses::stream::{Reader, Writer};
use gatewright_llm::dialect::{Frame, Output};
use serde_json::{Value, json};

use crate::rig::{StreamDoors, heading, parsed, read_stream, steps};

const DOORS: StreamDoors<Reader> = (Reader::read, Reader::close);

fn frames(events: &[Value]) -> Vec<Frame> {
    events.iter().map(|event| Frame::named(event["type"].as_str().unwrap_or_default(), event.to_string())).collect()
}

fn events(output: &Output) -> Vec<Value> {
    let events: Vec<_> = output.frames.iter().map(|frame| (frame.name.clone(), parsed(&frame.data))).collect();
    for (number, (name, event)) in events.iter().enumerate() {
        assert_eq!(
            (event["type"].as_str(), event["sequence_number"].as_u64()),
            (Some(name.as_str()), Some(number as u64))
        );
    }
    events
        .into_iter()
        .map(|(_, mut event)| {
            event.as_object_mut().and_then(|event| event.remove("sequence_number"));
            event
        })
        .collect()
}

/// Reads events and writes them again.
fn through(events_in: &[Value]) -> Vec<Value> {
    let (mut writer, mut output) = (Writer::default(), Output::default());
    read_stream(&frames(events_in), DOORS, true, |step| writer.write(step, &heading(), &mut output));
    events(&output)
}

fn created() -> Value {
    json!({"type": "response.created", "response": {"id": "resp_1", "model": "gpt-5", "status": "in_progress"}})
}

fn completed() -> Value {
    json!({"type": "response.completed", "response": {"status": "completed", "output": [], "usage":
        {"input_tokens": 7, "input_tokens_details": {"cached_tokens": 4}, "output_tokens": 5,
         "output_tokens_details": {"reasoning_tokens": 2}}}})
}

fn added(index: u32, item: &Value) -> Value {
    json!({"type": "response.output_item.added", "output_index": index, "item": item})
}

fn done(index: u32, item: &Value) -> Value {
    json!({"type": "response.output_item.done", "output_index": index, "item": item})
}

fn check_steps(events: &[Value], expected: &[&str]) {
    assert_eq!(steps(&frames(events), DOORS), expected);
}

/// Case 9: whether arguments come in pieces, whole, or not at all, they are said once.
#[test]
fn arguments_are_said_exactly_once() {
    let begun = added(0, &json!({"type": "function_call", "call_id": "c", "name": "f", "arguments": ""}));
    let delta =
        |text: &str| json!({"type": "response.function_call_arguments.delta", "output_index": 0, "delta": text});
    let whole = json!({"type": "response.function_call_arguments.done", "output_index": 0, "arguments": "{\"a\":1}"});
    let item = json!({"type": "function_call", "call_id": "c", "name": "f", "arguments": "{\"a\":1}"});
    let empty = json!({"type": "function_call", "call_id": "c", "name": "f", "arguments": ""});
    let table = [
        (vec![begun.clone(), whole.clone()], vec!["{\"a\":1}"]),
        (vec![begun.clone(), whole.clone(), done(0, &item)], vec!["{\"a\":1}"]),
        (
            vec![begun.clone(), delta("{\"a\""), delta(""), delta(":1}"), whole.clone(), done(0, &item)],
            vec!["{\"a\"", ":1}"],
        ),
        (vec![begun.clone(), done(0, &item)], vec!["{\"a\":1}"]),
        (vec![done(0, &item)], vec!["{\"a\":1}"]),
        (vec![added(0, &item), whole, done(0, &item)], vec!["{\"a\":1}"]),
        (vec![begun.clone(), delta(""), done(0, &empty)], vec!["{}"]),
        (vec![begun], vec!["{}"]),
    ];
    for (middle, pieces) in table {
        let mut events = vec![created()];
        events.extend(middle);
        events.push(completed());
        let mut expected = vec!["start resp_1 gpt-5".to_owned(), "0 call c f".to_owned()];
        expected.extend(pieces.iter().map(|piece| format!("0 + {piece}")));
        expected.extend(["0 end".to_owned(), "finish ToolCalls in 3 read 4 out 5 thought 2".to_owned()]);
        assert_eq!(steps(&frames(&events), DOORS), expected, "{events:?}");
    }
}

/// Whole texts that no piece said are taken from whichever event repeats them.
#[test]
fn a_text_is_said_exactly_once() {
    let delta = json!({"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "a",
        "logprobs": [{"token": "a", "logprob": -0.5}]});
    let cited = json!({"type": "url_citation", "start_index": 0, "end_index": 1, "url": "u", "title": "t"});
    let part = json!({"type": "output_text", "text": "a", "annotations": [cited]});
    let part_done = json!({"type": "response.content_part.done", "output_index": 0, "content_index": 0, "part": part});
    let annotation = json!({"type": "response.output_text.annotation.added", "output_index": 0, "content_index": 0,
        "annotation": cited});
    let item = json!({"type": "message", "content": [part]});
    let citation = "0 Citation { place: Some((0, 1)), quote: None, title: Some(Written(\"\\\"t\\\"\")), \
        url: Some(Written(\"\\\"u\\\"\")), document: None, passage: None, source: None }";
    let end = "finish Stop in 3 read 4 out 5 thought 2";
    let weighed = "0 likely a=-0.5";
    let plain = ["start resp_1 gpt-5", "0 text", "0 + a", citation, "0 end", end];
    let rich = ["start resp_1 gpt-5", "0 text", "0 + a", weighed, citation, "0 end", end];
    check_steps(&[created(), part_done.clone(), completed()], &plain);
    check_steps(&[created(), done(0, &item), completed()], &plain);
    check_steps(&[created(), delta.clone(), part_done.clone(), done(0, &item), completed()], &rich);
    check_steps(&[created(), delta, annotation, part_done, done(0, &item), completed()], &rich);
    let mut last = completed();
    last["response"]["output"] = json!([item]);
    check_steps(&[created(), last], &plain);
}

#[test]
fn thoughts_begin_when_there_is_something_to_tell() {
    let summary = |index: u32, text: &str| {
        json!({"type": "response.reasoning_summary_text.delta", "output_index": 0,
        "summary_index": index, "delta": text})
    };
    let item = json!({"type": "reasoning", "encrypted_content": "enc",
        "summary": [{"type": "summary_text", "text": "ab"}, {"type": "summary_text", "text": "c"}]});
    let begun = added(0, &json!({"type": "reasoning", "summary": [], "encrypted_content": "part of it"}));
    let end = "finish Stop in 3 read 4 out 5 thought 2";
    check_steps(
        &[created(), begun.clone(), summary(0, "a"), summary(0, "b"), summary(1, "c"), done(0, &item), completed()],
        &[
            "start resp_1 gpt-5",
            "0 thought",
            "0 + a",
            "0 + b",
            "0 + \n\n",
            "0 + c",
            "0 signed openai enc",
            "0 end",
            end,
        ],
    );
    check_steps(
        &[created(), begun.clone(), done(0, &item), completed()],
        &["start resp_1 gpt-5", "0 thought", "0 + ab\n\nc", "0 signed openai enc", "0 end", end],
    );
    check_steps(
        &[
            created(),
            begun.clone(),
            done(0, &json!({"type": "reasoning", "summary": [], "encrypted_content": "enc"})),
            completed(),
        ],
        &["start resp_1 gpt-5", "0 redacted openai enc", "0 end", end],
    );
    check_steps(
        &[created(), begun, done(0, &json!({"type": "reasoning", "summary": []})), completed()],
        &["start resp_1 gpt-5", end],
    );
    for kind in ["response.reasoning_text.delta", "response.reasoning.delta"] {
        let event = json!({"type": kind, "output_index": 0, "content_index": 0, "delta": "x"});
        check_steps(&[created(), event, completed()], &["start resp_1 gpt-5", "0 thought", "0 + x", "0 end", end]);
    }
}

#[test]
fn the_end_is_what_the_last_event_says() {
    let incomplete = |reason: &str| {
        json!({"type": "response.incomplete", "response": {"status": "incomplete",
        "incomplete_details": {"reason": reason}, "usage": {"input_tokens": 1, "output_tokens": 2}}})
    };
    let start = "start resp_1 gpt-5";
    let refusal = json!({"type": "response.refusal.delta", "output_index": 0, "content_index": 0, "delta": "no"});
    check_steps(&[created(), incomplete("max_output_tokens")], &[start, "finish Length in 1 read 0 out 2 thought 0"]);
    check_steps(&[created(), incomplete("content_filter")], &[start, "finish Refused in 1 read 0 out 2 thought 0"]);
    check_steps(
        &[created(), refusal, completed()],
        &[start, "0 refusal", "0 + no", "0 end", "finish Refused in 3 read 4 out 5 thought 2"],
    );
    let failed = json!({"type": "response.failed", "response": {"status": "failed",
        "error": {"code": "rate_limit_exceeded", "message": "slow"}}});
    check_steps(&[created(), failed], &[start, "error rate_limited: slow"]);
    let error = json!({"type": "error", "code": "server_is_overloaded", "message": "busy", "param": null});
    check_steps(&[created(), error, completed()], &[start, "error overloaded: busy"]);
    check_steps(&[json!({"error": {"message": "m", "code": "insufficient_quota"}})], &["error insufficient_quota: m"]);
    check_steps(&[created(), completed(), completed()], &[start, "finish Stop in 3 read 4 out 5 thought 2"]);
}

/// Cases 12 and 15.
#[test]
fn odd_frames_are_no_end_and_a_lost_end_is_an_error() {
    let truncated = "error stream_truncated: the provider ended the stream early";
    let mut odd =
        vec![Frame::default(), Frame::unnamed("[DONE]"), Frame::named("keepalive", r#"{"type":"keepalive"}"#)];
    odd.extend(frames(&[
        json!({"type": "codex.rate_limits", "x": 1}),
        json!({"type": "response.new_thing"}),
        created(),
    ]));
    odd.push(Frame::unnamed(" "));
    odd.push(Frame::named("response.output_text.delta", r#"{"output_index":0,"content_index":0,"delta":"a"}"#));
    assert_eq!(steps(&odd, DOORS), ["alive", "start  asked", "0 text", "0 + a", truncated]);
    assert_eq!(steps(&[], DOORS), [truncated]);
    let torn = [Frame::unnamed("{\"type\":")];
    assert_eq!(steps(&torn, DOORS), ["error provider_error: an event expected a value at byte 8"]);
}

/// Every kind of block, as it is read, written and read again.
#[test]
fn a_stream_is_read_as_it_was_written() {
    let signed = |value: &str| json!({"type": "reasoning", "summary": [], "encrypted_content": value});
    let events_in = [
        created(),
        json!({"type": "response.reasoning_summary_text.delta", "output_index": 0, "summary_index": 0, "delta": "Hm"}),
        done(
            0,
            &json!({"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm"}], "encrypted_content": "e"}),
        ),
        done(1, &signed("gatewright.google.g")),
        done(
            2,
            &json!({"type": "reasoning", "summary": [{"type": "summary_text", "text": ""}], "encrypted_content": "f"}),
        ),
        json!({"type": "response.output_text.delta", "output_index": 3, "content_index": 0, "delta": "One",
            "logprobs": [{"token": "One", "logprob": -0.25, "bytes": [79, 110, 101], "top_logprobs": []}]}),
        json!({"type": "response.content_part.done", "output_index": 3, "content_index": 0, "part": {"type": "output_text",
            "text": "One", "annotations": [{"type": "file_citation", "file_id": "f", "filename": "F", "index": 1}]}}),
        json!({"type": "response.refusal.delta", "output_index": 3, "content_index": 1, "delta": "no"}),
        json!({"type": "response.refusal.done", "output_index": 3, "content_index": 1, "refusal": "no"}),
        done(4, &json!({"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"})),
        done(5, &json!({"type": "image_generation_call", "id": "ig", "status": "completed", "result": "AAAA"})),
        completed(),
    ];
    let once = through(&events_in);
    let lines = |events: &[Value]| -> Vec<String> { steps(&frames(events), DOORS) };
    assert_eq!(lines(&once), lines(&events_in));
    assert_eq!(through(&once), once);
    let kinds: Vec<_> = once.last().unwrap()["response"]["output"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["type"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(kinds, ["reasoning", "reasoning", "reasoning", "message", "function_call", "image_generation_call"]);
    assert_eq!(once.last().unwrap()["response"]["output"][1]["encrypted_content"], "gatewright.google.g");
}
