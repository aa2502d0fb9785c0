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
