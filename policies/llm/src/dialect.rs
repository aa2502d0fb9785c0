//! The dialects. Each has the same four doors: `request`, `response`, `stream` and `error`, every one with a way in
//! (`read`) and a way out (`write`).

pub mod chat;
pub mod cohere;
pub mod converse;
pub mod gemini;
pub mod messages;
pub mod responses;

use serde::{Deserialize, Serialize};

use crate::completion::Step;
use crate::fault::Ledger;

/// What a client or an upstream speaks.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dialect {
    /// OpenAI Chat Completions.
    #[serde(rename = "openai")]
    Chat,
    /// OpenAI Responses, and the Open Responses specification.
    #[serde(rename = "openai-responses")]
    Responses,
    /// Anthropic Messages.
    #[serde(rename = "anthropic")]
    Messages,
    /// Gemini `generateContent`.
    Gemini,
    /// Bedrock Converse.
    #[serde(rename = "bedrock")]
    Converse,
    /// Cohere chat, version 2.
    Cohere,
}

impl Dialect {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Chat, Self::Responses, Self::Messages, Self::Gemini, Self::Converse, Self::Cohere];
}

/// What the operator says of an upstream.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// The bound on an answer's tokens where the client gives none and the dialect needs one.
    pub output_tokens_default: u32,
    /// How an Anthropic model is told to think.
    pub thinking: ThinkingStyle,
    /// What an upstream of chat completions is told of earlier thoughts.
    pub chat_thoughts: ChatThoughts,
    /// Whether an upstream of chat completions only knows `max_tokens`, and not `max_completion_tokens`.
    pub has_older_max_tokens: bool,
}

impl Options {
    /// For an upstream of which the operator says nothing.
    pub const DEFAULT: Self = Self {
        output_tokens_default: 4096,
        thinking: ThinkingStyle::Adaptive,
        chat_thoughts: ChatThoughts::None,
        has_older_max_tokens: false,
    };
}

impl Default for Options {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What an upstream of chat completions is told of earlier thoughts.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChatThoughts {
    /// Nothing: OpenAI's own has no field for them.
    #[default]
    None,
    /// Their text, in `reasoning_content`.
    ReasoningContent,
    /// Text and signatures, in `reasoning_details` and `extra_content`.
    ReasoningDetails,
}

/// How an Anthropic model is told to think.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ThinkingStyle {
    /// By effort; models since Claude Opus 4.6.
    #[default]
    Adaptive,
    /// By a budget of tokens; models before that.
    Budget,
}

/// What is known of an answer beside what the upstream says of it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Heading {
    /// Unique, of letters, digits, `-` and `_`: for names that the upstream does not give.
    pub seed: String,
    /// The model that was asked, for upstreams that do not name it in their answer.
    pub model: String,
    /// Seconds since the Unix epoch.
    pub created: u64,
    /// Whether the client asked for usage at the end of its stream.
    pub stream_usage: bool,
    /// About how many tokens the request has, for dialects that say it before the upstream does.
    pub input_estimate: u32,
}

/// One event of a stream, as its framing has it: of server-sent events the `event:` name and the `data:`, of AWS
/// event streams the `:event-type` (or `:exception-type`) and the payload.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frame {
    /// Empty if it has none.
    pub name: String,
    /// The data.
    pub data: String,
}

impl Frame {
    /// A frame without a name.
    pub fn unnamed(data: impl Into<String>) -> Self {
        Self { name: String::new(), data: data.into() }
    }

    /// A frame with a name.
    pub fn named(name: &str, data: impl Into<String>) -> Self {
        Self { name: name.to_owned(), data: data.into() }
    }
}

/// Where a reader of a stream leaves its steps.
pub type Sink<'s> = &'s mut dyn FnMut(Step<'_>);

/// Where a writer of a stream leaves its frames, and what it could not say in them.
#[derive(Debug, Default)]
pub struct Output {
    /// What the client gets.
    pub frames: Vec<Frame>,
    /// What it does not get.
    pub ledger: Ledger,
}
