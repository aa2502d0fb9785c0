//! Whole answers and errors.

use gatewright_llm::completion::{Completion, Finish};
use gatewright_llm::content::{Citation, Content, Maker, Part, Signature, Thought};
use gatewright_llm::dialect::responses::{error, response};
use gatewright_llm::error::{ErrorKind, UpstreamError};
use gatewright_llm::fault::Ledger;
use gatewright_llm::usage::Usage;
use serde_json::{Value, json};

use crate::rig::{document, heading, parsed, with};

/// Reads an answer and writes it again.
fn through(body: &Value) -> Result<(Value, Vec<String>), UpstreamError> {
    let text = body.to_string();
    let document = document(&text);
    let mut ledger = Ledger::default();
    let completion = response::read(document.root(), &heading(), &mut ledger)?;
    let written = response::write(&completion, &heading(), &mut ledger);
    Ok((parsed(&written), ledger.warnings().to_vec()))
}

/// What clients find in every answer.
pub(crate) fn answer(change: &Value) -> Value {
    let answer = json!({
        "id": "resp_1", "object": "response", "created_at": 1_700_000_000, "completed_at": null,
        "status": "completed", "background": false, "error": null, "incomplete_details": null,
        "instructions": null, "max_output_tokens": null, "max_tool_calls": null, "model": "gpt-5",
        "output": [], "parallel_tool_calls": true, "previous_response_id": null, "prompt_cache_key": null,
        "reasoning": null, "safety_identifier": null, "service_tier": "default", "store": false,
        "temperature": 1, "text": {"format": {"type": "text"}}, "tool_choice": "auto", "tools": [],
        "top_logprobs": 0, "top_p": 1, "presence_penalty": 0, "frequency_penalty": 0,
        "truncation": "disabled", "user": null, "metadata": {},
        "usage": {"input_tokens": 0, "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": 0, "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 0},
    });
    with(answer, change)
}

#[test]
fn an_answer_is_written_as_it_was_read() {
    let body = answer(&json!({
        "output": [
            {"id": "rs_seed_0", "type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm"}],
                "encrypted_content": "enc"},
            {"id": "rs_seed_1", "type": "reasoning", "summary": [], "encrypted_content": "enc-2"},
            {"id": "msg_seed_2", "type": "message", "status": "completed", "role": "assistant", "content": [
                {"type": "output_text", "text": "\u{e9}\n\"x\"", "logprobs": [
                    {"token": "\u{e9}", "logprob": -0.5, "bytes": [195, 169], "top_logprobs": [
                        {"token": "e", "logprob": -1.5, "bytes": [101]}]}],
                  "annotations": [
                    {"type": "url_citation", "start_index": 0, "end_index": 3, "url": "https://a", "title": "A"},
                    {"type": "file_citation", "file_id": "f", "filename": "F", "index": 2}]},
                {"type": "refusal", "refusal": "No"},
            ]},
            {"id": "fc_seed_3", "type": "function_call", "status": "completed", "call_id": "c", "name": "f",
                "arguments": "{\"a\": 1.0}"},
            {"id": "ig_seed_4", "type": "image_generation_call", "status": "completed", "output_format": "webp",
                "result": "AAAA"},
        ],
        "usage": {"input_tokens": 100, "input_tokens_details": {"cached_tokens": 20, "cache_write_tokens": 30},
            "output_tokens": 50, "output_tokens_details": {"reasoning_tokens": 10}, "total_tokens": 150},
    }));
    assert_eq!(through(&body), Ok((body, Vec::new())));
}

#[test]
fn answers_of_lesser_servers_are_read() {
    let (written, told) = through(&json!({"output": [
        {"type": "message", "content": [{"type": "text", "text": "a"}, {"type": "output_audio"}]},
        {"type": "reasoning", "id": "rs_x", "summary": []},
        {"type": "web_search_call", "id": "ws"},
        {"type": "function_call", "call_id": "c", "name": "f"},
    ], "new": {}}))
    .unwrap();
    assert_eq!(written["id"], "resp_seed");
    assert_eq!(written["model"], "asked");
    assert_eq!(written["output"][0]["content"][0]["text"], "a");
    assert_eq!(written["output"][1]["arguments"], "{}");
    assert_eq!(written["output"].as_array().map(Vec::len), Some(2));
    assert_eq!(told, ["left out: output content output_audio", "left out: output item web_search_call"]);
}

