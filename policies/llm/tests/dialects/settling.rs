//! What a stream cost, however it ends.

use gatewright_llm::Dialect::{self, Chat, Gemini, Messages, Responses};
use gatewright_llm::dialect::{Frame, Heading, Output};
use gatewright_llm::tool_name::ToolNames;
use gatewright_llm::translate::{Outcome, Pair, Relay, Watch};
use serde_json::{Value, json};

use crate::pairs::{data, typed};

/// How a stream of an upstream ended, with its input, output, and whether that is an estimate; the same whether it is
/// translated or only looked at.
fn settled(upstream: Dialect, frames: &[Frame]) -> (Outcome, u32, u32, bool) {
    let heading = Heading { input_estimate: 7, ..Heading::default() };
    let client = if upstream == Chat { Messages } else { Chat };
    let (mut relay, mut watch) = (Relay::new(Pair { client, upstream }), Watch::new(upstream));
    let (names, mut output) = (ToolNames::default(), Output::default());
    for frame in frames {
        relay.read(frame, &names, &heading, &mut output);
        watch.read(frame, &heading);
    }
    relay.close(&heading, &mut output);
    watch.close();
    let [one, other] = [relay.tally(), watch.tally()].map(|tally| {
        let usage = tally.usage(&heading);
        (
            tally.outcome.unwrap_or_else(|| unreachable!("{frames:?}")),
            usage.input_total(),
            usage.output,
            usage.is_estimate,
        )
    });
    assert_eq!(one, other);
    one
}

#[expect(clippy::needless_pass_by_value, reason = "values are written where they are used")]
fn start(usage: Value) -> Value {
    json!({ "type": "message_start", "message": { "id": "m", "model": "c", "usage": usage } })
}

fn says(text: &str) -> [Value; 2] {
    let open = json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "" } });
    [open, json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": text } })]
}

#[test]
fn a_whole_stream_costs_what_the_provider_says() {
    let mut events = vec![start(json!({ "input_tokens": 43, "output_tokens": 1 }))];
    events.extend(says("Hello"));
    events.push(json!({ "type": "message_delta", "delta": { "stop_reason": "end_turn" }, "usage": { "input_tokens": 61, "output_tokens": 2 } }));
    events.push(json!({ "type": "message_stop" }));
    assert_eq!(settled(Messages, &typed(&events)), (Outcome::Complete, 61, 2, false));
}

#[test]
fn a_stream_that_is_cut_off_costs_the_figures_so_far_and_an_estimate_of_the_rest() {
    let mut events = vec![start(json!({ "input_tokens": 43, "output_tokens": 1 }))];
    events.extend(says("Twelve bytes"));
    assert_eq!(settled(Messages, &typed(&events)), (Outcome::Truncated, 43, 3, true));
    events.push(
        json!({ "type": "message_delta", "delta": { "stop_reason": "end_turn" }, "usage": { "output_tokens": 9 } }),
    );
    assert_eq!(settled(Messages, &typed(&events)), (Outcome::Truncated, 43, 9, true));
    assert_eq!(settled(Messages, &typed(&[start(json!({}))])), (Outcome::Truncated, 7, 0, true));
    assert_eq!(settled(Messages, &[]), (Outcome::Truncated, 7, 0, true));

    let usage = json!({ "prompt_tokens": 5, "completion_tokens": 4 });
    let chunk = json!({ "id": "c", "choices": [{ "index": 0, "delta": { "content": "x" } }], "usage": usage });
    assert_eq!(settled(Chat, &data(&[chunk])), (Outcome::Truncated, 5, 4, true));
    let piece = json!({ "candidates": [{ "content": { "parts": [{ "text": "x" }] } }],
        "usageMetadata": { "promptTokenCount": 5, "candidatesTokenCount": 4, "totalTokenCount": 9 } });
    assert_eq!(settled(Gemini, &data(&[piece])), (Outcome::Truncated, 5, 4, true));
}

#[test]
fn an_answer_that_failed_costs_what_the_provider_says_of_it() {
    let failed = json!({ "type": "response.failed", "response": { "status": "failed",
        "error": { "code": "server_error", "message": "oh" }, "usage": { "input_tokens": 5, "output_tokens": 4 } } });
    assert_eq!(settled(Responses, &typed(&[failed])), (Outcome::Error, 5, 4, true));
}

#[test]
fn a_good_end_without_figures_is_an_estimate() {
    let chunk = json!({ "id": "c", "choices": [{ "index": 0, "delta": { "content": "Twelve bytes" }, "finish_reason": "stop" }] });
    assert_eq!(settled(Chat, &data(&[chunk, json!("[DONE]")])), (Outcome::Complete, 7, 3, true));
}
