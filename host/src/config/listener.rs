//! Where clients connect.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One address that clients connect to. HTTP/1.1 and HTTP/2 are both spoken on it: by ALPN under TLS, else by prior
/// knowledge (RFC 9113 §3.3).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListenerConfig {
    /// IP address and port (port 0 takes a free one), or `unix:` and the absolute path of a Unix socket. Whoever
    /// connects to that counts as coming from 127.0.0.1, for `trusted_proxies` and `proxy_protocol` too.
    #[schemars(with = "String", regex(pattern = r"^(unix:/.+|.+:[0-9]+)$"))]
    pub address: ListenAddress,
    /// Who may connect to a Unix socket: the bits of its file's mode, three octal digits. `600` if absent.
    #[serde(default)]
    #[schemars(regex(pattern = r"^[0-7]{3}$"))]
    pub mode: Option<String>,
    /// The PROXY protocol (versions 1 and 2), by which a proxy in front that passes bytes on says who the client is. Not
    /// read if absent.
    #[serde(default)]
    pub proxy_protocol: Option<ProxyProtocolConfig>,
    /// TLS; clear text if absent.
    #[serde(default)]
    pub tls: Option<ListenerTlsConfig>,
    /// TLS that is not ended here: upstreams by the name that a client greets (SNI, RFC 6066 §3), exact or `*.` and a
    /// suffix, for any one label. Bytes pass both ways as they come, until both sides have ended or nothing has passed
    /// for the upstream's `timeouts.idle`; neither routes nor policies see them, and the upstream's own `tls` is not used.
    /// The greeting must come whole within `timeouts.tls_handshake`. Any other name, or none, is served under `tls`, and
    /// where there is none it gets the alert `unrecognized_name`.
    #[serde(default)]
    pub passthrough: BTreeMap<String, String>,
    /// Whether upstreams are told of the client's certificate in `x-forwarded-client-cert`, with Envoy's keys (`Hash`,
    /// `Subject`, `URI`, `DNS`) and every value percent-encoded. What a trusted proxy says there comes before it; what
    /// anybody else says there is removed, be this on or off.
    #[serde(default)]
    pub forward_client_cert: bool,
}

/// Where a listener listens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub enum ListenAddress {
    /// An IP address and a port.
    Ip(SocketAddr),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

/// What the kernel takes of a path.
const SOCKET_PATH_BYTES_MAX: usize = 107;

impl TryFrom<String> for ListenAddress {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let Some(path) = text.strip_prefix("unix:") else {
            let address = text.parse().map(Self::Ip);
            return address.map_err(|_| format!("{text:?} is no `address:port` and no `unix:/path`"));
        };
        if !path.starts_with('/') || path.len() > SOCKET_PATH_BYTES_MAX {
            return Err(format!("{text:?}: the path of a Unix socket is absolute and has at most 107 bytes"));
        }
        Ok(Self::Unix(PathBuf::from(path)))
    }
}

impl From<ListenAddress> for String {
    fn from(address: ListenAddress) -> Self {
        address.to_string()
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(formatter),
            Self::Unix(path) => write!(formatter, "unix:{}", path.display()),
        }
    }
}

/// The PROXY protocol from a proxy in front.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProxyProtocolConfig {
    /// The proxies, as CIDR blocks: each connection from one of them must begin with a header, at most 2 KiB, within
    /// `timeouts.first_byte`, else it is closed. The address in it is the client's from there on, for
    /// `trusted_proxies` too.
    #[schemars(with = "Vec<String>", length(min = 1))]
    pub from: Vec<IpNet>,
    /// What becomes of connections from anybody else.
    #[serde(default)]
    pub others: ProxyProtocolOthers,
}

/// What becomes of connections from none of the proxies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ProxyProtocolOthers {
    /// They are closed.
    #[default]
    Refuse,
    /// They are served, and a header they send is not read as one.
    Serve,
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
