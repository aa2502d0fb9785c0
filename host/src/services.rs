//! What a policy may call. Plain Rust: `plugin` maps the contract onto it.

mod crypto;
mod http;
mod keys;
mod kv;
mod limits;
mod log;
mod secrets;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

pub use crypto::{DigestKind, JwtError, Verifier, hash, hmac, random, verify_hmac};
pub use http::{HttpBounds, HttpClient, HttpError, InboundResponse, OutboundRequest, PendingResponse};
pub use keys::KeySet;
pub use kv::{KvBounds, KvEntry, KvError, KvStore};
pub use limits::{Charge, Holdings, LimitError, LimitStore, Rate, Verdict};
pub use log::LogGate;
pub use secrets::{Secret, Secrets};

use crate::config::Grants;
use crate::telemetry::Metrics;

/// The services of one policy.
#[derive(Debug)]
pub struct Services {
    /// The policy's name.
    pub policy: Arc<str>,
    /// What it may use.
    pub grants: Grants,
    /// Its log lines, at a bounded rate.
    pub log: LogGate,
    /// Where all metrics are.
    pub metrics: Arc<Metrics>,
    /// Where all limits are.
    pub limits: Arc<LimitStore>,
    /// The operator's buckets.
    pub buckets: Arc<BTreeMap<String, Rate>>,
    /// The operator's stores.
    pub kv: Arc<BTreeMap<String, KvStore>>,
    /// Its calls out.
    pub http: HttpClient,
    /// The operator's secrets.
    pub secrets: Arc<Secrets>,
    /// The operator's token verifiers.
    pub verifiers: Arc<BTreeMap<String, Arc<Verifier>>>,
}

impl Services {
    /// The services of something that may use none.
    #[must_use]
    pub fn none(policy: &str) -> Self {
        Self {
            policy: policy.into(),
            grants: Grants::default(),
            log: LogGate::default(),
            metrics: Arc::default(),
            limits: Arc::default(),
            buckets: Arc::default(),
            kv: Arc::default(),
            http: HttpClient::none(),
            secrets: Arc::default(),
            verifiers: Arc::default(),
        }
    }
}

/// Whole milliseconds since the Unix epoch.
#[must_use]
pub fn now_ms() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    whole_millis(since.as_millis())
}

/// A count of milliseconds as the contract carries it; exact below 2^53.
#[must_use]
pub fn whole_millis(millis: u128) -> f64 {
    let high = u32::try_from(millis >> 32).unwrap_or(u32::MAX);
    let low = u32::try_from(millis & u128::from(u32::MAX)).unwrap_or(u32::MAX);
    f64::from(high) * 4_294_967_296.0 + f64::from(low)
}
