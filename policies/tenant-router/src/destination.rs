//! What is done to a tenant's requests.

use std::collections::BTreeMap;

use gatewright_sdk::{Exchange, Failure, WriteError, failure};
use schemars::JsonSchema;
use serde::Deserialize;

/// What is done to a tenant's requests.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Destination {
    /// The upstream, one of the route's; the route's own choice if absent.
    upstream: Option<String>,
    /// How the path changes.
    path: Option<PathChange>,
    /// The host that the upstream sees.
    host: Option<String>,
    /// How the headers change.
    headers: Option<HeaderChange>,
}

/// How a path changes: first one prefix goes, then another comes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PathChange {
    /// A prefix of whole segments to take away, e.g. "/acme"; a path without it stays.
    #[serde(default)]
    strip: String,
    /// A prefix to put before, e.g. "/v2".
    #[serde(default)]
    add: String,
}

/// How the headers of a request change: some go, then some are set.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct HeaderChange {
    /// Headers to set, in place of what the client sent.
    #[serde(default)]
    set: BTreeMap<String, String>,
    /// Headers to take away.
    #[serde(default)]
    remove: Vec<String>,
}

/// What is done to a request of no known tenant: the word "refuse", or as for a tenant.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Otherwise {
    /// It gets 403.
    Refuse(Refuse),
    /// It is sent on as if it were a tenant's.
    Route(Box<Destination>),
}

/// The word "refuse".
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Refuse {
    /// The request gets 403.
    Refuse,
}

impl Default for Otherwise {
    fn default() -> Self {
        Self::Refuse(Refuse::Refuse)
    }
}

impl Otherwise {
    pub(crate) fn destination(&self) -> Option<&Destination> {
        match self {
            Self::Refuse(Refuse::Refuse) => None,
            Self::Route(destination) => Some(destination),
        }
    }

    pub(crate) fn is_route(&self) -> bool {
        self.destination().is_some()
    }
}

impl Destination {
    pub(crate) fn path_is_absolute(&self) -> bool {
        let is_prefix = |prefix: &String| prefix.is_empty() || prefix.starts_with('/') && !prefix.ends_with('/');
        self.path.as_ref().is_none_or(|path| is_prefix(&path.strip) && is_prefix(&path.add))
    }

    pub(crate) fn apply(&self, exchange: &Exchange) -> Result<(), Failure> {
        if let Some(upstream) = &self.upstream {
            choose(exchange, upstream)?;
        }
        if let Some(change) = &self.path {
            exchange.set_path(&change.applied(&exchange.path()), exchange.query().as_deref())?;
        }
        if let Some(host) = &self.host {
            exchange.set_authority(host)?;
        }
        let Some(change) = &self.headers else { return Ok(()) };
        let headers = exchange.request_headers();
        for name in &change.remove {
            headers.remove(name)?;
        }
        for (name, value) in &change.set {
            headers.set(name, value)?;
        }
        Ok(())
    }
}

impl PathChange {
    fn applied(&self, path: &str) -> String {
        let rest = path.strip_prefix(self.strip.as_str()).filter(|rest| rest.is_empty() || rest.starts_with('/'));
        let changed = format!("{}{}", self.add, rest.unwrap_or(path));
        if changed.is_empty() { "/".to_owned() } else { changed }
    }
}

/// Chooses an upstream, and says which if the route has none of that name.
pub(crate) fn choose(exchange: &Exchange, upstream: &str) -> Result<(), Failure> {
    exchange.set_upstream(upstream).map_err(|error| match error {
        WriteError::NotFound => failure("unknown-upstream", format!("the route has no upstream {upstream:?}")),
        other => other.into(),
    })
}
