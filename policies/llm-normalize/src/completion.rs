//! A model's answer, whatever dialect it was written in: whole, or as the steps of a stream.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// A whole answer.
pub(crate) struct Completion {
    pub(crate) id: String,
    pub(crate) model: String,
    pub(crate) text: Option<String>,
    pub(crate) thoughts: Vec<ShownThought>,
    pub(crate) calls: Vec<ShownCall>,
    pub(crate) finish: Finish,
    pub(crate) usage: Usage,
}

/// A thought, or a piece of one; thoughts are told apart by their index.
#[derive(Default)]
pub(crate) struct ShownThought {
    pub(crate) index: u32,
    pub(crate) text: Option<String>,
    pub(crate) signature: Option<String>,
    pub(crate) encrypted: Option<String>,
}

/// A call of a tool, with the text of its arguments as the model wrote it.
pub(crate) struct ShownCall {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) arguments: Box<RawValue>,
}

/// Why an answer ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Finish {
    Stop,
    Length,
    ToolCalls,
    Refused,
}

/// Tokens used. The three kinds of input tokens add up.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Usage {
    /// Neither read from nor written to a cache.
    pub(crate) input: u32,
    pub(crate) cache_read: u32,
    pub(crate) cache_written: u32,
    pub(crate) output: u32,
}

impl Usage {
    pub(crate) fn input_total(self) -> u32 {
        self.input.saturating_add(self.cache_read).saturating_add(self.cache_written)
    }
}

/// One step of a stream.
pub(crate) enum Step {
    Start,
    Text(String),
    Thought(ShownThought),
    /// A call begins; calls are counted from 0.
    CallStart {
        call: u32,
        id: String,
        name: String,
    },
    /// More of a call's arguments.
    CallArguments {
        call: u32,
        fragment: String,
    },
    /// The end: nothing follows.
    Finish(Finish, Usage),
    /// The end, but not a good one.
    Error(UpstreamError),
}

/// What an upstream says has gone wrong.
#[derive(Debug)]
pub(crate) struct UpstreamError {
    pub(crate) kind: ErrorKind,
    pub(crate) message: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ErrorKind {
    InvalidRequest,
    Authentication,
    Permission,
    NotFound,
    TooLarge,
    RateLimited,
    Overloaded,
    Truncated,
    Other,
}
