//! The request path: an outer `serve` around a straight inner `handle`.

mod attempt;
mod body;
mod gateway;
mod mirror;
mod retry;
mod run;
mod send;
mod tunnel;
mod wish;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONTENT_LENGTH, EXPECT};
use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use tokio::time::Instant;

pub use body::{BodyState, ResponseBody};
pub use gateway::{Connection, Gateway};
pub use run::Run;

use crate::body::{Body, gather, gather_apart, hold};
use crate::config::Priority;
use crate::error::{Error, Reason};
use crate::exchange::{Exchange, Peer, Reply, Request as Canonical, ResponseHead, canonical, error_reply, is_trailer};
use crate::plugin::{CallBody, Flow, Held, Phase};
use crate::route::Candidate;
use crate::snapshot::{Action, Route, Targets, UpstreamEntry};

/// Serves one request: an answer always comes, and one log line.
pub async fn serve(
    gateway: Arc<Gateway>,
    connection: Arc<Connection>,
    request: Request<Incoming>,
) -> Response<ResponseBody> {
    let mut run = Run::start(&gateway, &connection);
    let (parts, incoming) = request.into_parts();
    let expects = parts.headers.contains_key(EXPECT);
    let config = &run.snapshot.config;
    let mut unread = Some(Body::from_client(incoming, config.bounds.body.0, config.timeouts.body_idle.0));
    let answer = match handle(&mut run, &connection, parts, &mut unread).await {
        Ok(answer) => answer,
        Err(error) => refuse(&mut run, error).await,
    };
    if let Some(body) = unread.filter(|_| !expects) {
        // There is little time for those that are turned away for want of it.
        discard(body, if run.is_overloaded() { DISCARDED_FOR / 20 } else { DISCARDED_FOR }).await;
    }
    run.respond(answer)
}

/// Reads the rest of a request that has its answer, if it is short. Else HTTP/1.1 loses its connection, and HTTP/2 the
/// stream (RFC 9113 §8.1): a hundred of those, and the connection is closed on every stream of it.
async fn discard(body: Body, patience: Duration) {
    let read = tokio::time::timeout(patience, gather_apart(body, DISCARDED_MAX, Reason::BodyTooLarge)).await;
    if !matches!(read, Ok(Ok(_))) {
        tracing::debug!("an early answer leaves a request unread");
    }
}

const DISCARDED_MAX: u64 = 64 << 10;
const DISCARDED_FOR: Duration = Duration::from_millis(100);

/// What a client is going to get.
pub struct Answer {
    head: ResponseHead,
    body: AnswerBody,
}

/// Where an answer's body comes from.
pub enum AnswerBody {
    /// As it is.
    Plain(Body),
    /// As policies make it of the upstream's events.
    Events(Body, body::Framings),
}

async fn handle(
    run: &mut Run,
    connection: &Arc<Connection>,
    mut parts: http::request::Parts,
    unread: &mut Option<Body>,
) -> Result<Answer, Error> {
    connection.refusal()?;
    let measures = run.gateway.look(&run.snapshot.config);
    if measures.refuse {
        return Err(Error::new(Reason::Overloaded, "memory is at its bound"));
    }
    let upgrade = parts.extensions.remove::<OnUpgrade>();
    let snapshot = run.snapshot.clone();
    let config = &snapshot.config;
    let request = canonical(parts, &connection.peer, &config.trusted_proxies, &config.bounds)?;
    run.accept(request);
    let route = find_route(run)?;
    if measures.shed && route.config.priority_from.is_none() {
        shed(route.config.priority)?;
    }
    let body_max = run.body_max(&route);
    if run.held.request.content_length.is_some_and(|length| length > body_max) {
        return Err(Reason::BodyTooLarge.into());
    }
    if let Some(body) = unread {
        body.cap(body_max);
        body.keep_trailers(is_trailer);
        run.watch_request(body);
    }
    let deadline = run.deadline(false);
    // Pinned, it is not moved any more.
    let handled = pin!(pass_on(run, &route, unread, (connection, upgrade)));
    tokio::time::timeout_at(deadline, handled).await.map_err(|_| Error::from(Reason::Timeout))?
}

