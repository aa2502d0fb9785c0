//! What is served, and what is wrong: for `/status` and `gatewright status`.

use std::time::SystemTime;

use serde::Serialize;

use super::Loaded;
use crate::config::Fault;
use crate::plugin::Phase;
use crate::snapshot::Snapshot;
use crate::telemetry::rfc3339;

/// What is served, and what is wrong.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// The gateway's own version.
    pub version: &'static str,
    /// Counts snapshots from 1.
    pub generation: u64,
    /// SHA-256 over everything that is served.
    pub hash: String,
    /// When it began to serve.
    pub applied_at: String,
    /// When files were last looked at.
    pub looked_at: String,
    /// Why the newest configuration does not serve.
    pub last_error: Option<LastError>,
    /// When what serves was kept, if it is the last good configuration of an earlier run: what was configured at the start
    /// had faults.
    pub restored: Option<String>,
    /// Every plugin.
    pub plugins: Vec<PluginStatus>,
    /// Every policy.
    pub policies: Vec<PolicyStatus>,
    /// Token verifiers and their keys.
    pub verifiers: Vec<VerifierStatus>,
    /// Upstreams and their endpoints, as they are when they are asked about.
    pub upstreams: Vec<UpstreamStatus>,
}

/// An upstream.
#[derive(Debug, Clone, Serialize)]
pub struct UpstreamStatus {
    /// Its name.
    pub name: String,
    /// The provider of models that it is, if it says so.
    pub provider: Option<String>,
    /// Its access token, if it needs one: `valid`, `failing` (the last one serves, and the next cannot be fetched),
    /// `fetching` (there is none yet) or `unavailable`.
    pub token: Option<&'static str>,
    /// Its endpoints; none of a component.
    pub endpoints: Vec<EndpointStatus>,
}

/// An endpoint.
#[derive(Debug, Clone, Serialize)]
pub struct EndpointStatus {
    /// `host:port`, or the path of a socket.
    pub address: String,
    /// `usable`, `unhealthy` (its checks say so), `ejected` (its requests failed) or `probing` (a few requests may show
    /// that it is well again).
    pub state: &'static str,
    /// Requests under way.
    pub active: usize,
    /// The addresses behind its name; none while it is not known.
    pub addresses: Vec<String>,
}

/// Why a configuration does not serve, and since when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LastError {
    /// Since when.
    pub at: String,
    /// Every fault.
    pub faults: Vec<Fault>,
}

/// A plugin. One that nothing uses is not prepared, and has a name only.
#[derive(Debug, Clone, Default, Serialize)]
pub struct PluginStatus {
    /// Its name.
    pub name: String,
    /// SHA-256 of the file that serves.
    pub hash: Option<String>,
    /// Bytes of that file.
    pub size: Option<usize>,
    /// When it was loaded.
    pub loaded_at: Option<String>,
    /// Whether it is a component for an upstream, and no policy.
    pub component: bool,
    /// The phases it takes part in.
    pub phases: Vec<Phase>,
    /// The services it uses.
    pub powers: Vec<String>,
    /// Why the newest file does not serve.
    pub last_error: Option<String>,
    /// SHA-256 of that file.
    pub refused_hash: Option<String>,
    /// Since when that is known.
    pub refused_at: Option<String>,
}

/// A policy.
#[derive(Debug, Clone, Serialize)]
pub struct PolicyStatus {
    /// Its name.
    pub name: String,
    /// Its plugin.
    pub plugin: String,
    /// SHA-256 of the plugin's file.
    pub hash: String,
    /// How an instance gets its configuration: `snapshot`, from an image of the memory that `configure` left, or
    /// `per-instance`, where `configure` runs in each.
    pub prepared: &'static str,
    /// Whether its plugin failed too often: its failure mode applies at once.
    pub quarantined: bool,
    /// Whether its calls take so long that they run aside, on threads that give way to those that serve.
    pub slow: bool,
    /// Why there is no image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why_no_snapshot: Option<String>,
}

