//! How an upstream chooses among its endpoints.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::key::RequestKey;
use super::value::Period;

/// How an upstream chooses among its endpoints.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BalanceConfig {
    /// The method.
    pub by: Balancing,
    /// What of a request is hashed: needed by `ring_hash` and `maglev`. A request that has none goes to a random
    /// endpoint.
    pub hash: Option<RequestKey>,
    /// Keeps a client on the endpoint that served it first.
    pub affinity: Option<AffinityConfig>,
    /// Uses only the endpoints that are labelled for the request.
    pub subset: Option<SubsetConfig>,
    /// How long an endpoint that is new, or usable again, gets fewer requests: from a tenth of its share up to all of
    /// it. At most 1h; 0s for none. Hashing and affinity do not heed it.
    pub slow_start: Period,
    /// If fewer than so many percent of the endpoints of a priority are usable, all are used as if they were: a check
    /// that is wrong about most of them does more harm than requests that fail. From 0 (never) to 100.
    #[schemars(range(max = 100))]
    pub panic_below: u8,
}

/// A method of choosing an endpoint. Weights count in each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Balancing {
    /// In turn, in proportion to the weights.
    #[default]
    RoundRobin,
    /// Of two endpoints taken at random, the one with fewer requests under way.
    LeastRequests,
    /// Of two endpoints taken at random, the one that takes less time for a request, those under way considered: a slow
    /// answer counts at once, and fades over 10 s.
    PeakEwma,
    /// The same endpoint for the same key. Where endpoints come or go, few keys move.
    RingHash,
    /// As `ring_hash`, with evener shares and one look-up; a few more keys move (Eisenbud et al., NSDI 2016).
    Maglev,
}

/// Keeps a client on an endpoint, by a cookie that only the gateway can make. While the endpoint is not usable the client
/// goes to another one, and stays there.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AffinityConfig {
    /// The cookie's name (RFC 6265 §4.1.1).
    #[serde(default = "default_cookie")]
    pub cookie: String,
    /// How long it is good for, at most 720h; for the browser's session, and at most 24h, if absent.
    #[serde(default)]
    pub ttl: Option<Period>,
    /// The name of the secret that cookies are signed with. Without one they are signed with a key of this process, and
    /// mean nothing to another one.
    #[serde(default)]
    pub secret: Option<String>,
}

/// Uses only the endpoints whose label has the value that the request has.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SubsetConfig {
    /// The label of endpoints.
    pub label: String,
    /// What of the request is compared with it.
    pub from: RequestKey,
    /// What becomes of a request that fits no endpoint's label.
    #[serde(default)]
    pub otherwise: SubsetMiss,
}

/// What becomes of a request that fits no endpoint's label.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SubsetMiss {
    /// It is answered with 503: what belongs to one tenant is no other's.
    #[default]
    Refuse,
    /// The endpoints without the label serve it.
    Unlabelled,
    /// Any endpoint serves it.
    Any,
}

impl Default for BalanceConfig {
    fn default() -> Self {
        Self {
            by: Balancing::default(),
            hash: None,
            affinity: None,
            subset: None,
            slow_start: Period::seconds(0),
            panic_below: 50,
        }
    }
}

fn default_cookie() -> String {
    "gatewright-endpoint".to_owned()
}
