//! Named groups of endpoints, and the only code that dials.

mod connect;
mod endpoint;
mod pool;
mod tls;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response};
use hyper::body::Incoming;
use tokio::time::Instant;

use crate::body::{Body, Progress, Release, Source};
use crate::config::UpstreamConfig;
use crate::error::{Error, Reason};
use crate::telemetry::Metrics;
pub use endpoint::Endpoint;
pub use pool::enter_worker;

/// A named group of endpoints that take turns.
#[derive(Debug)]
pub struct Upstream {
    /// Its name.
    pub name: Arc<str>,
    /// As configured.
    pub config: UpstreamConfig,
    /// Set on every request, after all policies.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    targets: Vec<Target>,
    turn: AtomicUsize,
    /// Hashes of the files that TLS was read from: a change makes a new upstream.
    tls_files: u64,
}

/// Where a request can go.
#[derive(Debug, Clone)]
pub enum Target {
    /// To a peer.
    Endpoint(Arc<Endpoint>),
    /// To something in the gateway that answers in place of a peer.
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
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// The method.
    pub method: Method,
    /// Path and query.
    pub target: String,
    /// The authority to name, where it is not the endpoint's.
    pub authority: Option<String>,
    /// Headers without `host` and framing.
    pub headers: HeaderMap,
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
    pub fn outcome(sent: &Result<Self, Error>) -> &'static str {
        match sent {
            Ok(answer) => match answer.response.status().as_u16() {
                100..200 => "1xx",
                200..300 => "2xx",
                300..400 => "3xx",
                400..500 => "4xx",
                _ => "5xx",
            },
            Err(error) => error.reason.code(),
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
        let mut targets = Vec::new();
        for (index, endpoint) in config.endpoints.iter().enumerate() {
            match Endpoint::parse(&endpoint.url, config, tls.as_ref().map(|tls| tls.config.clone()), metrics) {
                Ok(endpoint) => targets.push(Target::Endpoint(Arc::new(endpoint))),
                Err(message) => faults.push((format!("/endpoints/{index}/url"), message)),
            }
        }
        let mut headers = Vec::new();
        for (name, value) in &config.headers {
            let at = format!("/headers/{name}");
            match (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value)) {
                (Ok(name), Ok(mut value)) => {
                    value.set_sensitive(true);
                    headers.push((name, value));
                }
                (Err(_), _) => faults.push((at, format!("{name:?} is no header name"))),
                (_, Err(_)) => {
                    faults.push((at, format!("the value of {name:?} has a character that no header may have")));
                }
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        let tls_files = tls.map_or(0, |tls| tls.files);
        Ok(Self { name: name.into(), config: config.clone(), headers, targets, turn: AtomicUsize::new(0), tls_files })
    }

    /// The same upstream, answered for by a handler alone.
    #[must_use]
    pub fn handled_by(self, handler: Arc<dyn Handler>) -> Self {
        Self { targets: vec![Target::Handler(handler)], ..self }
    }

    /// Whether another is the same, so that its connections can stay.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let handlers = |upstream: &Self| match upstream.targets.first() {
            Some(Target::Handler(handler)) => Some(handler.clone()),
            _ => None,
        };
        let same_handler = match (handlers(self), handlers(other)) {
            (Some(one), Some(other)) => Arc::ptr_eq(&one, &other),
            (one, other) => one.is_none() && other.is_none(),
        };
        self.config == other.config && self.tls_files == other.tls_files && same_handler
    }

    /// The endpoint whose turn it is, or what stands for all of them.
    ///
    /// # Errors
    /// `UpstreamUnreachable` if there is none.
    pub fn pick(&self) -> Result<&Target, Error> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let target = self.targets.get(turn % self.targets.len().max(1));
        target.ok_or_else(|| Error::new(Reason::UpstreamUnreachable, "no endpoint"))
    }

    /// Closes connections that were idle for too long.
    pub fn sweep(&self) {
        for target in &self.targets {
            if let Target::Endpoint(endpoint) = target {
                endpoint.sweep();
            }
        }
    }

    /// Sends a request to a target and waits for the response's headers.
    ///
    /// # Errors
    /// A reason of the upstream's, or what reading the request's body failed with.
    pub async fn send(&self, target: &Target, outgoing: Outgoing, mut body: Body) -> Result<Answer, Error> {
        let progress = body.watch();
        let sending = target.send(outgoing, body);
        tokio::pin!(sending);
        let patience = self.config.timeouts.first_byte.0;
        let sleep = tokio::time::sleep(patience);
        tokio::pin!(sleep);
        loop {
            tokio::select! {
                biased;
                sent = &mut sending => return sent,
                () = &mut sleep => match overdue(progress.as_deref(), patience) {
                    None => return Err(Reason::UpstreamTimeout.into()),
                    Some(later) => sleep.as_mut().reset(later),
                },
            }
        }
    }

    /// Opens a connection of its own and asks for an upgrade.
    ///
    /// # Errors
    /// A reason of the upstream's; `UpgradeRefused` where no peer could agree to it.
    pub async fn upgrade(&self, target: &Target, outgoing: Outgoing) -> Result<Response<Incoming>, Error> {
        let Target::Endpoint(endpoint) = target else { return Err(Reason::UpgradeRefused.into()) };
        let patience = self.config.timeouts.first_byte.0;
        let response = tokio::time::timeout(patience, endpoint.upgrade(outgoing)).await;
        response.map_err(|_| Error::from(Reason::UpstreamTimeout))?
    }
}

impl Target {
    /// What it is called in logs.
    #[must_use]
    pub fn address(&self) -> &Arc<str> {
        match self {
            Self::Endpoint(endpoint) => &endpoint.address,
            Self::Handler(handler) => handler.address(),
        }
    }

    async fn send(&self, outgoing: Outgoing, body: Body) -> Result<Answer, Error> {
        match self {
            Self::Endpoint(endpoint) => endpoint.send(outgoing, body).await,
            Self::Handler(handler) => handler.clone().handle(outgoing, body).await,
        }
    }
}

/// When to look again: the wait for the response starts with the last byte of the request.
fn overdue(progress: Option<&Progress>, patience: Duration) -> Option<Instant> {
    let last = progress?.last()?;
    let later = last + patience;
    (later > Instant::now()).then_some(later)
}
