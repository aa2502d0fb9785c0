//! The endpoints of an upstream by priority and label, and which of them a request goes to.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::time::Instant;
use xxhash_rust::xxh3::xxh3_64;

use super::balance::Balancer;
use super::endpoint::Endpoint;
use super::standing::{Ejections, Verdict};
use crate::config::{BalanceConfig, SubsetMiss};

/// What of a request matters to the choice of its endpoint.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wish<'a> {
    /// What is hashed.
    pub key: Option<&'a str>,
    /// What is compared with the endpoints' label.
    pub label: Option<&'a str>,
    /// The endpoint that served the client before.
    pub kept: Option<u64>,
    /// Addresses of endpoints that were tried: others are better.
    pub tried: &'a [Arc<str>],
}

/// All endpoints of an upstream.
#[derive(Debug)]
pub(super) struct Group {
    config: BalanceConfig,
    pub(super) ejections: Arc<Ejections>,
    members: ArcSwap<Members>,
}

#[derive(Debug, Default)]
struct Members {
    all: Vec<Arc<Endpoint>>,
    tiers: Tiers,
    labelled: BTreeMap<String, Tiers>,
    unlabelled: Tiers,
}

/// Endpoints by priority, the best first.
#[derive(Debug, Default)]
struct Tiers {
    tiers: Vec<Balancer>,
    shares: ArcSwap<Shares>,
}

/// What each priority gets of the requests, at a time.
#[derive(Debug, Default)]
struct Shares {
    /// The count of changes that it was made at.
    at: u64,
    /// Up to which number of 100 a request is this priority's, and whether all its endpoints are used.
    tiers: Vec<(f64, bool)>,
}

/// A priority takes all requests while at least 5 of 7 endpoints are usable: what is left can take that much more.
const SPARE: f64 = 1.4;

impl Group {
    pub(super) fn new(config: &BalanceConfig, ejections: Arc<Ejections>, endpoints: Vec<Arc<Endpoint>>) -> Self {
        let group = Self { config: config.clone(), ejections, members: ArcSwap::default() };
        group.replace(endpoints);
        group
    }

    /// All endpoints.
    pub(super) fn endpoints(&self) -> Vec<Arc<Endpoint>> {
        self.members.load().all.clone()
    }

    /// Serves with these endpoints from here on.
    pub(super) fn replace(&self, all: Vec<Arc<Endpoint>>) {
        let tiers = |endpoints: Vec<&Arc<Endpoint>>| self.tiers(&endpoints);
        let mut labelled = BTreeMap::new();
        let mut unlabelled = Tiers::default();
        if let Some(subset) = &self.config.subset {
            let mut by_value: BTreeMap<Option<&String>, Vec<&Arc<Endpoint>>> = BTreeMap::new();
            for endpoint in &all {
                by_value.entry(endpoint.labels.get(&subset.label)).or_default().push(endpoint);
            }
            for (value, endpoints) in by_value {
                match value {
                    Some(value) => drop(labelled.insert(value.clone(), tiers(endpoints))),
                    None => unlabelled = tiers(endpoints),
                }
            }
        }
        let members = Members { tiers: tiers(all.iter().collect()), labelled, unlabelled, all };
        self.ejections.members.store(members.all.len(), Ordering::Relaxed);
        self.members.store(Arc::new(members));
    }

    fn tiers(&self, endpoints: &[&Arc<Endpoint>]) -> Tiers {
        let mut by_priority: BTreeMap<u8, Vec<Arc<Endpoint>>> = BTreeMap::new();
        for endpoint in endpoints {
            by_priority.entry(endpoint.priority).or_default().push((*endpoint).clone());
        }
        let slow_start = self.config.slow_start.0;
        let tiers = by_priority.into_values().map(|endpoints| Balancer::new(self.config.by, endpoints, slow_start));
        let tiers = Tiers { tiers: tiers.collect(), shares: ArcSwap::default() };
        tiers
            .shares
            .store(Arc::new(tiers.share(self.ejections.changes.load(Ordering::Acquire), self.config.panic_below)));
        tiers
    }

    /// The endpoint for a request; none if all that could serve it are out.
    pub(super) fn pick(&self, wish: &Wish<'_>) -> Option<Admission> {
        let members = self.members.load();
        if let Some(kept) = wish.kept
            && let Some(endpoint) = members.all.iter().find(|endpoint| endpoint.id == kept)
            && !wish.tried.contains(&endpoint.address)
            && let Some(admission) = Admission::take(endpoint, false)
        {
            return Some(admission);
        }
        let tiers = self.subset(&members, wish)?;
        let key = wish.key.map(|key| xxh3_64(key.as_bytes()));
        let shares = tiers.shares(self.ejections.changes.load(Ordering::Acquire), self.config.panic_below);
        let fresh = |endpoint: &Endpoint| !wish.tried.contains(&endpoint.address);
        let untried = tiers.choose(&shares, key, |endpoint, panics| {
            fresh(endpoint).then(|| Admission::take(endpoint, panics)).flatten()
        });
        match untried {
            None if !wish.tried.is_empty() => tiers.choose(&shares, key, Admission::take),
            untried => untried,
        }
    }

