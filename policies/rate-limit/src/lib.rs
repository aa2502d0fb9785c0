//! Bounds how many requests a client may send.

mod client;
mod headers;
mod period;

use gatewright_sdk::limits::{self, Charge, LimitError, Rate, Verdict};
use gatewright_sdk::{Decision, Exchange, Failure, OneOrMany, Policy, Problem, Reply, export, failure, problem};
use schemars::JsonSchema;
use serde::Deserialize;

use client::Trait;
use period::Period;

/// Settings of `rate-limit`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// What makes a client: each combination of values is counted apart.
    by: OneOrMany<Trait>,
    /// How many requests are allowed; all of them hold at once.
    #[serde(default)]
    #[schemars(length(max = 16))]
    limits: Vec<Limit>,
    /// The name of this policy's own buckets; tells two uses in one policy apart.
    #[serde(default = "default_name")]
    #[schemars(length(min = 1, max = 48))]
    name: String,
    /// A bucket of the gateway's `limits:` section, shared with other policies; instead of `limits`.
    bucket: Option<String>,
    /// What happens to a request that lacks a value of `by`.
    #[serde(default)]
    when_missing: WhenMissing,
}

/// So many requests in a period.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Limit {
    /// How many requests.
    #[schemars(range(min = 1))]
    requests: u32,
    /// In which period, e.g. "1m".
    per: Period,
    /// How many at once; as `requests` if absent.
    #[schemars(range(min = 1))]
    burst: Option<u32>,
}

/// What happens to a request that cannot be counted as one client's.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(rename_all = "lowercase")]
enum WhenMissing {
    /// It is refused with 403.
    #[default]
    Refuse,
    /// All such requests are counted as one client's.
    Share,
    /// It passes uncounted.
    Skip,
}

fn default_name() -> String {
    "requests".to_owned()
}

/// The policy.
pub struct RateLimit(Settings);

impl Policy for RateLimit {
    type Config = Settings;
    const SUMMARY: &'static str = "Bounds how many requests a client may send";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");

    fn new(settings: Settings) -> Result<Self, String> {
        Ok(Self(settings))
    }

    fn validate(settings: &Settings) -> Vec<Problem> {
        let mut problems = Vec::new();
        if settings.limits.is_empty() == settings.bucket.is_none() {
            problems.push(problem("", "say how much is allowed: either `limits` or the name of a shared `bucket`"));
        }
        if settings.by.0.is_empty() {
            problems.push(problem("/by", "name at least one thing to count by"));
        }
        for (index, limit) in settings.limits.iter().enumerate() {
            if limit.requests == 0 || limit.burst == Some(0) {
                problems.push(problem(&format!("/limits/{index}"), "numbers start from 1"));
            }
        }
        problems
    }

    fn on_request(&self, exchange: &Exchange) -> Result<Decision, Failure> {
        let key = match (client::key_of(&self.0.by.0, exchange), &self.0.when_missing) {
            (Some(key), _) => key,
            (None, WhenMissing::Share) => client::SHARED_KEY.to_owned(),
            (None, WhenMissing::Skip) => return Ok(Decision::Detach),
            (None, WhenMissing::Refuse) => {
                let message = "this request does not say whose it is, so it cannot be counted";
                return Ok(Decision::Answer(Reply::error(403, "unidentified-client", message)));
            }
        };
        let verdicts = limits::take(&self.charges(&key)).map_err(|error| self.explain(error))?;
        let state = headers::state(&self.names(), &verdicts);
        if verdicts.iter().all(|verdict| verdict.allowed) {
            exchange.put_state(STATE, state.as_bytes())?;
            return Ok(Decision::Next);
        }
        Ok(Decision::Answer(self.refuse(&verdicts, &state)))
    }

    fn on_response(&self, exchange: &Exchange) -> Result<Decision, Failure> {
        let state = exchange.get_state(STATE).and_then(|state| String::from_utf8(state).ok());
        if let (Some(fields), Some(state)) = (exchange.response_headers(), state) {
            fields.set(headers::POLICY, &self.policy_field())?;
            fields.set(headers::STATE, &state)?;
        }
        Ok(Decision::Detach)
    }
}

impl RateLimit {
    /// The names of the limits, in the order of the charges.
    fn names(&self) -> Vec<String> {
        match &self.0.bucket {
            Some(bucket) => vec![bucket.clone()],
            None => self.0.limits.iter().map(|limit| format!("{}-per-{}", limit.requests, limit.per)).collect(),
        }
    }

    fn charges(&self, key: &str) -> Vec<Charge> {
        if let Some(bucket) = &self.0.bucket {
            return vec![Charge { bucket: bucket.clone(), limit: None, key: key.to_owned(), cost: 1 }];
        }
        let charge = |limit: &Limit| Charge {
            bucket: format!("{}-{}-{}", self.0.name, limit.requests, limit.per),
            limit: Some(Rate {
                tokens: limit.requests,
                period_ms: limit.per.millis(),
                burst: limit.burst.unwrap_or(limit.requests),
            }),
            key: key.to_owned(),
            cost: 1,
        };
        self.0.limits.iter().map(charge).collect()
    }

    fn policy_field(&self) -> String {
        let quotas = self.0.limits.iter().map(|limit| (limit.requests, limit.per.whole_seconds()));
        headers::policy(&self.names(), quotas)
    }

    fn refuse(&self, verdicts: &[Verdict], state: &str) -> Reply {
        let retry_after_ms = verdicts.iter().map(|verdict| verdict.retry_after_ms).max().unwrap_or(0);
        // A shared bucket may hold less than one request: then no wait helps, and none is named.
        let reply = Reply::error(429, "rate-limited", "too many requests")
            .with_header(headers::POLICY, &self.policy_field())
            .with_header(headers::STATE, state);
        if retry_after_ms == u32::MAX {
            return reply;
        }
        reply.with_header("retry-after", &retry_after_ms.div_ceil(1000).max(1).to_string())
    }

    fn explain(&self, error: LimitError) -> Failure {
        match error {
            LimitError::UnknownBucket => {
                let bucket = self.0.bucket.as_deref().unwrap_or_default();
                failure("unknown-bucket", format!("no bucket {bucket:?} under `limits` in the configuration"))
            }
            LimitError::Unavailable => failure("limits-unavailable", "the store of the limits did not answer"),
            LimitError::Invalid | LimitError::NotReserved => {
                failure("limits-invalid", "the gateway refused the charges")
            }
        }
    }
}

/// Where the header for the response waits.
const STATE: &str = "state";

export!(RateLimit: on_request, on_response);
