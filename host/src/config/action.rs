//! What becomes of a request that a route's chain let pass: an upstream, a redirect, an answer; rewritten, mirrored.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::key::RequestKey;
use super::value::ByteCount;

/// Where a route's requests go.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum UpstreamChoice {
    /// To this upstream.
    One(String),
    /// To one of several, each with its share.
    Split(SplitConfig),
    /// To one of several: a policy may choose.
    Several {
        /// Where requests go when no policy chooses.
        default: String,
        /// What a policy may choose besides.
        choices: Vec<String>,
    },
}

/// To one of several upstreams, each with its share: canaries, experiments, migrations. A policy of the route may choose
/// any of them, and then that counts; until the chain is through, `upstream.name` is empty.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SplitConfig {
    /// The upstreams with their shares. From 1 to 64.
    pub split: Vec<ShareConfig>,
    /// What keeps a client on its side; without it, or where a request has none, each request goes by chance. The same
    /// value goes to the same side on every worker and instance and after every reload; when weights change, only as many
    /// values change sides as must.
    #[serde(default)]
    pub sticky: Option<RequestKey>,
    /// What a policy may choose besides.
    #[serde(default)]
    pub choices: Vec<String>,
}

/// An upstream's share.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShareConfig {
    /// The upstream.
    pub upstream: String,
    /// Its part of the sum of all weights. From 0, which leaves it to policies, to 1000000.
    #[schemars(range(max = 1_000_000))]
    pub weight: u32,
}

/// An answer that sends the client elsewhere (RFC 9110 §15.4). With neither `scheme`, `host` nor `port` the location is
/// a path, and the client stays where it is; nothing of the request can name another host.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RedirectConfig {
    /// 301, 302, 303, 307 or 308: the last two keep the method and the body.
    #[serde(default = "default_redirect_status")]
    #[schemars(extend("enum" = [301, 302, 303, 307, 308]))]
    pub status: u16,
    /// The scheme; the request's if absent.
    #[serde(default)]
    pub scheme: Option<RedirectScheme>,
    /// The host without a port; the request's if absent.
    #[serde(default)]
    pub host: Option<String>,
    /// The port; the request's if absent, or the scheme's own where `scheme` or `host` is set.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub port: Option<u16>,
    /// The path; the request's if absent.
    #[serde(default)]
    pub path: Option<String>,
    /// What stands in the place of the prefix that `match.path.prefix` names. Not with `path`.
    #[serde(default)]
    pub prefix: Option<String>,
    /// What becomes of the query.
    #[serde(default)]
    pub query: RedirectQuery,
}

/// The scheme of a location.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RedirectScheme {
    /// Clear text.
    Http,
    /// TLS.
    Https,
}

/// What becomes of the query of a request that is redirected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RedirectQuery {
    /// It goes along.
    #[default]
    Keep,
    /// It is left out.
    Drop,
}

/// An answer of the gateway's own.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RespondConfig {
    /// From 200 to 599.
    #[schemars(range(min = 200, max = 599))]
    pub status: u16,
    /// Its headers; none that the gateway sets itself.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Its body, at most 64 KiB; none with 204, 205 and 304.
    #[serde(default)]
    pub body: String,
}

/// What the upstream sees in place of the path and the host. It takes effect once the route's chain is through: its
/// policies and the access log see what the client asked for, and the upstream's policies, a mirror and the upstream what
/// stands here. The query stays. A result that two parsers could read in two ways is never sent: `rewrite-failed`, 500.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RewriteConfig {
    /// The whole path.
    pub path: Option<String>,
    /// What stands in the place of the prefix that `match.path.prefix` names; a path that a policy moved from under it is
    /// left as it is. Not with `path`.
    pub prefix: Option<String>,
    /// A regular expression and what stands in the place of a path that fits it. Not with `path` or `prefix`.
    pub regex: Option<RewriteRegex>,
    /// The host, with a port or without: the `Host` that the upstream sees.
    pub host: Option<String>,
}

/// A regular expression, and what stands in the place of a path that fits it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RewriteRegex {
    /// For the whole path, as `match.path.regex`; one that does not fit is left as it is.
    pub pattern: String,
    /// The new path: `$1` and `$name` stand for groups of the pattern, and so does `${name}` (in the file `$${name}`) where
    /// a letter, a digit or `_` follows.
    pub substitution: String,
}

/// A copy of requests for another upstream, whose answers are thrown away. It is sent beside the request and neither
/// delays it nor fails it nor lasts longer than it may; it carries `x-gatewright-mirror` with the route's name. WebSockets
/// are not copied. What came of copies is counted in the metric `mirrored_requests`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MirrorConfig {
    /// The upstream, which has no policies of its own.
    pub upstream: String,
    /// How many requests of a hundred. From 1 to 100.
    #[serde(default = "default_percent")]
    #[schemars(range(min = 1, max = 100))]
    pub percent: u8,
    /// A body that is copied; a request with a larger one is not. At most `bounds.buffered_body`.
    #[serde(default = "default_mirrored_body")]
    pub body: ByteCount,
    /// Copies under way at once; past it requests are not copied. From 1 to 10000.
    #[serde(default = "default_mirrors")]
    #[schemars(range(min = 1, max = 10_000))]
    pub concurrency: usize,
}

fn default_redirect_status() -> u16 {
    302
}

fn default_percent() -> u8 {
    100
}

fn default_mirrored_body() -> ByteCount {
    ByteCount::kib(64)
}

fn default_mirrors() -> usize {
    64
}
