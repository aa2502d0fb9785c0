//! A configured use of a plugin, and what the services give it.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::value::{ByteCount, Period};

/// A named, configured use of a plugin.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyConfig {
    /// The plugin: the name of a file in the drop folder, without `.wasm`.
    pub plugin: String,
    /// The policy's own configuration; its plugin's schema says what fits. `gatewright inspect FILE` prints it.
    #[serde(default = "no_settings")]
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub config: serde_json::Value,
    /// What it may use beyond `log`, `clock` and `metrics`.
    #[serde(default)]
    pub grants: Grants,
    /// What happens to an exchange for which the policy gives no decision: a trap, a deadline, a failure.
    #[serde(default)]
    pub on_failure: FailureMode,
    /// Whether calls share an instance.
    #[serde(default)]
    pub isolation: Isolation,
    /// What one call may use.
    #[serde(default)]
    pub limits: PolicyLimits,
    /// Jobs that run now and then, for a plugin that exports `on-schedule`. At most 16.
    #[serde(default)]
    pub schedule: Vec<JobConfig>,
}

impl PolicyConfig {
    /// A use of a plugin with nothing configured and nothing granted.
    #[must_use]
    pub fn of_plugin(plugin: &str) -> Self {
        Self {
            plugin: plugin.to_owned(),
            config: no_settings(),
            grants: Grants::default(),
            on_failure: FailureMode::default(),
            isolation: Isolation::default(),
            limits: PolicyLimits::default(),
            schedule: Vec::new(),
        }
    }
}

/// A job that a policy runs now and then, in each gateway process.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JobConfig {
    /// Its name, which the policy is told; 1 to 64 bytes, another one for each job.
    pub job: String,
    /// From one start to the next, from 1s to 24h. It runs first when the configuration begins to serve; each later
    /// start is up to a tenth of this sooner, so that the gateways of a fleet spread out. While a job still runs, its
    /// next start waits.
    pub every: Period,
    /// Wall-clock time of one run. From 1ms to 1m.
    #[serde(default = "default_job_deadline")]
    pub deadline: Period,
}

/// Powers beyond `log`, `clock` and `metrics`. A plugin that imports a power it is not granted is not loaded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Grants {
    /// The `limits` service.
    pub limits: bool,
    /// Names of stores (`kv:`) that it may read and write.
    pub kv: Vec<String>,
    /// Names of upstreams that it may call.
    pub http: Vec<String>,
    /// The `crypto` service.
    pub crypto: bool,
    /// Names of secrets that it may use without seeing their bytes.
    pub secrets: Vec<String>,
    /// Names of secrets whose bytes it may see.
    pub reveal: Vec<String>,
    /// Namespaces of metadata that it may write: `auth` allows `auth.principal`.
    pub metadata: Vec<String>,
}

/// What happens to an exchange for which a policy gives no decision.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FailureMode {
    /// The client gets 500 with a reason code.
    #[default]
    Closed,
    /// The exchange goes on as if the policy had not been there; it is counted.
    Open,
}

/// Whether calls of a policy share an instance.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Isolation {
    /// Every call has an instance of its own, and its memory is gone afterwards.
    #[default]
    Fresh,
    /// An instance serves one call after another, 10000 at most: several times cheaper, but what the guest keeps in its
    /// memory from one client's request is there in the next one's. Any failure ends the instance.
    Warm,
}

/// What one call of a policy may use.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PolicyLimits {
    /// Wall-clock time of a call on headers or events. From 1ms to 10s.
    pub deadline: Period,
    /// Wall-clock time of a call on a whole body. From 1ms to 10s.
    pub body_deadline: Period,
    /// Linear memory, all memories together. At most 128MiB.
    pub memory: ByteCount,
    /// Each request of its own to an upstream, from the start to the response's last byte. From 1ms to 60s; a call on a
    /// request also ends with `deadline` or `body_deadline`, so raise those as well.
    pub http_timeout: Period,
    /// Requests of its own to upstreams at once, all calls together. From 1 to 10000.
    #[schemars(range(min = 1, max = 10000))]
    pub http_requests: usize,
    /// The body of a response that it asked for itself. At most 16MiB.
    pub http_response: ByteCount,
}

impl Default for PolicyLimits {
    fn default() -> Self {
        Self {
            deadline: Period::millis(20),
            body_deadline: Period::millis(200),
            memory: ByteCount::mib(64),
            http_timeout: Period::seconds(5),
            http_requests: 64,
            http_response: ByteCount::mib(1),
        }
    }
}

/// Where a secret comes from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
pub enum SecretConfig {
    /// The text itself; write `${env:NAME}` here.
    Value(String),
    /// A file, its bytes without a final line end. Relative to the configuration file.
    File(PathBuf),
}

/// How tokens (JWT, RFC 7519) are verified.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VerifierConfig {
    /// The algorithms that are accepted; the token's header never adds one.
    #[schemars(length(min = 1))]
    pub algorithms: Vec<Algorithm>,
    /// Where the keys come from.
    pub keys: KeySource,
    /// The `iss` that is required.
    #[serde(default)]
    pub issuer: Option<String>,
    /// One of these must be in `aud`. If empty, a token with an `aud` is accepted as it is.
    #[serde(default)]
    pub audiences: Vec<String>,
    /// How far clocks may differ. At most 5m.
    #[serde(default = "default_leeway")]
    pub leeway: Period,
    /// Whether a token without `exp` is refused.
    #[serde(default = "default_true")]
    pub require_expiry: bool,
}

/// Where a verifier's keys come from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum KeySource {
    /// A JWKS file (RFC 7517 §5), relative to the configuration file; reloaded when it changes.
    JwksFile(PathBuf),
    /// A JWKS at a configured upstream.
    JwksUpstream {
        /// The upstream's name.
        upstream: String,
        /// The path to ask for.
        path: String,
        /// How often it is asked.
        #[serde(default = "default_refresh")]
        refresh: Period,
    },
    /// One PEM file with a public key (SPKI) or certificate.
    PemFile(PathBuf),
    /// The name of a secret, for HS256, HS384 and HS512.
    Secret(String),
}

/// A signature algorithm of RFC 7518 §3.1 or RFC 8037.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[expect(missing_docs, reason = "the names are those of RFC 7518")]
pub enum Algorithm {
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    EdDSA,
    HS256,
    HS384,
    HS512,
}

fn no_settings() -> serde_json::Value {
    serde_json::Value::Object(serde_json::Map::new())
}

fn default_job_deadline() -> Period {
    Period::seconds(10)
}

fn default_leeway() -> Period {
    Period::seconds(30)
}

fn default_refresh() -> Period {
    Period::seconds(300)
}

fn default_true() -> bool {
    true
}
