//! Makes a snapshot of a configuration: everything is proved, or every fault is told.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::SystemTime;

use super::passthrough::Passthrough;
use super::powers::Powers;
use super::tls::listener_tls;
use super::{Listener, ListenerKey, LiveGauge, Shared, Snapshot, UpstreamEntry};
use crate::config::{
    Config, Document, Faults, KeySource, ListenAddress, OverloadConfig, SecretConfig, VerifierConfig, unknown,
};
use crate::limiter::Limiter;
use crate::plugin::{Chain, Policy, SharedPlugin};
use crate::route::Table;
use crate::services::{KeySet, Secret, Secrets, Verifier};
use crate::upstream::Upstream;

/// What a snapshot is made from.
#[derive(Debug)]
pub struct Inputs<'a> {
    /// The configuration as written.
    pub document: &'a Document,
    /// What of it is typed.
    pub config: Config,
    /// What of it does not fit the schema.
    pub faults: Faults,
    /// The plugins that can be used.
    pub plugins: BTreeMap<String, SharedPlugin>,
    /// The names of plugins in the drop folder that no policy uses.
    pub unused: BTreeSet<String>,
    /// Why a file in the drop folder is no plugin.
    pub broken: BTreeMap<String, String>,
    /// SHA-256 over everything.
    pub hash: String,
    /// The snapshot that serves now.
    pub previous: Option<Arc<Snapshot>>,
}

/// Does something with each of many, as many at once as there are cores; the results are in order.
pub(super) fn in_parallel<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut done = Vec::new();
        while let Some((index, item)) =
            Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|index| Some((index, items.get(index)?)))
        {
            done.push((index, work(item)));
        }
        done
    };
    let mut results: Vec<(usize, R)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (1..cores.min(items.len())).map(|_| scope.spawn(worker)).collect();
        let mut results = worker();
        for worker in workers {
            results.extend(worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        results
    });
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

static POLICY_IDS: AtomicU32 = AtomicU32::new(1);

/// A snapshot in the making.
pub(super) struct Builder<'a> {
    pub(super) inputs: &'a Inputs<'a>,
    pub(super) config: Config,
    pub(super) shared: &'a Shared,
    faults: Faults,
}

impl Snapshot {
    /// Proves everything.
    ///
    /// # Errors
    /// Every fault with its place.
    pub fn build(inputs: &Inputs<'_>, shared: &Shared) -> Result<Self, Faults> {
        let (config, faults) = (inputs.config.clone(), inputs.faults.clone());
        let mut builder = Builder { inputs, config, shared, faults };
        let secrets = builder.secrets();
        let verifiers = builder.verifiers(&secrets);
        let mut endpoints = builder.endpoints(&secrets);
        let components = builder.components(&mut endpoints, &secrets);
        let powers = builder.powers((&secrets, &verifiers), &endpoints);
        let policies = builder.policies(&powers);
        let upstreams = builder.upstreams(endpoints, &policies);
        let routes = builder.routes(&policies, &upstreams);
        let listeners = builder.listeners();
        builder.check_rest();
        let Builder { config, faults, .. } = builder;
        faults.or_ok(Self {
            generation: inputs.previous.as_ref().map_or(1, |previous| previous.generation + 1),
            config,
            hash: inputs.hash.clone(),
            applied_at: SystemTime::now(),
            routes: Table::new(routes),
            upstreams,
            policies,
            components,
            plugins: inputs.plugins.clone(),
            verifiers,
            secrets,
            kv: powers.kv,
            listeners,
            _live: LiveGauge::new(&shared.metrics.generations),
        })
    }
}

