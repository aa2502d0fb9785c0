//! Streams.

use gatewright_llm::completion::{Block, Finish, Piece, Step};
use gatewright_llm::dialect::cohere::stream::{Reader, Writer};
use gatewright_llm::dialect::{Frame, Output};
use gatewright_llm::error::{ErrorKind, UpstreamError};
use gatewright_llm::usage::Usage;
use serde_json::{Value, json};

use crate::rig::{StreamDoors, heading, parsed, read_stream, steps, stored};

const DOORS: StreamDoors<Reader> = (Reader::read, Reader::close);

fn frames(events: &[Value]) -> Vec<Frame> {
    events.iter().map(|event| Frame::named(event["type"].as_str().unwrap_or_default(), event.to_string())).collect()
}

fn check_steps(events: &[Value], expected: &[&str]) {
    assert_eq!(steps(&frames(events), DOORS), expected);
}

fn events(output: &Output) -> Vec<Value> {
    let frames = output.frames.iter().filter(|frame| frame.data != "[DONE]");
    frames.map(|frame| parsed(&frame.data)).inspect(|event| assert!(event["type"].is_string())).collect()
}

fn through(events_in: &[Value]) -> Vec<Value> {
    let (mut writer, mut output) = (Writer::default(), Output::default());
    read_stream(&frames(events_in), DOORS, true, |step| {
        writer.write(step, &heading(), &mut output);
        writer = stored(&writer).0;
    });
    events(&output)
}

fn start() -> Value {
    json!({"type": "message-start", "id": "29", "delta": {"message": {"role": "assistant", "content": [], "tool_plan": "",
        "tool_calls": [], "citations": []}}})
}

fn content(kind: &str, index: u32, content: &Value) -> Value {
    json!({"type": kind, "index": index, "delta": {"message": {"content": content}}})
}

fn end(kind: &str, index: u32) -> Value {
    json!({"type": kind, "index": index})
}

fn call(index: u32, id: &str) -> Value {
    json!({"type": "tool-call-start", "index": index, "delta": {"message": {"tool_calls": {"id": id, "type": "function",
        "function": {"name": "f", "arguments": ""}}}}})
}

fn arguments(index: u32, text: &str) -> Value {
    json!({"type": "tool-call-delta", "index": index, "delta": {"message": {"tool_calls": {"function": {"arguments": text}}}}})
}

fn plan(text: &str) -> Value {
    json!({"type": "tool-plan-delta", "delta": {"message": {"tool_plan": text}}})
}

fn citation(index: u32) -> Value {
    json!({"type": "citation-start", "index": index, "delta": {"message": {"citations": {"start": 1, "end": 3, "sources": [
        {"type": "document", "id": "doc:0", "document": {"id": "doc:0", "title": "T"}}],
        "content_index": 1, "type": "TEXT_CONTENT"}}}})
}

fn message_end(reason: &Value) -> Value {
    json!({"type": "message-end", "delta": {"finish_reason": reason, "usage": {
        "billed_units": {"input_tokens": 119, "output_tokens": 44}, "tokens": {"input_tokens": 1549, "output_tokens": 95},
        "cached_tokens": 1504}}})
}

#[test]
fn a_stream_is_written_as_it_was_read() {
    let events = [
        start(),
        content("content-start", 0, &json!({"type": "thinking", "thinking": ""})),
        content("content-delta", 0, &json!({"thinking": "Hm"})),
        end("content-end", 0),
        content("content-start", 1, &json!({"type": "text", "text": ""})),
        content("content-delta", 1, &json!({"text": "a \"\u{e9}\""})),
        content("content-delta", 1, &json!({"text": " b"})),
        end("content-end", 1),
        citation(0),
        end("citation-end", 0),
        call(0, "c1"),
        arguments(0, "{\"a\""),
        arguments(0, ":1}"),
        end("tool-call-end", 0),
        call(1, "c2"),
        arguments(1, "{}"),
        end("tool-call-end", 1),
        message_end(&json!("TOOL_CALL")),
    ];
    assert_eq!(through(&events), events);
    let lines = steps(&frames(&events), DOORS);
    assert_eq!(lines[..6], ["start 29 asked", "0 thought", "0 + Hm", "0 end", "1 text", "1 + a \"\u{e9}\""]);
    assert_eq!(
        lines[8..],
        [
            "1 end",
            "2 call c1 f",
            "2 + {\"a\"",
            "2 + :1}",
            "2 end",
            "3 call c2 f",
            "3 + {}",
            "3 end",
            "finish ToolCalls in 45 read 1504 out 95 thought 0"
        ]
    );
    assert!(lines[7].contains("document: Some(0)"), "{}", lines[7]);
}

