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
pub struct RateLimit {
    settings: Settings,
    /// What each request is charged, but for its key.
    charges: Vec<Charge>,
    /// The names of the limits, in the order of the charges.
    names: Vec<String>,
    /// What clients are told of the limits.
    policy: String,
}

impl Policy for RateLimit {
    type Config = Settings;
    const SUMMARY: &'static str = "Bounds how many requests a client may send";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");

    fn new(settings: Settings) -> Result<Self, String> {
        let names = names(&settings);
        let quotas = settings.limits.iter().map(|limit| (limit.requests, limit.per.whole_seconds()));
        let policy = headers::policy(&names, quotas);
        Ok(Self { charges: charges(&settings), names, policy, settings })
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
        let key = match (client::key_of(&self.settings.by.0, exchange), &self.settings.when_missing) {
            (Some(key), _) => key,
            (None, WhenMissing::Share) => client::SHARED_KEY.to_owned(),
            (None, WhenMissing::Skip) => return Ok(Decision::Detach),
            (None, WhenMissing::Refuse) => {
                let message = "this request does not say whose it is, so it cannot be counted";
                return Ok(Decision::Answer(Reply::error(403, "unidentified-client", message)));
            }
        };
        let charges: Vec<_> = self.charges.iter().map(|charge| Charge { key: key.clone(), ..charge.clone() }).collect();
        let verdicts = limits::take(&charges).map_err(|error| self.explain(error))?;
        let state = headers::state(&self.names, &verdicts);
        if verdicts.iter().all(|verdict| verdict.allowed) {
            exchange.set_response_header(headers::POLICY, &self.policy)?;
            exchange.set_response_header(headers::STATE, &state)?;
            return Ok(Decision::Detach);
        }
        Ok(Decision::Answer(self.refuse(&verdicts, &state)))
    }
}

impl RateLimit {
    fn refuse(&self, verdicts: &[Verdict], state: &str) -> Reply {
        let retry_after_ms = verdicts.iter().map(|verdict| verdict.retry_after_ms).max().unwrap_or(0);
        // A shared bucket may hold less than one request: then no wait helps, and none is named.
        let reply = Reply::error(429, "rate-limited", "too many requests")
            .with_header(headers::POLICY, &self.policy)
            .with_header(headers::STATE, state);
        if retry_after_ms == u32::MAX {
            return reply;
        }
        reply.with_header("retry-after", &retry_after_ms.div_ceil(1000).max(1).to_string())
    }

    fn explain(&self, error: LimitError) -> Failure {
        match error {
            LimitError::UnknownBucket => {
                let bucket = self.settings.bucket.as_deref().unwrap_or_default();
                failure("unknown-bucket", format!("no bucket {bucket:?} under `limits` in the configuration"))
            }
            LimitError::Unavailable => failure("limits-unavailable", "the store of the limits did not answer"),
            LimitError::Invalid | LimitError::NotReserved => {
                failure("limits-invalid", "the gateway refused the charges")
            }
        }
    }
}

fn names(settings: &Settings) -> Vec<String> {
    match &settings.bucket {
        Some(bucket) => vec![bucket.clone()],
        None => settings.limits.iter().map(|limit| format!("{}-per-{}", limit.requests, limit.per)).collect(),
    }
}

fn charges(settings: &Settings) -> Vec<Charge> {
    if let Some(bucket) = &settings.bucket {
        return vec![Charge { bucket: bucket.clone(), limit: None, key: String::new(), cost: 1 }];
    }
    let charge = |limit: &Limit| Charge {
        bucket: format!("{}-{}-{}", settings.name, limit.requests, limit.per),
        limit: Some(Rate {
            tokens: limit.requests,
            period_ms: limit.per.millis(),
            burst: limit.burst.unwrap_or(limit.requests),
        }),
        key: String::new(),
        cost: 1,
    };
    settings.limits.iter().map(charge).collect()
}

export!(RateLimit: on_request);
