//! What a verified token says.

use std::borrow::Cow;
use std::fmt;

use gatewright_sdk::Scalar;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::Value;

use crate::refusal::Refusal;

/// A claim: its name, or an RFC 6901 pointer ("/realm_access/roles") into the claims.
#[derive(Deserialize, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ClaimPath(String);

impl ClaimPath {
    pub(crate) fn subject() -> Self {
        Self("sub".to_owned())
    }

    /// The metadata that holds this claim, if the claim's name can be part of one.
    pub(crate) fn metadata_name(&self) -> Option<String> {
        let name = self.0.trim_start_matches('/').replace('/', ".").to_ascii_lowercase();
        let name = format!("auth.claim.{name}");
        let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
        (name.len() <= 64 && name.bytes().all(known)).then_some(name)
    }
}

impl fmt::Display for ClaimPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl JsonSchema for ClaimPath {
    fn schema_name() -> Cow<'static, str> {
        "Claim".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let description = "A claim: its name, or an RFC 6901 pointer into the claims.";
        json_schema!({ "type": "string", "minLength": 1, "description": description })
    }
}

/// The claims of one token.
pub(crate) struct Claims(Value);

impl Claims {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        serde_json::from_str::<Value>(text).ok().filter(Value::is_object).map(Self)
    }

    fn at(&self, claim: &ClaimPath) -> Option<&Value> {
        if claim.0.starts_with('/') { self.0.pointer(&claim.0) } else { self.0.get(&claim.0) }
    }

    /// A claim that must be text if it is there.
    pub(crate) fn text(&self, claim: &ClaimPath) -> Result<Option<String>, Refusal> {
        match self.at(claim) {
            None => Ok(None),
            Some(Value::String(text)) if !text.is_empty() => Ok(Some(text.clone())),
            Some(_) => Err(Refusal::Invalid("a claim is not of the expected type")),
        }
    }

    /// A claim that must be text, a number or a boolean if it is there.
    pub(crate) fn scalar(&self, claim: &ClaimPath) -> Result<Option<Scalar>, Refusal> {
        let scalar = match self.at(claim) {
            None => return Ok(None),
            Some(Value::String(text)) => Some(Scalar::Text(text.clone())),
            Some(Value::Bool(boolean)) => Some(Scalar::Boolean(*boolean)),
            Some(Value::Number(number)) => number.as_f64().map(Scalar::Number),
            Some(Value::Null | Value::Array(_) | Value::Object(_)) => None,
        };
        scalar.map(Some).ok_or(Refusal::Invalid("a claim is not of the expected type"))
    }

    /// As [`scalar`](Self::scalar), in the form that a header has.
    pub(crate) fn printed(&self, claim: &ClaimPath) -> Result<Option<String>, Refusal> {
        let text = match (self.scalar(claim)?, self.at(claim)) {
            (Some(Scalar::Text(text)), _) => text,
            (Some(_), Some(value)) => value.to_string(),
            _ => return Ok(None),
        };
        // A line end in a header would start another one.
        let is_printable = text.chars().all(|letter| !letter.is_control());
        is_printable.then_some(Some(text)).ok_or(Refusal::Invalid("a claim does not fit into a header"))
    }

    /// Whether a claim, or an entry of it, is one of `allowed`.
    pub(crate) fn has_one_of(&self, claim: &ClaimPath, allowed: &[Value]) -> bool {
        match self.at(claim) {
            Some(Value::Array(entries)) => entries.iter().any(|entry| allowed.contains(entry)),
            Some(value) => allowed.contains(value),
            None => false,
        }
    }

    /// `scope` is a text with spaces (RFC 8693 §4.2); some issuers write a list, or call it `scp`.
    pub(crate) fn has_scope(&self, scope: &str) -> bool {
        ["scope", "scp"].into_iter().filter_map(|name| self.0.get(name)).any(|value| match value {
            Value::String(text) => text.split(' ').any(|known| known == scope),
            Value::Array(entries) => entries.iter().any(|entry| entry == scope),
            _ => false,
        })
    }
}