#[test]
fn plans_are_thoughts_and_calls_without_arguments_have_an_object() {
    check_steps(
        &[start(), plan("I"), plan(" look"), call(0, "c"), end("tool-call-end", 0), message_end(&json!("TOOL_CALL"))],
        &[
            "start 29 asked",
            "0 thought",
            "0 + I",
            "0 +  look",
            "0 end",
            "1 call c f",
            "1 + {}",
            "1 end",
            "finish ToolCalls in 45 read 1504 out 95 thought 0",
        ],
    );
}

#[test]
fn tokens_come_with_their_probabilities() {
    let mut weighed = content("content-delta", 0, &json!({"text": "a"}));
    weighed["logprobs"] = json!({"text": "a", "token_ids": [5], "logprobs": [-0.5]});
    let events = [start(), weighed, message_end(&json!("COMPLETE"))];
    let expected = [
        "start 29 asked",
        "0 text",
        "0 + a",
        "0 likely a=-0.5",
        "0 end",
        "finish Stop in 45 read 1504 out 95 thought 0",
    ];
    check_steps(&events, &expected);
    check_steps(&through(&events), &expected);
}

#[test]
fn signatures_and_redacted_thoughts_come_through() {
    let signed = |value: &str| content("content-delta", 0, &json!({"thinking": "", "signature": value}));
    let redacted = json!({"type": "thinking", "thinking": "", "signature": "gatewright.openai.o", "redacted": true});
    let events = [
        start(),
        content("content-delta", 0, &json!({"thinking": "Hm"})),
        signed("gatewright.anthropic.s"),
        end("content-end", 0),
        content("content-start", 1, &redacted),
        end("content-end", 1),
        message_end(&json!("COMPLETE")),
    ];
    let expected = [
        "start 29 asked",
        "0 thought",
        "0 + Hm",
        "0 signed anthropic s",
        "0 end",
        "1 redacted openai o",
        "1 end",
        "finish Stop in 45 read 1504 out 95 thought 0",
    ];
    check_steps(&events, &expected);
    check_steps(&through(&events), &expected);
}

/// Cases 12 and 15.
#[test]
fn only_an_end_with_a_reason_is_one() {
    let truncated = "error stream_truncated: the provider ended the stream early";
    for reason in [Value::Null, json!(""), json!("null")] {
        check_steps(&[start(), message_end(&reason)], &["start 29 asked", truncated]);
    }
    check_steps(
        &[start(), json!({"type": "ping"}), json!({"type": "debug", "prompt": "x"})],
        &["start 29 asked", "alive", truncated],
    );
    let odd = [Frame::default(), Frame::unnamed("[DONE]"), Frame::unnamed(" ")];
    assert_eq!(steps(&odd, DOORS), [truncated]);
    check_steps(
        &[start(), message_end(&json!("COMPLETE")), message_end(&json!("COMPLETE")), plan("x")],
        &["start 29 asked", "finish Stop in 45 read 1504 out 95 thought 0"],
    );
    let failed = json!({"type": "message-end", "delta": {"error": "oh", "finish_reason": "ERROR"}});
    check_steps(
        &[start(), failed.clone(), message_end(&json!("COMPLETE"))],
        &["start 29 asked", "error provider_error: oh"],
    );
    check_steps(&[start(), message_end(&json!("TIMEOUT"))], &["start 29 asked", "error timeout: the provider failed"]);
    check_steps(&[json!({"message": "no"})], &["error provider_error: no"]);
    assert_eq!(through(&[start(), failed.clone()]), [start(), failed]);
    let torn = [Frame::unnamed("{\"type\":")];
    assert_eq!(steps(&torn, DOORS), ["error provider_error: an event expected a value at byte 8"]);
}

