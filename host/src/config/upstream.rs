//! Named groups of endpoints that requests are sent to, and components that answer in their place.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::balance::BalanceConfig;
use super::credential::UpstreamCredential;
use super::discovery::{DnsConfig, EndpointConfig};
use super::resilience::{HealthConfig, OutliersConfig, RetriesConfig};
use super::value::{ByteCount, Period};

/// A named group of endpoints that share the requests, or a component in their place.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UpstreamConfig {
    /// The provider of models that this is: one of those that `gatewright providers` lists, or of `providers`. It gives
    /// the endpoint and the way in which a key is shown; policies read the rest as properties. What is written here as
    /// well counts instead.
    pub provider: Option<String>,
    /// What stands for each `{NAME}` in the provider's base URL: letters, digits, `-`, `_` and `.`.
    pub places: BTreeMap<String, String>,
    /// The endpoints: at least one, or a `component` or a `provider`.
    pub endpoints: Vec<EndpointConfig>,
    /// A component that answers in the gateway itself, in place of endpoints. Of what is for endpoints only `policies`,
    /// `headers`, `pass_host`, `timeouts.first_byte` and `timeouts.idle` mean something then.
    pub component: Option<ComponentConfig>,
    /// The chain that runs once an attempt, after the route's.
    pub policies: Vec<String>,
    /// Requests at once, of all routes, without copies for a mirror and without policies' own calls. What gets no turn
    /// goes on to another upstream where its route has a fallback on `connect`.
    pub concurrency: Option<super::ConcurrencyConfig>,
    /// The protocol spoken to the endpoints.
    pub protocol: UpstreamProtocol,
    /// How one of the endpoints is chosen.
    pub balance: BalanceConfig,
    /// Checks of the endpoints, beside what their requests tell. None if absent.
    pub health: Option<HealthConfig>,
    /// Takes endpoints out that fail.
    pub outliers: OutliersConfig,
    /// Sends requests again where that is safe.
    pub retries: RetriesConfig,
    /// How the names of endpoints are looked up.
    pub dns: DnsConfig,
    /// TLS towards `https` endpoints.
    pub tls: UpstreamTlsConfig,
    /// How the gateway makes itself known. If absent, what the client and the policies say of that goes out.
    pub credential: Option<UpstreamCredential>,
    /// Headers set on every request after all policies.
    pub headers: BTreeMap<String, String>,
    /// Tells endpoints who the client is by the PROXY protocol, before TLS. Each request has a connection of its own then.
    pub proxy_protocol: Option<ProxyVersion>,
    /// Whether the client's `Host` is passed on; else the endpoint's own is sent.
    pub pass_host: bool,
    /// Waits that end.
    pub timeouts: UpstreamTimeouts,
    /// Idle connections kept for reuse, each endpoint and worker.
    pub idle_connections: usize,
}

/// A component of the standard `wasi:http` 0.2 that answers requests, a new instance for each. It needs a gateway that
/// was built with `--features wasi-http`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ComponentConfig {
    /// The name of its plugin, which exports `wasi:http/incoming-handler`.
    pub plugin: String,
    /// Linear memory of one instance, all memories together. From 1MiB to 512MiB.
    #[serde(default = "default_memory")]
    pub memory: ByteCount,
    /// From the start of an instance to its end, the response's last byte included. From 1ms to 24h.
    #[serde(default = "default_deadline")]
    pub deadline: Period,
    /// CPU time of one instance. From 1ms to 10m.
    #[serde(default = "default_cpu")]
    pub cpu: Period,
    /// Instances at once; a request past it is answered with 503. From 1 to 256.
    #[serde(default = "default_concurrency")]
    #[schemars(range(min = 1, max = 256))]
    pub concurrency: usize,
    /// Names of upstreams with endpoints that it may call, as `http://NAME/PATH`. It can call nobody else.
    #[serde(default)]
    pub http: Vec<String>,
    /// Its environment variables. It sees no others.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
}

/// The protocol spoken to an upstream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum UpstreamProtocol {
    /// Under TLS what ALPN settles, in clear text HTTP/1.1.
    #[default]
    Auto,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2; in clear text by prior knowledge.
    Http2,
}

/// A version of the PROXY protocol (HAProxy's `proxy-protocol.txt`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProxyVersion {
    /// One line of text.
    V1,
    /// Binary.
    V2,
}

/// TLS towards an upstream. Its certificate is always checked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UpstreamTlsConfig {
    /// PEM file of the authorities to trust; the system's if absent.
    pub ca: Option<PathBuf>,
    /// The gateway's own certificate.
    pub client_certificate: Option<super::CertificateConfig>,
    /// The name to expect in the certificate, where it is not the endpoint's.
    pub server_name: Option<String>,
}

/// Waits for an upstream that end.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UpstreamTimeouts {
    /// Name look-up, connection and TLS handshake.
    pub connect: Period,
    /// From the request's last byte to the response's headers.
    pub first_byte: Period,
    /// Between two reads of a response body.
    pub idle: Period,
    /// How long an idle connection is kept.
    pub keep_alive: Period,
}

impl Default for UpstreamConfig {
    fn default() -> Self {
        Self {
            concurrency: None,
            provider: None,
            places: BTreeMap::new(),
            endpoints: Vec::new(),
            component: None,
            policies: Vec::new(),
            protocol: UpstreamProtocol::default(),
            balance: BalanceConfig::default(),
            health: None,
            outliers: OutliersConfig::default(),
            retries: RetriesConfig::default(),
            dns: DnsConfig::default(),
            tls: UpstreamTlsConfig::default(),
            credential: None,
            headers: BTreeMap::new(),
            proxy_protocol: None,
            pass_host: false,
            timeouts: UpstreamTimeouts::default(),
            idle_connections: 64,
        }
    }
}

impl Default for UpstreamTimeouts {
    fn default() -> Self {
        Self {
            connect: Period::seconds(5),
            first_byte: Period::seconds(120),
            idle: Period::seconds(60),
            keep_alive: Period::seconds(55),
        }
    }
}

fn default_memory() -> ByteCount {
    ByteCount::mib(64)
}

fn default_deadline() -> Period {
    Period::seconds(300)
}

fn default_cpu() -> Period {
    Period::seconds(10)
}

fn default_concurrency() -> usize {
    64
}
