//! Named groups of endpoints that requests are sent to.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::value::Period;

/// A named group of endpoints that take turns.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpstreamConfig {
    /// The endpoints. At least one.
    #[schemars(length(min = 1))]
    pub endpoints: Vec<EndpointConfig>,
    /// The chain that runs once an attempt, after the route's.
    #[serde(default)]
    pub policies: Vec<String>,
    /// The protocol spoken to the endpoints.
    #[serde(default)]
    pub protocol: UpstreamProtocol,
    /// TLS towards `https` endpoints.
    #[serde(default)]
    pub tls: UpstreamTlsConfig,
    /// Headers set on every request after all policies: credentials above all.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Whether the client's `Host` is passed on; else the endpoint's own is sent.
    #[serde(default)]
    pub pass_host: bool,
    /// Waits that end.
    #[serde(default)]
    pub timeouts: UpstreamTimeouts,
    /// Idle connections kept for reuse, each endpoint and worker.
    #[serde(default = "default_idle_connections")]
    pub idle_connections: usize,
}

/// One endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EndpointConfig {
    /// `http://HOST[:PORT]` or `https://HOST[:PORT]`, with no path.
    pub url: String,
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

fn default_idle_connections() -> usize {
    64
}
