//! One request under way: what it holds, and what is said of it when it is over.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use http::header::{CONTENT_LENGTH, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use serde::Serialize;
use tokio::time::Instant;

use super::attempt::framing_of;
use super::body::ResponseBody;
use super::gateway::{Connection, Gateway};
use super::{Answer, AnswerBody};
use crate::body::{Body, Progress};
use crate::config::{Api, Priority};
use crate::error::{Error, Reason};
use crate::exchange::{Exchange, Peer, Reply, Request, ResponseHead, Scalar, Stage, api_at};
use crate::grpc::Grpc;
use crate::limiter::Permit;
use crate::plugin::{Held, Phase};
use crate::snapshot::{Route, Snapshot};
use crate::telemetry::{ReasonLabels, RequestLabels, rfc3339};

/// One request under way. However it ends, its drop writes the log line and settles what is left.
#[derive(Debug)]
pub struct Run {
    /// What every request shares.
    pub gateway: Arc<Gateway>,
    /// What it sees from first byte to last.
    pub snapshot: Arc<Snapshot>,
    /// The exchange.
    pub held: Held,
    /// Its route, once found.
    pub route: Option<Arc<Route>>,
    pub(super) id: String,
    pub(super) peer: Arc<Peer>,
    /// The endpoint of the newest attempt, as a number.
    pub(super) endpoint_id: Option<u64>,
    pub(super) upstream_started: Option<Instant>,
    pub(super) first_byte: Option<Instant>,
    pub(super) bytes_out: u64,
    /// Whether the last byte of the response has been handed over.
    pub(super) complete: bool,
    /// The call of gRPC that it is, if it is one.
    pub(super) grpc: Option<Grpc>,
    /// The code of a policy's own reply.
    pub(super) reply_code: Option<String>,
    /// What it holds of its route's requests at once, to the last byte of the response.
    pub(super) route_permit: Option<Permit>,
    /// What it holds of its upstream's.
    pub(super) upstream_permit: Option<Permit>,
    connection: Arc<Connection>,
    error: Option<Error>,
    status: StatusCode,
    started: Instant,
    started_at: SystemTime,
    request_bytes: Option<Arc<Progress>>,
    logged_headers: Vec<(String, String)>,
    /// What the client asked for, before policies changed it.
    asked: (http::Method, String, String),
}

/// Correlates a request in all logs.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

impl Run {
    pub(super) fn start(gateway: &Arc<Gateway>, connection: &Arc<Connection>) -> Self {
        connection.in_flight.fetch_add(1, Ordering::Relaxed);
        gateway.shared.metrics.in_flight.inc();
        let id = gateway.next_id();
        Self {
            gateway: gateway.clone(),
            snapshot: gateway.snapshot.load_full(),
            held: Held::new(Box::new(Exchange::new(id.clone(), Request::lost(), connection.peer.clone()))),
            route: None,
            id,
            peer: connection.peer.clone(),
            endpoint_id: None,
            upstream_started: None,
            first_byte: None,
            bytes_out: 0,
            complete: false,
            grpc: None,
            reply_code: None,
            route_permit: None,
            upstream_permit: None,
            connection: connection.clone(),
            error: None,
            status: StatusCode::OK,
            started: Instant::now(),
            started_at: SystemTime::now(),
            request_bytes: None,
            logged_headers: Vec::new(),
            asked: (http::Method::GET, String::new(), String::new()),
        }
    }

    /// The request is canonical: from here on it is what everybody reads.
    pub(super) fn accept(&mut self, request: Request) {
        for name in &self.snapshot.config.access_log.request_headers {
            let values = request.headers.get_all(name.as_str()).iter();
            self.logged_headers
                .extend(values.map(|value| (name.clone(), String::from_utf8_lossy(value.as_bytes()).into_owned())));
        }
        self.asked = (request.method.clone(), request.authority.clone(), request.path.clone());
        self.grpc = request.grpc;
        self.held.request = request;
    }

    pub(super) fn watch_request(&mut self, body: &mut Body) {
        self.request_bytes = body.watch();
    }

    /// Whether the gateway refused for its own sake.
    pub(super) fn is_overloaded(&self) -> bool {
        self.error.as_ref().is_some_and(|error| error.reason == Reason::Overloaded)
    }

    pub(super) fn fail(&mut self, error: Error) {
        let labels = ReasonLabels { blame: error.reason.blame().word(), reason: error.reason.code() };
        self.gateway.shared.metrics.errors.get_or_create(&labels).inc();
        self.error = Some(error);
    }

