//! What the operator says.

use std::collections::BTreeMap;

use gatewright_llm::Dialect;
use gatewright_llm::dialect::{ChatThoughts, Options, ThinkingStyle};
use gatewright_llm::endpoint::default_prefix;
use gatewright_llm::fault::OnLoss;
use gatewright_llm::price::Price;
use gatewright_sdk::{Exchange, Failure, Problem, Scalar, failure, problem};
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::value::{Error, StrDeserializer};
use serde::de::{DeserializeOwned, IntoDeserializer as _};

/// Settings of `llm-normalize`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// What the upstream speaks: `openai` (Chat Completions), `openai-responses`, `anthropic` (Messages), `gemini`
    /// (generateContent), `bedrock` (Converse) or `cohere` (chat, version 2). Without it, what the upstream's `provider`
    /// speaks, with the `path_prefix`, `older_max_tokens` and `thoughts` of that where there are none here.
    #[serde(default)]
    dialect: Option<Dialect>,
    /// Names of models that clients use, each with the upstream's name for it. Others pass as they are.
    #[serde(default)]
    pub(crate) models: BTreeMap<String, String>,
    /// What becomes of a request that the upstream's dialect cannot carry whole.
    #[serde(default)]
    pub(crate) on_loss: Loss,
    /// The bound on an answer's tokens where the client gives none, and the upstream's dialect needs one.
    #[serde(default = "default_max_tokens")]
    #[schemars(range(min = 1))]
    default_max_tokens: u32,
    /// How an Anthropic upstream's models are told to think, where a client asks for an effort.
    #[serde(default)]
    thinking: ThinkingStyle,
    /// What an `openai` upstream is told of earlier thoughts; OpenAI's own has no field for them.
    #[serde(default)]
    thoughts: Option<ChatThoughts>,
    /// Whether an `openai` upstream knows `max_tokens` only, as some that speak its dialect do.
    #[serde(default)]
    older_max_tokens: Option<bool>,
    /// The version of the API that an Anthropic upstream is asked for.
    #[serde(default = "default_version")]
    pub(crate) anthropic_version: String,
    /// What stands before the fixed part of the upstream's paths, such as `/openai/v1`. Without it, what the client
    /// wrote where both dialects begin alike, else what the dialect's own provider has: `/v1`, for `gemini` `/v1beta`,
    /// for `bedrock` and `cohere` nothing.
    #[serde(default)]
    path_prefix: Option<String>,
    /// What tokens cost. Without a price that fits, an answer has no cost.
    #[serde(default)]
    pub(crate) prices: Vec<Price>,
}

/// What is known of the upstream of one attempt.
pub(crate) struct Target {
    /// What it speaks.
    pub(crate) dialect: Dialect,
    /// What stands before the fixed part of its paths, if that is known.
    pub(crate) path_prefix: Option<String>,
    /// What its dialect is written with.
    pub(crate) options: Options,
}

/// What becomes of a request that the upstream's dialect cannot carry whole.
#[derive(Deserialize, JsonSchema, Clone, Copy, Default)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Loss {
    /// A field without which the answer would be another one is refused with 400; a hint is left out, with a warning.
    #[default]
    ByWeight,
    /// Every field that is not carried over is left out, with a warning.
    Warn,
    /// Every field that is not carried over as it is, is refused with 400.
    Refuse,
}

impl From<Loss> for OnLoss {
    fn from(loss: Loss) -> Self {
        match loss {
            Loss::ByWeight => Self::ByWeight,
            Loss::Warn => Self::Warn,
            Loss::Refuse => Self::Refuse,
        }
    }
}

/// The one of several that a property names.
fn named<T: DeserializeOwned>(exchange: &Exchange, property: &str) -> Option<T> {
    let name = exchange.property_text(property)?;
    let name: StrDeserializer<'_, Error> = name.as_str().into_deserializer();
    T::deserialize(name).ok()
}

fn default_max_tokens() -> u32 {
    4096
}

fn default_version() -> String {
    "2023-06-01".to_owned()
}

impl Settings {
    /// Faults that the schema cannot state.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.default_max_tokens == 0 {
            problems.push(problem("/default_max_tokens", "an answer has at least 1 token"));
        }
        for (alias, model) in &self.models {
            if model.is_empty() {
                problems.push(problem(&format!("/models/{alias}"), "say the upstream's name of the model"));
            }
        }
        let is_path = |prefix: &String| {
            prefix.is_empty() || prefix.starts_with('/') && !prefix.ends_with('/') && !prefix.contains(['?', '#', ' '])
        };
        if self.path_prefix.as_ref().is_some_and(|prefix| !is_path(prefix)) {
            problems.push(problem("/path_prefix", "is empty, or begins with \"/\" and does not end with one"));
        }
        for (number, price) in self.prices.iter().enumerate() {
            let faults = price.faults().into_iter();
            problems.extend(faults.map(|(field, message)| problem(&format!("/prices/{number}/{field}"), message)));
        }
        problems
    }

    /// What is known of the upstream of this attempt: from here, or from its provider.
    ///
    /// # Errors
    /// Neither says what it speaks.
    pub(crate) fn target(&self, exchange: &Exchange) -> Result<Target, Failure> {
        let mut options = Options {
            output_tokens_default: self.default_max_tokens,
            thinking: self.thinking,
            chat_thoughts: self.thoughts.unwrap_or_default(),
            has_older_max_tokens: self.older_max_tokens.unwrap_or_default(),
        };
        if let Some(dialect) = self.dialect {
            return Ok(Target { dialect, path_prefix: self.path_prefix.clone(), options });
        }
        let dialect = named(exchange, "upstream.dialect");
        let dialect =
            dialect.ok_or_else(|| failure("no-dialect", "write `dialect`, or name the upstream's `provider`"))?;
        if self.thoughts.is_none() {
            options.chat_thoughts = named(exchange, "upstream.thoughts").unwrap_or_default();
        }
        if self.older_max_tokens.is_none() {
            options.has_older_max_tokens =
                matches!(exchange.property("upstream.older-max-tokens"), Some(Scalar::Boolean(true)));
        }
        Ok(Target { dialect, path_prefix: self.prefix(exchange), options })
    }

    /// What stands before the fixed part of the upstream's paths: from here, or from its provider.
    fn prefix(&self, exchange: &Exchange) -> Option<String> {
        self.path_prefix.clone().or_else(|| exchange.property_text("upstream.path-prefix"))
    }

    /// Moves a path that is no chat, such as that of embeddings, to where the upstream's provider has it.
    ///
    /// # Errors
    /// The path that comes of it is none.
    pub(crate) fn move_other(&self, exchange: &Exchange, path: &str) -> Result<(), Failure> {
        if self.dialect.is_some() {
            return Ok(());
        }
        let Some(dialect) = named(exchange, "upstream.dialect") else { return Ok(()) };
        let prefix = self.prefix(exchange).unwrap_or_default();
        let begins = default_prefix(dialect);
        let rest = path.strip_prefix(begins).filter(|rest| rest.starts_with('/') && !begins.is_empty());
        if let Some(rest) = rest.filter(|_| prefix != begins) {
            exchange.set_path(&format!("{prefix}{rest}"), exchange.query().as_deref())?;
        }
        Ok(())
    }

    /// The upstream's name of a model, where it is another.
    pub(crate) fn upstream_model(&self, requested: &str) -> Option<&str> {
        self.models.get(requested).map(String::as_str)
    }
}
