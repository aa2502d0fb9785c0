//! The dialects of LLM providers. Each translates to and from what is in `conversation` and
//! `completion`, so that any two of them meet in the middle.

pub(crate) mod anthropic;
pub(crate) mod openai;

use schemars::JsonSchema;
use serde::Deserialize;

/// What an upstream speaks.
#[derive(Deserialize, JsonSchema, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Dialect {
    /// OpenAI chat completions.
    Openai,
    /// Anthropic messages.
    Anthropic,
}
