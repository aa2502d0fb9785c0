//! What the operator grants to policies, made ready: buckets, stores, secrets, verifiers, upstreams to call.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::Shared;
use super::build::Builder;
use crate::config::{Grants, KvConfig, PolicyConfig, unknown};
use crate::services::{HttpBounds, HttpClient, KvBounds, KvStore, LogGate, Rate, Secrets, Services, Verifier};
use crate::upstream::Upstream;

/// Everything that a policy can be granted.
pub(super) struct Powers {
    secrets: Arc<Secrets>,
    verifiers: Arc<BTreeMap<String, Arc<Verifier>>>,
    buckets: Arc<BTreeMap<String, Rate>>,
    pub(super) kv: Arc<BTreeMap<String, KvStore>>,
    upstreams: BTreeMap<String, Arc<Upstream>>,
}

/// Bytes of one store: what fits in memory is the operator's to know, but a slip of the pen should not pass.
const STORE_MAX: u64 = 64 << 30;

impl Powers {
    /// The services of one policy.
    pub(super) fn services(&self, name: &str, config: &PolicyConfig, shared: &Shared) -> Services {
        Services {
            policy: name.into(),
            grants: config.grants.clone(),
            log: LogGate::default(),
            metrics: shared.metrics.clone(),
            limits: shared.limits.clone(),
            buckets: self.buckets.clone(),
            kv: self.kv.clone(),
            http: self.http(config, shared),
            secrets: self.secrets.clone(),
            verifiers: self.verifiers.clone(),
        }
    }

    /// Calls to the upstreams that a policy is granted.
    fn http(&self, config: &PolicyConfig, shared: &Shared) -> HttpClient {
        let granted = |name: &String| Some((name.clone(), self.upstreams.get(name)?.clone()));
        let bounds = HttpBounds {
            timeout: config.limits.http_timeout.0,
            requests_max: config.limits.http_requests,
            response_max: config.limits.http_response.0,
        };
        HttpClient::new(config.grants.http.iter().filter_map(granted).collect(), bounds, shared.metrics.clone())
    }
}

impl Builder<'_> {
    pub(super) fn powers(
        &mut self,
        (secrets, verifiers): (&Arc<Secrets>, &Arc<BTreeMap<String, Arc<Verifier>>>),
        upstreams: &BTreeMap<String, Arc<Upstream>>,
    ) -> Powers {
        Powers {
            secrets: secrets.clone(),
            verifiers: verifiers.clone(),
            buckets: Arc::new(self.buckets()),
            kv: Arc::new(self.stores()),
            upstreams: upstreams.clone(),
        }
    }

    /// Whether each name that a policy is granted is declared.
    pub(super) fn check_names(&mut self, at: &str, what: &str, grants: &Grants) {
        let names = [
            ("secret", "secrets", grants.secrets.iter().chain(&grants.reveal).collect::<Vec<_>>()),
            ("store", "kv", grants.kv.iter().collect()),
            ("upstream", "upstreams", grants.http.iter().collect()),
        ];
        for (noun, section, granted) in names {
            for name in granted {
                if !self.declares(section, name) {
                    let declared = self.inputs.document.value.get(section).and_then(serde_json::Value::as_object);
                    let known = declared.into_iter().flat_map(serde_json::Map::keys).map(String::as_str);
                    let message = unknown(noun, name, known);
                    self.fault(format!("{at}/grants"), format!("{what}: {message}"));
                }
            }
        }
    }

    fn buckets(&mut self) -> BTreeMap<String, Rate> {
        let mut buckets = BTreeMap::new();
        for (name, config) in self.config.limits.clone() {
            let period = u32::try_from(config.per.0.as_millis()).ok().filter(|millis| *millis > 0);
            match period {
                Some(period_ms) => {
                    let rate = Rate { tokens: config.tokens, period_ms, burst: config.burst.unwrap_or(config.tokens) };
                    buckets.insert(name, rate);
                }
                None => self
                    .fault(format!("/limits/{name}/per"), format!("limit {name:?}: per must be from 1ms to 49 days")),
            }
        }
        buckets
    }

    /// The stores; one that serves already keeps its entries under the new bounds.
    fn stores(&mut self) -> BTreeMap<String, KvStore> {
        let mut stores = BTreeMap::new();
        for (name, config) in self.config.kv.clone() {
            match bounds(&config) {
                Ok(bounds) => {
                    let known = self.inputs.previous.as_ref().and_then(|previous| previous.kv.get(&name));
                    let store = known.map_or_else(|| KvStore::new(bounds), |known| known.rebound(bounds));
                    stores.insert(name, store);
                }
                Err((at, message)) => self.fault(format!("/kv/{name}/{at}"), format!("store {name:?}: {message}")),
            }
        }
        stores
    }
}

fn bounds(config: &KvConfig) -> Result<KvBounds, (&'static str, &'static str)> {
    if !(1..=STORE_MAX).contains(&config.bytes.0) {
        return Err(("bytes", "bytes must be from 1 to 64GiB"));
    }
    if config.ttl.is_some_and(|ttl| ttl.0 < Duration::from_secs(1)) {
        return Err(("ttl", "ttl must be at least 1s"));
    }
    Ok(KvBounds {
        entries_max: config.entries,
        bytes_max: config.bytes.as_usize(),
        ttl_max: config.ttl.map(|ttl| ttl.0),
    })
}
