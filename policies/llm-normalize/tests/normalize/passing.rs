//! An upstream that speaks the client's dialect.

use gatewright_sdk::testing::Body;
use gatewright_sdk::{Ending, Exchange, Outcome, Policy, Scalar, testing};

use crate::rig::{batch, exchange, openai};

const ODD: &str =
    r#"{"tools":[],"temperature":1.0, "seed":1e3,"model" : "fast","messages":[{"role":"user","content":"\u00e9"}]}"#;

fn passed(request: &str) -> (String, Exchange) {
    let (exchange, body) = (exchange(), Body::from(request));
    assert!(testing::passes(&openai().on_request_body(&exchange, &body)));
    (body.text(), exchange)
}

#[test]
fn an_alias_changes_only_the_bytes_of_the_model() {
    for _ in 0..10 {
        assert_eq!(passed(ODD).0, ODD.replace("\"fast\"", "\"gpt-mini\""));
    }
    let (_, exchange) = passed(ODD);
    assert_eq!(exchange.path(), "/v1/chat/completions");
    assert_eq!(exchange.metadata_text("llm.model").as_deref(), Some("gpt-mini"));
    assert_eq!(exchange.metadata_text("llm.requested-model").as_deref(), Some("fast"));
}

#[test]
fn a_request_that_needs_no_change_has_none() {
    for request in [
        ODD.replace("fast", "other"),
        r#"{ "model":"m", "stream":true, "stream_options":{"include_usage":true} }"#.to_owned(),
        r#"{ "stream":true }"#.to_owned(),
    ] {
        assert_eq!(passed(&request).0, request);
    }
}

#[test]
fn usage_is_always_asked_for_in_a_stream() {
    let check = |request: &str, sent: &str| assert_eq!(passed(request).0, sent);
    check(r#"{"model":"m","stream":true}"#, r#"{"model":"m","stream":true,"stream_options":{"include_usage":true}}"#);
    check(
        r#"{"model":"m","stream":true,"stream_options":null}"#,
        r#"{"model":"m","stream":true,"stream_options":{"include_usage":true}}"#,
    );
    check(
        r#"{"model":"m","stream":true,"stream_options":{"include_usage":false}}"#,
        r#"{"model":"m","stream":true,"stream_options":{"include_usage":true}}"#,
    );
    check(
        r#"{"model":"m","stream":true,"stream_options":{"x":1}}"#,
        r#"{"model":"m","stream":true,"stream_options":{"x":1,"include_usage":true}}"#,
    );
}

#[test]
fn what_is_no_json_is_refused() {
    let answer = testing::answer(openai().on_request_body(&exchange(), &Body::from("{")));
    assert_eq!((answer.status, answer.code.as_str()), (400, "invalid-json"));
}

#[test]
fn the_usage_of_a_whole_completion_is_read_and_the_bytes_stay() {
    let (_, exchange) = passed(ODD);
    let response = r#"{ "choices":[], "usage":{"prompt_tokens":100,"completion_tokens":50,"prompt_tokens_details":{"cached_tokens":20}} }"#;
    let body = Body::from(response);
    exchange.respond(200, &[]);
    assert!(testing::passes(&openai().on_response_body(&exchange, &body)));
    assert_eq!(body.text(), response);
    assert!(matches!(exchange.get_metadata("llm.input-tokens"), Some(Scalar::Number(count)) if count == 100.0));
    assert!(matches!(exchange.get_metadata("llm.output-tokens"), Some(Scalar::Number(count)) if count == 50.0));
}

const CONTENT: &str =
    r#"{"choices":[{"delta":{"content":"say \"finish_reason\":\"stop\""},"finish_reason":null}],"usage":null}"#;
const FINISH: &str = r#"{"choices":[{"delta":{},"finish_reason": "stop"}],"usage":null}"#;
const USAGE: &str = r#"{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":4}}"#;

fn streamed(request: &str, events: &[&str], last: Ending) -> (Vec<String>, Exchange) {
    let (_, exchange) = passed(request);
    let mut got = Vec::new();
    let mut is_finished = false;
    for event in events {
        if !is_finished {
            let (more, finished) = batch(&openai(), &exchange, &[(*event).to_owned()], Ending::Open);
            got.extend(more);
            is_finished = finished;
        }
    }
    if !is_finished {
        got.extend(batch(&openai(), &exchange, &[], last).0);
    }
    (got, exchange)
}

#[test]
fn the_extra_chunk_is_only_for_who_asked() {
    let events = [CONTENT, FINISH, USAGE, "[DONE]"];
    let (got, exchange) = streamed(r#"{"model":"m","stream":true}"#, &events, Ending::Complete);
    assert_eq!(got, [CONTENT, FINISH, "[DONE]"]);
    assert!(matches!(exchange.get_metadata("llm.output-tokens"), Some(Scalar::Number(count)) if count == 4.0));
    assert_eq!(exchange.metadata_text("llm.outcome").as_deref(), Some("complete"));

    let asked = r#"{"model":"m","stream":true,"stream_options":{"include_usage":true}}"#;
    assert_eq!(streamed(asked, &events, Ending::Complete).0, events);
}

#[test]
fn a_batch_that_needs_no_change_passes_as_it_came() {
    let (_, exchange) = passed(r#"{"model":"m","stream":true}"#);
    let events = [CONTENT, "", FINISH].map(|data| gatewright_sdk::Event { name: String::new(), data: data.to_owned() });
    assert!(matches!(openai().on_event(&exchange, events.to_vec(), Ending::Open), Ok(Outcome::Pass)));
}

#[test]
fn usage_beside_a_choice_is_counted_and_kept() {
    let last = r#"{"choices":[{"index":0,"delta":{}}],"usage":{"prompt_tokens":7,"completion_tokens":1}}"#;
    let (got, exchange) = streamed(r#"{"model":"m","stream":true}"#, &[FINISH, last, "[DONE]"], Ending::Complete);
    assert_eq!(got, [FINISH, last, "[DONE]"]);
    assert!(matches!(exchange.get_metadata("llm.input-tokens"), Some(Scalar::Number(count)) if count == 7.0));
}

#[test]
fn a_stream_without_a_finish_ends_in_an_error() {
    let not_yet = r#"{"choices":[{"delta":{},"finish_reason":""}]}"#;
    for (events, last) in [
        (vec![CONTENT], Ending::Complete),
        (vec![CONTENT], Ending::Truncated),
        (vec![CONTENT, not_yet, "[DONE]"], Ending::Complete),
        (vec![], Ending::Truncated),
    ] {
        let (got, exchange) = streamed(r#"{"model":"m","stream":true}"#, &events, last);
        assert!(got.last().unwrap().contains("stream_truncated"), "{got:?}");
        assert!(!got.iter().any(|event| event == "[DONE]"));
        assert_eq!(exchange.metadata_text("llm.outcome").as_deref(), Some("truncated"));
    }
    let error = r#"{"error":{"message":"no"}}"#;
    let (got, _) = streamed(r#"{"model":"m","stream":true}"#, &[CONTENT, error], Ending::Complete);
    assert_eq!(got, [CONTENT, error]);
}
