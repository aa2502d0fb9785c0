//! Writes a whole chat completion.

use serde::Serialize;

use super::usage::UsageText;
use crate::completion::{Completion, Finish, ShownCall, ShownThought};

#[derive(Serialize)]
struct Body<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: [Choice<'a>; 1],
    usage: UsageText,
}

#[derive(Serialize)]
struct Choice<'a> {
    index: u32,
    message: Message<'a>,
    logprobs: Option<()>,
    finish_reason: &'static str,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: Option<&'a str>,
    refusal: Option<()>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasoning_details: Vec<ThoughtText<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<CallText<'a>>,
}

#[derive(Serialize)]
struct CallText<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    function: FunctionText<'a>,
}

#[derive(Serialize)]
struct FunctionText<'a> {
    name: &'a str,
    arguments: &'a str,
}

/// A thought with what a client must give back for the model to go on from it.
#[derive(Serialize)]
pub(super) struct ThoughtText<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    index: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signature: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a str>,
}

impl<'a> From<&'a ShownThought> for ThoughtText<'a> {
    fn from(thought: &'a ShownThought) -> Self {
        Self {
            kind: if thought.encrypted.is_some() { "reasoning.encrypted" } else { "reasoning.text" },
            index: thought.index,
            text: thought.text.as_deref(),
            signature: thought.signature.as_deref(),
            data: thought.encrypted.as_deref(),
        }
    }
}

impl<'a> From<&'a ShownCall> for CallText<'a> {
    fn from(call: &'a ShownCall) -> Self {
        Self {
            id: &call.id,
            kind: "function",
            function: FunctionText { name: &call.name, arguments: call.arguments.get() },
        }
    }
}

/// The text of a completion made at `created`, in seconds since the Unix epoch.
pub(crate) fn write(completion: &Completion, created: u64) -> String {
    let thinking: String = completion.thoughts.iter().filter_map(|thought| thought.text.as_deref()).collect();
    let message = Message {
        role: "assistant",
        content: completion.text.as_deref(),
        refusal: None,
        reasoning_content: (!thinking.is_empty()).then_some(thinking),
        reasoning_details: completion.thoughts.iter().map(Into::into).collect(),
        tool_calls: completion.calls.iter().map(Into::into).collect(),
    };
    let choice = Choice { index: 0, message, logprobs: None, finish_reason: finish_reason(completion.finish) };
    let body = Body {
        id: &completion.id,
        object: "chat.completion",
        created,
        model: &completion.model,
        choices: [choice],
        usage: completion.usage.into(),
    };
    serde_json::to_string(&body).unwrap_or_default()
}

pub(super) fn finish_reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "stop",
        Finish::Length => "length",
        Finish::ToolCalls => "tool_calls",
        Finish::Refused => "content_filter",
    }
}
