//! From one dialect to another, through the whole translation.

use serde_json::Value;

use crate::rig::parsed;

use gatewright_llm::Dialect;
use gatewright_llm::dialect::{Frame, Heading, Options, Output};
use gatewright_llm::fault::{Fault, Ledger, OnLoss};
use gatewright_llm::tool_name::ToolNames;
use gatewright_llm::translate::{self, Asked, Pair, Relay};

/// A request that goes from one dialect to another, and what is warned of.
pub(crate) fn request(client: Dialect, upstream: Dialect, body: &Value) -> (Value, String) {
    let translated = try_request(client, upstream, body).unwrap_or_else(|fault| unreachable!("{fault}: {body}"));
    (parsed(&translated.body), translated.warning)
}

pub(crate) fn try_request(client: Dialect, upstream: Dialect, body: &Value) -> Result<translate::Request, Fault> {
    let text = body.to_string();
    let asked = Asked { client, body: &text, model: None, stream: None };
    translate::request(&asked, upstream, &Options::default(), OnLoss::default(), |_| None)
}

pub(crate) fn heading() -> Heading {
    Heading { seed: "seed".to_owned(), model: "asked".to_owned(), created: 1_700_000_000, ..Heading::default() }
}

/// A whole answer that goes from an upstream to a client, and what is warned of.
pub(crate) fn response(client: Dialect, upstream: Dialect, body: &Value) -> (Value, Vec<String>) {
    let mut ledger = Ledger::default();
    let pair = Pair { client, upstream };
    let response = translate::response(pair, &body.to_string(), &ToolNames::default(), &heading(), &mut ledger);
    let response = response.unwrap_or_else(|error| unreachable!("{error:?}: {body}"));
    (parsed(&response.body), ledger.warnings().to_vec())
}

/// A stream that goes from an upstream to a client. It is translated in one go, and once more with its state written
/// and read between the frames: both must give the same.
pub(crate) fn stream(client: Dialect, upstream: Dialect, frames: &[Frame], heading: &Heading) -> Vec<Frame> {
    let pair = Pair { client, upstream };
    let names = ToolNames::default();
    let (mut whole, mut output) = (Relay::new(pair), Output::default());
    for frame in frames {
        whole.read(frame, &names, heading, &mut output);
    }
    whole.close(heading, &mut output);
    let (mut torn, mut again) = (Relay::new(pair), Output::default());
    for frame in frames {
        torn.read(frame, &names, heading, &mut again);
        torn = serde_json::from_str(&serde_json::to_string(&torn).unwrap_or_default())
            .unwrap_or_else(|error| unreachable!("{error}"));
    }
    torn.close(heading, &mut again);
    assert_eq!(output.frames, again.frames);
    output.frames
}

/// Frames as chat completions have them.
pub(crate) fn data(events: &[Value]) -> Vec<Frame> {
    events.iter().map(|event| Frame::unnamed(event.as_str().map_or_else(|| event.to_string(), str::to_owned))).collect()
}

/// Frames as messages have them.
pub(crate) fn typed(events: &[Value]) -> Vec<Frame> {
    events.iter().map(|event| Frame::named(event["type"].as_str().unwrap_or_default(), event.to_string())).collect()
}

/// What frames say, each as a value; one that is no JSON as a text.
pub(crate) fn said(frames: &[Frame]) -> Vec<Value> {
    frames.iter().map(|frame| serde_json::from_str(&frame.data).unwrap_or_else(|_| frame.data.clone().into())).collect()
}
