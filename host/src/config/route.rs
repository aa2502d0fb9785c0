//! Which requests go where.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::action::{MirrorConfig, RedirectConfig, RespondConfig, RewriteConfig, UpstreamChoice};
use super::concurrency::{ConcurrencyConfig, Priority};
use super::resilience::FallbackConfig;
use super::value::{ByteCount, Period};

/// A match, a chain, and an upstream; or, in the upstream's place, a redirect or an answer. The chain runs before either.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteConfig {
    /// Unique; in logs, metrics and errors.
    pub name: String,
    /// What a request must have; every request if absent.
    #[serde(default, rename = "match")]
    pub matches: MatchConfig,
    /// The chain, in order.
    #[serde(default)]
    pub policies: Vec<String>,
    /// Where requests go. A route has exactly one of `upstream`, `redirect` and `respond`.
    #[serde(default)]
    pub upstream: Option<UpstreamChoice>,
    /// Other upstreams, for requests that this one cannot serve.
    #[serde(default)]
    pub fallback: Option<FallbackConfig>,
    /// An answer that sends the client elsewhere.
    #[serde(default)]
    pub redirect: Option<RedirectConfig>,
    /// An answer of the gateway's own.
    #[serde(default)]
    pub respond: Option<RespondConfig>,
    /// What the upstream sees in place of the path and the host.
    #[serde(default)]
    pub rewrite: Option<RewriteConfig>,
    /// A copy of requests for another upstream.
    #[serde(default)]
    pub mirror: Option<MirrorConfig>,
    /// Requests at once, of all that the chain let pass to the upstream.
    #[serde(default)]
    pub concurrency: Option<ConcurrencyConfig>,
    /// Which requests go first where not all can be served.
    #[serde(default)]
    pub priority: Priority,
    /// The name of metadata whose value, `low`, `normal` or `high`, is the priority in place of `priority` once the
    /// route's chain is through.
    #[serde(default)]
    pub priority_from: Option<String>,
    /// The API whose shape errors take.
    #[serde(default)]
    pub api: Api,
    /// A request body; `bounds.body` if absent.
    #[serde(default)]
    pub body: Option<ByteCount>,
    /// As `timeouts.total`.
    #[serde(default)]
    pub total: Option<Period>,
    /// Whether a WebSocket upgrade (RFC 6455) passes once the chain allowed it.
    #[serde(default)]
    pub websocket: bool,
    /// Whether a path with `%2F`, `%5C`, `;`, `\`, empty segments or bytes past ASCII is let in, as it is. Two
    /// parsers may read such a path differently, so policies that decide on paths are no longer safe.
    #[serde(default)]
    pub ambiguous_paths: bool,
    /// The client certificate that a request must come with; any client is served if absent. A listener must ask for
    /// one (`tls.client_auth`). Without one the answer is 403 `client-certificate-required`, with one that does not fit
    /// 403 `client-certificate-refused`; no policy is called then.
    #[serde(default)]
    pub client_certificate: Option<ClientCertificateConfig>,
}

/// A client certificate that is good for its listener and has at least one of these names among its subject's
/// alternative names (RFC 5280 §4.2.1.6). Any good certificate if none is listed. The subject itself is never matched
/// (RFC 9525 §2).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ClientCertificateConfig {
    /// DNS names: exact, or `*.example.com` for any name below. Case does not count.
    pub dns: Vec<String>,
    /// URIs, compared byte for byte, for instance `spiffe://example.org/ns/prod/sa/api`.
    pub uri: Vec<String>,
    /// SPIFFE trust domains, for instance `example.org`: any SPIFFE ID in one of them. The certificate must have that
    /// ID as its only URI.
    pub spiffe: Vec<String>,
    /// Mail addresses. The case of the domain does not count, that of the rest does.
    pub email: Vec<String>,
}

/// What a request must have, all of it. Where several routes fit, the host decides first (exact before `*.`, the longer
/// before the shorter), then the path (exact, template, regex, prefix; the longer first), then the number of conditions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MatchConfig {
    /// Host names without a port: exact, or `*.example.com` for any name below. Any host if empty.
    pub hosts: Vec<String>,
    /// The path.
    pub path: Option<PathMatch>,
    /// Methods. Any if empty.
    pub methods: Vec<String>,
    /// Headers by name.
    pub headers: BTreeMap<String, HeaderMatch>,
    /// Query parameters by name.
    pub query: BTreeMap<String, QueryMatch>,
}

/// How a path matches.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
pub enum PathMatch {
    /// This path and no other.
    Exact(String),
    /// This path and every path below it: `/v1` and `/v1/` match `/v1/chat`, not `/v10`.
    Prefix(String),
    /// A path with `{name}` for one whole segment, and `{*name}` last for the rest.
    Template(String),
    /// A regular expression (the syntax of Rust's `regex`, without look-around and back-references) that the whole path
    /// fits; its named groups are parameters, as a template's are. At most 1 KiB of text, and 256 KiB compiled.
    Regex(String),
}

/// How a header matches.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
pub enum HeaderMatch {
    /// Exactly one field, with this value.
    Exact(String),
    /// Exactly one field, whose value starts so.
    Prefix(String),
    /// Exactly one field, whose whole value fits this regular expression; one that is not UTF-8 never does.
    Regex(String),
    /// At least one field (`true`), or none (`false`).
    Present(bool),
}

/// How a query parameter matches.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
pub enum QueryMatch {
    /// Exactly one parameter, with this value once decoded.
    Exact(String),
    /// Exactly one parameter, whose value starts so once decoded.
    Prefix(String),
    /// Exactly one parameter, whose whole value fits this regular expression once decoded.
    Regex(String),
    /// At least one parameter (`true`), or none (`false`).
    Present(bool),
}

/// The API whose shape errors take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Api {
    /// `application/problem+json` (RFC 9457).
    #[default]
    Problem,
    /// `{"error": {"message", "type", "param", "code"}}`.
    Openai,
    /// `{"type": "error", "error": {"type", "message"}}`.
    Anthropic,
    /// `{"error": {"code", "message", "status", "details"}}`, as `google.rpc.Status`.
    Gemini,
    /// `{"message"}`, with the exception's name in the header `x-amzn-errortype`.
    Bedrock,
    /// `{"id", "message"}`.
    Cohere,
    /// That of the client's path: `…/messages` is Anthropic's, `/v1beta/…` Gemini's, `…/converse` Bedrock's, `/v2/chat`
    /// Cohere's, other paths with `/v1/` OpenAI's, and all others are problems.
    Auto,
}
