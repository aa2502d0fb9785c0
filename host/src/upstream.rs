//! Named groups of endpoints, and the only code that dials.

mod affinity;
mod balance;
mod budget;
mod check;
mod connect;
mod credential;
mod endpoint;
mod grant;
mod group;
mod names;
mod pool;
mod resolve;
mod sigv4;
mod site;
mod standing;
mod tls;
mod token;
mod tuning;

use std::path::Path;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response};
use hyper::body::Incoming;
use parking_lot::Mutex;
use tokio::time::Instant;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::body::{Body, Progress, Release, Source};
use crate::config::{Balancing, UpstreamConfig};
use crate::error::{Error, Reason};
use crate::grpc;
use crate::provider::Provider;
use crate::proxy_protocol::Proxied;
use crate::telemetry::{Metrics, UpstreamLabels};
use affinity::Affinity;
use budget::Budget;
pub use connect::Stream;
use credential::Credential;
use endpoint::Terms;
pub use endpoint::{Endpoint, Failed};
pub use group::Wish;
use group::{Admission, Group};
pub use pool::enter_worker;
use resolve::Name;
use site::Site;
pub use standing::State;
use standing::{Ejections, Verdict};

/// A named group of endpoints that share the requests.
#[derive(Debug)]
pub struct Upstream {
    /// Its name.
    pub name: Arc<str>,
    /// As configured.
    pub config: UpstreamConfig,
    /// Set on every request, after all policies.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The provider of models that it is, if it says so.
    pub provider: Option<Arc<Provider>>,
    credential: Option<Credential>,
    /// Keeps clients on endpoints, if that is wanted.
    pub affinity: Option<Affinity>,
    target: Target,
    sites: Vec<Site>,
    names: Mutex<Vec<Name>>,
    budget: Budget,
    metrics: Arc<Metrics>,
    /// A hash of the files and secrets that it was made with: a change makes a new upstream.
    files: u64,
}

/// Where requests go.
#[derive(Debug, Clone)]
enum Target {
    /// To one of these peers.
    Endpoints(Arc<Group>),
    /// To something in the gateway that answers in place of a peer.
    Handler(Arc<dyn Handler>),
}

/// Where one request goes. It counts as under way there until this, or its response, is gone.
#[derive(Debug)]
pub struct Picked(Chosen);

#[derive(Debug)]
enum Chosen {
    Endpoint(Admission),
    Handler(Arc<dyn Handler>),
}

/// Answers requests in the gateway itself.
pub trait Handler: std::fmt::Debug + Send + Sync {
    /// What it is called in logs, where an endpoint has its address.
    fn address(&self) -> &Arc<str>;

    /// Answers a request. Dropping the future, or the response's body before its end, cancels everything.
    fn handle(self: Arc<Self>, outgoing: Outgoing, body: Body) -> BoxFuture<'static, Result<Answer, Error>>;
}

/// A request as it goes out.
#[derive(Debug, Clone, Default)]
pub struct Outgoing {
    /// The method.
    pub method: Method,
    /// Path and query.
    pub target: String,
    /// The authority to name, where it is not the endpoint's.
    pub authority: Option<String>,
    /// Headers without `host` and framing.
    pub headers: HeaderMap,
    /// Whom the upstream is told of by the PROXY protocol.
    pub proxied: Option<Proxied>,
}

/// A connection to an endpoint for bytes that are none of ours.
pub struct Tunnel {
    /// The connection.
    pub stream: Box<dyn Stream>,
    /// To be called at its end: until then the endpoint counts it.
    pub release: Release,
}

/// A response, and its connection.
pub struct Answer {
    /// Status, headers and body; hyper keeps the connection's upgrade in its extensions.
    pub response: Response<Source>,
    /// Gives the connection back; called when the body has been read to its end.
    pub release: Option<Release>,
}

impl Answer {
    /// What came of a request, as a word for metrics.
    #[must_use]
    pub fn outcome<E: std::borrow::Borrow<Error>>(sent: &Result<Self, E>) -> &'static str {
        match sent {
            Ok(answer) => match answer.response.status().as_u16() {
                100..200 => "1xx",
                200..300 => "2xx",
                300..400 => "3xx",
                400..500 => "4xx",
                _ => "5xx",
            },
            Err(error) => error.borrow().reason.code(),
        }
    }
}