    fn subset<'m>(&self, members: &'m Members, wish: &Wish<'_>) -> Option<&'m Tiers> {
        let Some(subset) = &self.config.subset else { return Some(&members.tiers) };
        match (wish.label.and_then(|label| members.labelled.get(label)), subset.otherwise) {
            (Some(tiers), _) => Some(tiers),
            (None, SubsetMiss::Refuse) => None,
            (None, SubsetMiss::Unlabelled) => Some(&members.unlabelled),
            (None, SubsetMiss::Any) => Some(&members.tiers),
        }
    }
}

impl Tiers {
    fn shares(&self, changes: u64, panic_below: u8) -> Arc<Shares> {
        let shares = self.shares.load();
        if shares.at == changes {
            return arc_swap::Guard::into_inner(shares);
        }
        let fresh = Arc::new(self.share(changes, panic_below));
        self.shares.store(fresh.clone());
        fresh
    }

    /// Each priority gets what it can take, the best first; if all together cannot take everything, in proportion.
    fn share(&self, at: u64, panic_below: u8) -> Shares {
        #[expect(clippy::cast_precision_loss, reason = "there are never so many")]
        let usable = self.tiers.iter().map(|tier| {
            let usable = tier.endpoints.iter().filter(|endpoint| endpoint.standing.is_usable()).count();
            usable as f64 / tier.endpoints.len().max(1) as f64
        });
        let usable: Vec<f64> = usable.collect();
        let able: Vec<f64> = usable.iter().map(|usable| (usable * SPARE).min(1.0)).collect();
        let total: f64 = able.iter().sum();
        let mut given = 0.0;
        let tiers = usable.iter().zip(&able).enumerate().map(|(index, (usable, able))| {
            given += match total {
                0.0 if index == 0 => 1.0,
                0.0 => 0.0,
                total if total < 1.0 => able / total,
                _ => able.min(1.0 - given),
            };
            (given, total < 1.0 && usable * 100.0 < f64::from(panic_below))
        });
        Shares { at, tiers: tiers.collect() }
    }

    /// An endpoint of the priority whose share it is, or else of any.
    fn choose<T>(
        &self,
        shares: &Shares,
        key: Option<u64>,
        admits: impl Fn(&Arc<Endpoint>, bool) -> Option<T>,
    ) -> Option<T> {
        let of = |tier: usize| {
            let panics = shares.tiers.get(tier).is_some_and(|(_, panics)| *panics);
            self.tiers.get(tier)?.choose(key, |endpoint| admits(endpoint, panics))
        };
        if self.tiers.len() == 1 {
            return of(0);
        }
        let lot = fastrand::f64();
        let drawn = shares.tiers.iter().position(|(up_to, _)| lot < *up_to).unwrap_or(0);
        of(drawn).or_else(|| (0..self.tiers.len()).filter(|tier| *tier != drawn).find_map(of))
    }
}

/// A request at an endpoint, from the choice to the response's last byte.
#[derive(Debug)]
pub(super) struct Admission {
    pub(super) endpoint: Arc<Endpoint>,
    /// Whether it is to show that the endpoint is well again, and nothing has come of that yet.
    probe: bool,
    since: Instant,
}

impl Admission {
    /// Lets a request in, whatever is said of the endpoint if all are used.
    fn take(endpoint: &Arc<Endpoint>, panics: bool) -> Option<Self> {
        let probe = endpoint.standing.admit();
        let probe = if panics { Some(probe.unwrap_or(false)) } else { probe }?;
        endpoint.standing.active.fetch_add(1, Ordering::Relaxed);
        Some(Self { endpoint: endpoint.clone(), probe, since: Instant::now() })
    }

    /// What came of the request.
    pub(super) fn settle(&mut self, verdict: Verdict) {
        self.endpoint.standing.settle(verdict, std::mem::take(&mut self.probe));
    }

