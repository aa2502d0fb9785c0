//! A request to a model, whatever dialect it was written in.

use crate::content::Part;
use crate::json::{Json, Text};

/// What a client asks of a model.
#[derive(Debug, Default)]
pub struct Conversation<'a> {
    /// The model's name.
    pub model: Text<'a>,
    /// What the model is told before all turns.
    pub instructions: Vec<Part<'a>>,
    /// What was said so far, in order. One side may speak several times in a row.
    pub turns: Vec<Turn<'a>>,
    /// Tools that the model may call.
    pub tools: Vec<Tool<'a>>,
    /// Whether it must.
    pub tool_choice: Option<ToolChoice<'a>>,
    /// Whether it may call several at once.
    pub parallel_tool_calls: Option<bool>,
    /// How the next token is chosen, and when the answer ends.
    pub sampling: Sampling<'a>,
    /// The form of the answer.
    pub format: Option<Format<'a>>,
    /// Whether and how long the model thinks first.
    pub thinking: Option<Thinking>,
    /// How many likely tokens to show at each place beside the chosen one.
    pub log_probabilities: Option<u32>,
    /// Who the end user is, opaque.
    pub user: Option<Text<'a>>,
    /// What some dialects have and others do not, by the name in [`hint`] or the field's own.
    pub hints: Vec<Hint<'a>>,
    /// Whether the answer is to be streamed.
    pub stream: bool,
    /// Whether the client wants usage at the end of its stream.
    pub stream_usage: bool,
}

/// What one side said.
#[derive(Debug)]
pub struct Turn<'a> {
    /// Which side.
    pub role: Role,
    /// What it said, in order.
    pub parts: Vec<Part<'a>>,
    /// Who of several on one side.
    pub name: Option<Text<'a>>,
}

/// A side of the conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The operator, later than at the start.
    System,
    /// The person, and the tools that answer for it.
    User,
    /// The model.
    Assistant,
}

/// A tool that the model may call.
#[derive(Debug)]
pub struct Tool<'a> {
    /// Its name.
    pub name: Text<'a>,
    /// When to use it.
    pub description: Option<Text<'a>>,
    /// The JSON Schema of its arguments.
    pub parameters: Option<Json<'a>>,
    /// Whether the arguments must fit the schema.
    pub strict: Option<bool>,
    /// Whether a prompt cache may end here.
    pub cache: Option<CacheMark<'a>>,
}

/// Marks the end of what a provider should keep in its prompt cache.
#[derive(Debug, Clone, Default)]
pub struct CacheMark<'a> {
    /// How long to keep it: `5m` or `1h`.
    pub ttl: Option<Text<'a>>,
}

/// Whether the model must call a tool.
#[derive(Debug)]
pub enum ToolChoice<'a> {
    /// As it likes.
    Auto,
    /// It must not.
    None,
    /// Some tool.
    Any,
    /// This tool.
    Named(Text<'a>),
}

/// How the next token is chosen, and when the answer ends.
#[derive(Debug, Default)]
pub struct Sampling<'a> {
    /// The most tokens of an answer, thoughts included.
    pub output_tokens_max: Option<u32>,
    /// From 0 to 2.
    pub temperature: Option<f64>,
    /// From 0 to 1.
    pub top_p: Option<f64>,
    /// How many of the likeliest tokens are looked at.
    pub top_k: Option<u32>,
    /// Texts that end the answer.
    pub stop: Vec<Text<'a>>,
    /// For answers that can be had again.
    pub seed: Option<i64>,
    /// From -2 to 2.
    pub presence_penalty: Option<f64>,
    /// From -2 to 2.
    pub frequency_penalty: Option<f64>,
}

/// The form of an answer.
#[derive(Debug)]
pub enum Format<'a> {
    /// Any JSON object.
    JsonObject,
    /// JSON that fits a schema.
    Schema {
        /// A label for it.
        name: Option<Text<'a>>,
        /// What it is for.
        description: Option<Text<'a>>,
        /// Whether the answer must fit.
        strict: Option<bool>,
        /// The JSON Schema.
        schema: Json<'a>,
    },
}

