//! One endpoint: its address, its connections, and sending a request on one of them.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arc_swap::ArcSwap;

use http::header::{CONNECTION, HOST, UPGRADE};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Method, Request, Response, Uri, Version};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use parking_lot::Mutex;
use rustls::pki_types::ServerName;
use xxhash_rust::xxh3::xxh3_64;

use super::Outgoing;
use super::check::Checks;
use super::group::Admission;
use super::pool::{NO_EPOCH, Pool};
use super::site::Site;
use super::standing::{Ejections, Standing, State};
use super::tls::UpstreamTls;
use crate::body::{Body, Release, Source};
#[cfg(test)]
use crate::config::{EndpointConfig, UpstreamConfig};
use crate::config::{OutliersConfig, ProxyVersion, Resolution, UpstreamProtocol};
use crate::error::{Blame, Error, Reason};
use crate::telemetry::Metrics;

/// One endpoint.
#[derive(Debug)]
pub struct Endpoint {
    /// `host:port` or the path of a socket, for logs.
    pub address: Arc<str>,
    /// The same as a number.
    pub(super) id: u64,
    pub(super) weight: u32,
    pub(super) priority: u8,
    pub(super) labels: BTreeMap<String, String>,
    /// Whether it is one of several behind a name, and goes when its address does.
    pub(super) is_looked_up: bool,
    pub(super) standing: Standing,
    pub(super) checks: Mutex<Checks>,
    /// Where connections go, in the order in which they are tried; none while its name is not resolved.
    pub(super) places: ArcSwap<Vec<Place>>,
    pub(super) tls: Option<(Arc<UpstreamTls>, ServerName<'static>)>,
    pub(super) terms: Arc<Terms>,
    pub(super) authority: Authority,
    pub(super) pool: Pool,
}

/// Where a connection goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// What the endpoints of an upstream have in common.
#[derive(Debug)]
pub(super) struct Terms {
    pub(super) protocol: UpstreamProtocol,
    pub(super) connect_timeout: Duration,
    pub(super) keep_alive: Duration,
    pub(super) idle_connections: usize,
    pub(super) proxy_protocol: Option<ProxyVersion>,
    pub(super) outliers: OutliersConfig,
    pub(super) ejections: Arc<Ejections>,
    pub(super) metrics: Arc<Metrics>,
}

/// A connection of either protocol.
pub(super) enum Connection {
    Http1(http1::SendRequest<Body>),
    Http2(http2::SendRequest<Body>),
}

/// Connections of the pool that may turn out stale before a new one is opened.
const STALE_MAX: u32 = 2;

impl Endpoint {
    /// An endpoint of a site, at these places.
    pub(super) fn new(site: &Site, address: &str, places: Vec<Place>, is_new: bool) -> Self {
        let terms = site.terms.clone();
        Self {
            address: address.into(),
            id: xxh3_64(address.as_bytes()),
            weight: site.weight,
            priority: site.priority,
            labels: site.labels.clone(),
            is_looked_up: site.resolution != Resolution::One,
            checks: Mutex::default(),
            standing: Standing::new(&terms.outliers, &terms.ejections, is_new),
            places: ArcSwap::from_pointee(places),
            tls: site.tls.clone(),
            authority: site.authority.clone(),
            pool: Pool::new(terms.idle_connections, terms.keep_alive),
            terms,
        }
    }

    #[cfg(test)]
    pub(super) fn for_tests(host: &str, weight: u32) -> Self {
        Self::for_tests_in(host, weight, &Arc::default())
    }

    #[cfg(test)]
    pub(super) fn for_tests_in(host: &str, weight: u32, ejections: &Arc<Ejections>) -> Self {
        let config = UpstreamConfig::default();
        let site = EndpointConfig { weight, ..EndpointConfig::at(format!("http://{host}")) };
        let site =
            Site::parse(&site, &config, (None, &Arc::new(Terms::of(&config, ejections, &Arc::default())))).unwrap();
        Self::new(&site, &format!("{host}:80"), Vec::new(), false)
    }

    /// How it stands.
    #[must_use]
    pub fn state(&self) -> State {
        self.standing.state()
    }

    /// Requests under way.
    #[must_use]
    pub fn active(&self) -> usize {
        self.standing.active.load(Ordering::Relaxed)
    }

    /// Where its connections go.
    #[must_use]
    pub fn addresses(&self) -> Vec<String> {
        let text = |place: &Place| match place {
            Place::Tcp(address) => address.to_string(),
            Place::Unix(path) => path.display().to_string(),
        };
        self.places.load().iter().map(text).collect()
    }

    pub(super) fn sweep(&self) {
        self.pool.sweep();
    }

