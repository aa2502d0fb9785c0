//! One validated, immutable state of everything configured. A request sees one from its first byte to its last.

mod build;
mod endpoints;
mod passthrough;
mod powers;
mod redirect;
mod rewrite;
mod routes;
mod split;
mod tls;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use tokio::sync::Semaphore;

use crate::config::{Config, ListenAddress, ListenerConfig, RouteConfig};
use crate::exchange::Reply;
use crate::limiter::Limiter;
use crate::plugin::{Chain, Compiler, Component, Policy, SharedPlugin};
use crate::route::Table;
use crate::services::{KvStore, LimitStore, Secrets, Verifier};
use crate::telemetry::{ConcurrencyLabels, Metrics};
use crate::upstream::Upstream;

pub use build::Inputs;
pub use passthrough::Passthrough;
pub use redirect::Redirect;
pub use rewrite::Rewrite;
pub use split::Split;
pub use tls::ListenerTls;

/// What outlives every snapshot.
#[derive(Debug, Clone)]
pub struct Shared {
    /// Prepares plugins for policies.
    pub compiler: Arc<Compiler>,
    /// All metrics.
    pub metrics: Arc<Metrics>,
    /// All limits: a reload refills no bucket.
    pub limits: Arc<LimitStore>,
}

/// One validated, immutable state of everything configured.
#[derive(Debug)]
pub struct Snapshot {
    /// Counts snapshots from 1.
    pub generation: u64,
    /// As configured.
    pub config: Config,
    /// SHA-256 over everything it was made from.
    pub hash: String,
    /// When it began to serve.
    pub applied_at: SystemTime,
    /// The routes.
    pub routes: Table<Arc<Route>>,
    /// The upstreams by name.
    pub upstreams: BTreeMap<String, Arc<UpstreamEntry>>,
    /// The policies by name.
    pub policies: BTreeMap<String, Arc<Policy>>,
    /// The components by the names of their upstreams.
    pub components: BTreeMap<String, Arc<Component>>,
    /// The plugins by name.
    pub plugins: BTreeMap<String, SharedPlugin>,
    /// Token verifiers by name.
    pub verifiers: Arc<BTreeMap<String, Arc<Verifier>>>,
    secrets: Arc<Secrets>,
    kv: Arc<BTreeMap<String, KvStore>>,
    /// The listeners.
    pub listeners: BTreeMap<ListenerKey, Arc<Listener>>,
    _live: LiveGauge,
}

/// A listener: its configured address, and how many of the same came before it (port 0 may be there more than once).
pub type ListenerKey = (ListenAddress, usize);

/// A listener, ready to serve.
#[derive(Debug)]
pub struct Listener {
    /// As configured.
    pub config: ListenerConfig,
    /// Its TLS; clear text if absent.
    pub tls: Option<ListenerTls>,
    /// The names whose TLS is not ended here.
    pub passthrough: Passthrough,
}

/// A route, ready to serve.
#[derive(Debug)]
pub struct Route {
    /// Its name.
    pub name: Arc<str>,
    /// As configured.
    pub config: RouteConfig,
    /// Its chain.
    pub chain: Chain,
    /// What becomes of a request that the chain let pass.
    pub action: Action,
    /// Where a request goes in turn that its upstream could not serve.
    pub fallbacks: Vec<Arc<UpstreamEntry>>,
    /// What the upstream sees in place of the path and the host.
    pub rewrite: Option<Rewrite>,
    /// Where copies go.
    pub mirror: Option<Mirror>,
    /// How many of its requests may be under way.
    pub limiter: Option<Arc<Limiter>>,
    /// Its requests' durations.
    pub seconds: Histogram,
}

/// What becomes of a request that a route's chain let pass.
#[derive(Debug)]
pub enum Action {
    /// It goes to an upstream.
    Upstream(Targets),
    /// The client is sent elsewhere.
    Redirect(Redirect),
    /// The gateway answers itself.
    Respond(Reply),
}

/// Where a route's requests go.
#[derive(Debug)]
pub struct Targets {
    /// Where requests go if neither a policy nor a split chooses.
    pub default: Arc<UpstreamEntry>,
    /// What a policy may choose, the default among them.
    pub choices: Vec<Arc<UpstreamEntry>>,
    /// The names of the choices.
    pub names: Arc<[Arc<str>]>,
    /// The shares of the choices, if they have any.
    pub split: Option<Split>,
}

/// Where copies of a route's requests go.
#[derive(Debug)]
pub struct Mirror {
    /// The upstream.
    pub entry: Arc<UpstreamEntry>,
    /// How many requests of a hundred.
    pub percent: u8,
    /// Bytes of a body that is copied.
    pub body_max: u64,
    /// A permit for each copy under way.
    pub slots: Arc<Semaphore>,
}

impl Snapshot {
    /// Makes its bounds on requests at once count, for what is under way as well.
    pub fn adopt_limits(&self) {
        let of_routes = self.routes.iter().filter_map(|route| route.limiter.as_ref());
        let of_upstreams = self.upstreams.values().filter_map(|entry| entry.limiter.as_ref());
        of_routes.chain(of_upstreams).for_each(|limiter| limiter.adopt());
    }

    /// Tells how many requests are under way and wait where that is limited.
    pub fn observe(&self, metrics: &Metrics) {
        metrics.concurrency.clear();
        let tell = |scope, name: &Arc<str>, limiter: &Option<Arc<Limiter>>| {
            let Some((running, waiting)) = limiter.as_ref().map(|limiter| limiter.counts()) else { return };
            for (state, count) in [("running", running), ("waiting", waiting)] {
                let labels = ConcurrencyLabels { scope, name: name.to_string(), state };
                metrics.concurrency.get_or_create(&labels).set(i64::try_from(count).unwrap_or(i64::MAX));
            }
        };
        for route in self.routes.iter() {
            tell("route", &route.name, &route.limiter);
        }
        for entry in self.upstreams.values() {
            tell("upstream", &entry.upstream.name, &entry.limiter);
        }
    }
}

impl Route {
    /// Where requests go; nowhere for one that the gateway answers itself.
    #[must_use]
    pub const fn targets(&self) -> Option<&Targets> {
        match &self.action {
            Action::Upstream(targets) => Some(targets),
            Action::Redirect(_) | Action::Respond(_) => None,
        }
    }
}

impl Targets {
    /// The upstream of this name, or the default.
    #[must_use]
    pub fn named(&self, name: &str) -> &Arc<UpstreamEntry> {
        self.choices.iter().find(|entry| *entry.upstream.name == *name).unwrap_or(&self.default)
    }
}

/// An upstream with its chain.
#[derive(Debug)]
pub struct UpstreamEntry {
    /// The endpoints, or the component.
    pub upstream: Arc<Upstream>,
    /// The chain that runs once an attempt.
    pub chain: Chain,
    /// How many requests may be under way to it.
    pub limiter: Option<Arc<Limiter>>,
}

/// Counts the snapshots that something still uses.
#[derive(Debug)]
struct LiveGauge(Gauge);

impl LiveGauge {
    fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for LiveGauge {
    fn drop(&mut self) {
        self.0.dec();
    }
}
