//! Rules on whole answers.

use gatewright_sdk::testing::{self, Body};
use gatewright_sdk::{Decision, Policy};
use serde_json::json;

use crate::rig::{answered, asked, emails, guard};

#[test]
fn every_text_of_an_answer_is_looked_at() {
    let cases = [
        (
            "/v1/chat/completions",
            concat!(
                r#"{"id":"a@x.org","choices":[{"index":0,"message":{"role":"assistant","content":"a@x.org","#,
                r#""refusal":"a@x.org","tool_calls":[{"id":"c","function":{"name":"f","arguments":"{\"a\":\"a@x.org\"}"}}]},"#,
                r#""logprobs":{"content":[{"token":"a@x.org"}]},"finish_reason":"stop"}],"usage":{"x":"a@x.org"}}"#
            ),
            3,
            2,
        ),
        (
            "/v1/responses",
            concat!(
                r#"{"instructions":"a@x.org","output":[{"type":"reasoning","summary":[{"type":"summary_text","text":"a@x.org"}]},"#,
                r#"{"type":"message","content":[{"type":"output_text","text":"a@x.org","logprobs":[{"token":"a"}]}]},"#,
                r#"{"type":"function_call","arguments":"{\"a\":\"a@x.org\"}"}]}"#
            ),
            3,
            1,
        ),
        (
            "/v1/messages",
            concat!(
                r#"{"content":[{"type":"thinking","thinking":"a@x.org","signature":"a@x.org"},{"type":"text","text":"a@x.org"},"#,
                r#"{"type":"tool_use","id":"t","name":"f","input":{"a":"a@x.org"}}],"model":"m"}"#
            ),
            3,
            1,
        ),
        (
            "/v1beta/models/m:generateContent",
            concat!(
                r#"{"candidates":[{"content":{"role":"model","parts":[{"text":"a@x.org"},"#,
                r#"{"functionCall":{"name":"f","args":{"a":"a@x.org"}}}]},"finishReason":"STOP"}],"modelVersion":"a@x.org"}"#
            ),
            2,
            1,
        ),
        (
            "/model/m/converse",
            concat!(
                r#"{"output":{"message":{"role":"assistant","content":[{"text":"a@x.org"},"#,
                r#"{"toolUse":{"toolUseId":"t","name":"f","input":{"a":"a@x.org"}}}]}},"stopReason":"end_turn"}"#
            ),
            2,
            0,
        ),
        (
            "/v2/chat",
            concat!(
                r#"{"id":"a@x.org","message":{"role":"assistant","content":[{"type":"text","text":"a@x.org"}],"tool_plan":"a@x.org","#,
                r#""citations":[{"text":"a@x.org"}]},"finish_reason":"COMPLETE"}"#
            ),
            3,
            1,
        ),
    ];
    for (path, body, redacted, kept) in cases {
        let got = answered(&emails(), path, body);
        let counts = (got.matches("[email]").count(), got.matches("a@x.org").count());
        assert_eq!(counts, (redacted, kept), "{got}");
        let expected = body.contains("\"logprobs\"");
        assert_eq!(got.contains("\"logprobs\":null"), expected, "{got}");
        assert_eq!(answered(&guard(&json!([{ "name": "x", "words": ["zebra"], "action": "deny" }])), path, body), body);
    }
}

/// Gemini's stream without `alt=sse` is one list.
#[test]
fn a_match_across_the_pieces_of_a_list_is_found() {
    let path = "/v1beta/models/m:streamGenerateContent";
    let piece = |text: &str| format!(r#"{{"candidates":[{{"content":{{"parts":[{{"text":"{text}"}}]}}}}]}}"#);
    let body = format!("[{},\r\n{},{}]", piece("write to al"), piece("ice@exam"), piece("ple.com now"));
    let expected = format!("[{},\r\n{},{}]", piece("write to [email]"), piece(""), piece(" now"));
    assert_eq!(answered(&emails(), path, &body), expected);
}

#[test]
fn an_answer_may_be_refused() {
    let policy = guard(&json!([{ "name": "x", "words": ["zebra"], "action": "deny", "where": ["response"] }]));
    let exchange = asked(&policy, "/v1/messages");
    let body = Body::from(r#"{"content":[{"type":"text","text":"A zebra."}]}"#);
    let answer = testing::answer(policy.on_response_body(&exchange, &body));
    assert_eq!((answer.status, answer.code.as_str()), (403, "answer-denied"));
    assert_eq!(exchange.metadata_text("guard.response").as_deref(), Some("x"));
    assert!(exchange.metadata_text("guard.request").is_none());
}

#[test]
fn what_cannot_be_looked_at_does_not_pass_and_errors_do() {
    let exchange = asked(&emails(), "/v1/messages");
    let answer = testing::answer(emails().on_response_body(&exchange, &Body::from("a@x.org")));
    assert_eq!((answer.status, answer.code.as_str()), (502, "answer-unreadable"));
    exchange.set_response_status(429).unwrap();
    let decided = emails().on_response_body(&exchange, &Body::from("a@x.org"));
    assert!(matches!(decided, Ok(Decision::Detach)));
}

#[test]
fn rules_on_requests_alone_leave_the_answer_to_itself() {
    let policy = guard(&json!([{ "name": "x", "words": ["zebra"], "action": "deny", "where": ["request"] }]));
    let exchange = crate::rig::exchange("/v1/messages").with_header("accept-encoding", "gzip");
    let decided = policy.on_request_body(&exchange, &Body::from("{}"));
    assert!(matches!(decided, Ok(Decision::Detach)));
    assert_eq!(exchange.first_request_header("accept-encoding").as_deref(), Some("gzip"));
    let decided = emails().on_request_body(&exchange, &Body::from("{}"));
    assert!(matches!(decided, Ok(Decision::Next)));
    assert_eq!(exchange.first_request_header("accept-encoding").as_deref(), Some("identity"));
}