/// A token verifier.
#[derive(Debug, Clone, Serialize)]
pub struct VerifierStatus {
    /// Its name.
    pub name: String,
    /// How many keys it has; none if they were never read.
    pub keys: Option<usize>,
}

/// The upstreams of a snapshot.
#[must_use]
pub fn endpoints(snapshot: &Snapshot) -> Vec<UpstreamStatus> {
    let upstreams = snapshot.upstreams.iter().map(|(name, entry)| {
        let endpoints = entry.upstream.endpoints().into_iter().map(|endpoint| EndpointStatus {
            address: endpoint.address.to_string(),
            state: endpoint.state().word(),
            active: endpoint.active(),
            addresses: endpoint.addresses(),
        });
        let provider = entry.upstream.provider.as_ref().map(|provider| provider.name.clone());
        let token = entry.upstream.token();
        UpstreamStatus { name: name.clone(), provider, token, endpoints: endpoints.collect() }
    });
    upstreams.collect()
}

impl Status {
    pub(super) fn of(snapshot: &Snapshot, loaded: &Loaded, last_error: Option<LastError>) -> Self {
        let policies = snapshot.policies.iter().map(|(name, policy)| PolicyStatus {
            name: name.clone(),
            plugin: policy.plugin.name.clone(),
            hash: policy.plugin.hash().to_owned(),
            quarantined: policy.plugin.health.is_out(),
            slow: policy.is_slow(),
            prepared: policy.preparation().word(),
            why_no_snapshot: policy.preparation().why().map(str::to_owned),
        });
        let verifiers = snapshot.verifiers.iter();
        Self {
            version: env!("CARGO_PKG_VERSION"),
            generation: snapshot.generation,
            hash: snapshot.hash.clone(),
            applied_at: rfc3339(snapshot.applied_at),
            looked_at: rfc3339(loaded.at),
            last_error,
            restored: None,
            plugins: plugins(snapshot, loaded),
            policies: policies.collect(),
            verifiers: verifiers
                .map(|(name, verifier)| VerifierStatus { name: name.clone(), keys: verifier.key_count() })
                .collect(),
            upstreams: endpoints(snapshot),
        }
    }

    /// The error that stands now: since it first came, as long as it stays the same.
    pub(super) fn carry(&self, faults: Option<Vec<Fault>>) -> Option<LastError> {
        let faults = faults?;
        match &self.last_error {
            Some(known) if known.faults == faults => Some(known.clone()),
            _ => Some(LastError { at: rfc3339(SystemTime::now()), faults }),
        }
    }

    pub(super) fn has_broken_plugin(&self) -> bool {
        self.plugins.iter().any(|plugin| plugin.last_error.is_some())
    }
}

fn plugins(snapshot: &Snapshot, loaded: &Loaded) -> Vec<PluginStatus> {
    let mut plugins: Vec<PluginStatus> = Vec::new();
    for (name, plugin) in &snapshot.plugins {
        let last_error = match loaded.broken.get(name) {
            None if loaded.missing.contains(name) => Some("the file is gone".to_owned()),
            error => error.cloned(),
        };
        plugins.push(PluginStatus {
            name: name.clone(),
            hash: Some(plugin.hash().to_owned()),
            size: Some(plugin.size()),
            loaded_at: Some(rfc3339(plugin.loaded_at)),
            component: plugin.facts.component,
            phases: plugin.facts.phases.clone(),
            powers: plugin.facts.powers.clone(),
            last_error,
            refused_hash: None,
            refused_at: None,
        });
    }
    let others = loaded.broken.keys().chain(&loaded.unused).filter(|name| !snapshot.plugins.contains_key(*name));
    for name in others.collect::<std::collections::BTreeSet<_>>() {
        let last_error = loaded.broken.get(name).cloned();
        plugins.push(PluginStatus { name: name.clone(), last_error, ..PluginStatus::default() });
    }
    for plugin in &mut plugins {
        if let Some((hash, since)) = loaded.refused.get(&plugin.name) {
            plugin.refused_hash = Some(hash.clone());
            plugin.refused_at = Some(rfc3339(*since));
        }
    }
    plugins
}
