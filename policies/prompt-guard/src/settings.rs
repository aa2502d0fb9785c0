//! What the operator says.

use gatewright_llm::spoken::{Part, Role};
use gatewright_sdk::{Problem, problem};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kind::Kind;
use crate::pattern;
use crate::words;

/// Settings of `prompt-guard`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// What is looked for, at most 256 rules. Where two redact the same place, the first says what is written there.
    pub(crate) rules: Vec<RuleSettings>,
    /// The status of an answer that refuses: 403 or 400.
    #[serde(default = "default_status")]
    #[schemars(range(min = 400, max = 403))]
    pub(crate) status: u16,
    /// The most bytes of a streamed text that wait until no match can begin in them any more, from 64 to 16384. What a
    /// rule finds in a stream is at most as long.
    #[serde(default = "default_hold_back")]
    #[schemars(range(min = 64, max = 16384))]
    pub(crate) hold_back_bytes: u32,
}

/// One rule: it matches where any of its patterns, words or kinds does.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RuleSettings {
    /// Its name in metadata, metrics and replacements: 1 to 64 of `a-z 0-9 -`, another one for each rule.
    #[schemars(regex(pattern = "^[a-z0-9-]{1,64}$"))]
    pub(crate) name: String,
    /// Regular expressions in the syntax of Rust's `regex` crate, which has no look-around and no back-references and
    /// takes linear time. At most 64 of at most 4096 bytes; none may match an empty text, or take more than 4 MiB compiled
    /// (8 MiB for those of all rules).
    #[serde(default)]
    pub(crate) patterns: Vec<String>,
    /// Words and phrases, found whole and whatever their case. At most 10000 of at most 256 bytes.
    #[serde(default)]
    pub(crate) words: Vec<String>,
    /// Ready-made kinds of data.
    #[serde(default)]
    pub(crate) kinds: Vec<Kind>,
    /// Which way it looks.
    #[serde(default = "both_ways", rename = "where")]
    pub(crate) directions: Vec<Direction>,
    /// Whose words of a request it looks at; of an answer all are the assistant's.
    #[serde(default = "all_roles")]
    pub(crate) roles: Vec<RoleName>,
    /// Which parts of a message it looks at.
    #[serde(default = "all_parts")]
    pub(crate) parts: Vec<PartName>,
    /// What becomes of a match.
    pub(crate) action: Action,
    /// What is written in place of a match, at most 256 bytes. By default the rule's name in brackets.
    pub(crate) replacement: Option<String>,
}

/// A way through the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Direction {
    /// From the client to the model.
    Request,
    /// From the model to the client.
    Response,
}

/// Who says something in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RoleName {
    /// Instructions, and system and developer messages.
    System,
    /// What the person says.
    User,
    /// What the model said before.
    Assistant,
    /// What tools answered.
    Tool,
}

impl RoleName {
    /// All of them.
    pub(crate) const ALL: [Self; 4] = [Self::System, Self::User, Self::Assistant, Self::Tool];
}

impl From<Role> for RoleName {
    fn from(role: Role) -> Self {
        match role {
            Role::System => Self::System,
            Role::User => Self::User,
            Role::Assistant => Self::Assistant,
            Role::Tool => Self::Tool,
        }
    }
}

/// A part of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PartName {
    /// What is said, refusals, quotes of sources and results of tools included.
    Text,
    /// What the model thinks before it answers.
    Thoughts,
    /// The arguments with which tools are called.
    Calls,
    /// Descriptions of tools, and schemas.
    Definitions,
}

impl From<Part> for PartName {
    fn from(part: Part) -> Self {
        match part {
            Part::Text => Self::Text,
            Part::Thought => Self::Thoughts,
            Part::Call => Self::Calls,
            Part::Definition => Self::Definitions,
        }
    }
}

/// What becomes of a match, the mildest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Action {
    /// It stays, and the metadata names the rule.
    Flag,
    /// Another text is written in its place.
    Redact,
    /// The request or the answer goes no further.
    Deny,
}

impl Action {
    /// The word for it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Flag => "flag",
            Self::Redact => "redact",
            Self::Deny => "deny",
        }
    }
}

fn default_status() -> u16 {
    403
}

fn default_hold_back() -> u32 {
    8192
}

fn both_ways() -> Vec<Direction> {
    vec![Direction::Request, Direction::Response]
}

fn all_roles() -> Vec<RoleName> {
    RoleName::ALL.to_vec()
}

fn all_parts() -> Vec<PartName> {
    vec![PartName::Text, PartName::Thoughts, PartName::Calls, PartName::Definitions]
}

const RULES_MAX: usize = 256;
const PATTERNS_MAX: usize = 64;
const WORDS_MAX: usize = 10_000;
const TEXT_BYTES_MAX: usize = 256;

impl Settings {
    /// Faults that the schema cannot state.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.rules.is_empty() || self.rules.len() > RULES_MAX {
            problems.push(problem("/rules", "write 1 to 256 rules"));
        }
        if ![400, 403].contains(&self.status) {
            problems.push(problem("/status", "is 403 or 400"));
        }
        if !(64..=16_384).contains(&self.hold_back_bytes) {
            problems.push(problem("/hold_back_bytes", "is from 64 to 16384"));
        }
        for (index, rule) in self.rules.iter().enumerate() {
            let at = |field: &str| format!("/rules/{index}{field}");
            if self.rules.iter().take(index).any(|other| other.name == rule.name) {
                problems.push(problem(&at("/name"), "another rule has this name"));
            }
            problems.extend(rule.problems().into_iter().map(|(field, message)| problem(&at(&field), message)));
        }
        problems
    }
}

impl RuleSettings {
    fn problems(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        let mut say = |field: &str, message: &str| problems.push((field.to_owned(), message.to_owned()));
        let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if self.name.is_empty() || self.name.len() > 64 || !self.name.bytes().all(is_letter) {
            say("/name", "has 1 to 64 of a-z, 0-9 and \"-\"");
        }
        if self.patterns.is_empty() && self.words.is_empty() && self.kinds.is_empty() {
            say("", "say what to look for: `patterns`, `words` or `kinds`");
        }
        if self.directions.is_empty() || self.roles.is_empty() || self.parts.is_empty() {
            say("", "looks nowhere: `where`, `roles` and `parts` each name at least one");
        }
        if self.patterns.len() > PATTERNS_MAX {
            say("/patterns", "has at most 64");
        }
        if self.words.len() > WORDS_MAX {
            say("/words", "has at most 10000");
        }
        let replacement = self.replacement.as_deref().unwrap_or_default();
        if replacement.len() > TEXT_BYTES_MAX {
            say("/replacement", "has at most 256 bytes");
        }
        if self.replacement.is_some() && self.action != Action::Redact {
            say("/replacement", "is for the action `redact`");
        }
        for (index, word) in self.words.iter().enumerate() {
            if word.len() > TEXT_BYTES_MAX || words::normal(word).is_empty() {
                say(&format!("/words/{index}"), "has a letter or a digit, and at most 256 bytes");
            }
        }
        for (index, text) in self.patterns.iter().enumerate() {
            if let Err(message) = pattern::check(text) {
                say(&format!("/patterns/{index}"), &message);
            }
        }
        problems
    }
}
