//! Whole answers.

use gatewright_llm::completion::{Completion, Finish};
use gatewright_llm::content::{Arguments, Call, Content, Maker, Signature, Thought};
use gatewright_llm::dialect::gemini::response;
use gatewright_llm::error::UpstreamError;
use gatewright_llm::fault::{Ledger, OnLoss};
use gatewright_llm::json::Document;
use serde_json::{Value, json};

use crate::rig::{heading, parsed};
use crate::told::{told_part, told_usage};

fn with<T>(body: &Value, look: impl FnOnce(Result<Completion<'_>, UpstreamError>) -> T) -> T {
    let text = body.to_string();
    let document = Document::parse(&text).unwrap_or_else(|error| unreachable!("{error}"));
    look(response::read(document.root(), &heading(), &mut Ledger::default()))
}

fn good(body: &Value) -> (Vec<Value>, Finish, Value) {
    with(body, |completion| {
        let completion = completion.unwrap_or_else(|error| unreachable!("{error:?}"));
        (completion.parts.iter().map(told_part).collect(), completion.finish, told_usage(&completion.usage))
    })
}

fn answer(parts: &Value, reason: &str) -> Value {
    json!({"candidates": [{"content": {"parts": parts, "role": "model"}, "finishReason": reason}]})
}

#[test]
fn an_answer_is_written_as_it_was_read() {
    let body = json!({
        "candidates": [{
            "content": {"parts": [
                {"text": "I wonder.", "thought": true},
                {"text": "It is h\u{f6}t.", "thoughtSignature": "U0lH"},
                {"functionCall": {"id": "a", "name": "weather", "args": {"x": 1.5}}},
                {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
            ], "role": "model"},
            "finishReason": "STOP",
            "index": 0,
            "groundingMetadata": {
                "groundingChunks": [{"web": {"uri": "https://example.com", "title": "T"}}],
                "groundingSupports": [{
                    "segment": {"partIndex": 1, "startIndex": 6, "endIndex": 10}, "groundingChunkIndices": [0],
                }],
            },
            "logprobsResult": {
                "chosenCandidates": [{"token": "It", "logProbability": -0.5}],
                "topCandidates": [{"candidates": [{"token": "Is", "logProbability": -1.5}]}],
            },
        }],
        "usageMetadata": {
            "promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 18,
            "cachedContentTokenCount": 4, "thoughtsTokenCount": 3,
        },
        "modelVersion": "gemini-3-pro",
        "responseId": "r",
    });
    let written = with(&body, |completion| {
        let completion = completion.unwrap_or_else(|error| unreachable!("{error:?}"));
        let cited = completion.parts.iter().find_map(|part| match &part.content {
            Content::Text { citations, .. } => citations.first(),
            _ => None,
        });
        // Nine bytes are eight characters.
        assert_eq!(cited.and_then(|citation| citation.place), Some((6, 9)));
        let mut ledger = Ledger::new(OnLoss::Refuse);
        let written = parsed(&response::write(&completion, &heading(), &mut ledger));
        assert_eq!(ledger.close(), Ok(String::new()));
        written
    });
    assert_eq!(written, body);
}

/// Case 4.
#[test]
fn a_call_ends_an_answer_for_its_tools_and_has_an_id() {
    let body = answer(
        &json!([{"functionCall": {"name": "weather", "args": {"location": "San Francisco"}}, "thoughtSignature": "U0lH"},
               {"functionCall": {"name": "now"}}, {"text": ""}]),
        "STOP",
    );
    let (parts, finish, _) = good(&body);
    let expected = [
        json!({"thought": "", "signature": ["google", "U0lH"], "redacted": false}),
        json!({"call": ["call_seed_0", "weather", "{\"location\":\"San Francisco\"}"]}),
        json!({"call": ["call_seed_1", "now", "{}"]}),
    ];
    assert_eq!((parts.as_slice(), finish), (expected.as_slice(), Finish::ToolCalls));
}

/// Case 19.
#[test]
fn thoughts_add_to_the_output_once_and_the_cache_is_counted_once() {
    let mut body = answer(&json!([{"text": "x"}]), "STOP");
    body["usageMetadata"] = json!({
        "promptTokenCount": 100, "cachedContentTokenCount": 40, "candidatesTokenCount": 7, "thoughtsTokenCount": 30,
        "totalTokenCount": 137, "promptTokensDetails": [{"modality": "IMAGE", "tokenCount": 50}],
        "cacheTokensDetails": [{"modality": "IMAGE", "tokenCount": 20}],
    });
    let usage = json!({"input": 60, "cache_read": 40, "output": 37, "reasoning": 30, "image_input": 30});
    assert_eq!(good(&body).2, usage);
}

#[test]
fn reasons_to_finish_have_a_meaning() {
    for (reason, finish) in [
        ("STOP", Finish::Stop),
        ("MAX_TOKENS", Finish::Length),
        ("SAFETY", Finish::Refused),
        ("PROHIBITED_CONTENT", Finish::Refused),
        ("RECITATION", Finish::Refused),
        ("SOMETHING_NEW", Finish::Stop),
    ] {
        assert_eq!(good(&answer(&json!([{"text": "x"}]), reason)).1, finish, "{reason}");
    }
    let blocked = json!({"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 3}});
    assert_eq!(good(&blocked), (vec![], Finish::Refused, json!({"input": 3})));
    let error = |body: &Value| with(body, |completion| completion.err().map(|error| error.message));
    let broken = "the provider ended the answer with MALFORMED_FUNCTION_CALL";
    assert_eq!(error(&answer(&json!([]), "MALFORMED_FUNCTION_CALL")).as_deref(), Some(broken));
    assert_eq!(error(&json!({})).as_deref(), Some("the provider sent an answer without a candidate"));
}

/// Cases 6 and 22.
#[test]
fn signatures_of_others_travel_as_bytes_and_broken_arguments_are_left_out() {
    let signature = |maker| Some(Signature { maker, value: "a.b/c=".into() });
    let thought = |text: &'static str, is_redacted| {
        Content::Thought(Thought { text: text.into(), signature: signature(Maker::Anthropic), is_redacted })
    };
    let arguments = Arguments::Text("{\"location\": \"Par".into());
    let call = Content::Call(Call { id: "a".into(), name: "weather".into(), arguments });
    let completion = Completion {
        parts: [thought("Hm.", false), thought("", true), call].into_iter().map(Into::into).collect(),
        finish: Finish::Length,
        ..Completion::default()
    };
    let mut ledger = Ledger::default();
    let body = parsed(&response::write(&completion, &heading(), &mut ledger));
    assert_eq!(ledger.warnings(), ["arguments of a tool call were left out: they are no JSON object"]);
    assert_eq!(body["candidates"][0]["finishReason"], "MAX_TOKENS");
    assert_eq!((&body["modelVersion"], &body["responseId"]), (&json!("asked"), &json!("seed")));
    let (parts, ..) = good(&body);
    let expected = [
        json!({"thought": "Hm.", "signature": ["anthropic", "a.b/c="], "redacted": false}),
        json!({"thought": "", "signature": ["anthropic", "a.b/c="], "redacted": true}),
        json!({"call": ["a", "weather", "{}"]}),
    ];
    assert_eq!(parts, expected);
}
