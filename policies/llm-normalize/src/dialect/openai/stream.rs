//! Writes the chunks of a streamed chat completion.

use gatewright_sdk::Event;
use serde::Serialize;

use super::response::{ThoughtText, finish_reason};
use super::usage::UsageText;
use super::{DONE, error};
use crate::completion::{Finish, Step};

/// What every chunk of a stream says.
pub(crate) struct Heading<'a> {
    pub(crate) id: &'a str,
    pub(crate) model: &'a str,
    /// Seconds since the Unix epoch.
    pub(crate) created: u64,
    /// Whether the client asked for a last chunk with the usage.
    pub(crate) with_usage: bool,
}

#[derive(Serialize)]
struct Chunk<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: &'a [Choice<'a>],
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<UsageText>,
}

#[derive(Serialize)]
struct Choice<'a> {
    index: u32,
    delta: Delta<'a>,
    finish_reason: Option<&'static str>,
}

#[derive(Serialize, Default)]
struct Delta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_details: Option<[ThoughtText<'a>; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_calls: Option<[CallDelta<'a>; 1]>,
}

#[derive(Serialize)]
struct CallDelta<'a> {
    index: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    function: FunctionDelta<'a>,
}

#[derive(Serialize)]
struct FunctionDelta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    arguments: &'a str,
}

/// The events that one step becomes.
pub(crate) fn write(heading: &Heading<'_>, step: &Step, events: &mut Vec<Event>) {
    let delta = match step {
        Step::Start => Delta { role: Some("assistant"), content: Some(""), ..Delta::default() },
        Step::Text(text) => Delta { content: Some(text), ..Delta::default() },
        Step::Thought(thought) => Delta {
            reasoning_content: thought.text.as_deref(),
            reasoning_details: Some([thought.into()]),
            ..Delta::default()
        },
        Step::CallStart { call, id, name } => {
            let function = FunctionDelta { name: Some(name), arguments: "" };
            call_delta(CallDelta { index: *call, id: Some(id), kind: Some("function"), function })
        }
        Step::CallArguments { call, fragment } => {
            let function = FunctionDelta { name: None, arguments: fragment };
            call_delta(CallDelta { index: *call, id: None, kind: None, function })
        }
        Step::Finish(finish, usage) => return write_end(heading, *finish, (*usage).into(), events),
        Step::Error(reason) => return events.push(event(error::write(reason))),
    };
    events.push(chunk(heading, &[Choice { index: 0, delta, finish_reason: None }], None));
}

fn write_end(heading: &Heading<'_>, finish: Finish, usage: UsageText, events: &mut Vec<Event>) {
    let last = Choice { index: 0, delta: Delta::default(), finish_reason: Some(finish_reason(finish)) };
    events.push(chunk(heading, &[last], None));
    if heading.with_usage {
        events.push(chunk(heading, &[], Some(usage)));
    }
    events.push(event(DONE.to_owned()));
}

fn call_delta(call: CallDelta<'_>) -> Delta<'_> {
    Delta { tool_calls: Some([call]), ..Delta::default() }
}

fn chunk(heading: &Heading<'_>, choices: &[Choice<'_>], usage: Option<UsageText>) -> Event {
    let (id, model, created) = (heading.id, heading.model, heading.created);
    let chunk = Chunk { id, object: "chat.completion.chunk", created, model, choices, usage };
    event(serde_json::to_string(&chunk).unwrap_or_default())
}

fn event(data: String) -> Event {
    Event { name: String::new(), data }
}
