//! Bedrock Converse.

use gatewright_llm::completion::{Block, Completion, Finish, Piece, Step};
use gatewright_llm::content::{Arguments, Call, Content};
use gatewright_llm::dialect::converse::stream::{Reader, Writer};
use gatewright_llm::dialect::converse::{error, request, response};
use gatewright_llm::dialect::{Frame, Options, Output};
use gatewright_llm::error::{ErrorKind, UpstreamError};
use gatewright_llm::fault::{Ledger, OnLoss};
use serde_json::{Value, json};

use crate::rig::{document, heading, parsed, stored};
use crate::told::told;

/// What becomes of a request that is read and written again, and what the ledger says of it.
fn rewritten(body: &Value) -> (Value, Result<String, String>) {
    let text = body.to_string();
    let document = document(&text);
    let mut ledger = Ledger::new(OnLoss::ByWeight);
    let mut conversation =
        request::read(document.root(), &mut ledger).unwrap_or_else(|fault| unreachable!("{fault}: {body}"));
    let written = parsed(&request::write(&mut conversation, &Options::DEFAULT, &mut ledger));
    (written, ledger.close().map_err(|fault| fault.to_string()))
}

#[test]
fn a_request_is_written_as_it_was_read() {
    let body = json!({
        "toolConfig": {
            "tools": [
                {"toolSpec": {"name": "weather", "description": "It tells.", "inputSchema": {"json": {"type": "object"}}}},
                {"cachePoint": {"type": "default", "ttl": "1h"}},
            ],
            "toolChoice": {"tool": {"name": "weather"}},
        },
        "system": [{"text": "Be brief."}, {"cachePoint": {"type": "default"}}],
        "messages": [
            {"role": "user", "content": [
                {"text": "What is \u{e9}?"},
                {"image": {"format": "png", "source": {"bytes": "AAAA"}}},
                {"document": {"format": "pdf", "name": "paper", "source": {"s3Location": {"uri": "s3://b/k"}},
                    "context": "Old.", "citations": {"enabled": true}}},
                {"video": {"format": "mp4", "source": {"bytes": "AAAA"}}},
                {"audio": {"format": "wav", "source": {"bytes": "AAAA"}}},
                {"cachePoint": {"type": "default"}},
            ]},
            {"role": "assistant", "content": [
                {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "sig"}}},
                {"reasoningContent": {"redactedContent": "c2VjcmV0"}},
                {"text": "Let me look."},
                {"toolUse": {"toolUseId": "a", "name": "weather", "input": {"x": 1.5}}},
            ]},
            {"role": "user", "content": [
                {"toolResult": {"toolUseId": "a", "content": [{"json": {"$ref": "#/x"}}], "status": "success"}},
                {"toolResult": {"toolUseId": "b", "content": [{"text": "no"}], "status": "error"}},
                {"text": "So?"},
            ]},
        ],
        "inferenceConfig": {"maxTokens": 100, "temperature": 0.5, "topP": 0.25, "stopSequences": ["END"]},
        "additionalModelRequestFields": {"thinking": {"type": "enabled", "budget_tokens": 2048}, "top_k": 5},
        "requestMetadata": {"team": "a"},
        "serviceTier": {"type": "flex"},
        "outputConfig": {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": {
            "schema": "{\"type\": \"object\"}", "name": "n",
        }}}},
    });
    assert_eq!(rewritten(&body), (body, Ok(String::new())));
}

/// Case 17.
#[test]
fn results_of_tools_come_first_and_sides_alternate() {
    let result = |id: &str| json!({"toolResult": {"toolUseId": id, "content": [{"text": "1"}]}});
    let (body, ledger) = rewritten(&json!({"messages": [
        {"role": "user", "content": [{"text": "Here:"}, result("a")]},
        {"role": "user", "content": [{"text": ""}, result("b")]},
    ]}));
    let expected = json!({"messages": [{"role": "user", "content": [result("a"), result("b"), {"text": "Here:"}]}]});
    assert_eq!((body, ledger), (expected, Ok(String::new())));
}

