//! What an upstream does about endpoints that fail: checks, ejection, retries.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::value::{ByteCount, Period};

/// Takes endpoints out that fail, by what their requests come to.
///
/// Connections that fail, break off or take too long count apart from statuses. An ejected endpoint gets no request for
/// a while, then only its probes; it is back once each of those was answered well.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OutliersConfig {
    /// Requests in a row without an answer that eject an endpoint; 0 for never.
    pub errors: u32,
    /// Requests in a row answered with one of `statuses` that eject an endpoint; 0 for never.
    pub failures: u32,
    /// The statuses that count as failures.
    #[schemars(inner(range(min = 400, max = 599)))]
    pub statuses: Vec<u16>,
    /// The share of requests of the last 10 s, in percent, that eject an endpoint if they had no answer or one of
    /// `statuses`, where there were 20 at least. From 1 to 100; 0 for never.
    #[schemars(range(max = 100))]
    pub failed_percent: u8,
    /// How long an ejected endpoint gets no request. From 100ms to 1h.
    pub ejection: Period,
    /// Requests at once, and in all, that an endpoint gets to show that it is well again. From 1 to 100.
    #[schemars(range(min = 1, max = 100))]
    pub probes: u32,
    /// The share of endpoints, in percent, that may be ejected at once. With 50 an upstream of one endpoint never has it
    /// ejected; 100 makes sense where another upstream is a fallback.
    #[schemars(range(max = 100))]
    pub ejected_max: u8,
}

/// Asks endpoints whether they are well. What the answers are told from is the check's protocol.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HealthConfig {
    /// What is asked.
    pub check: HealthCheck,
    /// Between two checks of an endpoint. From 100ms to 1h.
    #[serde(default = "default_interval")]
    pub interval: Period,
    /// How long one check may take.
    #[serde(default = "default_timeout")]
    pub timeout: Period,
    /// Checks in a row that must fail before an endpoint gets no requests. From 1 to 100.
    #[serde(default = "default_unhealthy")]
    #[schemars(range(min = 1, max = 100))]
    pub unhealthy_after: u32,
    /// Checks in a row that must be well before it gets requests again. From 1 to 100.
    #[serde(default = "default_healthy")]
    #[schemars(range(min = 1, max = 100))]
    pub healthy_after: u32,
}

/// What an endpoint is asked.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum HealthCheck {
    /// A GET request, over the upstream's own protocol and TLS.
    Http(HttpCheck),
    /// A connection, with its TLS handshake where the endpoint has TLS.
    Tcp,
    /// The health service of gRPC (`grpc.health.v1.Health/Check`): SERVING is well.
    Grpc(GrpcCheck),
}

/// A GET request that tells whether an endpoint is well.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpCheck {
    /// Path and query.
    pub path: String,
    /// The `Host` to name; the endpoint's own if absent.
    #[serde(default)]
    pub host: Option<String>,
    /// Headers of the request.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The statuses that mean that it is well; 200 to 299 if empty.
    #[serde(default)]
    #[schemars(inner(range(min = 200, max = 599)))]
    pub statuses: Vec<u16>,
}

/// A call of gRPC's health service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GrpcCheck {
    /// The service that is asked about; the whole server if empty.
    pub service: String,
}

/// Sends a request again where that is safe: to another endpoint, if there is one.
///
/// A request of which nothing went out is always safe to repeat. One that may have arrived is repeated only if its
/// method is in `methods` and its body is still there.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RetriesConfig {
    /// How often a request is sent again at most. From 0 to 10.
    #[schemars(range(max = 10))]
    pub count: u32,
    /// Failures that are worth a repetition.
    pub on: Vec<RetryOn>,
    /// Statuses that are worth a repetition, of methods in `methods`.
    #[schemars(inner(range(min = 400, max = 599)))]
    pub statuses: Vec<u16>,
    /// Methods whose requests may arrive twice (RFC 9110 §9.2.2). Add POST only where that does no harm.
    pub methods: Vec<String>,
    /// How long one try may wait for the response's headers; `timeouts.first_byte` if absent.
    pub try_timeout: Option<Period>,
    /// The wait before a second try at the same endpoint; it doubles each time, and half of it is random.
    pub backoff: Period,
    /// The longest wait before another try: an endpoint that asks for more by `Retry-After` is not tried again.
    pub wait_max: Period,
    /// Repetitions in proportion to requests, in percent, over the last ten thousand of them; ten are free. From 0 to
    /// 100.
    #[schemars(range(max = 100))]
    pub budget_percent: u8,
    /// Request bodies of a declared length up to this are kept until the response comes, so that they can be repeated.
    pub body: ByteCount,
}

/// Sends a request that an upstream could not serve to another one, as long as nothing of an answer went to the client.
///
/// That is so where no endpoint is usable, and after the upstream's own `retries` failed. What may have arrived is sent on
/// only if its method is in `methods` and its body is still there. WebSockets stay with their upstream.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FallbackConfig {
    /// The upstreams, each tried once in this order, but for the one that was tried first. From 1 to 8.
    #[schemars(length(min = 1, max = 8))]
    pub to: Vec<String>,
    /// Failures after which it is sent on.
    #[serde(default = "default_on")]
    pub on: Vec<RetryOn>,
    /// Statuses after which it is sent on, of methods in `methods`.
    #[serde(default)]
    #[schemars(inner(range(min = 400, max = 599)))]
    pub statuses: Vec<u16>,
    /// Methods whose requests may arrive twice (RFC 9110 §9.2.2). POST is right for LLM completions, which cost twice at
    /// worst.
    #[serde(default = "default_methods")]
    pub methods: Vec<String>,
    /// Request bodies of a declared length up to this are kept until the response comes. At most
    /// `bounds.buffered_body`.
    #[serde(default = "default_body")]
    pub body: ByteCount,
}

/// A failure that is worth a repetition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RetryOn {
    /// There was no connection.
    Connect,
    /// The connection broke off before the response's headers, or the request was refused unseen (HTTP/2).
    Reset,
    /// The response's headers did not come in time.
    Timeout,
}

impl Default for OutliersConfig {
    fn default() -> Self {
        Self {
            errors: 5,
            failures: 5,
            statuses: vec![502, 503, 504],
            failed_percent: 50,
            ejection: Period::seconds(5),
            probes: 1,
            ejected_max: 50,
        }
    }
}

impl Default for RetriesConfig {
    fn default() -> Self {
        Self {
            count: 2,
            on: default_on(),
            statuses: Vec::new(),
            methods: default_methods(),
            try_timeout: None,
            backoff: Period::millis(25),
            wait_max: Period::seconds(1),
            budget_percent: 10,
            body: default_body(),
        }
    }
}

fn default_on() -> Vec<RetryOn> {
    vec![RetryOn::Connect, RetryOn::Reset, RetryOn::Timeout]
}

fn default_methods() -> Vec<String> {
    ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"].map(str::to_owned).to_vec()
}

const fn default_body() -> ByteCount {
    ByteCount::kib(64)
}

const fn default_interval() -> Period {
    Period::seconds(5)
}

const fn default_timeout() -> Period {
    Period::seconds(2)
}

const fn default_unhealthy() -> u32 {
    3
}

const fn default_healthy() -> u32 {
    2
}