/// Blocks that are open at once are written one after the other.
#[test]
fn calls_side_by_side_wait_for_their_turn() {
    let mut output = Output::default();
    let mut writer = Writer::default();
    let open = |block, id: &'static str| Step::Open { block, kind: Block::Call { id: id.into(), name: "f".into() } };
    let piece = |block, text: &'static str| Step::Piece { block, piece: Piece::Arguments(text.into()) };
    let finish = Step::Finish { finish: Finish::ToolCalls, stop_sequence: None, usage: Usage::default() };
    let all = [
        open(0, "c1"),
        open(1, "c2"),
        piece(1, "{\"b\""),
        piece(0, "{\"a\""),
        piece(1, ":2}"),
        piece(0, ":1}"),
        Step::Close { block: 1 },
        Step::Close { block: 0 },
        open(2, "c3"),
        open(3, "c4"),
        finish,
    ];
    for step in &all {
        writer.write(step, &heading(), &mut output);
        writer = stored(&writer).0;
    }
    let written = events(&output);
    assert_eq!(
        written[1..7],
        [
            call(0, "c1"),
            arguments(0, "{\"a\""),
            arguments(0, ":1}"),
            end("tool-call-end", 0),
            call(1, "c2"),
            arguments(1, "{\"b\":2}")
        ]
    );
    let expected = [
        "start seed asked",
        "0 call c1 f",
        "0 + {\"a\"",
        "0 + :1}",
        "0 end",
        "1 call c2 f",
        "1 + {\"b\":2}",
        "1 end",
        "2 call c3 f",
        "2 + {}",
        "2 end",
        "3 call c4 f",
        "3 + {}",
        "3 end",
        "finish ToolCalls in 0 read 0 out 0 thought 0",
    ];
    check_steps(&written, &expected);
    assert_eq!(output.frames.last(), Some(&Frame::unnamed("[DONE]")));
}

/// Case 15: nothing is made up, and no marker of an end follows.
#[test]
fn an_error_is_the_last_event() {
    let mut output = Output::default();
    let mut writer = Writer::default();
    writer.write(&Step::Error(UpstreamError::new(ErrorKind::Timeout, "late")), &heading(), &mut output);
    let finish = Step::Finish { finish: Finish::Stop, stop_sequence: None, usage: Usage::default() };
    writer.write(&finish, &heading(), &mut output);
    let last = json!({"type": "message-end", "delta": {"error": "late", "finish_reason": "TIMEOUT"}});
    assert_eq!((output.frames.len(), parsed(&output.frames[1].data)), (2, last));
}

#[test]
fn what_waits_has_a_bound() {
    for (bytes, last) in [(96 << 10, "[DONE]"), ((96 << 10) + 1, "says too much at once")] {
        let (mut writer, mut output) = (Writer::default(), Output::default());
        let call = |block| Step::Open { block, kind: Block::Call { id: "c".into(), name: "f".into() } };
        let piece = Step::Piece { block: 1, piece: Piece::Arguments("a".repeat(bytes).into()) };
        let finish = Step::Finish { finish: Finish::ToolCalls, stop_sequence: None, usage: Usage::default() };
        for step in [call(0), call(1), piece, finish] {
            writer.write(&step, &heading(), &mut output);
        }
        assert!(output.frames.last().is_some_and(|frame| frame.data.contains(last)), "{bytes}");
    }
}
