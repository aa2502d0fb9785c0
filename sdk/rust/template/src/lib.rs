//! Refuses requests to closed paths.

use gatewright_sdk::{Decision, Exchange, Failure, Policy, Reply, export};
use schemars::JsonSchema;
use serde::Deserialize;

/// Settings, and the policy itself.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MyPolicy {
    /// Paths that are closed, each with what is below it, e.g. "/admin".
    closed: Vec<String>,
}

impl MyPolicy {
    fn closes(&self, path: &str) -> bool {
        self.closed.iter().any(|closed| {
            path.strip_prefix(closed.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }
}

impl Policy for MyPolicy {
    type Config = Self;
    const SUMMARY: &'static str = "Refuses requests to closed paths";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");

    fn new(config: Self) -> Result<Self, String> {
        Ok(config)
    }

    fn on_request(&self, exchange: &Exchange) -> Result<Decision, Failure> {
        if self.closes(&exchange.path()) {
            return Ok(Decision::Answer(Reply::error(403, "closed-path", "this path is closed")));
        }
        Ok(Decision::Detach)
    }
}

export!(MyPolicy: on_request);
