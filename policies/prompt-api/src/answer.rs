//! What a model answered: the JSON that was asked for, or why there is none.

use serde_json::Value;

use crate::api::Version;
use crate::schema::Fault;

/// Why there is no answer.
#[derive(Debug)]
pub(crate) struct Missing {
    pub(crate) code: &'static str,
    pub(crate) detail: &'static str,
    /// Where it is not as described.
    pub(crate) faults: Vec<Fault>,
}

/// The JSON that a chat completion says, as the model wrote it.
///
/// # Errors
/// The model declined, was cut off, or did not keep to its schema.
pub(crate) fn read(completion: &Value, version: &Version) -> Result<String, Missing> {
    let missing = |code, detail| Missing { code, detail, faults: Vec::new() };
    let choice = &completion["choices"][0];
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    if text(&choice["message"]["refusal"]).is_some() || choice["finish_reason"] == "content_filter" {
        return Err(missing("answer-refused", "the model declined to answer"));
    }
    if choice["finish_reason"] == "length" {
        return Err(missing("answer-cut", "the answer is longer than it may be"));
    }
    let Some(said) = text(&choice["message"]["content"]) else {
        return Err(missing("answer-missing", "the model said nothing"));
    };
    let said = said.trim();
    let Ok(answer) = serde_json::from_str::<Value>(said) else {
        return Err(missing("answer-not-json", "the model did not answer with JSON"));
    };
    let faults = version.answer_faults(&answer);
    if faults.is_empty() {
        return Ok(said.to_owned());
    }
    Err(Missing { faults, ..missing("answer-off-schema", "the model's answer is not as described") })
}