    /// The API whose shape errors take.
    fn api(&self) -> Api {
        self.route.as_ref().map_or(Api::Problem, |route| api_at(route.config.api, &self.asked.2))
    }

    pub(super) fn reply(&mut self, reply: Reply) -> Answer {
        if self.error.is_none() {
            self.reply_code = reply.code().map(str::to_owned);
        }
        let finish = if self.grpc.is_some() { Reply::finish_grpc } else { Reply::finish };
        let (status, headers, bytes) = finish(reply, self.api(), &self.id);
        let head = ResponseHead { status, headers };
        if self.grpc.is_some() && bytes.is_empty() {
            return Answer { head, body: AnswerBody::Plain(Body::empty()) };
        }
        Answer::full(head, bytes)
    }

    /// The response, which holds this run until its last byte.
    pub(super) fn respond(mut self, answer: Answer) -> Response<ResponseBody> {
        let Answer { head, body } = answer;
        let ResponseHead { status, mut headers } = head;
        self.status = status;
        if let Ok(id) = HeaderValue::from_str(&self.id) {
            headers.insert(REQUEST_ID, id);
        }
        let spoilt = self.error.as_ref().is_some_and(|error| error.reason.spoils_connection());
        let closes = self.gateway.overload.measures().close;
        let ends = spoilt || closes || self.gateway.draining.load(Ordering::Relaxed);
        // A connection that becomes a tunnel has its own end.
        let is_tunnel = status == StatusCode::SWITCHING_PROTOCOLS;
        if ends && !is_tunnel && self.held.request.version < http::Version::HTTP_2 {
            headers.insert(http::header::CONNECTION, HeaderValue::from_static("close"));
        }
        if closes {
            self.connection.retire();
        }
        if self.held.is_here() {
            self.held.stage = Stage::Streaming;
        }
        let body = match body {
            AnswerBody::Plain(body) => {
                let streamed = self.grpc.is_some() || framing_of(&headers).is_some();
                ResponseBody::plain(body, streamed, self)
            }
            AnswerBody::Events(body, framing) => {
                headers.remove(CONTENT_LENGTH);
                ResponseBody::events(body, framing, self)
            }
        };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        response
    }

    /// The most bytes of a request body.
    pub(super) fn body_max(&self, route: &Route) -> u64 {
        route.config.body.unwrap_or(self.snapshot.config.bounds.body).0
    }

    /// How soon the request is turned away where not all can be served.
    pub(super) fn priority(&self) -> Priority {
        let Some(route) = &self.route else { return Priority::default() };
        let named = route.config.priority_from.as_ref().and_then(|name| self.held.metadata(name));
        match named {
            Some(Scalar::Text(name)) => Priority::named(name).unwrap_or(route.config.priority),
            _ => route.config.priority,
        }
    }

    /// When the response must be over.
    pub(super) fn deadline(&self, streamed: bool) -> Instant {
        let timeouts = &self.snapshot.config.timeouts;
        let total = match (streamed, &self.route) {
            (true, _) => timeouts.stream_total,
            (false, Some(route)) => route.config.total.unwrap_or(timeouts.total),
            (false, None) => timeouts.total,
        };
        let asked = self.grpc.and_then(|grpc| grpc.timeout);
        self.started + asked.map_or(total.0, |asked| asked.min(total.0))
    }

    fn chains_want_log(&self) -> bool {
        let route = self.route.as_ref();
        let upstream = self.snapshot.upstreams.get(&*self.held.upstream);
        route.is_some_and(|route| route.chain.has(Phase::OnLog))
            || upstream.is_some_and(|entry| entry.chain.has(Phase::OnLog))
    }

    fn count(&self) {
        let route = self.route.as_ref().map(|route| route.name.to_string()).unwrap_or_default();
        let labels = RequestLabels { route, status: self.status.as_u16() };
        self.gateway.shared.metrics.requests.get_or_create(&labels).inc();
        if let Some(route) = &self.route {
            route.seconds.observe(self.started.elapsed().as_secs_f64());
        }
    }