impl Upstream {
    /// An upstream as configured, its files read.
    ///
    /// # Errors
    /// Every fault, with a pointer into the upstream.
    pub fn build(
        name: &str,
        config: &UpstreamConfig,
        folder: &Path,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, Vec<(String, String)>> {
        let mut faults = Vec::new();
        let tls = tls::client_config(config, folder)
            .map_err(|(at, message)| faults.push((format!("/tls{at}"), message)))
            .ok();
        let total = metrics.upstream_ejections.get_or_create_owned(&UpstreamLabels { upstream: name.to_owned() });
        let ejections = Arc::new(Ejections::counting(total));
        let terms = Arc::new(Terms::of(config, &ejections, metrics));
        let mut sites = Vec::new();
        for (index, endpoint) in config.endpoints.iter().enumerate() {
            match Site::parse(endpoint, config, (tls.as_ref(), &terms)) {
                Ok(site) => sites.push(site),
                Err((at, message)) => faults.push((format!("/endpoints/{index}{at}"), message)),
            }
        }
        faults.extend(tuning::faults(config));
        let headers = credential::headers(config, &mut faults);
        let credential = Credential::parse(name, config, folder, metrics);
        let credential = credential.map_err(|fault| faults.push(fault)).ok().flatten();
        if !faults.is_empty() {
            return Err(faults);
        }
        let endpoints = names::known(&sites);
        let group = Arc::new(Group::new(&config.balance, ejections, endpoints));
        Ok(Self {
            name: name.into(),
            config: config.clone(),
            headers,
            provider: None,
            affinity: config.balance.affinity.as_ref().map(|config| Affinity::new(name, config)),
            target: Target::Endpoints(group),
            names: Mutex::new(sites.iter().map(|_| Name::default()).collect()),
            sites,
            budget: Budget::new(config.retries.budget_percent),
            metrics: metrics.clone(),
            files: tls.map_or(0, |tls| tls.files) ^ credential.as_ref().map_or(0, |(_, files)| *files),
            credential: credential.map(|(credential, _)| credential),
        })
    }

    /// The same upstream, whose cookies are signed with a secret.
    #[must_use]
    pub fn signing_with(mut self, secret: &[u8]) -> Self {
        if let Some(affinity) = &mut self.affinity {
            affinity.sign_with(secret);
        }
        self.files = xxh3_64_with_seed(secret, self.files);
        self
    }

    /// The same upstream, answered for by a handler alone.
    #[must_use]
    pub fn handled_by(self, handler: Arc<dyn Handler>) -> Self {
        Self { target: Target::Handler(handler), ..self }
    }

    /// Whether another is the same, so that its connections can stay.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let same_handler = match (&self.target, &other.target) {
            (Target::Handler(one), Target::Handler(other)) => Arc::ptr_eq(one, other),
            (Target::Endpoints(_), Target::Endpoints(_)) => true,
            _ => false,
        };
        self.config == other.config && self.files == other.files && self.provider == other.provider && same_handler
    }

    /// Counts a request, whatever number of times it is going to be sent.
    pub fn count_request(&self) {
        self.budget.request();
    }

    /// Whether a request may be sent once more.
    pub fn may_repeat(&self) -> bool {
        self.budget.take()
    }

    /// Where a request goes.
    ///
    /// # Errors
    /// `UpstreamUnhealthy` if no endpoint can serve it.
    pub fn pick(&self, wish: &Wish<'_>) -> Result<Picked, Error> {
        match &self.target {
            Target::Handler(handler) => Ok(Picked(Chosen::Handler(handler.clone()))),
            Target::Endpoints(group) => match group.pick(wish) {
                Some(admission) => Ok(Picked(Chosen::Endpoint(admission))),
                None => Err(Error::new(Reason::UpstreamUnhealthy, self.why_none())),
            },
        }
    }

    /// Closes connections that were idle for too long.
    pub fn sweep(&self) {
        for endpoint in self.endpoints() {
            endpoint.sweep();
        }
    }

    /// Its endpoints, as far as they are known.
    #[must_use]
    pub fn endpoints(&self) -> Vec<Arc<Endpoint>> {
        match &self.target {
            Target::Endpoints(group) => group.endpoints(),
            Target::Handler(_) => Vec::new(),
        }
    }

    /// Sends a request and waits for the response's headers, for as long as is configured or for `patience`.
    ///
    /// # Errors
    /// A reason of the upstream's, or what reading the request's body failed with.
    pub async fn send(
        &self,
        picked: Picked,
        mut outgoing: Outgoing,
        mut body: Body,
        patience: Option<Duration>,
    ) -> Result<Answer, Box<Failed>> {
        if self.credential.is_some() {
            // Boxed: a request without a credential has no room to spare for it.
            (outgoing, body) = Box::pin(self.authorize(picked.authority(), (outgoing, body))).await?;
        }
        let progress = body.watch();
        let patience = patience
            .map_or(self.config.timeouts.first_byte.0, |patience| patience.min(self.config.timeouts.first_byte.0));
        let mut admission = match picked.0 {
            Chosen::Handler(handler) => {
                let sending = async { handler.handle(outgoing, body).await.map_err(|error| Box::new(error.into())) };
                let sending = pin!(sending);
                return within(sending, progress, patience).await;
            }
            Chosen::Endpoint(admission) => admission,
        };
        let endpoint = admission.endpoint.clone();
        // Pinned, it is not moved any more.
        let sending = pin!(endpoint.send(outgoing, body));
        match within(sending, progress, patience).await {
            Ok(sent) => {
                if self.config.balance.by == Balancing::PeakEwma {
                    endpoint.standing.answered_in(admission.took());
                }
                admission.settle(self.verdict(&sent.response));
                let (response, release) = sent.into_parts(admission);
                Ok(Answer { response, release: Some(release) })
            }
            Err(failed) => {
                if failed.is_upstreams() {
                    endpoint.standing.answered_in(admission.took());
                    admission.settle(Verdict::Lost);
                }
                Err(failed)
            }
        }
    }

    fn verdict<B>(&self, response: &Response<B>) -> Verdict {
        let status = grpc::http_status(response.status(), response.headers());
        let failed = self.config.outliers.statuses.contains(&status.as_u16());
        if failed { Verdict::Failed } else { Verdict::Answered }
    }

    /// Opens a connection of its own and asks for an upgrade.
    ///
    /// # Errors
    /// A reason of the upstream's; `UpgradeRefused` where no peer could agree to it.
    pub async fn upgrade(&self, picked: Picked, outgoing: Outgoing) -> Result<(Response<Incoming>, Release), Error> {
        let (outgoing, _) = self.authorize(picked.authority(), (outgoing, Body::empty())).await?;
        let Chosen::Endpoint(mut admission) = picked.0 else { return Err(Reason::UpgradeRefused.into()) };
        let patience = self.config.timeouts.first_byte.0;
        let response = tokio::time::timeout(patience, admission.endpoint.clone().upgrade(outgoing)).await;
        let response = response.map_err(|_| Error::from(Reason::UpstreamTimeout)).flatten();
        admission.settle(response.as_ref().map_or(Verdict::Lost, |response| self.verdict(response)));
        Ok((response?, Box::new(move || drop(admission))))
    }
}

