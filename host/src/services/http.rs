//! Calls out to named upstreams: bounded in number, in time and in bytes, and cancelled with whoever waits.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_LENGTH, HeaderName, HeaderValue, TRANSFER_ENCODING};
use http::{HeaderMap, Method, StatusCode};
use tokio::sync::Semaphore;
use tokio_util::task::AbortOnDropHandle;

use crate::body::{Body, Content, gather};
use crate::error::{Error, Reason};
use crate::telemetry::{AttemptLabels, Metrics};
use crate::upstream::{Answer, Outgoing, Upstream, Wish};

/// Calls out of one policy.
#[derive(Debug)]
pub struct HttpClient {
    upstreams: BTreeMap<String, Arc<Upstream>>,
    bounds: HttpBounds,
    running: Arc<Semaphore>,
    metrics: Arc<Metrics>,
}

/// What the calls of one policy may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpBounds {
    /// From the start to the last byte of the response.
    pub timeout: Duration,
    /// Requests at once.
    pub requests_max: usize,
    /// Bytes of a response's body.
    pub response_max: u64,
}

/// A request to an upstream.
#[derive(Debug, Clone)]
pub struct OutboundRequest {
    upstream: Arc<Upstream>,
    method: Method,
    target: String,
    /// Headers without framing.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// When it must be over, if that is sooner than the operator says.
    pub timeout: Option<Duration>,
}

/// A whole response.
#[derive(Debug)]
pub struct InboundResponse {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Content,
}

/// A request under way; dropping it cancels it.
#[derive(Debug)]
pub struct PendingResponse(AbortOnDropHandle<Result<InboundResponse, HttpError>>);

/// Why there is no response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpError {
    /// The upstream is not the policy's to call.
    NotGranted,
    /// The method or the path is none.
    Invalid,
    /// It took too long.
    Timeout,
    /// There is no connection that can be trusted.
    ConnectFailed,
    /// A body is past its bound.
    TooLarge,
    /// Too many at once.
    TooManyCalls,
    /// What came is no response.
    Protocol,
}

const METHOD_MAX: usize = 32;
const TARGET_MAX: usize = 8 << 10;
/// How long before its own deadline a policy hears of a call that did not end: a tenth of what is left, and at most this.
const HEADWAY_MAX: Duration = Duration::from_millis(100);
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

impl HttpClient {
    /// A client for these upstreams.
    #[must_use]
    pub fn new(upstreams: BTreeMap<String, Arc<Upstream>>, bounds: HttpBounds, metrics: Arc<Metrics>) -> Self {
        Self { upstreams, bounds, running: Arc::new(Semaphore::new(bounds.requests_max)), metrics }
    }

    /// A client that may call nobody.
    #[must_use]
    pub fn none() -> Self {
        let bounds = HttpBounds { timeout: Duration::ZERO, requests_max: 0, response_max: 0 };
        Self::new(BTreeMap::new(), bounds, Arc::default())
    }

    /// Bytes of a response's body.
    #[must_use]
    pub const fn response_max(&self) -> u64 {
        self.bounds.response_max
    }

    /// A request to an upstream by its name.
    ///
    /// # Errors
    /// `NotGranted`, and `Invalid` for what is no method or no target in origin form (RFC 9112 §3.2.1).
    pub fn request(&self, upstream: &str, method: &str, target: String) -> Result<OutboundRequest, HttpError> {
        let upstream = self.upstreams.get(upstream).ok_or(HttpError::NotGranted)?.clone();
        let fits = method.len() <= METHOD_MAX && method != "CONNECT";
        let method = Method::from_bytes(method.as_bytes()).ok().filter(|_| fits).ok_or(HttpError::Invalid)?;
        let plain = target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#' && byte != b'\\');
        if !target.starts_with('/') || !plain || target.len() > TARGET_MAX {
            return Err(HttpError::Invalid);
        }
        Ok(OutboundRequest { upstream, method, target, headers: HeaderMap::new(), body: Bytes::new(), timeout: None })
    }

    /// Starts a request on behalf of a call that must be over by `until`, and that serves the request of this id.
    ///
    /// # Errors
    /// `TooManyCalls`.
    pub fn start(&self, request: OutboundRequest, until: Instant, id: &str) -> Result<PendingResponse, HttpError> {
        let permit = self.running.clone().try_acquire_owned().map_err(|_| HttpError::TooManyCalls)?;
        let now = Instant::now();
        let left = until.saturating_duration_since(now);
        let left = left - (left / 10).min(HEADWAY_MAX);
        let timeout = request.timeout.unwrap_or(self.bounds.timeout).min(self.bounds.timeout).min(left);
        let (metrics, response_max, id) = (self.metrics.clone(), self.bounds.response_max, HeaderValue::from_str(id));
        let task = tokio::spawn(async move {
            let _permit = permit;
            let sent = request.send(response_max, id.ok(), &metrics);
            let result = tokio::time::timeout_at((now + timeout).into(), sent).await;
            result.map_err(|_| HttpError::Timeout)?.map_err(|error| HttpError::of(&error))
        });
        Ok(PendingResponse(AbortOnDropHandle::new(task)))
    }
}

impl PendingResponse {
    /// The response.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn wait(self) -> Result<InboundResponse, HttpError> {
        self.0.await.unwrap_or(Err(HttpError::Protocol))
    }
}

impl OutboundRequest {
    async fn send(
        self,
        response_max: u64,
        id: Option<HeaderValue>,
        metrics: &Metrics,
    ) -> Result<InboundResponse, Error> {
        let Self { upstream, method, target, mut headers, body, .. } = self;
        headers.entry(ACCEPT_ENCODING).or_insert(HeaderValue::from_static("identity"));
        headers.extend(id.map(|id| (REQUEST_ID, id)));
        for (name, value) in &upstream.headers {
            headers.insert(name.clone(), value.clone());
        }
        let needs_length = !matches!(method, Method::GET | Method::HEAD | Method::OPTIONS | Method::DELETE);
        if needs_length || !body.is_empty() {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        }
        let picked = upstream.pick(&Wish::default())?;
        let outgoing = Outgoing { method, target, authority: None, headers, proxied: None };
        let sent = upstream.send(picked, outgoing, Body::full(body), None).await;
        let labels = AttemptLabels { upstream: upstream.name.to_string(), outcome: Answer::outcome(&sent) };
        metrics.upstream_attempts.get_or_create(&labels).inc();
        let Answer { response, release } = sent?;
        let (parts, incoming) = response.into_parts();
        let mut codings = parts.headers.get_all(TRANSFER_ENCODING).iter();
        let is_framed = codings.all(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"));
        if parts.status == StatusCode::SWITCHING_PROTOCOLS || !is_framed {
            return Err(Error::new(Reason::UpstreamBroken, "no response that was asked for"));
        }
        let body = Body::from_upstream(incoming, upstream.config.timeouts.idle.0, release);
        let body = gather(body, response_max, Reason::UpstreamTooLarge).await?.shared();
        Ok(InboundResponse { status: parts.status.as_u16(), headers: parts.headers, body })
    }
}

impl HttpError {
    const fn of(error: &Error) -> Self {
        match error.reason {
            Reason::UpstreamUnreachable | Reason::UpstreamTls => Self::ConnectFailed,
            Reason::UpstreamTimeout => Self::Timeout,
            Reason::UpstreamTooLarge => Self::TooLarge,
            _ => Self::Protocol,
        }
    }
}
