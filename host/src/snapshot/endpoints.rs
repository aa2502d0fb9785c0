//! Where upstreams send requests: their endpoints, or a component in their place.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::build::{Builder, in_parallel};
use crate::config::{ComponentConfig, UpstreamConfig, unknown};
use crate::plugin::{Component, ComponentInputs, SharedPlugin};
use crate::provider::{Provider, supply};
use crate::services::{Secret, Secrets};
use crate::upstream::Upstream;

/// A component to be made.
struct Wanted {
    name: String,
    config: ComponentConfig,
    plugin: SharedPlugin,
    http: BTreeMap<String, Arc<Upstream>>,
}

/// Who answers for an upstream.
enum Source {
    Component(Arc<Component>),
    Endpoints(Option<Provider>),
}

impl Builder<'_> {
    /// The upstreams with endpoints, without their chains: policies and components may call them.
    pub(super) fn endpoints(&mut self, secrets: &Secrets) -> BTreeMap<String, Arc<Upstream>> {
        let mut upstreams = BTreeMap::new();
        for (name, written) in self.config.upstreams.clone() {
            let (config, provider) = match supply(&written, &self.config.providers) {
                Ok(supplied) => supplied,
                Err(faults) => {
                    self.faults_below(&format!("/upstreams/{name}"), &format!("upstream {name:?}"), faults);
                    continue;
                }
            };
            match (config.endpoints.is_empty(), config.component.is_some()) {
                (true, true) => continue,
                (false, true) => {
                    let message = "it has `endpoints` and a `component`: take one of them away";
                    self.fault(format!("/upstreams/{name}/component"), format!("upstream {name:?}: {message}"));
                }
                (true, false) => {
                    let message = "it needs at least one endpoint, or a `component` or `provider`";
                    self.fault(format!("/upstreams/{name}"), format!("upstream {name:?}: {message}"));
                }
                (false, false) => {
                    if let Some(upstream) = self.upstream(&name, &config, (Source::Endpoints(provider), secrets)) {
                        upstreams.insert(name, upstream);
                    }
                }
            }
        }
        upstreams
    }

    /// One upstream; if it is as it was, the one that serves, whose connections stay.
    fn upstream(
        &mut self,
        name: &str,
        config: &UpstreamConfig,
        (source, secrets): (Source, &Secrets),
    ) -> Option<Arc<Upstream>> {
        let secret = self.affinity_secret(name, config, secrets)?;
        match Upstream::build(name, config, self.folder(), &self.shared.metrics) {
            Ok(upstream) => {
                let upstream = match secret {
                    Some(secret) => upstream.signing_with(secret),
                    None => upstream,
                };
                let upstream = match source {
                    Source::Component(component) => upstream.handled_by(component),
                    Source::Endpoints(provider) => upstream.provided_by(provider),
                };
                let previous = self.inputs.previous.as_ref().and_then(|previous| previous.upstreams.get(name));
                Some(match previous {
                    Some(previous) if previous.upstream.is_same(&upstream) => previous.upstream.clone(),
                    Some(previous) => Arc::new(upstream.keeping_token(&previous.upstream)),
                    None => Arc::new(upstream),
                })
            }
            Err(faults) => {
                self.faults_below(&format!("/upstreams/{name}"), &format!("upstream {name:?}"), faults);
                None
            }
        }
    }

    /// The secret that cookies of affinity are signed with; none at all if it is not there.
    #[expect(clippy::option_option, reason = "a fault is not the same as no secret")]
    fn affinity_secret<'s>(
        &mut self,
        name: &str,
        config: &UpstreamConfig,
        secrets: &'s Secrets,
    ) -> Option<Option<&'s [u8]>> {
        let Some(wanted) = config.balance.affinity.as_ref().and_then(|affinity| affinity.secret.as_ref()) else {
            return Some(None);
        };
        let found = secrets.0.get(wanted).map(Secret::bytes);
        if found.is_none() && !self.declares("secrets", wanted) {
            let message = unknown("secret", wanted, secrets.0.keys().map(String::as_str));
            self.fault(format!("/upstreams/{name}/balance/affinity/secret"), format!("upstream {name:?}: {message}"));
        }
        found.map(Some)
    }

    /// The components, and to the upstreams with endpoints those that they serve.
    pub(super) fn components(
        &mut self,
        upstreams: &mut BTreeMap<String, Arc<Upstream>>,
        secrets: &Secrets,
    ) -> BTreeMap<String, Arc<Component>> {
        let mut wanted = Vec::new();
        for (name, upstream) in self.config.upstreams.clone() {
            let Some(config) = upstream.component.filter(|_| upstream.endpoints.is_empty()) else { continue };
            wanted.extend(self.wanted(name, config, upstreams));
        }
        let (shared, plugins) = (self.shared, &self.config.plugins);
        let previous = self.inputs.previous.as_ref();
        let built = in_parallel(&wanted, |wanted| {
            Component::build(&ComponentInputs {
                upstream: &wanted.name,
                config: &wanted.config,
                plugin: wanted.plugin.clone(),
                http: wanted.http.clone(),
                previous: previous.and_then(|previous| previous.components.get(&wanted.name)).cloned(),
                compiler: &shared.compiler,
                plugins,
                metrics: &shared.metrics,
            })
        });
        let mut components = BTreeMap::new();
        for (Wanted { name, .. }, built) in wanted.into_iter().zip(built) {
            let config = self.config.upstreams.get(&name).cloned();
            match (built, config) {
                (Ok(component), Some(config)) => {
                    if let Some(upstream) =
                        self.upstream(&name, &config, (Source::Component(component.clone()), secrets))
                    {
                        upstreams.insert(name.clone(), upstream);
                    }
                    components.insert(name, component);
                }
                (Ok(_), None) => {}
                (Err(faults), _) => {
                    self.faults_below(&format!("/upstreams/{name}/component"), &format!("upstream {name:?}"), faults);
                }
            }
        }
        components
    }

    /// A component whose plugin and upstreams are known.
    fn wanted(
        &mut self,
        name: String,
        config: ComponentConfig,
        upstreams: &BTreeMap<String, Arc<Upstream>>,
    ) -> Option<Wanted> {
        let (at, what) = (format!("/upstreams/{name}/component"), format!("upstream {name:?}"));
        if let Err(why) = Component::supported() {
            self.fault(at, format!("{what}: {why}"));
            return None;
        }
        let mut http = BTreeMap::new();
        for called in &config.http {
            // One that calls another could call itself in the end, and hold every place there is.
            let is_component = self.config.upstreams.get(called).is_some_and(|called| called.component.is_some());
            if let Some(upstream) = upstreams.get(called) {
                http.insert(called.clone(), upstream.clone());
            } else if is_component {
                let message = format!("{what}: it may not call {called:?}, which is a component itself");
                self.fault(format!("{at}/http"), message);
            } else if !self.declares("upstreams", called) {
                let message = unknown("upstream", called, self.config.upstreams.keys().map(String::as_str));
                self.fault(format!("{at}/http"), format!("{what}: {message}"));
            }
        }
        let Some(plugin) = self.inputs.plugins.get(&config.plugin).cloned() else {
            let message = self.no_plugin(&config.plugin);
            self.fault(format!("{at}/plugin"), format!("{what}: {message}"));
            return None;
        };
        Some(Wanted { name, config, plugin, http })
    }
}
