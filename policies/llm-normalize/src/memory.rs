//! What one phase leaves for the next: every call may run in a fresh instance.

use gatewright_llm::dialect::Heading;
use gatewright_llm::price::{self, Price};
use gatewright_llm::tool_name::ToolNames;
use gatewright_llm::translate::{Outcome, Pair};
use gatewright_llm::usage::Usage;
use gatewright_sdk::{Exchange, Failure, Scalar, clock, failure, metrics};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// What the request leaves for the response.
#[derive(Serialize, Deserialize)]
pub(crate) struct Memory {
    pub(crate) pair: Pair,
    pub(crate) heading: Heading,
    /// The client's names of tools that were changed.
    #[serde(default)]
    pub(crate) names: ToolNames,
    /// The header with what was carried over with a change; empty if there is nothing.
    #[serde(default)]
    pub(crate) warning: String,
}

const MEMORY: &str = "request";
const PROGRESS: &str = "progress";

impl Memory {
    pub(crate) fn load(exchange: &Exchange) -> Result<Option<Self>, Failure> {
        exchange.get_state(MEMORY).map(|state| decode(&state)).transpose()
    }

    /// Starts anew: the exchange may have been tried before, and a stream have begun.
    pub(crate) fn store(&self, exchange: &Exchange) -> Result<(), Failure> {
        exchange.put_state(PROGRESS, &[])?;
        exchange.put_state(MEMORY, &encode(self)?).map_err(Into::into)
    }

    /// Whether client and upstream speak the same.
    pub(crate) fn is_passing(&self) -> bool {
        self.pair.client == self.pair.upstream
    }
}

/// How far a stream is, and what of it is stored.
pub(crate) struct Progress<T> {
    pub(crate) now: T,
    stored: Vec<u8>,
}

impl<T: Serialize + DeserializeOwned> Progress<T> {
    /// As it was left by the batch before, or at its start.
    pub(crate) fn load(exchange: &Exchange, start: impl FnOnce() -> T) -> Result<Self, Failure> {
        let stored = exchange.get_state(PROGRESS).unwrap_or_default();
        let now = if stored.is_empty() { start() } else { decode(&stored)? };
        Ok(Self { now, stored })
    }

    /// Leaves it for the next batch.
    pub(crate) fn store(&self, exchange: &Exchange) -> Result<(), Failure> {
        let state = encode(&self.now)?;
        if state == self.stored { Ok(()) } else { exchange.put_state(PROGRESS, &state).map_err(Into::into) }
    }
}

/// Shares what an answer cost with the policies around, and with the operator.
pub(crate) fn publish(
    exchange: &Exchange,
    (model, prices): (&str, &[Price]),
    usage: &Usage,
    outcome: Outcome,
) -> Result<(), Failure> {
    let number = |name: &str, count: u32| (format!("llm.{name}-tokens"), Scalar::Number(f64::from(count)));
    let mut entries = vec![number("input", usage.input_total()), number("output", usage.output)];
    let details = [
        ("cached", usage.cache_read),
        ("cache-write", usage.cache_written_total()),
        ("cache-write-hour", usage.cache_written_hour),
        ("reasoning", usage.reasoning),
        ("audio-input", usage.audio_input),
        ("image-input", usage.image_input),
        ("audio-output", usage.audio_output),
    ];
    entries.extend(details.into_iter().filter(|(_, count)| *count > 0).map(|(name, count)| number(name, count)));
    if usage.is_estimate {
        entries.push(("llm.usage-estimated".to_owned(), Scalar::Boolean(true)));
    }
    if !prices.is_empty()
        && let Some(price) = price::fitting(prices, model, usage, clock::now())
    {
        let cost = price.of(usage);
        entries.push(("llm.cost".to_owned(), Scalar::Number(cost)));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast of these two saturates")]
        metrics::add("llm_cost_micros", &[("model".to_owned(), price.model.clone())], (cost * 1e6).round() as u32);
    }
    let word = match outcome {
        Outcome::Complete => "complete",
        Outcome::Truncated => "truncated",
        Outcome::Error => "error",
    };
    entries.push(("llm.outcome".to_owned(), Scalar::Text(word.to_owned())));
    exchange.put_metadata_many(&entries).map_err(Into::into)
}

fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, Failure> {
    serde_json::to_vec(value).map_err(|error| failure("state", error.to_string()))
}

fn decode<T: DeserializeOwned>(state: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(state).map_err(|error| failure("state", error.to_string()))
}
