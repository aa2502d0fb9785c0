//! The gateway's own metrics, for Prometheus (OpenMetrics text format).

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::PolicyMetrics;

/// A request as counted.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    /// The route's name; empty if none matched.
    pub route: String,
    /// The status that was sent.
    pub status: u16,
}

/// A route.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RouteLabels {
    /// Its name.
    pub route: String,
}

/// A failed request as counted.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReasonLabels {
    /// Who failed.
    pub blame: &'static str,
    /// The reason code.
    pub reason: &'static str,
}

/// A policy's calls in a phase.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CallLabels {
    /// The policy's name.
    pub policy: String,
    /// The phase.
    pub phase: &'static str,
    /// What became of the call; empty where all are taken together.
    pub outcome: &'static str,
}

/// An attempt at an upstream.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct AttemptLabels {
    /// The upstream's name.
    pub upstream: String,
    /// The class of its status (`2xx`), or the reason code.
    pub outcome: &'static str,
}

/// A measure against overload.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct MeasureLabels {
    /// `shed`, `close` or `refuse`.
    pub measure: &'static str,
}

/// Requests at once where that is limited.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ConcurrencyLabels {
    /// `route` or `upstream`.
    pub scope: &'static str,
    /// Its name.
    pub name: String,
    /// `running` or `waiting`.
    pub state: &'static str,
}

/// Endpoints of an upstream in a state.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct EndpointLabels {
    /// The upstream's name.
    pub upstream: String,
    /// `usable`, `unhealthy`, `ejected` or `probing`.
    pub state: &'static str,
}

/// A look-up of a name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct LookupLabels {
    /// The upstream's name.
    pub upstream: String,
    /// `found`, `failed` (the last addresses serve on), or `expired` (they are too old for that).
    pub result: &'static str,
}

/// A request that was sent again.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RetryLabels {
    /// The upstream that it is sent to now.
    pub upstream: String,
    /// The reason code, or the class of the status, of the try before.
    pub after: &'static str,
}

/// An upstream.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct UpstreamLabels {
    /// The upstream's name.
    pub upstream: String,
}

/// A reload.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReloadLabels {
    /// `applied`, `unchanged` or `refused`.
    pub result: &'static str,
}

/// Every metric of the gateway.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Finished requests.
    pub requests: Family<RequestLabels, Counter>,
    /// From a request's first byte to its response's last.
    pub request_seconds: Family<RouteLabels, Histogram>,
    /// Requests that the gateway answered with an error of its own.
    pub errors: Family<ReasonLabels, Counter>,
    /// Calls of policies by outcome.
    pub policy_calls: Family<CallLabels, Counter>,
    /// Time in policies.
    pub policy_seconds: Family<CallLabels, Histogram>,
    /// Attempts at upstreams.
    pub upstream_attempts: Family<AttemptLabels, Counter>,
    /// Requests that were sent again.
    pub upstream_retries: Family<RetryLabels, Counter>,
    /// Requests that were sent on to another upstream.
    pub upstream_fallbacks: Family<RetryLabels, Counter>,
    /// Endpoints by state.
    pub upstream_endpoints: Family<EndpointLabels, Gauge>,
    /// Ejections of endpoints.
    pub upstream_ejections: Family<UpstreamLabels, Counter>,
    /// Look-ups of upstreams' names.
    pub dns_lookups: Family<LookupLabels, Counter>,
    /// Connections that are for an upstream by their TLS greeting, by what came of them; the upstream is empty where no
    /// name fits.
    pub passthroughs: Family<AttemptLabels, Counter>,
    /// Copies of requests, by what came of them.
    pub mirrored_requests: Family<AttemptLabels, Counter>,
    /// Requests at once where that is limited; set when somebody asks.
    pub concurrency: Family<ConcurrencyLabels, Gauge>,
    /// Resident memory of the process, and its bound; set when somebody asks, as the next three are.
    pub resident_bytes: Gauge<f64, AtomicU64>,
    /// The bound of resident memory.
    pub resident_bytes_max: Gauge<f64, AtomicU64>,
    /// Bodies held in memory.
    pub body_bytes: Gauge<f64, AtomicU64>,
    /// The bound of bodies held in memory.
    pub body_bytes_max: Gauge<f64, AtomicU64>,
    /// Whether a measure against overload is on.
    pub overload: Family<MeasureLabels, Gauge>,
    /// Instances of components that serve now.
    pub component_instances: Family<UpstreamLabels, Gauge>,
    /// CPU time of components.
    pub component_cpu_seconds: Family<UpstreamLabels, Counter<f64, AtomicU64>>,
    /// New connections to upstreams.
    pub upstream_connections: Counter,
    /// Client connections open now.
    pub connections: Gauge,
    /// Requests under way now.
    pub in_flight: Gauge,
    /// Snapshots that something still uses.
    pub generations: Gauge,
    /// Reloads by result.
    pub reloads: Family<ReloadLabels, Counter>,
    /// Whether the newest configuration and plugins are what is served.
    pub reload_fresh: Gauge,
    /// Whether the last good configuration of an earlier run serves.
    pub restored: Gauge,
    /// Versions of plugins that were taken out.
    pub quarantines: Counter,
    /// Policy instances alive in the pool.
    pub instances: Gauge,
    /// Instances that are kept between calls.
    pub kept_instances: Gauge,
    /// Linear memories alive in the pool.
    pub instance_memories: Gauge,
    /// Bytes of unused pool memory that stay resident.
    pub pool_bytes: Gauge<f64, AtomicU64>,
    /// Access-log lines that were dropped.
    pub access_log_dropped: Gauge,
    /// Bodies that were read as JSON for policies.
    pub json_bodies: Counter,
    /// What policies count themselves.
    pub policies: PolicyMetrics,
}