    /// Sends on an idle connection, or on a new one where there is none or it turned out stale.
    pub(super) async fn send(self: &Arc<Self>, outgoing: Outgoing, body: Body) -> Result<Sent, Box<Failed>> {
        // RFC 9110 §9.2.2: what was perhaps received may be sent again only if that changes nothing.
        let idempotent = matches!(outgoing.method, Method::GET | Method::HEAD | Method::OPTIONS) && body.is_empty();
        let mut message = (outgoing, body);
        let mut stale = 0;
        loop {
            // A connection that tells of one client serves no other.
            let (is_shared, epoch) = match self.terms.proxy_protocol {
                Some(_) => (false, NO_EPOCH),
                None => (true, self.pool.epoch()),
            };
            let reused = (is_shared && stale < STALE_MAX).then(|| self.reusable()).flatten();
            let is_reused = reused.is_some();
            let connection = match reused {
                Some(connection) => connection,
                None => match self.connect(message.0.proxied, epoch).await {
                    Ok(connection) => connection,
                    Err(error) => return Err(Failed::unsent(error, message)),
                },
            };
            let spare = (is_reused && idempotent).then(|| message.0.clone());
            let failed = match self.send_on((connection, epoch), message).await {
                Ok(sent) => return Ok(sent),
                Err(failed) => failed,
            };
            message = match (*failed, spare) {
                (Failed { unsent: Some(unsent), .. }, _) if is_reused => unsent,
                (Failed { unsent: None, .. }, Some(spare)) => (spare, Body::empty()),
                (failed, _) => return Err(Box::new(failed)),
            };
            stale += 1;
        }
    }

    fn reusable(&self) -> Option<Connection> {
        if self.terms.protocol == UpstreamProtocol::Http1 {
            return self.pool.take().map(Connection::Http1);
        }
        self.pool.shared().map(Connection::Http2).or_else(|| self.pool.take().map(Connection::Http1))
    }

    async fn send_on(
        self: &Arc<Self>,
        (connection, epoch): (Connection, u64),
        message: (Outgoing, Body),
    ) -> Result<Sent, Box<Failed>> {
        match connection {
            Connection::Http1(mut sender) => {
                let request = self.http1_request(message)?;
                let response =
                    sender.try_send_request(request).await.map_err(|failed| Failed::new(failed, &self.address))?;
                Ok(Sent { response: response.map(Source::from), sender: Some((sender, epoch)) })
            }
            Connection::Http2(mut sender) => {
                if let Err(error) = sender.ready().await {
                    return Err(Failed::unsent(fault(&error), message));
                }
                let request = self.http2_request(message)?;
                let response =
                    sender.try_send_request(request).await.map_err(|failed| Failed::new(failed, &self.address))?;
                self.pool.share(sender, epoch);
                Ok(Sent { response: response.map(Source::from), sender: None })
            }
        }
    }

    /// Asks for a WebSocket on a connection of its own.
    pub(super) async fn upgrade(self: &Arc<Self>, outgoing: Outgoing) -> Result<Response<Incoming>, Error> {
        let proxied = outgoing.proxied;
        let mut request = self.http1_request((outgoing, Body::empty())).map_err(|failed| failed.error)?;
        request.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
        request.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
        let mut sender = self.connect_for_upgrade(proxied).await?;
        sender.send_request(request).await.map_err(|error| fault(&error))
    }

    fn http1_request(&self, (outgoing, body): (Outgoing, Body)) -> Result<Request<Body>, Box<Failed>> {
        let authority = outgoing.authority.as_deref().unwrap_or(self.authority.as_str());
        let host = HeaderValue::from_str(authority).map_err(|_| Failed::internal("authority"))?;
        let mut request = Request::new(body);
        *request.method_mut() = outgoing.method;
        *request.uri_mut() =
            Uri::from(PathAndQuery::try_from(outgoing.target).map_err(|_| Failed::internal("target"))?);
        *request.headers_mut() = outgoing.headers;
        request.headers_mut().insert(HOST, host);
        Ok(request)
    }

    fn http2_request(&self, (outgoing, body): (Outgoing, Body)) -> Result<Request<Body>, Box<Failed>> {
        let authority = match outgoing.authority {
            Some(authority) => Authority::try_from(authority).map_err(|_| Failed::internal("authority"))?,
            None => self.authority.clone(),
        };
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(if self.tls.is_some() { Scheme::HTTPS } else { Scheme::HTTP });
        parts.authority = Some(authority);
        parts.path_and_query = Some(PathAndQuery::try_from(outgoing.target).map_err(|_| Failed::internal("target"))?);
        let mut request = Request::new(body);
        *request.method_mut() = outgoing.method;
        *request.version_mut() = Version::HTTP_2;
        *request.uri_mut() = Uri::from_parts(parts).map_err(|_| Failed::internal("uri"))?;
        *request.headers_mut() = outgoing.headers;
        Ok(request)
    }