/// Whether and how long a model thinks before it answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Thinking {
    /// How hard; dialects that only know a budget get one by [`Effort::budget_tokens`].
    pub effort: Option<Effort>,
    /// The most tokens of thought; dialects that only know efforts get the one nearest.
    pub budget_tokens: Option<u32>,
    /// Whether the client wants to read the thoughts, or a summary of them.
    pub is_shown: Option<bool>,
}

/// How hard a model thinks before it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effort {
    /// Not at all.
    None,
    /// As little as it can.
    Minimal,
    /// Little.
    Low,
    /// As it does by itself.
    Medium,
    /// Much.
    High,
    /// More.
    Higher,
    /// As much as it can.
    Highest,
}

impl Effort {
    /// The budget that stands for an effort.
    pub fn budget_tokens(self) -> u32 {
        match self {
            Self::None => 0,
            Self::Minimal | Self::Low => 1024,
            Self::Medium => 4096,
            Self::High => 16_384,
            Self::Higher | Self::Highest => 32_768,
        }
    }

    /// The effort that stands for a budget.
    pub fn of_budget(budget_tokens: u32) -> Self {
        match budget_tokens {
            0 => Self::None,
            1..=2048 => Self::Low,
            2049..=8192 => Self::Medium,
            8193..=24_576 => Self::High,
            _ => Self::Higher,
        }
    }

    /// The word for it, as OpenAI has it.
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Minimal => "minimal",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Higher => "xhigh",
            Self::Highest => "max",
        }
    }

    /// The effort of a word.
    pub fn of_word(word: &str) -> Option<Self> {
        let all = [Self::None, Self::Minimal, Self::Low, Self::Medium, Self::High, Self::Higher, Self::Highest];
        all.into_iter().find(|effort| effort.word() == word)
    }
}

/// A field that not every dialect has.
#[derive(Debug)]
pub struct Hint<'a> {
    /// One name for what is the same in several dialects; the names are in [`hint`].
    pub name: &'static str,
    /// Its value, as the dialect that it comes from has it.
    pub value: Json<'a>,
    /// Whether the answer would be another one without it.
    pub matters: bool,
}

/// Names of hints that more than one dialect has, with the form that their values share.
pub mod hint {
    /// Names and values that the provider keeps with the request: an object of texts.
    pub const METADATA: &str = "metadata";
    /// Whether the provider keeps the answer: a boolean.
    pub const STORE: &str = "store";
    /// What a cache goes by: a text.
    pub const PROMPT_CACHE_KEY: &str = "prompt_cache_key";
    /// How long a cache is kept, as OpenAI has it: a text.
    pub const PROMPT_CACHE_RETENTION: &str = "prompt_cache_retention";
    /// How fast for which price, as OpenAI has it: a text.
    pub const SERVICE_TIER: &str = "service_tier";
    /// How long an answer is, as OpenAI has it: a text.
    pub const VERBOSITY: &str = "verbosity";
    /// Tokens with what is added to their chance, as OpenAI has it: an object of numbers.
    pub const LOGIT_BIAS: &str = "logit_bias";
}

impl<'a> Conversation<'a> {
    /// Takes a hint that the dialect at hand has too.
    pub fn take_hint(&mut self, name: &str) -> Option<Json<'a>> {
        let place = self.hints.iter().position(|hint| hint.name == name)?;
        Some(self.hints.swap_remove(place).value)
    }

    /// Keeps a field for dialects that have it too.
    pub fn keep_hint(&mut self, name: &'static str, value: Option<Json<'a>>, matters: bool) {
        if let Some(value) = value.filter(|value| !value.says_nothing()) {
            self.hints.push(Hint { name, value, matters });
        }
    }
}