    fn log(&self) {
        if !self.gateway.access_log.is_on() {
            return;
        }
        let lost;
        let exchange: &Exchange = if self.held.is_here() {
            &self.held
        } else {
            lost = Exchange::lost();
            &lost
        };
        self.gateway.access_log.line(|out| {
            if let Err(error) = serde_json::to_writer(out, &Line::of(self, exchange)) {
                tracing::error!(%error, "access-log line cannot be written");
            }
        });
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if !self.complete && self.error.is_none() {
            self.error = Some(Reason::ClientGone.into());
        }
        self.connection.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.gateway.shared.metrics.in_flight.dec();
        self.count();
        self.log();
        if !self.held.is_here() || self.route.is_none() || !self.chains_want_log() {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let exchange = Exchange::new(self.id.clone(), Request::lost(), self.peer.clone());
        let mut held = std::mem::replace(&mut self.held, Held::new(Box::new(exchange)));
        held.stage = Stage::Done;
        let (snapshot, route) = (self.snapshot.clone(), self.route.clone());
        runtime.spawn(async move {
            if let Some(entry) = snapshot.upstreams.get(&*held.upstream) {
                entry.chain.on_log(&mut held).await;
            }
            if let Some(route) = route {
                route.chain.on_log(&mut held).await;
            }
        });
    }
}

/// One line of the access log.
#[derive(Serialize)]
struct Line<'a> {
    time: String,
    id: &'a str,
    client: String,
    http: &'static str,
    method: &'a str,
    host: &'a str,
    path: &'a str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blame: Option<&'static str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    why: &'a str,
    route: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<&'a Scalar>,
    #[serde(skip_serializing_if = "Option::is_none")]
    principal: Option<&'a Scalar>,
    #[serde(skip_serializing_if = "str::is_empty")]
    upstream: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint: Option<&'a str>,
    attempts: u32,
    bytes_in: u64,
    bytes_out: u64,
    duration_us: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_byte_us: Option<u64>,
    policies: Vec<PolicyTime<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a Scalar>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input_tokens: Option<&'a Scalar>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_tokens: Option<&'a Scalar>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cost: Option<&'a Scalar>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    headers: &'a [(String, String)],
}

#[derive(Serialize)]
struct PolicyTime<'a> {
    policy: &'a str,
    phase: &'static str,
    us: u64,
    /// Calls that this stands for: a stream has one for each batch of events.
    calls: u32,
}

impl<'a> Line<'a> {
    fn of(run: &'a Run, exchange: &'a Exchange) -> Self {
        let error = run.error.as_ref();
        let reason = error.map(|error| error.reason.code()).or(run.reply_code.as_deref());
        let micros = |since: Instant, until: Instant| {
            u64::try_from(until.saturating_duration_since(since).as_micros()).unwrap_or(u64::MAX)
        };
        let request = &exchange.request;
        let read = run.request_bytes.as_ref().map(|progress| progress.bytes());
        Self {
            time: rfc3339(run.started_at),
            id: &run.id,
            client: if request.authority.is_empty() { run.peer.address.ip() } else { request.client }.to_string(),
            http: request.version_text(),
            method: run.asked.0.as_str(),
            host: &run.asked.1,
            path: &run.asked.2,
            status: run.status.as_u16(),
            reason,
            blame: error.map(|error| error.reason.blame().word()),
            why: error.map_or("", |error| error.detail.as_ref()),
            route: &exchange.route,
            tenant: exchange.metadata("auth.tenant").or_else(|| exchange.metadata("tenant.name")),
            principal: exchange.metadata("auth.principal"),
            upstream: &exchange.upstream,
            endpoint: exchange.endpoint.as_deref(),
            attempts: exchange.attempt,
            bytes_in: read.or(request.content_length).unwrap_or(0),
            bytes_out: run.bytes_out,
            duration_us: micros(run.started, Instant::now()),
            upstream_us: run.upstream_started.map(|start| micros(start, run.first_byte.unwrap_or_else(Instant::now))),
            first_byte_us: run.first_byte.map(|first| micros(run.started, first)),
            policies: policy_times(exchange),
            model: exchange.metadata("llm.model"),
            input_tokens: exchange.metadata("llm.input-tokens"),
            output_tokens: exchange.metadata("llm.output-tokens"),
            cost: exchange.metadata("llm.cost"),
            headers: &run.logged_headers,
        }
    }
}

/// The times of each policy and phase, joined.
fn policy_times(exchange: &Exchange) -> Vec<PolicyTime<'_>> {
    let mut times: Vec<PolicyTime<'_>> = Vec::with_capacity(exchange.timings.len());
    for timing in &exchange.timings {
        let us = u64::try_from(timing.took.as_micros()).unwrap_or(u64::MAX);
        match times.iter_mut().find(|time| time.policy == &*timing.policy && time.phase == timing.phase) {
            Some(time) => {
                time.us += us;
                time.calls += 1;
            }
            None => times.push(PolicyTime { policy: &timing.policy, phase: timing.phase, us, calls: 1 }),
        }
    }
    times
}
