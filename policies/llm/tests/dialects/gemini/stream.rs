//! Streams.

use gatewright_llm::dialect::gemini::stream::{Reader, Writer};
use gatewright_llm::dialect::{Frame, Output};
use serde_json::{Value, json};

use crate::rig::{heading, parsed};
use crate::told::told;

/// The steps of some frames, with the state stored between them or not.
fn read(frames: &[Frame]) -> Vec<Value> {
    let run = |is_stored: bool| {
        let (mut steps, mut reader) = (Vec::new(), Reader::default());
        for frame in frames {
            reader.read(frame, &heading(), &mut |step| steps.push(told(&step)));
            if is_stored {
                let state = serde_json::to_string(&reader).unwrap_or_else(|error| unreachable!("{error}"));
                reader = serde_json::from_str(&state).unwrap_or_else(|error| unreachable!("{error}"));
            }
        }
        reader.close(&mut |step| steps.push(told(&step)));
        reader.close(&mut |step| steps.push(told(&step)));
        steps
    };
    let steps = run(false);
    assert_eq!(run(true), steps);
    steps
}

/// What some frames are once read and written.
fn rewritten(frames: &[Frame]) -> Vec<Frame> {
    let (mut output, mut writer, mut reader) = (Output::default(), Writer::default(), Reader::default());
    for frame in frames {
        reader.read(frame, &heading(), &mut |step| {
            writer.write(&step, &heading(), &mut output);
            let state = serde_json::to_string(&writer).unwrap_or_else(|error| unreachable!("{error}"));
            writer = serde_json::from_str(&state).unwrap_or_else(|error| unreachable!("{error}"));
        });
    }
    reader.close(&mut |step| writer.write(&step, &heading(), &mut output));
    assert!(output.ledger.is_empty());
    output.frames
}

fn frame(body: &Value) -> Frame {
    Frame::unnamed(body.to_string())
}

fn parts(parts: &Value) -> Frame {
    frame(&json!({"candidates": [{"content": {"parts": parts, "role": "model"}, "index": 0}], "responseId": "r"}))
}

fn end(reason: &str) -> Frame {
    frame(&json!({
        "candidates": [{"content": {"parts": [{"text": ""}]}, "finishReason": reason}],
        "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 2, "totalTokenCount": 7},
    }))
}

/// The arguments of the only call, and whether its block was closed.
fn arguments(steps: &[Value]) -> Value {
    let pieces = steps.iter().filter_map(|step| step["arguments"][1].as_str());
    parsed(&pieces.collect::<String>())
}

#[test]
fn an_answer_in_pieces_is_read_in_order_and_written_with_the_same_meaning() {
    let frames = [
        parts(&json!([{"text": "I won", "thought": true}])),
        parts(&json!([{"text": "der.", "thought": true}])),
        parts(&json!([{"text": "It is"}])),
        parts(&json!([{"text": " hot."}])),
        parts(&json!([{"text": "", "thoughtSignature": "U0lH"}])),
        end("MAX_TOKENS"),
    ];
    let expected = [
        json!({"start": ["r", "asked"]}),
        json!({"open": [0, "thought"]}),
        json!({"text": [0, "I won"]}),
        json!({"text": [0, "der."]}),
        json!({"close": 0}),
        json!({"open": [1, "text"]}),
        json!({"text": [1, "It is"]}),
        json!({"text": [1, " hot."]}),
        json!({"close": 1}),
        json!({"open": [2, "thought"]}),
        json!({"signature": [2, "google", "U0lH"]}),
        json!({"close": 2}),
        json!({"finish": ["Length", null], "usage": {"input": 5, "output": 2}}),
    ];
    assert_eq!(read(&frames), expected);
    assert_eq!(read(&rewritten(&frames)), expected);
}

/// Case 4.
#[test]
fn a_call_is_whole_has_an_id_and_no_empty_text_follows() {
    let call =
        json!({"functionCall": {"name": "weather", "args": {"location": "San Francisco"}}, "thoughtSignature": "U0lH"});
    let frames = [parts(&json!([{"text": "Hm.", "thought": true}])), parts(&json!([call])), end("STOP")];
    let expected = [
        json!({"start": ["r", "asked"]}),
        json!({"open": [0, "thought"]}),
        json!({"text": [0, "Hm."]}),
        json!({"close": 0}),
        json!({"open": [1, "thought"]}),
        json!({"signature": [1, "google", "U0lH"]}),
        json!({"close": 1}),
        json!({"open": [2, "call", "call_seed_0", "weather"]}),
        json!({"arguments": [2, "{\"location\":\"San Francisco\"}"]}),
        json!({"close": 2}),
        json!({"finish": ["ToolCalls", null], "usage": {"input": 5, "output": 2}}),
    ];
    assert_eq!(read(&frames), expected);
    assert_eq!(read(&rewritten(&frames)), expected);
}

