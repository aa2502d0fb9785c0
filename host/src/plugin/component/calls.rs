//! Requests of a component's own: to the upstreams that it is granted, by their names, and to nobody else.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONTENT_LENGTH, HeaderName, HeaderValue, TRANSFER_ENCODING};
use http::uri::Scheme;
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime_wasi_http::{Error as WasiError, RequestOptions, WasiBody, WasiHttpHooks};

use super::fate::Fate;
use super::stream::GuestBody;
use crate::body::Body;
use crate::error::{Error, Reason};
use crate::exchange::{is_owned, is_trailer};
use crate::telemetry::{AttemptLabels, Metrics};
use crate::upstream::{Answer, Outgoing, Upstream, Wish};

/// Requests of one instance.
pub(super) struct Calls {
    /// The upstreams that it may call.
    pub(super) upstreams: Arc<BTreeMap<String, Arc<Upstream>>>,
    /// How many more it may have under way.
    pub(super) running: Arc<Semaphore>,
    /// What becomes of it, and of the bodies that it writes.
    pub(super) fate: Fate,
    /// The id of the request that it serves.
    pub(super) id: Option<HeaderValue>,
    pub(super) metrics: Arc<Metrics>,
}

/// Requests that one instance may have under way.
pub(super) const CALLS_MAX: usize = 16;
/// What one write to a body may be; two of them are held at most.
pub(super) const CHUNK_MAX: usize = 64 << 10;
const TARGET_MAX: usize = 8 << 10;
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// How the trait wants a future that yields a response and what goes on beside it.
type Sending = Box<dyn Future<Output = Result<(Response<WasiBody>, Beside), WasiError>> + Send>;
type Beside = Box<dyn Future<Output = Result<(), WasiError>> + Send>;

impl WasiHttpHooks for Calls {
    fn set_host_header(&mut self) -> bool {
        false
    }

    fn default_scheme(&mut self) -> Option<Scheme> {
        Some(Scheme::HTTP)
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        CHUNK_MAX
    }

    fn send_request(&mut self, request: Request<WasiBody>, options: Option<RequestOptions>, beside: Beside) -> Sending {
        let call = self.call(request, options.unwrap_or_default());
        Box::new(async move { Ok((call?.send().await?, beside)) })
    }
}

impl Calls {
    fn call(&self, request: Request<WasiBody>, options: RequestOptions) -> Result<Call, WasiError> {
        let (parts, body) = request.into_parts();
        let name = parts.uri.authority().map_or("", |authority| authority.as_str());
        let upstream = self.upstreams.get(name).ok_or(WasiError::HttpRequestDenied)?.clone();
        if parts.method == Method::CONNECT {
            return Err(WasiError::HttpRequestMethodInvalid);
        }
        let target = parts.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
        if target.len() > TARGET_MAX {
            return Err(WasiError::HttpRequestUriTooLong);
        }
        if !target.starts_with('/') || !target.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(WasiError::HttpRequestUriInvalid);
        }
        let permit = self.running.clone().try_acquire_owned().map_err(|_| WasiError::ConnectionLimitReached)?;
        let body = GuestBody::new(body, &parts.headers, self.fate.clone(), None);
        let body = body.map_err(|_| WasiError::HttpRequestBodySize(None))?;
        let body = Body::from_upstream(body.source(), upstream.config.timeouts.idle.0, None);
        let mut headers = parts.headers;
        let strip: Vec<HeaderName> =
            headers.keys().filter(|name| is_owned(name.as_str()) && *name != CONTENT_LENGTH).cloned().collect();
        for name in strip {
            headers.remove(name);
        }
        if body.is_empty() && !matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS | Method::DELETE) {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(0));
        }
        headers.extend(self.id.clone().map(|id| (REQUEST_ID, id)));
        for (name, value) in &upstream.headers {
            headers.insert(name.clone(), value.clone());
        }
        let outgoing = Outgoing { method: parts.method, target, authority: None, headers, proxied: None };
        Ok(Call { upstream, outgoing, body, options, permit, metrics: self.metrics.clone() })
    }
}

/// A request that may be sent.
struct Call {
    upstream: Arc<Upstream>,
    outgoing: Outgoing,
    body: Body,
    options: RequestOptions,
    permit: OwnedSemaphorePermit,
    metrics: Arc<Metrics>,
}

impl Call {
    async fn send(self) -> Result<Response<WasiBody>, WasiError> {
        let Self { upstream, outgoing, body, options, permit, metrics } = self;
        let picked = upstream.pick(&Wish::default()).map_err(|error| told(&error))?;
        let sending = async { upstream.send(picked, outgoing, body, None).await.map_err(Error::from) };
        let patience = options.first_byte_timeout.unwrap_or(Duration::MAX);
        let sent = tokio::time::timeout(patience, sending).await;
        let sent = sent.unwrap_or_else(|_| Err(Error::new(Reason::UpstreamTimeout, "the component waits no longer")));
        let labels = AttemptLabels { upstream: upstream.name.to_string(), outcome: Answer::outcome(&sent) };
        metrics.upstream_attempts.get_or_create(&labels).inc();
        let Answer { response, release } = sent.map_err(|error| told(&error))?;
        let (parts, source) = response.into_parts();
        let mut codings = parts.headers.get_all(TRANSFER_ENCODING).iter();
        let is_framed = codings.all(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"));
        if parts.status == StatusCode::SWITCHING_PROTOCOLS || !is_framed {
            return Err(WasiError::HttpProtocolError);
        }
        let idle = upstream.config.timeouts.idle.0;
        let idle = options.between_bytes_timeout.map_or(idle, |between| between.min(idle));
        let mut body = Body::from_upstream(source, idle, release);
        body.keep_trailers(is_trailer);
        // It counts as under way until nobody holds its body any more.
        let body = body.map_err(move |error| {
            let _held = &permit;
            told(&error)
        });
        Ok(Response::from_parts(parts, body.boxed_unsync()))
    }
}

/// What a component is told of an error: which kind it is, and nothing else.
pub(super) const fn told(error: &Error) -> WasiError {
    match error.reason {
        Reason::UpstreamUnreachable => WasiError::ConnectionRefused,
        Reason::UpstreamTls => WasiError::TlsProtocolError,
        Reason::UpstreamTimeout | Reason::RequestTimeout => WasiError::ConnectionTimeout,
        Reason::UpstreamTooLarge => WasiError::HttpResponseBodySize(None),
        Reason::BodyTooLarge => WasiError::HttpRequestBodySize(None),
        _ => WasiError::HttpProtocolError,
    }
}
