//! Where clients connect.

use std::net::SocketAddr;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One address that clients connect to. HTTP/1.1 and HTTP/2 are both spoken on it: by ALPN under TLS, else by prior
/// knowledge (RFC 9113 §3.3).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListenerConfig {
    /// IP address and port; port 0 takes a free one.
    #[schemars(with = "String")]
    pub address: SocketAddr,
    /// TLS; clear text if absent.
    #[serde(default)]
    pub tls: Option<ListenerTlsConfig>,
    /// Whether upstreams are told of the client's certificate in `x-forwarded-client-cert`, with Envoy's keys (`Hash`,
    /// `Subject`, `URI`, `DNS`) and every value percent-encoded. What a trusted proxy says there comes before it; what
    /// anybody else says there is removed, be this on or off.
    #[serde(default)]
    pub forward_client_cert: bool,
}

/// TLS towards clients.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListenerTlsConfig {
    /// Certificates with their keys. The one whose names fit the client's SNI is used, else the first.
    #[schemars(length(min = 1))]
    pub certificates: Vec<CertificateConfig>,
    /// PEM file of the authorities that client certificates are checked against.
    #[serde(default)]
    pub client_ca: Option<PathBuf>,
    /// Whether a client shows a certificate.
    #[serde(default)]
    pub client_auth: ClientAuth,
    /// PEM file of revocation lists (RFC 5280 §5). A list past its `nextUpdate` lets nobody in, and so does a missing
    /// one: each authority that `client_crl_scope` covers must have its list there. Read again when it changes.
    #[serde(default)]
    pub client_crl: Option<PathBuf>,
    /// Which certificates of a client's chain are looked up in `client_crl`.
    #[serde(default)]
    pub client_crl_scope: CrlScope,
    /// The lowest version spoken.
    #[serde(default)]
    pub min_version: TlsVersion,
}

/// A certificate chain with its private key, both PEM files, relative to the configuration file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CertificateConfig {
    /// The chain, leaf first.
    pub cert: PathBuf,
    /// The key: PKCS#8, PKCS#1 or SEC1.
    pub key: PathBuf,
}

/// Whether a client shows a certificate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ClientAuth {
    /// None is asked for.
    #[default]
    Off,
    /// One is asked for and checked; a client without one is served.
    Optional,
    /// A client without a valid one is refused.
    Require,
}

/// Which certificates of a client's chain are looked up in the revocation lists.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CrlScope {
    /// The client's own and those of all intermediate authorities: the root must publish a list too.
    #[default]
    Chain,
    /// The client's own only: the list of the authority that signed it is enough.
    Leaf,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246), with forward secrecy and AEAD only.
    #[default]
    #[serde(rename = "1.2")]
    V12,
    /// TLS 1.3 (RFC 8446).
    #[serde(rename = "1.3")]
    V13,
}