/// Case 5.
#[test]
fn arguments_come_value_by_value() {
    let call = |call: Value| parts(&json!([{"functionCall": call}]));
    let partial = |item: Value, goes_on: bool| call(json!({"partialArgs": [item], "willContinue": goes_on}));
    let frames = |last_goes_on: bool| {
        vec![
            call(json!({"name": "writeItems", "willContinue": true})),
            partial(json!({"jsonPath": "$.operations[0].action", "stringValue": "a\"d", "willContinue": true}), true),
            partial(json!({"jsonPath": "$.operations[0].action", "stringValue": "d"}), true),
            partial(json!({"jsonPath": "$.operations[0].price", "numberValue": 0.5}), true),
            partial(json!({"jsonPath": "$.operations[1]['the name']", "boolValue": true}), true),
            partial(json!({"jsonPath": "$.note", "nullValue": "NULL_VALUE"}), last_goes_on),
        ]
    };
    let whole = json!({
        "operations": [{"action": "a\"dd", "price": 0.5}, {"the name": true}],
        "note": null,
    });
    for (mut frames, terminal) in [(frames(false), false), (frames(true), false), (frames(true), true)] {
        frames.extend(terminal.then(|| call(json!({}))));
        frames.push(end("STOP"));
        let steps = read(&frames);
        assert_eq!(arguments(&steps), whole);
        assert_eq!(steps.iter().filter(|step| step.get("close").is_some()).count(), 1);
        assert_eq!(arguments(&read(&rewritten(&frames))), whole);
    }
    let nothing = [call(json!({"name": "now", "willContinue": true})), call(json!({})), end("STOP")];
    assert_eq!(arguments(&read(&nothing)), json!({}));
    let open = json!({"jsonPath": "$.a", "stringValue": "cut", "willContinue": true});
    let cut = [call(json!({"name": "a", "partialArgs": [open], "willContinue": true})), end("STOP")];
    assert_eq!(arguments(&read(&cut)), json!({"a": "cut"}));
}

/// Cases 12 and 15.
#[test]
fn only_a_reason_is_an_end_and_nothing_follows_it() {
    let last = |frames: &[Frame]| read(frames).pop().unwrap_or_default();
    let truncated = json!({"error": ["truncated", "the provider ended the stream early"]});
    assert_eq!(last(&[]), truncated);
    assert_eq!(last(&[parts(&json!([{"text": "x"}])), end("FINISH_REASON_UNSPECIFIED"), end("")]), truncated);
    let cut = rewritten(&[parts(&json!([{"text": "x"}]))]);
    let error = cut.last().map(|frame| parsed(&frame.data)["error"]["status"].clone());
    assert_eq!((cut.len(), error), (2, Some(json!("INTERNAL"))));
    assert!(!cut.iter().any(|frame| frame.data.contains("finishReason")));

    let finish = json!({"finish": ["Stop", null], "usage": {"input": 5, "output": 9}});
    let usage = frame(&json!({"usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 9}}));
    assert_eq!(last(&[Frame::default(), end("STOP"), end("MAX_TOKENS"), usage]), finish);

    let error = frame(&json!({"error": {"code": 503, "message": "busy", "status": "UNAVAILABLE"}}));
    assert_eq!(last(&[parts(&json!([{"text": "x"}])), error, end("STOP")]), json!({"error": ["overloaded", "busy"]}));
    assert_eq!(last(&[Frame::unnamed("{"), end("STOP")])["error"][0], "other");
    let blocked = frame(&json!({"promptFeedback": {"blockReason": "SAFETY"}}));
    assert_eq!(last(&[blocked]), json!({"finish": ["Refused", null], "usage": {}}));
    assert_eq!(last(&[end("MALFORMED_FUNCTION_CALL")])["error"][0], "other");
}

#[test]
fn citations_come_once_and_keep_their_places() {
    let grounded = frame(&json!({"candidates": [{
        "content": {"parts": [{"text": "It is hot."}]},
        "groundingMetadata": {
            "groundingChunks": [{"web": {"uri": "https://example.com", "title": "T"}}],
            "groundingSupports": [{"segment": {"startIndex": 6, "endIndex": 9}, "groundingChunkIndices": [0]}],
        },
        "logprobsResult": {"chosenCandidates": [{"token": "It", "logProbability": -0.5}]},
    }]}));
    let cited = |frames: &[Frame]| {
        let steps = read(frames);
        assert!(steps.contains(&json!({"log_probabilities": [0, [["It", -0.5]]]})));
        steps.into_iter().filter(|step| step.get("citation").is_some()).collect::<Vec<_>>()
    };
    let expected = [json!({"citation": [0, {"place": [6, 9], "title": "T", "url": "https://example.com"}]})];
    let repeated = frame(
        &json!({"candidates": [{"groundingMetadata": parsed(&grounded.data)["candidates"][0]["groundingMetadata"]}]}),
    );
    let frames = [grounded, repeated, end("STOP")];
    assert_eq!(cited(&frames), expected);
    assert_eq!(cited(&rewritten(&frames)), expected);
}