/// Through the route's chain to the upstream, and back.
async fn pass_on(
    run: &mut Run,
    route: &Arc<Route>,
    unread: &mut Option<Body>,
    (connection, upgrade): (&Arc<Connection>, Option<OnUpgrade>),
) -> Result<Answer, Error> {
    if let Flow::Answer(reply, by) = route.chain.on_request(&mut run.held).await? {
        return answer_early(run, route, *reply, by).await;
    }
    let mut gathered = None;
    if route.chain.wants(Phase::OnRequestBody, &run.held) {
        let body_max = run.body_max(route);
        let mut content = gather_request(run, unread.take().unwrap_or_default(), &route.chain, body_max).await?;
        if let Flow::Answer(reply, by) = route.chain.on_request_body(&mut run.held, &mut content).await? {
            return answer_early(run, route, *reply, by).await;
        }
        gathered = Some(keep_request_body(run, content)?);
    }
    let targets = match &route.action {
        Action::Upstream(targets) => targets,
        Action::Redirect(redirect) => {
            let reply = redirect.answer(&run.held.request)?;
            return answer_early(run, route, reply, route.chain.len()).await;
        }
        Action::Respond(reply) => return answer_early(run, route, reply.clone(), route.chain.len()).await,
    };
    settle_target(run, route, targets)?;
    admit(run, route).await?;
    let mut body = gathered.or_else(|| unread.take()).unwrap_or_default();
    if run.held.request.websocket {
        return tunnel::open(run, route, connection, upgrade).await;
    }
    mirror::start(run, route, &mut body);
    send::send(run, route, body).await
}

/// Waits for its turn on the route, if its requests at once are limited.
async fn admit(run: &mut Run, route: &Route) -> Result<(), Error> {
    if run.gateway.overload.measures().shed {
        shed(run.priority())?;
    }
    let Some(limiter) = &route.limiter else { return Ok(()) };
    run.route_permit = Some(limiter.enter(run.priority(), run.deadline(false)).await?);
    Ok(())
}

/// Waits for its turn at an upstream, and leaves the one before.
async fn admit_to(run: &mut Run, entry: &UpstreamEntry) -> Result<(), Error> {
    run.upstream_permit = None;
    let Some(limiter) = &entry.limiter else { return Ok(()) };
    run.upstream_permit = Some(limiter.enter(run.priority(), run.deadline(false)).await?);
    Ok(())
}

/// Turns requests of low priority away.
fn shed(priority: Priority) -> Result<(), Error> {
    match priority {
        Priority::Low => Err(Error::new(Reason::Overloaded, "requests of low priority are turned away")),
        Priority::Normal | Priority::High => Ok(()),
    }
}

/// Where the request goes, and what is seen of it there, now that the route's chain is through.
fn settle_target(run: &mut Run, route: &Route, targets: &Targets) -> Result<(), Error> {
    let exchange = &mut *run.held;
    // A policy that chose among the sides of a split has the last word.
    if let Some(split) = targets.split.as_ref().filter(|_| exchange.upstream.is_empty()) {
        exchange.upstream = split.side(exchange);
    }
    let Some(rewrite) = &route.rewrite else { return Ok(()) };
    if let Some(path) = rewrite.path(&exchange.request.path, route.config.ambiguous_paths)? {
        exchange.request.path = path;
    }
    if let Some(host) = &rewrite.host {
        let asked = std::mem::replace(&mut exchange.request.authority, host.clone());
        exchange.request.forwarded_host = Some(asked);
        exchange.request.authority_is_set = true;
    }
    Ok(())
}