#[test]
fn the_end_of_an_answer_keeps_its_reason() {
    let message = |content: Value| {
        json!([{"id": "msg_seed_0", "type": "message", "role": "assistant",
        "status": "completed", "content": [content]}])
    };
    let text = message(json!({"type": "output_text", "text": "a", "annotations": [], "logprobs": []}));
    let call = json!([{"type": "function_call", "call_id": "c", "name": "f", "arguments": "{\"a"}]);
    let incomplete = |reason: &str| json!({"reason": reason});
    let table = [
        ("completed", Value::Null, text.clone(), Finish::Stop, "completed", Value::Null),
        ("completed", Value::Null, call.clone(), Finish::ToolCalls, "completed", Value::Null),
        (
            "completed",
            Value::Null,
            message(json!({"type": "refusal", "refusal": "no"})),
            Finish::Refused,
            "completed",
            Value::Null,
        ),
        (
            "incomplete",
            incomplete("max_output_tokens"),
            call,
            Finish::Length,
            "incomplete",
            incomplete("max_output_tokens"),
        ),
        ("incomplete", incomplete("content_filter"), text, Finish::Refused, "incomplete", incomplete("content_filter")),
    ];
    for (status, details, output, finish, written_status, written_details) in table {
        let body = json!({"status": status, "incomplete_details": details, "output": output}).to_string();
        let document = document(&body);
        let completion = response::read(document.root(), &heading(), &mut Ledger::default()).unwrap();
        assert_eq!(completion.finish, finish, "{body}");
        let written = parsed(&response::write(&completion, &heading(), &mut Ledger::default()));
        assert_eq!(written["status"], written_status, "{body}");
        assert_eq!(written["incomplete_details"], written_details, "{body}");
    }
    let completion = Completion { finish: Finish::Paused, ..Completion::default() };
    let mut ledger = Ledger::default();
    let written = parsed(&response::write(&completion, &heading(), &mut ledger));
    assert_eq!(written["status"], "incomplete");
    assert_eq!(ledger.warnings(), ["the pause of a long turn became an incomplete answer"]);
}

/// Case 22: what the model wrote is written, whether it is JSON or not; this dialect has arguments as a text.
#[test]
fn torn_arguments_pass_as_they_are() {
    let body = json!({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}, "output": [
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{\"location\": \"Par"}]});
    let (written, _) = through(&body).unwrap();
    assert_eq!(written["output"][0]["arguments"], "{\"location\": \"Par");
    assert_eq!(written["output"][0]["status"], "incomplete");
}

/// Thoughts that another model signed travel through this dialect and come back as they were.
#[test]
fn signatures_of_other_makers_come_back() {
    let thought = |text: &'static str, is_redacted| {
        let signature = Some(Signature { maker: Maker::Anthropic, value: "sig".into() });
        Part::from(Content::Thought(Thought { text: text.into(), signature, is_redacted }))
    };
    let parts = vec![thought("a", false), thought("", false), thought("", true)];
    let completion = Completion { parts, ..Completion::default() };
    let mut ledger = Ledger::default();
    let written = response::write(&completion, &heading(), &mut ledger);
    let output = parsed(&written)["output"].clone();
    assert_eq!(output[0]["encrypted_content"], "gatewright.anthropic.sig");
    assert_eq!(output[1]["summary"], json!([{"type": "summary_text", "text": ""}]));
    assert_eq!(output[2]["summary"], json!([]));
    let document = document(&written);
    let again = response::read(document.root(), &heading(), &mut ledger).unwrap();
    let thoughts: Vec<_> = again
        .parts
        .iter()
        .map(|part| match &part.content {
            Content::Thought(thought) => {
                let signature = thought.signature.as_ref().unwrap();
                (thought.text.plain().into_owned(), thought.is_redacted, signature.maker, signature.value.plain())
            }
            other => unreachable!("{other:?}"),
        })
        .collect();
    let (maker, value) = (Maker::Anthropic, "sig");
    assert_eq!(
        thoughts,
        [
            ("a".into(), false, maker, value.into()),
            (String::new(), false, maker, value.into()),
            (String::new(), true, maker, value.into())
        ]
    );
    assert!(ledger.is_empty());
}

