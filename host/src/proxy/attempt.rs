//! One attempt at an upstream: its chain, the request out, the response back through both chains.

use std::net::SocketAddr;
use std::sync::Arc;

use http::header::{
    ACCEPT_ENCODING, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, RANGE, TE,
    TRAILER, TRANSFER_ENCODING,
};
use http::{HeaderMap, Method, Response, StatusCode};
use tokio::time::Instant;

use super::body::Framings;
use super::retry::{Tried, Tries};
use super::run::{REQUEST_ID, Run};
use super::wish::Wishes;
use super::{Answer, AnswerBody, gather_request, keep_request_body, left, see_out};
use crate::body::{Body, Framing, Release, Source, gather, hold};
use crate::error::{Error, Reason};
use crate::exchange::{Exchange, FORWARDED_CLIENT_CERT, ResponseHead, Stage, announced_trailers, is_owned, is_trailer};
use crate::grpc;
use crate::plugin::{CallBody, Flow, Phase};
use crate::proxy_protocol::Proxied;
use crate::snapshot::{Route, UpstreamEntry};
use crate::telemetry::AttemptLabels;
use crate::upstream::{self, Failed, Outgoing};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// What an attempt came to.
pub(super) enum Attempt {
    /// A policy answered.
    Answered(Answer),
    /// The request went out, or should have.
    Tried(Tried),
}

/// Through the upstream's chain to one of its endpoints.
pub(super) async fn attempt(
    run: &mut Run,
    route: &Arc<Route>,
    entry: &UpstreamEntry,
    (mut body, wishes, tries): (Body, &Wishes, &Tries),
) -> Result<Attempt, Error> {
    run.held.attempt += 1;
    let picked = match entry.upstream.pick(&wishes.wish(&tries.tried)) {
        Ok(picked) => picked,
        Err(error) => return Ok(Attempt::Tried(Err(Failed::unplaced(error, body)))),
    };
    run.held.endpoint = Some(picked.address().clone());
    run.held.provider.clone_from(&entry.upstream.provider);
    run.endpoint_id = picked.id();
    let chain = &entry.chain;
    if let Flow::Answer(reply, _) = chain.on_request(&mut run.held).await? {
        let answer = run.reply(*reply);
        return see_out(run, route, answer, route.chain.len()).await.map(Attempt::Answered);
    }
    if chain.wants(Phase::OnRequestBody, &run.held) {
        let max = run.body_max(route);
        let mut content = gather_request(run, body, chain, max).await?;
        if let Flow::Answer(reply, _) = chain.on_request_body(&mut run.held, &mut content).await? {
            let answer = run.reply(*reply);
            return see_out(run, route, answer, route.chain.len()).await.map(Attempt::Answered);
        }
        body = keep_request_body(run, content)?;
    }
    let mut outgoing = outgoing(&run.held, entry, &body);
    if [chain, &route.chain].iter().any(|chain| chain.has(Phase::OnResponseBody) || chain.has(Phase::OnEvent)) {
        // What policies are to read must come as it is, and whole.
        outgoing.headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        outgoing.headers.remove(RANGE);
    }
    if let Some(grpc) = run.grpc {
        // A server may refuse a client that might not read trailers.
        outgoing.headers.insert(TE, HeaderValue::from_static("trailers"));
        if grpc.timeout.is_some() {
            grpc::set_timeout(&mut outgoing.headers, left(run.deadline(true)));
        }
    }
    run.held.stage = Stage::Response;
    run.upstream_started = Some(Instant::now());
    let patience = entry.upstream.config.retries.try_timeout.map(|patience| patience.0);
    let sent = entry.upstream.send(picked, outgoing, body, patience).await;
    run.first_byte = Some(Instant::now());
    count(run, entry, &sent);
    Ok(Attempt::Tried(sent))
}