impl Upstream {
    /// Opens a connection of its own for bytes that are none of ours.
    ///
    /// # Errors
    /// A reason of the upstream's; `UpgradeRefused` where there is no peer.
    pub async fn tunnel(&self, picked: Picked, proxied: Option<Proxied>) -> Result<Tunnel, Error> {
        let Chosen::Endpoint(mut admission) = picked.0 else { return Err(Reason::UpgradeRefused.into()) };
        let stream = admission.endpoint.clone().connect_plainly(proxied).await;
        admission.settle(if stream.is_ok() { Verdict::Answered } else { Verdict::Lost });
        Ok(Tunnel { stream: stream?, release: Box::new(move || drop(admission)) })
    }
}

impl Picked {
    /// What it is called in logs.
    #[must_use]
    pub fn address(&self) -> &Arc<str> {
        match &self.0 {
            Chosen::Endpoint(admission) => &admission.endpoint.address,
            Chosen::Handler(handler) => handler.address(),
        }
    }

    /// The endpoint as a number, if it is one.
    #[must_use]
    pub fn id(&self) -> Option<u64> {
        match &self.0 {
            Chosen::Endpoint(admission) => Some(admission.endpoint.id),
            Chosen::Handler(_) => None,
        }
    }
}

/// Waits for a response's headers.
async fn within<T>(
    mut sending: Pin<&mut impl Future<Output = Result<T, Box<Failed>>>>,
    progress: Option<Arc<Progress>>,
    patience: Duration,
) -> Result<T, Box<Failed>> {
    let mut sleep = pin!(tokio::time::sleep(patience));
    loop {
        tokio::select! {
            biased;
            sent = &mut sending => return sent,
            () = &mut sleep => match overdue(progress.as_deref(), patience) {
                None => return Err(Box::new(Error::from(Reason::UpstreamTimeout).into())),
                Some(later) => sleep.as_mut().reset(later),
            },
        }
    }
}

/// When to look again: the wait for the response starts with the last byte of the request.
fn overdue(progress: Option<&Progress>, patience: Duration) -> Option<Instant> {
    let last = progress?.last()?;
    let later = last + patience;
    (later > Instant::now()).then_some(later)
}
