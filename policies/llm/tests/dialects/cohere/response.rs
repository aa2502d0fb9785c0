//! Whole answers and errors.

use gatewright_llm::completion::{Completion, Finish};
use gatewright_llm::content::{Content, Maker, Part, Signature, Thought};
use gatewright_llm::dialect::cohere::{error, response};
use gatewright_llm::error::{ErrorKind, UpstreamError};
use gatewright_llm::fault::Ledger;
use gatewright_llm::usage::Usage;
use serde_json::{Value, json};

use crate::rig::{document, heading, parsed};

/// Reads an answer and writes it again.
fn through(body: &Value) -> Result<(Value, Vec<String>), UpstreamError> {
    let text = body.to_string();
    let document = document(&text);
    let mut ledger = Ledger::default();
    let completion = response::read(document.root(), &heading(), &mut ledger)?;
    let written = response::write(&completion, &heading(), &mut ledger);
    Ok((parsed(&written), ledger.warnings().to_vec()))
}

/// Case 19 with it: what comes from a cache and what is not charged for are counted once.
#[test]
fn an_answer_is_written_as_it_was_read() {
    let body = json!({
        "id": "1f47",
        "message": {"role": "assistant",
            "content": [{"type": "thinking", "thinking": "Hm"}, {"type": "text", "text": "OK \"\u{e9}\""}],
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{\"a\": 1.0}"}}],
            "citations": [{"start": 0, "end": 2, "text": "OK", "content_index": 1, "type": "TEXT_CONTENT", "sources": [
                {"type": "document", "id": "doc:0", "document": {"id": "doc:0", "title": "T", "url": "https://a"}}]}]},
        "finish_reason": "MAX_TOKENS",
        "logprobs": [{"text": "OK", "token_ids": [], "logprobs": [-0.5]}],
        "usage": {"billed_units": {"input_tokens": 5, "output_tokens": 2},
            "tokens": {"input_tokens": 500, "output_tokens": 5}, "cached_tokens": 448},
    });
    assert_eq!(through(&body), Ok((body.clone(), Vec::new())));
    let text = body.to_string();
    let document = document(&text);
    let usage = response::read(document.root(), &heading(), &mut Ledger::default()).unwrap().usage;
    let expected =
        Usage { input: 52, cache_read: 448, output: 5, unbilled_input: 495, unbilled_output: 3, ..Usage::default() };
    assert_eq!(usage, expected);
}

#[test]
fn plans_are_thoughts_and_calls_without_arguments_have_an_object() {
    for arguments in [json!(""), json!("null"), Value::Null] {
        let (written, told) =
            through(&json!({"finish_reason": "COMPLETE", "message": {"role": "assistant", "content": [],
            "tool_plan": "I look.", "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": arguments}}]}}))
            .unwrap();
        assert_eq!(written["message"]["content"], json!([{"type": "thinking", "thinking": "I look."}]));
        assert_eq!(written["message"]["tool_calls"][0]["function"]["arguments"], "{}");
        assert_eq!((&written["finish_reason"], &written["id"]), (&json!("TOOL_CALL"), &json!("seed")));
        assert!(told.is_empty());
    }
}

#[test]
fn the_end_of_an_answer_keeps_its_reason() {
    let table = [
        ("COMPLETE", Finish::Stop),
        ("STOP_SEQUENCE", Finish::StopSequence),
        ("MAX_TOKENS", Finish::Length),
        ("TOOL_CALL", Finish::ToolCalls),
    ];
    for (word, finish) in table {
        let body = json!({"finish_reason": word, "message": {"content": [{"type": "text", "text": "a"}]}}).to_string();
        let document = document(&body);
        let completion = response::read(document.root(), &heading(), &mut Ledger::default()).unwrap();
        assert_eq!(completion.finish, finish);
        assert_eq!(parsed(&response::write(&completion, &heading(), &mut Ledger::default()))["finish_reason"], word);
    }
    for (finish, told) in [
        (Finish::Refused, "the end by a refusal became COMPLETE"),
        (Finish::Paused, "the pause of a long turn became COMPLETE"),
    ] {
        let mut ledger = Ledger::default();
        response::write(&Completion { finish, ..Completion::default() }, &heading(), &mut ledger);
        assert_eq!(ledger.warnings(), [told]);
    }
    let message = json!({"content": [{"type": "text", "text": "a"}]});
    let told = UpstreamError::told;
    let failed = [
        (json!({"finish_reason": "ERROR", "message": message}), told(ErrorKind::Other, "the provider failed")),
        (json!({"finish_reason": "TIMEOUT", "message": message}), told(ErrorKind::Timeout, "the provider failed")),
        (json!({"message": "no"}), told(ErrorKind::Other, "no")),
        (json!([]), UpstreamError::new(ErrorKind::Other, "the provider's answer cannot be read")),
    ];
    for (body, expected) in failed {
        assert_eq!(through(&body), Err(expected), "{body}");
    }
}

/// Thoughts that another model signed travel through this dialect and come back as they were.
#[test]
fn signatures_of_other_makers_come_back() {
    for (maker, is_redacted, text) in
        [(Maker::Anthropic, false, "a"), (Maker::Google, false, ""), (Maker::Openai, true, "")]
    {
        let signature = Some(Signature { maker, value: "sig".into() });
        let thought = Thought { text: text.into(), signature, is_redacted };
        let parts = vec![Part::from(Content::Thought(thought)), Part::from(Content::text("b"))];
        let written =
            response::write(&Completion { parts, ..Completion::default() }, &heading(), &mut Ledger::default());
        let document = document(&written);
        let again = response::read(document.root(), &heading(), &mut Ledger::default()).unwrap();
        let Content::Thought(thought) = &again.parts[0].content else { unreachable!("{written}") };
        let signature = thought.signature.as_ref().unwrap();
        assert_eq!((thought.text.plain().as_ref(), thought.is_redacted), (text, is_redacted));
        assert_eq!((signature.maker, signature.value.plain().as_ref()), (maker, "sig"));
    }
}

#[test]
fn errors_have_a_message_and_a_status() {
    let table = [
        (400, "too many tokens: size limit exceeded", ErrorKind::ContextTooLong),
        (400, "invalid request", ErrorKind::InvalidRequest),
        (401, "invalid api token", ErrorKind::Authentication),
        (402, "no credit", ErrorKind::Quota),
        (429, "slow", ErrorKind::RateLimited),
        (498, "blocked output", ErrorKind::ContentRefused),
        (498, "invalid token", ErrorKind::Authentication),
    ];
    for (status, message, kind) in table {
        let error = UpstreamError::told(kind, message);
        let body = error::write(&error);
        assert_eq!((body.clone(), error::read(status, &body)), (json!({"message": message}).to_string(), error));
    }
    assert_eq!(error::read(503, "<html>"), UpstreamError::of_status(503));
    assert_eq!((error::status(ErrorKind::Quota), error::status(ErrorKind::NotFound)), (402, 404));
}