    /// Its connections go to these places from here on.
    pub(super) fn move_to(&self, places: &[Place]) {
        let before = self.places.swap(Arc::new(places.to_vec()));
        if before.iter().any(|place| !places.contains(place)) {
            self.pool.clear();
        }
    }
}

/// A response, and the connection that is free once it is read.
pub(super) struct Sent {
    pub(super) response: Response<Source>,
    sender: Option<(http1::SendRequest<Body>, u64)>,
}

impl Sent {
    /// The response, and what is to happen after its last byte: until then the request counts as under way.
    pub(super) fn into_parts(self, admission: Admission) -> (Response<Source>, Release) {
        let Self { response, sender } = self;
        let release: Release = Box::new(move || {
            if let Some((sender, epoch)) = sender {
                admission.endpoint.pool.give_back(sender, epoch);
            }
            drop(admission);
        });
        (response, release)
    }

    /// As `into_parts`, for what is no client's request.
    pub(super) fn into_response(self, endpoint: &Arc<Endpoint>) -> (Response<Source>, Release) {
        let Self { response, sender } = self;
        let endpoint = endpoint.clone();
        (
            response,
            Box::new(move || sender.into_iter().for_each(|(sender, epoch)| endpoint.pool.give_back(sender, epoch))),
        )
    }
}

/// A request that got no response.
#[derive(Debug)]
pub struct Failed {
    /// Why.
    pub error: Error,
    /// The request itself, if none of it was sent.
    pub unsent: Option<(Outgoing, Body)>,
    /// Whether the peer says that it did not look at it (RFC 9113 §8.7).
    pub refused: bool,
}

impl Failed {
    fn internal(what: &'static str) -> Box<Self> {
        Box::new(Self::from(Error::new(Reason::Internal, what)))
    }

    /// A request for which there was no endpoint.
    #[must_use]
    pub fn unplaced(error: Error, body: Body) -> Box<Self> {
        Self::unsent(error, (Outgoing::default(), body))
    }

    /// A request that did not go out.
    fn unsent(error: Error, message: (Outgoing, Body)) -> Box<Self> {
        Box::new(Self { error, unsent: Some(message), refused: false })
    }

    fn new(mut failed: hyper::client::conn::TrySendError<Request<Body>>, address: &str) -> Box<Self> {
        let unsent = failed.take_message().map(|request| {
            let (parts, body) = request.into_parts();
            let mut headers = parts.headers;
            let host = headers.remove(HOST).and_then(|host| host.to_str().ok().map(str::to_owned));
            let authority = host.or_else(|| parts.uri.authority().map(|authority| authority.as_str().to_owned()));
            let target = parts.uri.path_and_query().map_or("/", PathAndQuery::as_str).to_owned();
            (Outgoing { method: parts.method, target, authority, headers, proxied: None }, body)
        });
        let mut error = fault(failed.error());
        if error.reason == Reason::UpstreamBroken {
            error.detail = format!("{address}: {}", error.detail).into();
        }
        Box::new(Self { error, unsent, refused: is_refused(failed.error()) })
    }
}

impl Failed {
    /// Whether the upstream is to blame, and not what its client sent or the gateway itself.
    pub(super) fn is_upstreams(&self) -> bool {
        !self.refused && self.error.reason.blame() == Blame::Upstream
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self { error, unsent: None, refused: false }
    }
}

impl Borrow<Error> for Box<Failed> {
    fn borrow(&self) -> &Error {
        &self.error
    }
}

impl From<Box<Failed>> for Error {
    fn from(failed: Box<Failed>) -> Self {
        failed.error
    }
}

/// Whether an HTTP/2 peer refused the stream before it did anything with it.
fn is_refused(error: &hyper::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(h2) = cause.downcast_ref::<h2::Error>() {
            return h2.reason() == Some(h2::Reason::REFUSED_STREAM);
        }
        source = cause.source();
    }
    false
}

/// What a failed exchange with an upstream means; a fault in the client's body is the client's.
pub(super) fn fault(error: &hyper::Error) -> Error {
    let mut source = std::error::Error::source(error);
    let mut detail = error.to_string();
    while let Some(cause) = source {
        if let Some(own) = cause.downcast_ref::<Error>() {
            return own.clone();
        }
        detail = format!("{detail}: {cause}");
        source = cause.source();
    }
    Error::new(Reason::UpstreamBroken, detail)
}
