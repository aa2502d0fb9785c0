//! Keeps the endpoints of an upstream in step with what their names stand for.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;

use super::endpoint::Endpoint;
use super::resolve::{Found, Name, look_up};
use super::site::Site;
use super::{Target, Upstream};
use crate::config::Resolution;
use crate::telemetry::LookupLabels;

/// The longest wait for names before an upstream serves for the first time.
const FIRST_MAX: Duration = Duration::from_secs(5);

/// The endpoints that are known before any name is.
pub(super) fn known(sites: &[Site]) -> Vec<Arc<Endpoint>> {
    let one = sites.iter().filter(|site| site.resolution == Resolution::One);
    one.map(|site| Arc::new(Endpoint::new(site, &site.address(), site.places(), false))).collect()
}

impl Upstream {
    /// Looks all names up that were never looked up, and waits for that.
    pub async fn resolve(self: &Arc<Self>) {
        let due = self.due(|name| name.due.is_none());
        let asked = join_all(due.into_iter().map(|index| self.look_up(index)));
        if tokio::time::timeout(FIRST_MAX, asked).await.is_err() {
            tracing::warn!(upstream = &*self.name, "its names are not all known yet");
        }
    }

    /// Looks up what is due, without waiting.
    pub(super) fn refresh_names(self: &Arc<Self>) {
        let now = Instant::now();
        for index in self.due(|name| name.due.is_none_or(|due| due <= now)) {
            let upstream = self.clone();
            tokio::spawn(async move { upstream.look_up(index).await });
        }
    }

    /// Sites whose names are to be looked up: from here on they count as asked for.
    fn due(&self, is_due: impl Fn(&Name) -> bool) -> Vec<usize> {
        let mut names = self.names.lock();
        let sites = self.sites.iter().zip(names.iter_mut()).enumerate();
        let due = sites.filter(|(_, (site, name))| site.name().is_some() && !name.asked && is_due(name));
        due.map(|(index, (_, name))| {
            name.asked = true;
            index
        })
        .collect()
    }

    async fn look_up(&self, index: usize) {
        let Some(site) = self.sites.get(index) else { return };
        let asked = Asked { upstream: self, index };
        let config = &self.config.dns;
        // Both servers, both protocols, a target and its addresses: each question has its own end.
        let patience = config.timeout.0 * 4;
        let found = match tokio::time::timeout(patience, look_up(site, config)).await {
            Ok(found) => found,
            Err(_) => Err("no answer in time".to_owned()),
        };
        match found {
            Ok(found) => asked.found(site, &found),
            Err(fault) => asked.failed(site, fault),
        }
    }

    /// Puts the endpoints of a site in place of those that it had.
    fn replace(&self, index: usize, found: Option<&Found>) {
        let (Target::Endpoints(group), Some(site)) = (&self.target, self.sites.get(index)) else { return };
        let known = group.endpoints();
        if site.resolution == Resolution::One {
            let address = site.address();
            let places: Vec<_> = found.iter().flat_map(|found| &found.peers).map(|peer| peer.place()).collect();
            for endpoint in known.iter().filter(|endpoint| *endpoint.address == *address) {
                if **endpoint.places.load() != places {
                    endpoint.move_to(&places);
                }
            }
            return;
        }
        let mut names = self.names.lock();
        let Some(name) = names.get_mut(index) else { return };
        let is_new = name.found.is_some();
        let peers = found.map(|found| found.peers.as_slice()).unwrap_or_default();
        name.endpoints = peers.iter().map(|peer| peer.endpoint(site, &name.endpoints, is_new)).collect();
        let mut all: Vec<_> = known.iter().filter(|endpoint| !endpoint.is_looked_up).cloned().collect();
        all.extend(names.iter().flat_map(|name| &name.endpoints).cloned());
        let same = all.len() == known.len() && all.iter().zip(&known).all(|(one, other)| Arc::ptr_eq(one, other));
        if !same {
            tracing::info!(upstream = &*self.name, name = site.name(), endpoints = all.len(), "endpoints changed");
            group.replace(all);
        }
    }

    /// Why no endpoint can serve, for the log.
    pub(super) fn why_none(&self) -> String {
        let names = self.names.lock();
        let faults: Vec<_> = self
            .sites
            .iter()
            .zip(names.iter())
            .filter_map(|(site, name)| Some(format!("{}: {}", site.name()?, name.fault.as_deref()?)))
            .collect();
        if faults.is_empty() { "no endpoint is usable".to_owned() } else { faults.join("; ") }
    }
}

/// A look-up under way; another may be made when it is gone.
struct Asked<'a> {
    upstream: &'a Upstream,
    index: usize,
}

impl Asked<'_> {
    fn found(&self, site: &Site, found: &Found) {
        self.count("found");
        self.upstream.replace(self.index, Some(found));
        let config = &self.upstream.config.dns;
        self.note(|name| {
            if let Some(fault) = name.fault.take() {
                tracing::info!(upstream = &*self.upstream.name, name = site.name(), fault, "a name is known again");
            }
            name.found = Some(Instant::now());
            name.due = Some(Instant::now() + found.ttl.clamp(config.refresh_min.0, config.refresh_max.0));
        });
    }

    fn failed(&self, site: &Site, fault: String) {
        let config = &self.upstream.config.dns;
        let mut stale = false;
        self.note(|name| {
            if name.fault.is_none() {
                tracing::warn!(
                    upstream = &*self.upstream.name,
                    name = site.name(),
                    fault,
                    "a name cannot be looked up"
                );
            }
            stale = name.found.is_some_and(|found| found.elapsed() > config.stale_max.0);
            if stale {
                name.found = None;
            }
            name.fault = Some(fault);
            name.due = Some(Instant::now() + config.refresh_min.0);
        });
        self.count(if stale { "expired" } else { "failed" });
        if stale {
            tracing::error!(
                upstream = &*self.upstream.name,
                name = site.name(),
                "its addresses are too old to be used"
            );
            self.upstream.replace(self.index, None);
        }
    }

    fn note(&self, change: impl FnOnce(&mut Name)) {
        if let Some(name) = self.upstream.names.lock().get_mut(self.index) {
            change(name);
        }
    }

    fn count(&self, result: &'static str) {
        let labels = LookupLabels { upstream: self.upstream.name.to_string(), result };
        self.upstream.metrics.dns_lookups.get_or_create(&labels).inc();
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.note(|name| name.asked = false);
    }
}