#[test]
fn what_only_this_provider_has_is_refused_or_left_out() {
    let of = |name: &str, value: Value| {
        let mut body = json!({"messages": [{"role": "user", "content": [{"text": "x"}]}]});
        body[name] = value;
        rewritten(&body).1
    };
    let guard = "guardrailConfig is only known to this provider";
    assert_eq!(of("guardrailConfig", json!({"guardrailIdentifier": "x"})), Err(guard.to_owned()));
    assert_eq!(of("performanceConfig", json!({"latency": "optimized"})), Ok("left out: performanceConfig".to_owned()));
    let unknown = "additionalModelRequestFields.x is not known";
    assert_eq!(of("additionalModelRequestFields", json!({"x": 1})), Err(unknown.to_owned()));
    assert_eq!(of("surprise", json!(1)), Err("surprise is not known".to_owned()));
    let fault = |body: &Value| {
        let text = body.to_string();
        let document = document(&text);
        request::read(document.root(), &mut Ledger::default()).err().map(|fault| fault.to_string())
    };
    assert_eq!(fault(&json!({})).as_deref(), Some("messages is missing or empty"));
    let role = json!({"messages": [{"role": "tool", "content": []}]});
    assert_eq!(fault(&role).as_deref(), Some("messages[0].role must be user, assistant or system"));
}

/// Case 19 too.
#[test]
fn an_answer_is_written_as_it_was_read() {
    let body = json!({
        "output": {"message": {"role": "assistant", "content": [
            {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "sig"}}},
            {"citationsContent": {"content": [{"text": "Hot."}], "citations": [{
                "title": "T", "sourceContent": [{"text": "It is."}],
                "location": {"documentChar": {"documentIndex": 1, "start": 2, "end": 5}},
            }]}},
            {"toolUse": {"toolUseId": "a", "name": "weather", "input": {}}},
        ]}},
        "stopReason": "tool_use",
        "usage": {
            "inputTokens": 3, "outputTokens": 5, "totalTokens": 38, "cacheReadInputTokens": 10,
            "cacheWriteInputTokens": 20,
            "cacheDetails": [{"ttl": "1h", "inputTokens": 15}, {"ttl": "5m", "inputTokens": 5}],
        },
        "metrics": {"latencyMs": 0},
    });
    let text = body.to_string();
    let document = document(&text);
    let mut ledger = Ledger::new(OnLoss::Refuse);
    let completion = response::read(document.root(), &heading(), &mut ledger);
    let completion = completion.unwrap_or_else(|error| unreachable!("{error:?}"));
    assert_eq!(parsed(&response::write(&completion, &heading(), &mut ledger)), body);
    assert_eq!(ledger.close(), Ok(String::new()));
    assert_eq!((completion.usage.cache_written, completion.usage.cache_written_hour), (5, 15));
}

fn event(name: &str, data: &Value) -> Frame {
    Frame::named(name, data.to_string())
}

fn delta(index: u32, delta: &Value) -> Frame {
    event("contentBlockDelta", &json!({"delta": delta, "contentBlockIndex": index}))
}

fn end_of(index: u32) -> Frame {
    event("contentBlockStop", &json!({"contentBlockIndex": index}))
}

/// A whole stream: a thought, a text, and a call without arguments.
fn frames() -> Vec<Frame> {
    let start = json!({"start": {"toolUse": {"toolUseId": "a", "name": "now"}}, "contentBlockIndex": 2});
    vec![
        event("messageStart", &json!({"role": "assistant"})),
        delta(0, &json!({"reasoningContent": {"text": "Hm."}})),
        delta(0, &json!({"reasoningContent": {"signature": "sig"}})),
        end_of(0),
        delta(1, &json!({"text": "Hot."})),
        end_of(1),
        event("contentBlockStart", &start),
        delta(2, &json!({"toolUse": {"input": ""}})),
        end_of(2),
        event("messageStop", &json!({"stopReason": "tool_use"})),
        event(
            "metadata",
            &json!({
                "usage": {"inputTokens": 5, "outputTokens": 2, "totalTokens": 7}, "metrics": {"latencyMs": 0},
            }),
        ),
    ]
}

/// The steps of some frames, and the frames that are written of them; with both states stored after each frame.
fn read(frames: &[Frame]) -> (Vec<Value>, Vec<Frame>) {
    let (mut steps, mut output) = (Vec::new(), Output::default());
    let (mut reader, mut writer) = (Reader::default(), Writer::default());
    for frame in frames {
        reader.read(frame, &heading(), &mut |step| {
            steps.push(told(&step));
            writer.write(&step, &heading(), &mut output);
        });
        (reader, writer) = (stored(&reader).0, stored(&writer).0);
    }
    reader.close(&mut |step| {
        steps.push(told(&step));
        writer.write(&step, &heading(), &mut output);
    });
    (steps, output.frames)
}