/// Case 19: 3 fresh, 12304 written to a cache.
#[test]
fn input_counts_what_the_cache_gave_and_took() {
    let usage = Usage { input: 3, cache_written: 12_304, output: 550, ..Usage::default() };
    let completion = Completion { usage, ..Completion::default() };
    let written = response::write(&completion, &heading(), &mut Ledger::default());
    assert_eq!(
        parsed(&written)["usage"],
        json!({"input_tokens": 12_307,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 12_304}, "output_tokens": 550,
        "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 12_857})
    );
    let document = document(&written);
    assert_eq!(response::read(document.root(), &heading(), &mut Ledger::default()).unwrap().usage, usage);
}

#[test]
fn citations_of_documents_have_a_place_and_a_name() {
    let citation =
        Citation { document: Some(1), title: Some("T".into()), quote: Some("q".into()), ..Citation::default() };
    let nothing = Citation::default();
    let text = Content::Text { text: "\u{1F600}bc".into(), citations: vec![citation, nothing] };
    let completion = Completion { parts: vec![Part::from(text)], ..Completion::default() };
    let mut ledger = Ledger::default();
    let written = parsed(&response::write(&completion, &heading(), &mut ledger));
    assert_eq!(
        written["output"][0]["content"][0]["annotations"],
        json!([{"type": "file_citation", "file_id": "document_1", "filename": "T", "index": 3}])
    );
    assert_eq!(
        ledger.warnings(),
        ["left out: citations: the words and the passage of the source", "left out: citations without a source"]
    );
}

#[test]
fn an_answer_that_failed_is_an_error() {
    let table = [
        (
            json!({"status": "failed", "error": {"code": "rate_limit_exceeded", "message": "slow"}}),
            ErrorKind::RateLimited,
            "slow",
        ),
        (json!({"status": "failed", "error": {"code": "server_error", "message": "oh"}}), ErrorKind::Other, "oh"),
        (json!({"status": "queued", "output": []}), ErrorKind::Other, "the provider's answer is queued"),
        (json!({"status": "completed"}), ErrorKind::Other, "the provider's answer cannot be read"),
        (json!([]), ErrorKind::Other, "the provider's answer cannot be read"),
    ];
    for (body, kind, message) in table {
        let is_found = message.starts_with("the provider's answer");
        assert_eq!(through(&body), Err(UpstreamError { kind, message: message.to_owned(), is_found }), "{body}");
    }
}

#[test]
fn errors_are_read_by_code_then_by_status() {
    let body =
        |code: Value| json!({"error": {"message": "m", "type": "invalid_request_error", "code": code}}).to_string();
    let table = [
        (400, body(json!("context_length_exceeded")), ErrorKind::ContextTooLong, "m"),
        (429, body(json!("insufficient_quota")), ErrorKind::Quota, "m"),
        (404, body(json!("model_not_found")), ErrorKind::NotFound, "m"),
        (400, body(Value::Null), ErrorKind::InvalidRequest, "m"),
        (500, r#"{"error":{"message":"m","type":"server_error"}}"#.into(), ErrorKind::Other, "m"),
        (503, r#"{"error":"x"}"#.into(), ErrorKind::Overloaded, "the provider answered with status 503"),
        (502, "<html>".into(), ErrorKind::Other, "the provider answered with status 502"),
    ];
    for (status, body, kind, message) in table {
        assert_eq!(error::read(status, &body), UpstreamError::told(kind, message), "{body}");
    }
}

/// Truncation and time-outs are all "server_error" to a client of this dialect.
#[test]
fn errors_are_read_as_they_were_written() {
    for kind in ErrorKind::ALL {
        let error = UpstreamError::told(kind, "m \"q\"");
        let expected = if matches!(kind, ErrorKind::Timeout | ErrorKind::Truncated) { ErrorKind::Other } else { kind };
        assert_eq!(error::read(502, &error::write(&error)).kind, expected);
        let event = error::stream(&error);
        assert_eq!((event.name.as_str(), &parsed(&event.data)["message"]), ("error", &json!("m \"q\"")));
    }
}
