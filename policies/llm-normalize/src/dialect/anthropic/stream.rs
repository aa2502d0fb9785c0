//! Reads the events of a streamed message, batch by batch.

use serde::{Deserialize, Serialize};

use super::ToolNames;
use super::error::ErrorText;
use super::response::{BlockText, finish};
use super::usage::UsageText;
use crate::completion::{ErrorKind, Finish, ShownThought, Step, UpstreamError, Usage};

/// How far a stream is: all that is kept from one batch to the next.
#[derive(Serialize, Deserialize, Default)]
pub(crate) struct Progress {
    pub(crate) id: String,
    pub(crate) model: String,
    pub(crate) usage: Usage,
    finish: Option<Finish>,
    /// Nothing follows: the message has ended, well or not.
    pub(crate) is_over: bool,
    calls: u32,
    /// Calls whose block is open, with whether they have arguments yet.
    open: Vec<OpenCall>,
}

#[derive(Serialize, Deserialize)]
struct OpenCall {
    block: u32,
    call: u32,
    has_arguments: bool,
}

/// An event of any type; which fields are there depends on it.
#[derive(Deserialize)]
struct EventText<'a> {
    #[serde(rename = "type")]
    kind: String,
    message: Option<Opening>,
    #[serde(default)]
    index: u32,
    #[serde(borrow)]
    content_block: Option<BlockText<'a>>,
    delta: Option<DeltaText>,
    usage: Option<UsageText>,
    error: Option<ErrorText>,
}

#[derive(Deserialize)]
struct Opening {
    id: String,
    model: String,
    #[serde(default)]
    usage: UsageText,
}

#[derive(Deserialize)]
struct DeltaText {
    text: Option<String>,
    partial_json: Option<String>,
    thinking: Option<String>,
    signature: Option<String>,
    stop_reason: Option<String>,
}

impl Progress {
    /// The steps of one event.
    pub(crate) fn read(&mut self, data: &str, names: &ToolNames, steps: &mut Vec<Step>) {
        if self.is_over || data.trim().is_empty() {
            return;
        }
        let Ok(event) = serde_json::from_str::<EventText<'_>>(data) else {
            return self.fail(ErrorKind::Other, "the provider sent an event that cannot be read", steps);
        };
        match event.kind.as_str() {
            "message_start" => self.start(event.message, steps),
            "content_block_start" => self.open_block(event.index, event.content_block, names, steps),
            "content_block_delta" => self.extend_block(event.index, event.delta, steps),
            "content_block_stop" => self.close_block(event.index, steps),
            "message_delta" => {
                if let Some(usage) = event.usage {
                    usage.apply(&mut self.usage);
                }
                if let Some(reason) = event.delta.and_then(|delta| delta.stop_reason) {
                    self.finish = Some(finish(Some(&reason)));
                }
            }
            "message_stop" => self.end(steps),
            "error" => {
                self.is_over = true;
                steps.push(Step::Error(event.error.unwrap_or_default().into()));
            }
            // `ping`, and events that this version does not know.
            _ => {}
        }
    }

    /// The stream is at its end; a message that has not ended was cut off.
    pub(crate) fn close(&mut self, steps: &mut Vec<Step>) {
        if !self.is_over {
            self.fail(ErrorKind::Truncated, "the provider ended the stream early", steps);
        }
    }

    fn fail(&mut self, kind: ErrorKind, message: &str, steps: &mut Vec<Step>) {
        self.is_over = true;
        steps.push(Step::Error(UpstreamError { kind, message: message.to_owned() }));
    }

    fn start(&mut self, opening: Option<Opening>, steps: &mut Vec<Step>) {
        let Some(opening) = opening else { return };
        if self.id.is_empty() {
            self.id = opening.id;
            self.model = opening.model;
            opening.usage.apply(&mut self.usage);
            steps.push(Step::Start);
        } else if self.id != opening.id {
            // Two messages in one stream: what belongs to which can no longer be told.
            self.fail(ErrorKind::Other, "the provider began a second message", steps);
        }
    }

    fn open_block(&mut self, index: u32, block: Option<BlockText<'_>>, names: &ToolNames, steps: &mut Vec<Step>) {
        let Some(block) = block else { return };
        match block.kind.as_str() {
            "text" => steps.extend(block.text.filter(|text| !text.is_empty()).map(Step::Text)),
            "thinking" => {
                let text = block.thinking.filter(|text| !text.is_empty());
                steps.extend(text.map(|text| thought(index, Some(text), None)));
            }
            "redacted_thinking" => {
                steps.push(Step::Thought(ShownThought { index, encrypted: block.data, ..ShownThought::default() }));
            }
            "tool_use" => {
                let call = self.calls;
                self.calls += 1;
                let name = names.incoming(block.name.unwrap_or_default());
                steps.push(Step::CallStart { call, id: block.id.unwrap_or_default(), name });
                let given = block.input.map(serde_json::value::RawValue::get).filter(|input| *input != "{}");
                let has_arguments = given.is_some();
                steps.extend(given.map(|input| Step::CallArguments { call, fragment: input.to_owned() }));
                self.open.push(OpenCall { block: index, call, has_arguments });
            }
            _ => {}
        }
    }

    fn extend_block(&mut self, index: u32, delta: Option<DeltaText>, steps: &mut Vec<Step>) {
        let Some(delta) = delta else { return };
        steps.extend(delta.text.filter(|text| !text.is_empty()).map(Step::Text));
        if delta.thinking.is_some() || delta.signature.is_some() {
            steps.push(thought(index, delta.thinking, delta.signature));
        }
        let open = self.open.iter_mut().find(|open| open.block == index);
        if let (Some(open), Some(fragment)) = (open, delta.partial_json.filter(|fragment| !fragment.is_empty())) {
            open.has_arguments = true;
            steps.push(Step::CallArguments { call: open.call, fragment });
        }
    }

    /// A call without arguments has an empty object for them, not an empty text.
    fn close_block(&mut self, index: u32, steps: &mut Vec<Step>) {
        let Some(place) = self.open.iter().position(|open| open.block == index) else { return };
        let open = self.open.remove(place);
        if !open.has_arguments {
            steps.push(Step::CallArguments { call: open.call, fragment: "{}".to_owned() });
        }
    }

    fn end(&mut self, steps: &mut Vec<Step>) {
        match self.finish {
            Some(finish) => {
                self.is_over = true;
                steps.push(Step::Finish(finish, self.usage));
            }
            None => self.fail(ErrorKind::Truncated, "the provider ended the stream early", steps),
        }
    }
}

fn thought(index: u32, text: Option<String>, signature: Option<String>) -> Step {
    Step::Thought(ShownThought { index, text, signature, encrypted: None })
}
