//! What may be written in the configuration, and nothing else: every field, its unit, its bounds and its default.

mod action;
mod balance;
mod discovery;
mod concurrency;
mod credential;
mod fault;
mod key;
mod kv;
mod limits;
mod listener;
mod overload;
mod plugins;
mod policy;
mod provenance;
mod provider;
mod resilience;
mod route;
mod schema;
mod tree;
mod upstream;
mod value;

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use action::{
    MirrorConfig, RedirectConfig, RedirectQuery, RedirectScheme, RespondConfig, RewriteConfig, RewriteRegex,
    ShareConfig, SplitConfig, UpstreamChoice,
};
pub use balance::{AffinityConfig, BalanceConfig, Balancing, SubsetConfig, SubsetMiss};
pub use concurrency::{ConcurrencyConfig, Priority};
pub use credential::{
    AwsSigv4Config, AzureEntraConfig, CredentialConfig, GoogleServiceAccountConfig, SecretText, UpstreamCredential,
};
pub use discovery::{DnsConfig, EndpointConfig, Resolution};
pub use fault::{Fault, Faults};
pub use key::RequestKey;
pub use kv::KvConfig;
pub use limits::{BoundsConfig, BucketConfig, TimeoutsConfig};
pub use listener::{
    CertificateConfig, ClientAuth, CrlScope, ListenAddress, ListenerConfig, ListenerTlsConfig, ProxyProtocolConfig,
    ProxyProtocolOthers, TlsVersion,
};
pub use overload::OverloadConfig;
pub use plugins::{CompilerConfig, LayoutConfig, PluginsConfig, QuarantineConfig, RegistryConfig, SourceConfig};
pub use policy::{
    Algorithm, FailureMode, Grants, Isolation, JobConfig, KeySource, PolicyConfig, PolicyLimits, SecretConfig,
    VerifierConfig,
};
pub use provenance::{Digest, PublicKey};
pub use provider::{CredentialStyle, LlmDialect, ProviderConfig, ThoughtsField};
pub use resilience::{
    FallbackConfig, GrpcCheck, HealthCheck, HealthConfig, HttpCheck, OutliersConfig, RetriesConfig, RetryOn,
};
pub use route::{Api, ClientCertificateConfig, HeaderMatch, MatchConfig, PathMatch, QueryMatch, RouteConfig};
pub use schema::{check_value, schema, unknown};
pub use tree::{Document, Environment, Place};
pub use upstream::{
    ComponentConfig, ProxyVersion, UpstreamConfig, UpstreamProtocol, UpstreamTimeouts, UpstreamTlsConfig,
};
pub use value::{ByteCount, Period};

/// The whole configuration: one YAML file, or a folder of them that merge.
///
/// In any text, `${env:NAME}` stands for a variable of the environment and `${file:PATH}` for a file's contents
/// without the line end (PATH relative to the configuration file); `$${` is a literal `${`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where clients connect. At least one.
    pub listeners: Vec<ListenerConfig>,
    /// The operator's address: status, metrics, health, reload.
    pub admin: AdminConfig,
    /// Where compiled plugins are found.
    pub plugins: PluginsConfig,
    /// Waits that end, for clients and requests.
    pub timeouts: TimeoutsConfig,
    /// What a client may use.
    pub bounds: BoundsConfig,
    /// What is done before memory, connections or room for bodies run out.
    pub overload: OverloadConfig,
    /// Policies by name: configured uses of plugins.
    pub policies: BTreeMap<String, PolicyConfig>,
    /// Rate buckets by name, shared by every policy that names one.
    pub limits: BTreeMap<String, BucketConfig>,
    /// Stores of small values by name, for the `kv` service.
    pub kv: BTreeMap<String, KvConfig>,
    /// Secrets by name, for the `secrets` service.
    pub secrets: BTreeMap<String, SecretConfig>,
    /// Token verifiers by name, for the `crypto` service.
    pub verifiers: BTreeMap<String, VerifierConfig>,
    /// Providers of models by name, beside those that `gatewright providers` lists. One with the name of one of those takes
    /// its place.
    pub providers: BTreeMap<String, ProviderConfig>,
    /// Upstreams by name: groups of endpoints, or components.
    pub upstreams: BTreeMap<String, UpstreamConfig>,
    /// Routes. The most specific match wins; the order in the file decides between equals.
    pub routes: Vec<RouteConfig>,
    /// One JSON line a request.
    pub access_log: AccessLogConfig,
    /// Proxies in front, as CIDR blocks. Of them `x-forwarded-for` and `x-forwarded-proto` are believed, and
    /// `x-forwarded-client-cert` where the listener has `forward_client_cert`. From any other peer those are removed, and
    /// from every peer all the other headers by which proxies tell who is asking (`forwarded`, `x-real-ip`, `client-cert`
    /// and their like).
    #[schemars(with = "Vec<String>")]
    pub trusted_proxies: Vec<ipnet::IpNet>,
}

/// The operator's address.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AdminConfig {
    /// IP address and port; port 0 takes a free one. Keep it on loopback or a private network: it has no
    /// authentication. Read once, at the start.
    #[schemars(with = "String")]
    pub address: std::net::SocketAddr,
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self { address: std::net::SocketAddr::from(([127, 0, 0, 1], 9901)) }
    }
}

/// One JSON line a request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AccessLogConfig {
    /// Where the lines go. Read once, at the start.
    pub to: AccessLogTarget,
    /// Request headers whose values are logged. Nothing else of a message is.
    pub request_headers: Vec<String>,
}

/// Where access-log lines go.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AccessLogTarget {
    /// Standard output.
    #[default]
    Stdout,
    /// Nowhere.
    Off,
    /// Appended to this file.
    File(PathBuf),
}