    /// How long the response's headers took.
    pub(super) fn took(&self) -> Duration {
        self.since.elapsed()
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.endpoint.standing.active.fetch_sub(1, Ordering::Relaxed);
        if self.probe {
            self.endpoint.standing.forget_probe();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::{Group, Wish};
    use crate::config::{BalanceConfig, RequestKey, SubsetConfig, SubsetMiss};
    use crate::upstream::endpoint::Endpoint;

    /// Endpoints by host, priority and label.
    fn group(config: &BalanceConfig, endpoints: &[(&str, u8, Option<&str>)]) -> Group {
        let ejections = Arc::default();
        let endpoint = |(host, priority, label): &(&str, u8, Option<&str>)| {
            let mut endpoint = Endpoint::for_tests_in(host, 1, &ejections);
            endpoint.priority = *priority;
            endpoint.labels.extend(label.map(|label| ("tenant".to_owned(), label.to_owned())));
            Arc::new(endpoint)
        };
        let endpoints = endpoints.iter().map(endpoint).collect();
        Group::new(config, ejections, endpoints)
    }

    fn counts(group: &Group, wish: &Wish<'_>) -> BTreeMap<String, u32> {
        let mut counts = BTreeMap::new();
        for _ in 0..1_000 {
            let picked = group.pick(wish).map_or_else(String::new, |picked| picked.endpoint.address.to_string());
            *counts.entry(picked).or_insert(0) += 1;
        }
        counts
    }

    fn set(group: &Group, host: &str, well: bool) {
        let endpoint = group.endpoints().into_iter().find(|endpoint| endpoint.address.starts_with(host)).unwrap();
        endpoint.standing.checked(well);
    }

    #[test]
    fn a_priority_spills_over_by_what_it_cannot_take() {
        let best = ["a", "b", "c", "d"].map(|host| (host, 0, None));
        let group = group(&BalanceConfig::default(), &[&best[..], &[("spare", 1, None)]].concat());
        assert!(!counts(&group, &Wish::default()).contains_key("spare:80"));
        set(&group, "a", false);
        assert!(!counts(&group, &Wish::default()).contains_key("spare:80"), "three of four can take it all");
        set(&group, "b", false);
        let half = counts(&group, &Wish::default());
        assert!((230..370).contains(&half["spare:80"]), "two of four take 70 %: {half:?}");
        set(&group, "c", false);
        set(&group, "d", false);
        assert_eq!(counts(&group, &Wish::default())["spare:80"], 1_000);
    }

    #[test]
    fn if_too_few_are_usable_all_are_used() {
        let config = BalanceConfig::default();
        let all = ["a", "b", "c", "d"].map(|host| (host, 0, None));
        let one = group(&config, &all);
        ["a", "b"].iter().for_each(|host| set(&one, host, false));
        assert_eq!(counts(&one, &Wish::default()).len(), 2);
        set(&one, "c", false);
        assert_eq!(counts(&one, &Wish::default()).len(), 4, "one of four is below half");
        let never = group(&BalanceConfig { panic_below: 0, ..config }, &all);
        ["a", "b", "c", "d"].iter().for_each(|host| set(&never, host, false));
        assert_eq!(counts(&never, &Wish::default()).keys().collect::<Vec<_>>(), [""]);
    }

    #[test]
    fn a_request_gets_endpoints_of_its_label_only() {
        let endpoints = [("a", 0, Some("acme")), ("b", 0, Some("other")), ("c", 0, None)];
        for (otherwise, strangers) in [
            (SubsetMiss::Refuse, vec![""]),
            (SubsetMiss::Unlabelled, vec!["c:80"]),
            (SubsetMiss::Any, vec!["a:80", "b:80", "c:80"]),
        ] {
            let from = RequestKey::Metadata("tenant.name".to_owned());
            let subset = Some(SubsetConfig { label: "tenant".to_owned(), from, otherwise });
            let group = group(&BalanceConfig { subset, ..BalanceConfig::default() }, &endpoints);
            let acme = counts(&group, &Wish { label: Some("acme"), ..Wish::default() });
            assert_eq!(acme.keys().collect::<Vec<_>>(), ["a:80"]);
            for label in [None, Some("nobody")] {
                let found = counts(&group, &Wish { label, ..Wish::default() });
                assert_eq!(found.keys().collect::<Vec<_>>(), strangers.iter().collect::<Vec<_>>(), "{otherwise:?}");
            }
        }
    }

    #[test]
    fn what_was_tried_is_taken_last() {
        let group = group(&BalanceConfig::default(), &[("a", 0, None), ("b", 0, None)]);
        let tried: [Arc<str>; 1] = ["a:80".into()];
        let wish = Wish { tried: &tried, ..Wish::default() };
        assert_eq!(counts(&group, &wish).keys().collect::<Vec<_>>(), ["b:80"]);
        set(&group, "b", false);
        assert_eq!(counts(&group, &wish)["a:80"], 1_000);
    }
}