fn request_buckets() -> Histogram {
    Histogram::new([
        0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0,
    ])
}

fn call_buckets() -> Histogram {
    Histogram::new([0.000_005, 0.000_01, 0.000_025, 0.000_05, 0.0001, 0.000_25, 0.0005, 0.001, 0.005, 0.02, 0.1, 1.0])
}

impl Default for Metrics {
    fn default() -> Self {
        let request_seconds = Family::<RouteLabels, Histogram>::new_with_constructor(request_buckets);
        let policy_seconds = Family::<CallLabels, Histogram>::new_with_constructor(call_buckets);
        let mut metrics = Self {
            registry: Registry::with_prefix("gatewright"),
            requests: Family::default(),
            request_seconds,
            errors: Family::default(),
            policy_calls: Family::default(),
            policy_seconds,
            upstream_attempts: Family::default(),
            upstream_retries: Family::default(),
            upstream_fallbacks: Family::default(),
            upstream_endpoints: Family::default(),
            upstream_ejections: Family::default(),
            dns_lookups: Family::default(),
            concurrency: Family::default(),
            passthroughs: Family::default(),
            mirrored_requests: Family::default(),
            resident_bytes: Gauge::default(),
            resident_bytes_max: Gauge::default(),
            body_bytes: Gauge::default(),
            body_bytes_max: Gauge::default(),
            overload: Family::default(),
            component_instances: Family::default(),
            component_cpu_seconds: Family::default(),
            upstream_connections: Counter::default(),
            connections: Gauge::default(),
            in_flight: Gauge::default(),
            generations: Gauge::default(),
            reloads: Family::default(),
            reload_fresh: Gauge::default(),
            restored: Gauge::default(),
            quarantines: Counter::default(),
            instances: Gauge::default(),
            kept_instances: Gauge::default(),
            instance_memories: Gauge::default(),
            pool_bytes: Gauge::default(),
            access_log_dropped: Gauge::default(),
            json_bodies: Counter::default(),
            policies: PolicyMetrics::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register("requests", "Finished requests", self.requests.clone());
        registry.register("request_seconds", "First byte in to last byte out", self.request_seconds.clone());
        registry.register("errors", "Answers that are the gateway's own errors", self.errors.clone());
        registry.register("policy_calls", "Calls of policies", self.policy_calls.clone());
        registry.register("policy_seconds", "Time in policies", self.policy_seconds.clone());
        registry.register("upstream_attempts", "Attempts at upstreams", self.upstream_attempts.clone());
        registry.register("upstream_retries", "Requests sent again", self.upstream_retries.clone());
        registry.register("upstream_fallbacks", "Requests sent on from another", self.upstream_fallbacks.clone());
        registry.register("upstream_endpoints", "Endpoints by state", self.upstream_endpoints.clone());
        registry.register("upstream_ejections", "Ejections of endpoints", self.upstream_ejections.clone());
        registry.register("dns_lookups", "Look-ups of upstreams' names", self.dns_lookups.clone());
        registry.register("concurrency", "Requests under way and waiting where limited", self.concurrency.clone());
        registry.register("passthroughs", "TLS connections passed on by name", self.passthroughs.clone());
        registry.register("mirrored_requests", "Copies of requests by outcome", self.mirrored_requests.clone());
        registry.register("resident_bytes", "Resident memory", self.resident_bytes.clone());
        registry.register("resident_bytes_max", "The bound of resident memory", self.resident_bytes_max.clone());
        registry.register("body_bytes", "Bodies held in memory", self.body_bytes.clone());
        registry.register("body_bytes_max", "The bound of bodies held", self.body_bytes_max.clone());
        registry.register("overload", "1 if a measure against overload is on", self.overload.clone());
        registry.register("component_instances", "Component instances serving", self.component_instances.clone());
        registry.register("component_cpu_seconds", "CPU time of components", self.component_cpu_seconds.clone());
        registry.register("upstream_connections", "New upstream connections", self.upstream_connections.clone());
        registry.register("connections", "Client connections open now", self.connections.clone());
        registry.register("in_flight", "Requests under way now", self.in_flight.clone());
        registry.register("generations", "Snapshots still in use", self.generations.clone());
        registry.register("reloads", "Reloads by result", self.reloads.clone());
        let restored = "1 if what is configured had faults at the start and the last good configuration serves";
        registry.register("restored", restored, self.restored.clone());
        registry.register("reload_fresh", "1 if what is configured is what is served", self.reload_fresh.clone());
        registry.register("quarantines", "Plugin versions taken out", self.quarantines.clone());
        registry.register("instances", "Policy instances alive", self.instances.clone());
        registry.register("kept_instances", "Instances kept between calls", self.kept_instances.clone());
        registry.register("instance_memories", "Linear memories alive", self.instance_memories.clone());
        registry.register("pool_bytes", "Resident bytes of unused pool memory", self.pool_bytes.clone());
        registry.register("json_bodies", "Bodies read as JSON for policies", self.json_bodies.clone());
        registry.register("access_log_dropped", "Access-log lines dropped", self.access_log_dropped.clone());
    }

    /// Everything in the text format.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        if let Err(error) = encode(&mut text, &self.registry) {
            tracing::error!(%error, "metrics cannot be written");
        }
        // OpenMetrics ends with a line of its own; what policies count goes before it.
        let end = "# EOF\n";
        if text.ends_with(end) {
            text.truncate(text.len() - end.len());
        }
        self.policies.write(&mut text);
        text.push_str(end);
        text
    }
}
