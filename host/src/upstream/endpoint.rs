//! One endpoint: its address, its connections, and sending a request on one of them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, HOST, UPGRADE};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Method, Request, Response, Uri, Version};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use parking_lot::Mutex;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::time::Instant;

use super::pool::Pool;
use super::{Answer, Outgoing};
use crate::body::{Body, Release, Source};
use crate::config::{UpstreamConfig, UpstreamProtocol};
use crate::error::{Error, Reason};
use crate::telemetry::Metrics;

/// One endpoint.
#[derive(Debug)]
pub struct Endpoint {
    /// `host:port`, for logs.
    pub address: Arc<str>,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    pub(super) protocol: UpstreamProtocol,
    pub(super) connect_timeout: Duration,
    pub(super) resolved: Mutex<Option<(Instant, Vec<SocketAddr>)>>,
    pub(super) metrics: Arc<Metrics>,
    authority: Authority,
    pool: Pool,
}

/// A connection of either protocol.
pub(super) enum Connection {
    Http1(http1::SendRequest<Body>),
    Http2(http2::SendRequest<Body>),
}

/// Connections of the pool that may turn out stale before a new one is opened.
const STALE_MAX: u32 = 2;

impl Endpoint {
    /// The endpoint of a URL.
    ///
    /// # Errors
    /// What is wrong with the URL.
    pub(super) fn parse(
        url: &str,
        config: &UpstreamConfig,
        tls: Option<Arc<ClientConfig>>,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, String> {
        let wrong = |what: &str| format!("{url:?} {what}: write http://HOST[:PORT] or https://HOST[:PORT]");
        let uri: Uri = url.parse().map_err(|_| wrong("is no URL"))?;
        let secure = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(wrong("has another scheme")),
        };
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(wrong("has a path"));
        }
        let authority = uri.authority().cloned().ok_or_else(|| wrong("has no host"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("has a user name"));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = authority.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let tls = match (secure, tls) {
            (true, Some(tls)) => {
                let name = config.tls.server_name.clone().unwrap_or_else(|| host.clone());
                Some((tls, ServerName::try_from(name).map_err(|_| wrong("has no name that a certificate could have"))?))
            }
            (true, None) => return Err(wrong("needs TLS, which could not be set up")),
            (false, _) => None,
        };
        Ok(Self {
            address: format!("{host}:{port}").into(),
            host,
            port,
            tls,
            protocol: config.protocol,
            connect_timeout: config.timeouts.connect.0,
            resolved: Mutex::new(None),
            metrics: metrics.clone(),
            authority,
            pool: Pool::new(config.idle_connections, config.timeouts.keep_alive.0),
        })
    }

    pub(super) fn sweep(&self) {
        self.pool.sweep();
    }

    /// Sends on an idle connection, or on a new one where there is none or it turned out stale.
    pub(super) async fn send(self: &Arc<Self>, outgoing: Outgoing, body: Body) -> Result<Answer, Error> {
        // RFC 9110 §9.2.2: what was perhaps received may be sent again only if that changes nothing.
        let idempotent = matches!(outgoing.method, Method::GET | Method::HEAD | Method::OPTIONS) && body.is_empty();
        let mut message = (outgoing, body);
        let mut stale = 0;
        loop {
            let reused = (stale < STALE_MAX).then(|| self.reusable()).flatten();
            let is_reused = reused.is_some();
            let connection = match reused {
                Some(connection) => connection,
                None => self.connect().await?,
            };
            let spare = (is_reused && idempotent).then(|| message.0.clone());
            let failed = match self.send_on(connection, message).await {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            let failed = *failed;
            message = match (failed.unsent, spare) {
                (Some(unsent), _) if is_reused => unsent,
                (None, Some(spare)) => (spare, Body::empty()),
                _ => return Err(failed.error),
            };
            stale += 1;
        }
    }

    fn reusable(&self) -> Option<Connection> {
        if self.protocol == UpstreamProtocol::Http1 {
            return self.pool.take().map(Connection::Http1);
        }
        self.pool.shared().map(Connection::Http2).or_else(|| self.pool.take().map(Connection::Http1))
    }

    async fn send_on(
        self: &Arc<Self>,
        connection: Connection,
        message: (Outgoing, Body),
    ) -> Result<Answer, Box<Failed>> {
        match connection {
            Connection::Http1(mut sender) => {
                let request = self.http1_request(message)?;
                let response =
                    sender.try_send_request(request).await.map_err(|failed| Failed::new(failed, &self.address))?;
                let endpoint = self.clone();
                let release: Release = Box::new(move || endpoint.pool.give_back(sender));
                Ok(Answer { response: response.map(Source::from), release: Some(release) })
            }
            Connection::Http2(mut sender) => {
                if let Err(error) = sender.ready().await {
                    return Err(Box::new(Failed { error: fault(&error), unsent: Some(message) }));
                }
                let request = self.http2_request(message)?;
                let response =
                    sender.try_send_request(request).await.map_err(|failed| Failed::new(failed, &self.address))?;
                self.pool.share(sender);
                Ok(Answer { response: response.map(Source::from), release: None })
            }
        }
    }

    /// Asks for a WebSocket on a connection of its own.
    pub(super) async fn upgrade(self: &Arc<Self>, outgoing: Outgoing) -> Result<Response<Incoming>, Error> {
        let mut request = self.http1_request((outgoing, Body::empty())).map_err(|failed| failed.error)?;
        request.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
        request.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
        let mut sender = self.connect_for_upgrade().await?;
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

    pub(super) fn share(&self, sender: http2::SendRequest<Body>) {
        self.pool.share(sender);
    }
}

/// A request that got no response, and the request itself if none of it was sent.
struct Failed {
    error: Error,
    unsent: Option<(Outgoing, Body)>,
}

impl Failed {
    fn internal(what: &'static str) -> Box<Self> {
        Box::new(Self { error: Error::new(Reason::Internal, what), unsent: None })
    }

    fn new(mut failed: hyper::client::conn::TrySendError<Request<Body>>, address: &str) -> Box<Self> {
        let unsent = failed.take_message().map(|request| {
            let (parts, body) = request.into_parts();
            let mut headers = parts.headers;
            let host = headers.remove(HOST).and_then(|host| host.to_str().ok().map(str::to_owned));
            let authority = host.or_else(|| parts.uri.authority().map(|authority| authority.as_str().to_owned()));
            let target = parts.uri.path_and_query().map_or("/", PathAndQuery::as_str).to_owned();
            (Outgoing { method: parts.method, target, authority, headers }, body)
        });
        let mut error = fault(failed.error());
        if error.reason == Reason::UpstreamBroken {
            error.detail = format!("{address}: {}", error.detail).into();
        }
        Box::new(Self { error, unsent })
    }
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