fn find_route(run: &mut Run) -> Result<Arc<Route>, Error> {
    let request = &run.held.request;
    let candidate = Candidate {
        host: request.host(),
        path: &request.path,
        method: &request.method,
        headers: &request.headers,
        query: request.query.as_deref(),
    };
    let (route, parameters) = run.snapshot.routes.find(candidate).ok_or(Reason::NoRoute)?;
    let route = route.clone();
    if request.ambiguous_path && !route.config.ambiguous_paths {
        run.route = Some(route);
        return Err(Reason::AmbiguousPath.into());
    }
    if request.websocket && !route.config.websocket {
        run.route = Some(route);
        return Err(Reason::UpgradeRefused.into());
    }
    if let Err(error) = check_certificate(&route, &run.peer) {
        run.route = Some(route);
        return Err(error);
    }
    let exchange = &mut *run.held;
    exchange.route = route.name.clone();
    exchange.parameters = parameters;
    if let Some(targets) = route.targets() {
        exchange.choices = targets.names.clone();
        if targets.split.is_none() {
            exchange.upstream = targets.default.upstream.name.clone();
        }
    }
    run.route = Some(route.clone());
    Ok(route)
}

/// Whether the peer's certificate is one that the route is served to.
fn check_certificate(route: &Route, peer: &Peer) -> Result<(), Error> {
    let Some(wanted) = &route.config.client_certificate else { return Ok(()) };
    let certificate = peer.certificate().ok_or(Reason::CertificateRequired)?;
    if certificate.fits(wanted) {
        return Ok(());
    }
    Err(Error::new(Reason::CertificateRefused, format!("certificate {}", certificate.fingerprint)))
}

/// The whole request body, for policies that want it.
async fn gather_request(run: &Run, body: Body, chain: &crate::plugin::Chain, max: u64) -> Result<CallBody, Error> {
    let bound = run.snapshot.config.bounds.buffered_body.0.min(max);
    let bound = chain.body_max("request-body-max", Phase::OnRequestBody, bound);
    let content = gather(body, bound, Reason::BodyTooLarge).await?.shared();
    let encoded = run.held.request.headers.contains_key(http::header::CONTENT_ENCODING);
    Ok(CallBody { content, max: usize::try_from(max).unwrap_or(usize::MAX), encoded, changed: false })
}

fn keep_request_body(run: &mut Run, mut body: CallBody) -> Result<Body, Error> {
    if body.changed {
        run.held.request.headers.remove(http::header::CONTENT_ENCODING);
        body.content = hold(body.content)?;
    }
    run.held.request.content_length = Some(body.content.bytes().len() as u64);
    Ok(Body::full(body.content))
}

/// A reply that was made before any upstream was called: the policies before it see it on its way out.
async fn answer_early(run: &mut Run, route: &Route, reply: Reply, by: usize) -> Result<Answer, Error> {
    let answer = run.reply(reply);
    see_out(run, route, answer, by).await
}

/// `on-response` of the first `count` policies of the route, over an answer that no upstream made.
async fn see_out(run: &mut Run, route: &Route, answer: Answer, count: usize) -> Result<Answer, Error> {
    let Answer { head, body } = answer;
    run.held.response = Some(head);
    run.held.stage = crate::exchange::Stage::Response;
    if let Flow::Answer(reply, _) = route.chain.on_response(&mut run.held, count).await? {
        return Ok(run.reply(*reply));
    }
    let head = run.held.response.take().ok_or_else(|| Error::new(Reason::Internal, "the response is gone"))?;
    Ok(Answer { head, body })
}

/// The answer to a request that failed. What the upstream or the client did wrong still passes the route's chain, which
/// may add headers to it; what a policy did wrong does not.
async fn refuse(run: &mut Run, error: Error) -> Answer {
    let reason = error.reason;
    run.fail(error);
    if !run.held.is_here() {
        run.held = Held::new(Box::new(Exchange::new(run.id.clone(), Canonical::lost(), run.peer.clone())));
    }
    let answer = run.reply(error_reply(&reason.into()));
    let Some(route) = run.route.clone().filter(|_| reason.blame() == crate::error::Blame::Upstream) else {
        return answer;
    };
    let count = route.chain.len();
    match see_out(run, &route, answer, count).await {
        Ok(answer) => answer,
        Err(error) => {
            let reason = error.reason;
            run.fail(error);
            run.reply(error_reply(&reason.into()))
        }
    }
}

impl Answer {
    /// An answer from memory.
    fn full(head: ResponseHead, bytes: bytes::Bytes) -> Self {
        let mut head = head;
        head.headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
        Self { head, body: AnswerBody::Plain(Body::full(bytes)) }
    }
}

/// How long a request may still take.
fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}
