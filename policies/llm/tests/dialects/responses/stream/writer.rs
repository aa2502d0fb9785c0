//! What is written of a stream.

use gatewright_llm::completion::{Block, Finish, Piece, Step};
use gatewright_llm::content::{Content, Media, Part};
use gatewright_llm::dialect::Output;
use gatewright_llm::dialect::responses::stream::Writer;
use gatewright_llm::error::{ErrorKind, UpstreamError};
use gatewright_llm::usage::Usage;
use serde_json::{Value, json};

use super::super::response::answer;
use super::events;
use crate::rig::{heading, stored, with};

/// Writes steps; the writer is stored between them. Frames are named by their type, and numbered without a gap.
fn written(steps: &[Step<'_>]) -> (Vec<Value>, Vec<String>) {
    let mut output = Output::default();
    let mut writer = Writer::default();
    for step in steps {
        writer.write(step, &heading(), &mut output);
        let (again, bytes) = stored(&writer);
        assert!(bytes < 200 * 1024, "{bytes}");
        writer = again;
    }
    (events(&output), output.ledger.warnings().to_vec())
}

fn start() -> Step<'static> {
    Step::Start { id: "1".into(), model: "gpt-5".into(), usage: Usage::default() }
}

fn text(block: u32, text: &str) -> Step<'_> {
    Step::Piece { block, piece: Piece::Text(text.into()) }
}

fn finish(finish: Finish) -> Step<'static> {
    let usage = Usage { input: 80, cache_read: 20, output: 50, ..Usage::default() };
    Step::Finish { finish, stop_sequence: None, usage }
}

fn call(id: &'static str) -> Block<'static> {
    Block::Call { id: id.into(), name: "f".into() }
}

fn at(item: &str, output: u32) -> Value {
    json!({"item_id": item, "output_index": output})
}

fn event(kind: &str, at: &Value, more: &Value) -> Value {
    with(with(json!({"type": kind}), at), more)
}

/// Case 8.
#[test]
fn a_text_and_a_call_have_every_event_of_their_life() {
    let (events, told) = written(&[
        start(),
        Step::Alive,
        Step::Open { block: 0, kind: Block::Text },
        text(0, "Hel"),
        text(0, "lo \"\u{e9}\""),
        Step::Close { block: 0 },
        Step::Open { block: 1, kind: call("c1") },
        Step::Piece { block: 1, piece: Piece::Arguments("{\"a\"".into()) },
        Step::Piece { block: 1, piece: Piece::Arguments(":1}".into()) },
        Step::Close { block: 1 },
        finish(Finish::ToolCalls),
    ]);
    let in_progress = answer(&json!({"status": "in_progress", "usage": null}));
    let part = |text: &str| json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []});
    let message = |status: &str, content: Value| {
        json!({"id": "msg_seed_0", "type": "message", "status": status,
        "role": "assistant", "content": content})
    };
    let item = |status: &str, arguments: &str| {
        json!({"id": "fc_seed_1", "type": "function_call", "status": status,
        "call_id": "c1", "name": "f", "arguments": arguments})
    };
    let (in_message, in_call) =
        (json!({"item_id": "msg_seed_0", "output_index": 0, "content_index": 0}), at("fc_seed_1", 1));
    let whole = "Hello \"\u{e9}\"";
    let output = json!([message("completed", json!([part(whole)])), item("completed", "{\"a\":1}")]);
    let usage = json!({"input_tokens": 100, "input_tokens_details": {"cached_tokens": 20, "cache_write_tokens": 0},
        "output_tokens": 50, "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 150});
    let expected = [
        json!({"type": "response.created", "response": in_progress}),
        json!({"type": "response.in_progress", "response": in_progress}),
        json!({"type": "response.output_item.added", "output_index": 0, "item": message("in_progress", json!([]))}),
        event("response.content_part.added", &in_message, &json!({"part": part("")})),
        event("response.output_text.delta", &in_message, &json!({"delta": "Hel", "logprobs": []})),
        event("response.output_text.delta", &in_message, &json!({"delta": "lo \"\u{e9}\"", "logprobs": []})),
        event("response.output_text.done", &in_message, &json!({"text": whole, "logprobs": []})),
        event("response.content_part.done", &in_message, &json!({"part": part(whole)})),
        json!({"type": "response.output_item.done", "output_index": 0, "item": message("completed", json!([part(whole)]))}),
        json!({"type": "response.output_item.added", "output_index": 1, "item": item("in_progress", "")}),
        event("response.function_call_arguments.delta", &in_call, &json!({"delta": "{\"a\""})),
        event("response.function_call_arguments.delta", &in_call, &json!({"delta": ":1}"})),
        event("response.function_call_arguments.done", &in_call, &json!({"name": "f", "arguments": "{\"a\":1}"})),
        json!({"type": "response.output_item.done", "output_index": 1, "item": item("completed", "{\"a\":1}")}),
        json!({"type": "response.completed", "response": answer(&json!({"output": output, "usage": usage}))}),
    ];
    assert_eq!(events, expected);
    assert!(told.is_empty(), "{told:?}");
}

/// Case 15: nothing is made up.
#[test]
fn an_error_is_a_failed_answer_and_the_last_event() {
    let (events, _) = written(&[
        start(),
        Step::Open { block: 0, kind: Block::Text },
        text(0, "Hel"),
        Step::Error(UpstreamError::truncated()),
        finish(Finish::Stop),
    ]);
    let last = events.last().unwrap();
    assert_eq!(last["type"], "response.failed");
    assert_eq!(
        last["response"],
        answer(&json!({"status": "failed", "usage": null, "error":
        {"code": "server_error", "message": "the provider ended the stream early"}}))
    );
    let (events, _) = written(&[Step::Error(UpstreamError::told(ErrorKind::RateLimited, "slow"))]);
    let kinds: Vec<_> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["response.created", "response.in_progress", "response.failed"]);
    assert_eq!(events[2]["response"]["error"], json!({"code": "rate_limit_exceeded", "message": "slow"}));
}