#[test]
fn a_stream_is_read_in_order_and_usage_is_waited_for() {
    let expected = [
        json!({"start": ["", "asked"]}),
        json!({"open": [0, "thought"]}),
        json!({"text": [0, "Hm."]}),
        json!({"signature": [0, "anthropic", "sig"]}),
        json!({"close": 0}),
        json!({"open": [1, "text"]}),
        json!({"text": [1, "Hot."]}),
        json!({"close": 1}),
        json!({"open": [2, "call", "a", "now"]}),
        json!({"arguments": [2, "{}"]}),
        json!({"close": 2}),
        json!({"finish": ["ToolCalls", null], "usage": {"input": 5, "output": 2}}),
    ];
    let (steps, written) = read(&frames());
    assert_eq!(steps, expected);
    assert_eq!(read(&written).0, expected);
}

#[test]
fn blocks_that_interleave_are_written_one_after_the_other() {
    let call = |block, id: &'static str| Step::Open { block, kind: Block::Call { id: id.into(), name: "n".into() } };
    let piece = |block, text: &'static str| Step::Piece { block, piece: Piece::Arguments(text.into()) };
    let steps = [
        call(0, "a"),
        call(1, "b"),
        piece(1, "{\"x\":"),
        piece(0, "{}"),
        piece(1, "1}"),
        Step::Close { block: 1 },
        Step::Close { block: 0 },
    ];
    let (mut writer, mut output) = (Writer::default(), Output::default());
    for step in &steps {
        writer.write(step, &heading(), &mut output);
        writer = stored(&writer).0;
    }
    let order = output.frames.iter().map(|frame| parsed(&frame.data)["contentBlockIndex"].clone());
    assert_eq!(order.collect::<Vec<_>>(), [0, 0, 0, 1, 1, 1, 1]);
}

/// Case 22.
#[test]
fn arguments_that_are_no_object_are_left_out() {
    let arguments = Arguments::Text("{\"location\": \"Par".into());
    let call = Content::Call(Call { id: "a".into(), name: "n".into(), arguments });
    let completion = Completion { parts: vec![call.into()], finish: Finish::Length, ..Completion::default() };
    let mut ledger = Ledger::default();
    let body = parsed(&response::write(&completion, &heading(), &mut ledger));
    assert_eq!(body["output"]["message"]["content"][0]["toolUse"]["input"], json!({}));
    assert_eq!(body["stopReason"], "max_tokens");
    assert_eq!(ledger.warnings(), ["arguments of a tool call were left out: they are no JSON object"]);
}

/// Case 15.
#[test]
fn a_stream_that_is_cut_or_fails_has_no_end() {
    let whole = frames();
    let (steps, written) = read(whole.get(..5).unwrap_or_default());
    assert_eq!(steps.last(), Some(&json!({"error": ["truncated", "the provider ended the stream early"]})));
    assert_eq!(written.last().map(|frame| frame.name.as_str()), Some("modelStreamErrorException"));
    assert!(written.iter().all(|frame| frame.name != "messageStop"));
    let slow = event("throttlingException", &json!({"message": "slow"}));
    let (steps, _) = read(&[vec![slow], whole].concat());
    assert_eq!(steps, [json!({"error": ["rate_limited", "slow"]})]);
}

#[test]
fn an_error_is_of_its_kind() {
    let one_for_several =
        [ErrorKind::ContextTooLong, ErrorKind::ContentRefused, ErrorKind::TooLarge, ErrorKind::Truncated];
    for kind in ErrorKind::ALL.into_iter().filter(|kind| !one_for_several.contains(kind)) {
        let told = UpstreamError::told(kind, "It \"broke\".");
        assert_eq!(error::read(error::status(kind), &error::write(&told)), told);
    }
    let long = error::read(400, "{\"message\":\"Input is too long for requested model.\"}");
    assert_eq!(long.kind, ErrorKind::ContextTooLong);
    assert_eq!(error::read(429, "{\"message\":\"slow\"}"), UpstreamError::told(ErrorKind::RateLimited, "slow"));
    let later = "{\"__type\":\"com.amazon#LaterException\",\"message\":\"slow\"}";
    assert_eq!(error::read(429, later), UpstreamError::told(ErrorKind::RateLimited, "slow"));
}
