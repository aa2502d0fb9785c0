//! Where endpoints are, and how their names are looked up.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::value::Period;

/// One endpoint, or several behind one name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EndpointConfig {
    /// `http://HOST[:PORT]` or `https://HOST[:PORT]`, with no path; or `unix:/PATH` for a socket, in clear text.
    pub url: String,
    /// Its share of requests, beside the others' weights. From 1 to 1000.
    #[serde(default = "default_weight")]
    #[schemars(range(min = 1, max = 1000))]
    pub weight: u32,
    /// Endpoints of a lower number serve first; the next ones take what they cannot: as soon as fewer than 5 of 7 are
    /// usable, in proportion. From 0 to 15.
    #[serde(default)]
    #[schemars(range(max = 15))]
    pub priority: u8,
    /// What it is, for `balance.subset`.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// What its name stands for.
    #[serde(default)]
    pub resolve: Resolution,
}

/// What a name stands for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Resolution {
    /// One endpoint with many ways to it: a connection tries the addresses in turn (RFC 8305).
    #[default]
    One,
    /// An endpoint for each of its addresses (A and AAAA).
    Each,
    /// An endpoint for each address of each target of its SRV records (RFC 2782), whose port and weight count, and whose
    /// priority is added to this one's. The URL names the service: `http://_web._tcp.example.com`.
    Srv,
}

/// How names are looked up. No request waits for it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DnsConfig {
    /// Name servers, each `IP:PORT`; the system's, and its hosts file, if empty.
    #[schemars(with = "Vec<String>")]
    pub servers: Vec<SocketAddr>,
    /// The shortest time between two look-ups of a name, whatever its records say, and the wait after a failed one. From
    /// 100ms.
    pub refresh_min: Period,
    /// The longest time between two look-ups of a name.
    pub refresh_max: Period,
    /// How long one question may take.
    pub timeout: Period,
    /// How long the addresses of the last good look-up serve while look-ups fail.
    pub stale_max: Period,
}

impl EndpointConfig {
    /// An endpoint of which nothing is said but where it is.
    #[must_use]
    pub fn at(url: String) -> Self {
        let (labels, resolve) = (BTreeMap::new(), Resolution::One);
        Self { url, weight: default_weight(), priority: 0, labels, resolve }
    }
}

impl Default for DnsConfig {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            refresh_min: Period::seconds(1),
            refresh_max: Period::seconds(60),
            timeout: Period::seconds(2),
            stale_max: Period::seconds(600),
        }
    }
}

const fn default_weight() -> u32 {
    1
}
