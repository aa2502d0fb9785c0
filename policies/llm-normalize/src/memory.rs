//! What one phase leaves for the next: every call may run in a fresh instance.

use gatewright_sdk::{Exchange, Failure, Scalar, failure};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::completion::Usage;

/// What the request leaves for the response.
#[derive(Serialize, Deserialize, Default)]
pub(crate) struct Memory {
    /// Whether the client asked for usage at the end of its stream.
    pub(crate) stream_usage: bool,
    /// The client's names of tools that were changed.
    pub(crate) tool_names: Vec<String>,
    /// The header with what was carried over with a change; empty if there is nothing.
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
}

/// How far a stream is: at its start if there is nothing yet.
pub(crate) fn load_progress<T: DeserializeOwned + Default>(exchange: &Exchange) -> Result<T, Failure> {
    let state = exchange.get_state(PROGRESS).filter(|state| !state.is_empty());
    state.map_or_else(|| Ok(T::default()), |state| decode(&state))
}

pub(crate) fn store_progress<T: Serialize>(exchange: &Exchange, progress: &T) -> Result<(), Failure> {
    exchange.put_state(PROGRESS, &encode(progress)?).map_err(Into::into)
}

/// Shares the tokens used with the policies around.
pub(crate) fn publish_usage(exchange: &Exchange, usage: Usage) -> Result<(), Failure> {
    let number = |name: &str, number: u32| (name.to_owned(), Scalar::Number(f64::from(number)));
    let tokens = [number("llm.input-tokens", usage.input_total()), number("llm.output-tokens", usage.output)];
    exchange.put_metadata_many(&tokens).map_err(Into::into)
}

fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, Failure> {
    serde_json::to_vec(value).map_err(|error| failure("state", error.to_string()))
}

fn decode<T: DeserializeOwned>(state: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(state).map_err(|error| failure("state", error.to_string()))
}
