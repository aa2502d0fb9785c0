//! The routes of a configuration, and what becomes of their requests.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use http::Method;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use tokio::sync::Semaphore;

use super::build::Builder;
use super::{Action, Mirror, Redirect, Rewrite, Route, Split, Targets, UpstreamEntry};
use crate::config::{ClientAuth, RespondConfig, RouteConfig, UpstreamChoice, unknown};
use crate::exchange::{Reply, ReplyBody, is_owned, is_trust_domain};
use crate::limiter::Limiter;
use crate::plugin::Policy;
use crate::route::Matcher;
use crate::telemetry::RouteLabels;

/// Upstreams that a request may be sent on to.
const FALLBACKS_MAX: usize = 8;
/// Bytes of an answer of the gateway's own.
const BODY_MAX: usize = 64 << 10;
/// What one of the gateway's own answers is, unless it says otherwise.
const PLAIN: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// Upstreams by name.
type Upstreams = BTreeMap<String, Arc<UpstreamEntry>>;

/// Where a route is, and what to call it in a fault.
struct Place {
    at: String,
    what: String,
}

impl Builder<'_> {
    pub(super) fn routes(
        &mut self,
        policies: &BTreeMap<String, Arc<Policy>>,
        upstreams: &Upstreams,
    ) -> Vec<(Matcher, Arc<Route>)> {
        let mut routes = Vec::new();
        let mut names = BTreeSet::new();
        let before: BTreeMap<&str, &Arc<Limiter>> = match &self.inputs.previous {
            Some(previous) => {
                previous.routes.iter().filter_map(|route| Some((&*route.name, route.limiter.as_ref()?))).collect()
            }
            None => BTreeMap::new(),
        };
        for (index, config) in self.config.routes.clone().into_iter().enumerate() {
            let place = Place { at: format!("/routes/{index}"), what: format!("route {:?}", config.name) };
            if !names.insert(config.name.clone()) {
                self.fault(format!("{}/name", place.at), format!("{}: the name is here twice", place.what));
            }
            let matcher = Matcher::parse(&config.matches);
            let matcher = self.proved(&place, "/match", matcher);
            let route = self.route(&place, config, policies, upstreams);
            if let (Some(matcher), Some(mut route)) = (matcher, route) {
                let before = before.get(&*route.name).copied();
                route.limiter = Limiter::carry(route.config.concurrency.as_ref(), before);
                routes.push((matcher, Arc::new(route)));
            }
        }
        routes
    }

    fn route(
        &mut self,
        place: &Place,
        config: RouteConfig,
        policies: &BTreeMap<String, Arc<Policy>>,
        upstreams: &Upstreams,
    ) -> Option<Route> {
        self.check_certificate(place, &config);
        let chain = self.chain(&place.at, &place.what, &config.policies, policies);
        let action = self.action(place, &config, upstreams);
        let rewrite = config.rewrite.as_ref().map(|rewrite| Rewrite::parse(rewrite, &config.matches)).transpose();
        let rewrite = self.proved(place, "/rewrite", rewrite);
        let mirror = self.mirror(place, &config, upstreams);
        let fallbacks = self.fallbacks(place, &config, upstreams);
        let labels = RouteLabels { route: config.name.clone() };
        let seconds = self.shared.metrics.request_seconds.get_or_create_owned(&labels);
        let name = config.name.as_str().into();
        let limiter = None;
        Some(Route { name, chain, action: action?, fallbacks, rewrite: rewrite?, mirror, limiter, seconds, config })
    }

    /// A route for clients with certificates must be reachable by one.
    fn check_certificate(&mut self, place: &Place, config: &RouteConfig) {
        let Some(wanted) = &config.client_certificate else { return };
        let (at, what) = (format!("{}/client_certificate", place.at), &place.what);
        let listeners = self.config.listeners.iter().filter_map(|listener| listener.tls.as_ref());
        if listeners.into_iter().all(|tls| tls.client_auth == ClientAuth::Off) {
            let message = "no listener asks for a client certificate: add `client_auth` and `client_ca` to its `tls`";
            self.fault(at.clone(), format!("{what}: {message}"));
        }
        for (index, domain) in wanted.spiffe.iter().enumerate().filter(|(_, domain)| !is_trust_domain(domain)) {
            let message = format!("{what}: {domain:?} is no trust domain: write `example.org`, in lower case");
            self.fault(format!("{at}/spiffe/{index}"), message);
        }
    }

    /// What was parsed, or its faults kept.
    fn proved<T>(&mut self, place: &Place, below: &str, parsed: Result<T, Vec<(String, String)>>) -> Option<T> {
        parsed.map_err(|faults| self.faults_below(&format!("{}{below}", place.at), &place.what, faults)).ok()
    }

    fn action(&mut self, place: &Place, config: &RouteConfig, upstreams: &Upstreams) -> Option<Action> {
        match (&config.upstream, &config.redirect, &config.respond) {
            (Some(choice), None, None) => self.targets(place, choice, upstreams).map(Action::Upstream),
            (None, Some(redirect), None) => {
                let redirect = Redirect::parse(redirect, &config.matches);
                self.proved(place, "/redirect", redirect).map(Action::Redirect)
            }
            (None, None, Some(respond)) => {
                let reply = reply(respond);
                self.proved(place, "/respond", reply).map(Action::Respond)
            }
            _ => {
                let message = "it needs exactly one of `upstream`, `redirect` and `respond`";
                self.fault(place.at.clone(), format!("{}: {message}", place.what));
                None
            }
        }
    }

    fn targets(&mut self, place: &Place, choice: &UpstreamChoice, upstreams: &Upstreams) -> Option<Targets> {
        let mut split = None;
        let names: Vec<&String> = match choice {
            UpstreamChoice::One(name) => vec![name],
            UpstreamChoice::Several { default, choices } => std::iter::once(default).chain(choices).collect(),
            UpstreamChoice::Split(config) => {
                split = Some(self.proved(place, "/upstream", Split::parse(config))?);
                config.split.iter().map(|share| &share.upstream).chain(&config.choices).collect()
            }
        };
        let mut found: Vec<Arc<UpstreamEntry>> = Vec::new();
        for name in &names {
            match self.upstream_named(place, "/upstream", name, upstreams) {
                Some(entry) if found.iter().any(|known| Arc::ptr_eq(known, &entry)) => {}
                Some(entry) => found.push(entry),
                None => {}
            }
        }
        let default = found.iter().find(|entry| Some(&*entry.upstream.name) == names.first().map(|name| name.as_str()));
        let default = default?.clone();
        let names = found.iter().map(|entry| entry.upstream.name.clone()).collect();
        Some(Targets { default, choices: found, names, split })
    }

    fn upstream_named(
        &mut self,
        place: &Place,
        below: &str,
        name: &str,
        upstreams: &Upstreams,
    ) -> Option<Arc<UpstreamEntry>> {
        if let Some(entry) = upstreams.get(name) {
            return Some(entry.clone());
        }
        if !self.declares("upstreams", name) {
            let message = unknown("upstream", name, self.config.upstreams.keys().map(String::as_str));
            self.fault(format!("{}{below}", place.at), format!("{}: {message}", place.what));
        }
        None
    }

    fn fallbacks(&mut self, place: &Place, config: &RouteConfig, upstreams: &Upstreams) -> Vec<Arc<UpstreamEntry>> {
        let Some(fallback) = &config.fallback else { return Vec::new() };
        let body_max = self.config.bounds.buffered_body;
        let mut fault = |below: &str, message: &str| {
            self.fault(format!("{}/fallback{below}", place.at), format!("{}: {message}", place.what));
        };
        if config.upstream.is_none() {
            fault("", "only requests for an upstream have a fallback");
        }
        if fallback.to.is_empty() || fallback.to.len() > FALLBACKS_MAX {
            fault("/to", "a fallback has 1 to 8 upstreams");
        }
        if fallback.methods.iter().any(|method| Method::from_bytes(method.as_bytes()).is_err()) {
            fault("/methods", "methods must be methods");
        }
        if fallback.statuses.iter().any(|status| !(400..600).contains(status)) {
            fault("/statuses", "statuses must be from 400 to 599");
        }
        if fallback.body > body_max {
            fault("/body", "it may be at most `bounds.buffered_body`");
        }
        let names = fallback.to.iter().enumerate();
        let found = names
            .filter_map(|(index, name)| self.upstream_named(place, &format!("/fallback/to/{index}"), name, upstreams));
        found.collect()
    }

    fn mirror(&mut self, place: &Place, config: &RouteConfig, upstreams: &Upstreams) -> Option<Mirror> {
        let mirror = config.mirror.as_ref()?;
        if config.upstream.is_none() {
            self.fault(
                format!("{}/mirror", place.at),
                format!("{}: only requests for an upstream are copied", place.what),
            );
        }
        if mirror.body > self.config.bounds.buffered_body {
            let message = "it may be at most `bounds.buffered_body`";
            self.fault(format!("{}/mirror/body", place.at), format!("{}: {message}", place.what));
        }
        let entry = self.upstream_named(place, "/mirror/upstream", &mirror.upstream, upstreams)?;
        if !entry.chain.is_empty() {
            let message = format!("{}: {:?} has policies, which no copy passes", place.what, mirror.upstream);
            self.fault(format!("{}/mirror/upstream", place.at), message);
        }
        let slots = Arc::new(Semaphore::new(mirror.concurrency));
        Some(Mirror { entry, percent: mirror.percent, body_max: mirror.body.0, slots })
    }
}