impl Builder<'_> {
    pub(super) fn fault(&mut self, at: impl Into<String>, message: impl Into<String>) {
        let at = at.into();
        self.faults.add(&self.inputs.document.place(&at), at, message);
    }

    pub(super) fn faults_below(&mut self, base: &str, what: &str, faults: Vec<(String, String)>) {
        for (at, message) in faults {
            self.fault(format!("{base}{at}"), format!("{what}: {message}"));
        }
    }

    /// Whether the document has such a thing, be it faulty.
    pub(super) fn declares(&self, section: &str, name: &str) -> bool {
        self.inputs.document.value.get(section).is_some_and(|section| section.get(name).is_some())
    }

    pub(super) fn folder(&self) -> &Path {
        &self.inputs.document.folder
    }

    fn secrets(&mut self) -> Arc<Secrets> {
        let mut secrets = BTreeMap::new();
        for (name, config) in self.config.secrets.clone() {
            let bytes = match config {
                SecretConfig::Value(text) => Ok(text.into_bytes()),
                SecretConfig::File(path) => {
                    std::fs::read(self.folder().join(&path)).map_err(|error| format!("{}: {error}", path.display()))
                }
            };
            match bytes {
                Ok(bytes) => drop(secrets.insert(name, Secret::new(bytes.trim_ascii_end()))),
                Err(message) => self.fault(format!("/secrets/{name}"), format!("secret {name:?}: {message}")),
            }
        }
        match &self.inputs.previous {
            Some(previous) if previous.secrets.is_same(&secrets) => previous.secrets.clone(),
            _ => Arc::new(Secrets(secrets)),
        }
    }

    fn verifiers(&mut self, secrets: &Secrets) -> Arc<BTreeMap<String, Arc<Verifier>>> {
        let mut verifiers = BTreeMap::new();
        for (name, config) in self.config.verifiers.clone() {
            let at = format!("/verifiers/{name}");
            if config.leeway.0.as_secs() > 300 {
                self.fault(format!("{at}/leeway"), format!("verifier {name:?}: leeway must be at most 5m"));
            }
            match self.keys(&config, secrets) {
                Ok(keys) => drop(verifiers.insert(name.clone(), self.verifier(&name, config, keys))),
                Err(message) => self.fault(format!("{at}/keys"), format!("verifier {name:?}: {message}")),
            }
        }
        Arc::new(verifiers)
    }

    /// Keys that come from an upstream are kept from the verifier that had them.
    fn verifier(&self, name: &str, config: VerifierConfig, keys: Option<KeySet>) -> Arc<Verifier> {
        let previous = self.inputs.previous.as_ref().and_then(|previous| previous.verifiers.get(name));
        match (keys, previous) {
            (None, Some(previous)) if previous.config == config => previous.clone(),
            (keys, _) => Arc::new(Verifier::new(config, keys)),
        }
    }

    fn keys(&self, config: &VerifierConfig, secrets: &Secrets) -> Result<Option<KeySet>, String> {
        let read = |path: &Path| {
            std::fs::read(self.folder().join(path)).map_err(|error| format!("{}: {error}", path.display()))
        };
        let keys = match &config.keys {
            KeySource::JwksFile(path) => {
                KeySet::from_jwks(&read(path)?).map_err(|error| format!("{}: {error}", path.display()))?
            }
            KeySource::PemFile(path) => KeySet::from_pem(&read(path)?, &config.algorithms)
                .map_err(|error| format!("{}: {error}", path.display()))?,
            KeySource::Secret(name) => {
                let secret =
                    secrets.0.get(name).ok_or_else(|| unknown("secret", name, secrets.0.keys().map(String::as_str)))?;
                KeySet::from_secret(secret.bytes()).map_err(|error| format!("secret {name:?} {error}"))?
            }
            KeySource::JwksUpstream { upstream, .. } => {
                let known = &self.config.upstreams;
                if !known.contains_key(upstream) {
                    return Err(unknown("upstream", upstream, known.keys().map(String::as_str)));
                }
                return Ok(None);
            }
        };
        Ok(Some(keys))
    }

    fn policies(&mut self, powers: &Powers) -> BTreeMap<String, Arc<Policy>> {
        let mut wanted = Vec::new();
        for (name, config) in self.config.policies.clone() {
            self.check_names(&format!("/policies/{name}"), &format!("policy {name:?}"), &config.grants);
            let Some(plugin) = self.inputs.plugins.get(&config.plugin).cloned() else {
                let message = self.no_plugin(&config.plugin);
                self.fault(format!("/policies/{name}/plugin"), format!("policy {name:?}: {message}"));
                continue;
            };
            if plugin.facts.component {
                let message = format!(
                    "policy {name:?}: plugin {:?} is a component: it serves as an upstream, and is no policy",
                    config.plugin
                );
                self.fault(format!("/policies/{name}/plugin"), message);
                continue;
            }
            let services = Arc::new(powers.services(&name, &config, self.shared));
            wanted.push((name, config, plugin, services));
        }
        let compiler = (&*self.shared.compiler, &self.config.plugins);
        let built = in_parallel(&wanted, |(_, config, plugin, services)| {
            let id = POLICY_IDS.fetch_add(1, Ordering::Relaxed);
            Policy::build(id, config, plugin.clone(), services.clone(), compiler)
        });
        let mut policies = BTreeMap::new();
        for ((name, ..), built) in wanted.into_iter().zip(built) {
            match built {
                Ok(policy) => drop(policies.insert(name, Arc::new(policy))),
                Err(faults) => self.faults_below(&format!("/policies/{name}"), &format!("policy {name:?}"), faults),
            }
        }
        policies
    }

    pub(super) fn no_plugin(&self, name: &str) -> String {
        match self.inputs.broken.get(name) {
            Some(error) => format!("plugin {name:?} cannot be used: {error}"),
            None => format!(
                "{} in {}",
                unknown("plugin", name, self.inputs.plugins.keys().chain(&self.inputs.unused).map(String::as_str)),
                self.config.plugins.folder.display()
            ),
        }
    }

    pub(super) fn chain(
        &mut self,
        at: &str,
        what: &str,
        names: &[String],
        policies: &BTreeMap<String, Arc<Policy>>,
    ) -> Chain {
        let mut chain = Vec::new();
        let mut seen = BTreeSet::new();
        for (index, name) in names.iter().enumerate() {
            let at = format!("{at}/policies/{index}");
            if !seen.insert(name) {
                self.fault(at, format!("{what}: policy {name:?} is here twice"));
            } else if let Some(policy) = policies.get(name) {
                chain.push(policy.clone());
            } else if !self.declares("policies", name) {
                let message = unknown("policy", name, self.config.policies.keys().map(String::as_str));
                self.fault(at, format!("{what}: {message}"));
            }
        }
        Chain::new(chain)
    }

    fn upstreams(
        &mut self,
        endpoints: BTreeMap<String, Arc<Upstream>>,
        policies: &BTreeMap<String, Arc<Policy>>,
    ) -> BTreeMap<String, Arc<UpstreamEntry>> {
        let mut entries = BTreeMap::new();
        for (name, upstream) in endpoints {
            let names = upstream.config.policies.clone();
            let chain = self.chain(&format!("/upstreams/{name}"), &format!("upstream {name:?}"), &names, policies);
            let before = self.inputs.previous.as_ref().and_then(|previous| previous.upstreams.get(&name));
            let before = before.and_then(|before| before.limiter.as_ref());
            let limiter = Limiter::carry(upstream.config.concurrency.as_ref(), before);
            entries.insert(name, Arc::new(UpstreamEntry { upstream, chain, limiter }));
        }
        entries
    }

    fn listeners(&mut self) -> BTreeMap<ListenerKey, Arc<Listener>> {
        let mut all = BTreeMap::new();
        for (index, listener) in self.config.listeners.clone().into_iter().enumerate() {
            let at = format!("/listeners/{index}");
            let earlier = all.keys().filter(|(address, _)| *address == listener.address).count();
            let is_free = matches!(listener.address, ListenAddress::Ip(address) if address.port() == 0);
            if !is_free && earlier > 0 {
                self.fault(
                    format!("{at}/address"),
                    format!("listener {}: the address is here twice", listener.address),
                );
            }
            if listener.mode.is_some() && matches!(listener.address, ListenAddress::Ip(_)) {
                let message = format!("listener {}: only a Unix socket has a mode", listener.address);
                self.fault(format!("{at}/mode"), message);
            }
            let tls = match listener.tls.as_ref().map(|tls| listener_tls(tls, self.folder())).transpose() {
                Ok(tls) => tls,
                Err((below, message)) => {
                    self.fault(format!("{at}/tls{below}"), format!("listener {}: {message}", listener.address));
                    None
                }
            };
            let passthrough = Passthrough::build(&listener, &self.config).unwrap_or_else(|faults| {
                self.faults_below(&format!("{at}/passthrough"), &format!("listener {}", listener.address), faults);
                Passthrough::default()
            });
            let key = (listener.address.clone(), earlier);
            all.insert(key, Arc::new(Listener { config: listener, tls, passthrough }));
        }
        all
    }

    fn check_rest(&mut self) {
        let plugins = &self.config.plugins;
        if plugins.require_signature && plugins.trusted_keys.is_empty() {
            self.fault("/plugins/require_signature", "no plugin can be signed without a key in `trusted_keys`");
        }
        let declared = self.inputs.document.value.get("listeners").and_then(serde_json::Value::as_array);
        if declared.is_none_or(Vec::is_empty) {
            self.fault("/listeners", "no listener: add `listeners: [{ address: 127.0.0.1:8080 }]`");
        }
        if self.config.bounds.buffered_body.0 > 64 << 20 {
            self.fault("/bounds/buffered_body", "buffered_body must be at most 64MiB");
        }
        let OverloadConfig { bodies, shed_from, close_from, refuse_from, .. } = self.config.overload;
        if bodies.is_some_and(|bodies| bodies < self.config.bounds.buffered_body) {
            self.fault("/overload/bodies", "bodies must be at least `bounds.buffered_body`");
        }
        if shed_from > close_from || close_from > refuse_from {
            self.fault("/overload", "`shed_from`, `close_from` and `refuse_from` must stand in this order");
        }
        for name in self.config.policies.keys().filter(|name| name.is_empty()).cloned().collect::<Vec<_>>() {
            self.fault(format!("/policies/{name}"), "a policy needs a name");
        }
    }
}