/// Blocks that are open at once each keep their place.
#[test]
fn calls_side_by_side_keep_their_places() {
    let (events, _) = written(&[
        start(),
        Step::Open { block: 0, kind: Block::Text },
        text(0, "a"),
        Step::Open { block: 1, kind: call("c1") },
        Step::Open { block: 2, kind: call("") },
        Step::Piece { block: 2, piece: Piece::Arguments("{\"b\":2}".into()) },
        text(0, "b"),
        Step::Close { block: 2 },
        Step::Close { block: 0 },
        Step::Open { block: 3, kind: Block::Text },
        text(3, "c"),
        finish(Finish::ToolCalls),
    ]);
    let output = &events.last().unwrap()["response"]["output"];
    let told: Vec<_> = output
        .as_array()
        .unwrap()
        .iter()
        .map(|item| {
            (item["id"].as_str().unwrap(), item["content"][0]["text"].as_str().or(item["arguments"].as_str()).unwrap())
        })
        .collect();
    assert_eq!(told, [("msg_seed_0", "ab"), ("fc_seed_1", "{}"), ("fc_seed_2", "{\"b\":2}"), ("msg_seed_3", "c")]);
    assert_eq!(output[2]["call_id"], "call_seed_2");
    for event in &events {
        let index = event["output_index"].as_u64().filter(|_| event["item_id"].is_string());
        if let Some(index) = index {
            assert!(event["item_id"].as_str().unwrap().ends_with(&format!("_{index}")), "{event}");
        }
    }
}

/// The state of a writer has a bound; the pieces of a longer answer are all sent, only not repeated.
#[test]
fn an_answer_that_is_too_long_to_keep_is_not_repeated_whole() {
    let long = |letter: &str, bytes: usize| {
        let piece = letter.repeat(1024 / letter.len());
        let mut all = vec![start(), Step::Open { block: 0, kind: Block::Text }];
        all.extend((0..bytes / 1024).map(|_| Step::Piece { block: 0, piece: Piece::Text(piece.clone().into()) }));
        all.extend([Step::Close { block: 0 }, finish(Finish::Stop)]);
        let (events, told) = written(&all);
        let sent: usize = events.iter().filter_map(|event| event["delta"].as_str()).map(str::len).sum();
        let kept = events.last().unwrap()["response"]["output"][0]["content"][0]["text"].as_str().unwrap().len();
        (sent, kept, told.len())
    };
    assert_eq!(long("a", 160 << 10), (160 << 10, 160 << 10, 0));
    assert_eq!(long("\"", 40 << 10), (40 << 10, 40 << 10, 0));
    assert_eq!(long("a", 400 << 10), (400 << 10, 175 << 10, 1));
    assert_eq!(long("\u{1}\"\\\n", 100 << 10).2, 1);
    assert_eq!(long("\u{e9}", 400 << 10).0, 400 << 10);
}

#[test]
fn what_comes_whole_and_has_no_place_is_told() {
    let media = || Media::Base64 { media_type: "audio/wav".into(), data: "A".into() };
    let whole = |content| Step::Open { block: 0, kind: Block::Whole(Part::from(content)) };
    let (events, told) =
        written(&[start(), whole(Content::Audio(media())), Step::Close { block: 0 }, finish(Finish::Stop)]);
    assert_eq!((events.len(), told), (3, vec!["left out: audio in the answer".to_owned()]));
}
