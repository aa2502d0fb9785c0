//! One validated, immutable state of everything configured. A request sees one from its first byte to its last.

mod build;
mod endpoints;
mod powers;
mod tls;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use rustls::ServerConfig;

use crate::config::{Config, RouteConfig};
use crate::plugin::{Chain, Compiler, Component, Policy, SharedPlugin};
use crate::route::Table;
use crate::services::{KvStore, LimitStore, Secrets, Verifier};
use crate::telemetry::Metrics;
use crate::upstream::Upstream;

pub use build::Inputs;

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
    /// The listeners, each with its TLS.
    pub listeners: BTreeMap<ListenerKey, Option<Arc<ServerConfig>>>,
    _live: LiveGauge,
}

/// A listener: its configured address, and how many of the same came before it (port 0 may be there more than once).
pub type ListenerKey = (SocketAddr, usize);

/// A route, ready to serve.
#[derive(Debug)]
pub struct Route {
    /// Its name.
    pub name: Arc<str>,
    /// As configured.
    pub config: RouteConfig,
    /// Its chain.
    pub chain: Chain,
    /// Where requests go if no policy chooses.
    pub default: Arc<UpstreamEntry>,
    /// What a policy may choose, the default among them.
    pub choices: Vec<Arc<UpstreamEntry>>,
    /// The names of the choices.
    pub names: Arc<[Arc<str>]>,
    /// Its requests' durations.
    pub seconds: Histogram,
}

/// An upstream with its chain.
#[derive(Debug)]
pub struct UpstreamEntry {
    /// The endpoints, or the component.
    pub upstream: Arc<Upstream>,
    /// The chain that runs once an attempt.
    pub chain: Chain,
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
