//! Providers of models: where they are, what they speak, how they are shown a key.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A provider of models, which upstreams name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProviderConfig {
    /// What people call it.
    #[serde(default)]
    pub title: String,
    /// Where its API begins: scheme, host and what stands before the fixed part of its dialect's paths, such as
    /// `https://api.example.com/v1`. A `{NAME}` is a place that each upstream fills with its `places`.
    pub base_url: String,
    /// What it speaks.
    pub dialect: LlmDialect,
    /// How it is shown a key.
    #[serde(default)]
    pub credential: CredentialStyle,
    /// The variable of the environment that keys for it are usually in. It is for people: no key is taken from there
    /// unless the configuration says so.
    #[serde(default)]
    pub key_variable: Option<String>,
    /// Whether it knows `max_tokens` only, and not `max_completion_tokens`; for `openai`.
    #[serde(default)]
    pub older_max_tokens: bool,
    /// In which field it wants earlier thoughts back; for `openai`.
    #[serde(default)]
    pub thoughts: ThoughtsField,
}

/// What an API for language models looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LlmDialect {
    /// OpenAI Chat Completions.
    #[serde(rename = "openai")]
    OpenAi,
    /// OpenAI Responses.
    #[serde(rename = "openai-responses")]
    OpenAiResponses,
    /// Anthropic Messages.
    Anthropic,
    /// Gemini `generateContent`.
    Gemini,
    /// Bedrock Converse.
    Bedrock,
    /// Cohere chat, version 2.
    Cohere,
}

/// How a provider is shown a key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum CredentialStyle {
    /// `authorization: Bearer KEY`.
    #[default]
    Bearer,
    /// In a header of this name.
    Header(String),
    /// In a parameter of the query of this name.
    Query(String),
    /// By a signature of AWS, version 4.
    AwsSigv4,
    /// By an access token for a Google service account.
    GoogleServiceAccount,
    /// Not at all.
    None,
}

/// A field of a chat completion for earlier thoughts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ThoughtsField {
    /// None: OpenAI's own has no field for them.
    #[default]
    None,
    /// `reasoning_content`, their text.
    ReasoningContent,
    /// `reasoning_details`, text and signatures.
    ReasoningDetails,
}

impl LlmDialect {
    /// Its name in configuration and properties.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::OpenAiResponses => "openai-responses",
            Self::Anthropic => "anthropic",
            Self::Gemini => "gemini",
            Self::Bedrock => "bedrock",
            Self::Cohere => "cohere",
        }
    }
}

impl ThoughtsField {
    /// Its name in configuration and properties.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::ReasoningContent => "reasoning_content",
            Self::ReasoningDetails => "reasoning_details",
        }
    }
}