/// An answer of the gateway's own.
fn reply(config: &RespondConfig) -> Result<Reply, Vec<(String, String)>> {
    let mut faults = Vec::new();
    let mut reply = Reply::new(config.status);
    for (name, value) in &config.headers {
        let at = format!("/headers/{name}");
        match (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value)) {
            (Ok(name), _) if is_owned(name.as_str()) => faults.push((at, format!("{name:?} is the gateway's own"))),
            (Ok(name), Ok(value)) => drop(reply.headers.insert(name, value)),
            (Err(_), _) => faults.push((at, format!("{name:?} is no header name"))),
            (_, Err(_)) => faults.push((at, format!("the value of {name:?} has a character that no header may have"))),
        }
    }
    if !(200..600).contains(&config.status) {
        faults.push(("/status".to_owned(), "an answer's status is from 200 to 599".to_owned()));
    }
    if config.body.len() > BODY_MAX {
        faults.push(("/body".to_owned(), format!("it may have {BODY_MAX} bytes; this has {}", config.body.len())));
    }
    if !config.body.is_empty() {
        if matches!(config.status, 204 | 205 | 304) {
            faults.push(("/body".to_owned(), format!("an answer with {} has no body (RFC 9110 §15)", config.status)));
        }
        reply.headers.entry(CONTENT_TYPE).or_insert(PLAIN);
        reply.body = ReplyBody::Bytes(config.body.clone().into());
    }
    if faults.is_empty() { Ok(reply) } else { Err(faults) }
}