/// The request as it goes out: the canonical one, and what the gateway itself has to say.
pub(super) fn outgoing(exchange: &Exchange, entry: &UpstreamEntry, body: &Body) -> Outgoing {
    let request = &exchange.request;
    let mut headers = request.headers.clone();
    let mut put = |name: HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    put(REQUEST_ID, &exchange.id);
    put(FORWARDED_PROTO, request.scheme);
    put(FORWARDED_HOST, request.forwarded_host.as_ref().unwrap_or(&request.authority));
    let peer = exchange.peer.address.ip().to_canonical();
    match &request.forwarded_for {
        Some(chain) => put(FORWARDED_FOR, &format!("{chain}, {peer}")),
        None => put(FORWARDED_FOR, &peer.to_string()),
    }
    if let Some(certificates) = &request.client_certificates {
        headers.insert(FORWARDED_CLIENT_CERT, certificates.clone());
    }
    for (name, value) in &entry.upstream.headers {
        headers.insert(name.clone(), value.clone());
    }
    let declared = body.in_memory().map(|content| content.bytes().len() as u64).or(request.content_length);
    let needs_length = !matches!(request.method, Method::GET | Method::HEAD | Method::OPTIONS | Method::DELETE);
    match declared {
        Some(length) if length > 0 || needs_length => {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        _ => {}
    }
    if let Some(trailer) = request.trailer.clone().filter(|_| body.in_memory().is_none()) {
        headers.insert(TRAILER, trailer);
    }
    // A component has no host of its own.
    let config = &entry.upstream.config;
    let keep = request.authority_is_set || config.pass_host || config.component.is_some();
    let authority = keep.then(|| request.authority.clone());
    let proxied = config.proxy_protocol.map(|_| {
        // A port is known of the peer alone.
        let port = if request.client == peer { exchange.peer.address.port() } else { 0 };
        Proxied { source: SocketAddr::new(request.client, port), destination: exchange.peer.local }
    });
    Outgoing { method: request.method.clone(), target: request.target(), authority, headers, proxied }
}

fn count(run: &Run, entry: &UpstreamEntry, sent: &Tried) {
    let labels = AttemptLabels { upstream: entry.upstream.name.to_string(), outcome: upstream::Answer::outcome(sent) };
    run.gateway.shared.metrics.upstream_attempts.get_or_create(&labels).inc();
}

/// The response back through both chains.
pub(super) async fn receive(
    run: &mut Run,
    route: &Arc<Route>,
    entry: &UpstreamEntry,
    response: Response<Source>,
    release: Option<Release>,
) -> Result<Answer, Error> {
    let (parts, incoming) = response.into_parts();
    if parts.status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(Error::new(Reason::UpstreamBroken, "101 without an upgrade"));
    }
    // RFC 9112 §6.1: no other coding was asked for, and the client would not know of it.
    if parts.headers.get_all(TRANSFER_ENCODING).iter().any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"chunked"))
    {
        return Err(Error::new(Reason::UpstreamBroken, "a transfer coding other than chunked"));
    }
    let mut body = Body::from_upstream(incoming, entry.upstream.config.timeouts.idle.0, release);
    body.keep_trailers(is_trailer);
    let mut headers = parts.headers;
    clean_response(&mut headers);
    let came = framing_of(&headers);
    run.held.response = Some(ResponseHead { status: parts.status, headers });
    let chains = [&entry.chain, &route.chain];
    for chain in chains {
        if let Flow::Answer(reply, by) = chain.on_response(&mut run.held, chain.len()).await? {
            let answer = run.reply(*reply);
            let rest = if std::ptr::eq(chain, &raw const route.chain) { by } else { route.chain.len() };
            return see_out(run, route, answer, rest).await;
        }
    }
    let goes = run.held.response.as_ref().and_then(|head| framing_of(&head.headers));
    let wants = |phase| chains.iter().any(|chain| chain.wants(phase, &run.held));
    if let Some(from_upstream) = came {
        if !wants(Phase::OnEvent) {
            return Ok(Answer { head: take_head(run)?, body: AnswerBody::Plain(body) });
        }
        let head = take_head(run)?;
        let to_client = goes.unwrap_or(from_upstream);
        if head.headers.contains_key(CONTENT_ENCODING) {
            return Err(Error::new(Reason::PolicyEncoded, "the upstream compressed a stream that a policy reads"));
        }
        return Ok(Answer { head, body: AnswerBody::Events(body, Framings { from_upstream, to_client }) });
    }
    let has_body = run.held.request.method != Method::HEAD
        && !matches!(parts.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if !has_body || !wants(Phase::OnResponseBody) {
        return Ok(Answer { head: take_head(run)?, body: AnswerBody::Plain(body) });
    }
    response_body(run, route, entry, body).await
}

/// The whole response body through both chains.
async fn response_body(run: &mut Run, route: &Arc<Route>, entry: &UpstreamEntry, body: Body) -> Result<Answer, Error> {
    let chains = [&entry.chain, &route.chain];
    let mut max = run.snapshot.config.bounds.buffered_body.0;
    for chain in chains {
        max = chain.body_max("response-body-max", Phase::OnResponseBody, max);
    }
    let gathered = tokio::time::timeout(left(run.deadline(false)), gather(body, max, Reason::UpstreamTooLarge)).await;
    let content = gathered.map_err(|_| Error::from(Reason::UpstreamTimeout))??.shared();
    let encoded = run
        .held
        .fields(crate::exchange::Section::Response)
        .is_some_and(|headers| headers.contains_key(CONTENT_ENCODING));
    let bound = usize::try_from(run.snapshot.config.bounds.buffered_body.0).unwrap_or(usize::MAX);
    let mut content = CallBody { content, max: bound, encoded, changed: false };
    for chain in chains {
        if let Flow::Answer(reply, _) = chain.on_response_body(&mut run.held, &mut content).await? {
            return Ok(run.reply(*reply));
        }
    }
    let mut head = take_head(run)?;
    if content.changed {
        head.headers.remove(CONTENT_ENCODING);
        content.content = hold(content.content)?;
    }
    Ok(Answer::full(head, content.content.into_bytes()))
}

fn take_head(run: &mut Run) -> Result<ResponseHead, Error> {
    // A copy stays for `on-event` and `on-log`.
    run.held.response.clone().ok_or_else(|| Error::new(Reason::Internal, "the response is gone"))
}

pub(super) fn framing_of(headers: &HeaderMap) -> Option<Framing> {
    Framing::of(headers.get(CONTENT_TYPE)?.to_str().ok()?)
}

fn is_ours(name: &HeaderName) -> bool {
    is_owned(name.as_str()) || name.as_str().starts_with("x-gatewright-")
}

/// Takes away what belongs to the connection to the upstream, and what only the gateway may say.
pub(super) fn clean_response(headers: &mut HeaderMap) {
    let trailer = announced_trailers(headers);
    let named = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let named: Vec<String> =
        named.flat_map(|value| value.split(',')).map(|name| name.trim().to_ascii_lowercase()).collect();
    for name in named {
        headers.remove(name.as_str());
    }
    let strip: Vec<HeaderName> =
        headers.keys().filter(|name| is_ours(name) && *name != CONTENT_LENGTH).cloned().collect();
    for name in strip {
        headers.remove(name);
    }
    if let Some(trailer) = trailer {
        headers.insert(TRAILER, trailer);
    }
}
