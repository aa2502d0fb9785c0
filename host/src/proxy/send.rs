//! Sends a request to the upstream that was chosen: again where that is safe, and on to others where it cannot serve.

use std::sync::Arc;

use super::attempt::{Attempt, attempt, receive};
use super::retry::{Terms, Tried, Tries};
use super::run::Run;
use super::wish::Wishes;
use super::{Answer, admit_to, left};
use crate::body::{Body, Content, gather};
use crate::error::{Error, Reason};
use crate::exchange::Request;
use crate::overload::Hold;
use crate::snapshot::{Route, UpstreamEntry};
use crate::telemetry::RetryLabels;
use crate::upstream::{self, Failed};

/// The upstream that the request goes to.
pub(super) fn chosen(run: &Run, route: &Route) -> Result<Arc<UpstreamEntry>, Error> {
    let targets = route.targets().ok_or_else(|| Error::new(Reason::Internal, "the route has no upstream"))?;
    Ok(targets.named(&run.held.upstream).clone())
}

/// Sends the request, and makes the answer of what comes back.
pub(super) async fn send(run: &mut Run, route: &Arc<Route>, body: Body) -> Result<Answer, Error> {
    let mut entry = chosen(run, route)?;
    let mut rest = route.fallbacks.iter().filter(|other| !Arc::ptr_eq(other, &entry)).cloned().collect::<Vec<_>>();
    rest.reverse();
    let mut body = keep(run, route, &entry, body).await?;
    loop {
        let upstream = &entry.upstream;
        // Each attempt begins with what the route's chain left.
        let may_repeat = upstream.config.retries.count > 0 || !rest.is_empty();
        let original = (may_repeat && !entry.chain.is_empty()).then(|| run.held.request.clone());
        let wishes = Wishes::of(&run.held, upstream);
        let (tried, kept) = match send_to(run, route, &entry, (body, original.as_ref(), &wishes)).await? {
            Outcome::Answered(answer) => return Ok(answer),
            Outcome::Tried(tried, kept) => (tried, kept),
        };
        let method = &run.held.request.method;
        let fallback = route.config.fallback.as_ref().map(Terms::from);
        let goes_on = fallback.is_some_and(|terms| terms.goes_on(&tried, method, kept.is_some()));
        let Some(next) = rest.pop_if(|_| goes_on && !left(run.deadline(false)).is_zero()) else {
            let upstream::Answer { response, release } = tried?;
            let mut answer = receive(run, route, &entry, response, release).await?;
            wishes.keep(upstream, run.endpoint_id, run.held.request.scheme == "https", &mut answer.head);
            return Ok(answer);
        };
        body = again(run, &next, tried, kept, Again::Elsewhere);
        run.held.begin_attempt(original.as_ref(), entry.chain.policies().map(|policy| policy.id));
        run.held.upstream = next.upstream.name.clone();
        entry = next;
    }
}

/// What an upstream made of a request.
enum Outcome {
    /// A policy answered.
    Answered(Answer),
    /// The last of its tries, and the body if it can be sent again.
    Tried(Tried, Option<Content>),
}

/// Sends the request to one upstream, as often as that is safe, worth it and within bounds.
async fn send_to(
    run: &mut Run,
    route: &Arc<Route>,
    entry: &UpstreamEntry,
    (mut body, original, wishes): (Body, Option<&Request>, &Wishes),
) -> Result<Outcome, Error> {
    let upstream = &entry.upstream;
    if let Err(error) = admit_to(run, entry).await {
        // As where no endpoint can be reached, another upstream may serve it.
        let kept = body.in_memory();
        return Ok(Outcome::Tried(Err(Failed::unplaced(error, body)), kept));
    }
    let mut tries = Tries::new(upstream);
    loop {
        let kept = body.in_memory();
        let tried = match attempt(run, route, entry, (body, wishes, &tries)).await? {
            Attempt::Answered(answer) => return Ok(Outcome::Answered(answer)),
            Attempt::Tried(tried) => tried,
        };
        let left = left(run.deadline(false));
        let message = (&run.held.request.method, kept.is_some());
        let Some(pause) = tries.again(upstream, &tried, message, (run.held.endpoint.as_ref(), left)) else {
            return Ok(Outcome::Tried(tried, kept));
        };
        body = again(run, entry, tried, kept, Again::Here);
        tokio::time::sleep(pause).await;
        run.held.begin_attempt(original, entry.chain.policies().map(|policy| policy.id));
    }
}

/// Holds a body that may have to be sent again, if it is small enough and finds room.
async fn keep(run: &Run, route: &Route, entry: &UpstreamEntry, body: Body) -> Result<Body, Error> {
    let retries = &entry.upstream.config.retries;
    let method = run.held.request.method.as_str();
    let may_repeat = |methods: &[String]| methods.iter().any(|other| other == method);
    let mut max = None;
    if retries.count > 0 && may_repeat(&retries.methods) {
        max = Some(retries.body.0);
    }
    if let Some(fallback) = route.config.fallback.as_ref().filter(|fallback| may_repeat(&fallback.methods)) {
        max = max.max(Some(fallback.body.0));
    }
    let length = run.held.request.content_length.filter(|length| max.is_some_and(|max| *length <= max));
    match length {
        Some(length) if body.in_memory().is_none() && Hold::check(length).is_ok() => {
            gather(body, length, Reason::BodyTooLarge).await.map(Body::full)
        }
        _ => Ok(body),
    }
}

/// Where a request goes once more.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Again {
    Here,
    Elsewhere,
}

/// The body for the next try, which is counted.
fn again(run: &Run, next: &UpstreamEntry, tried: Tried, kept: Option<Content>, place: Again) -> Body {
    let after = upstream::Answer::outcome(&tried);
    let labels = RetryLabels { upstream: next.upstream.name.to_string(), after };
    let metrics = &run.gateway.shared.metrics;
    let counted = if place == Again::Here { &metrics.upstream_retries } else { &metrics.upstream_fallbacks };
    counted.get_or_create(&labels).inc();
    tracing::debug!(id = run.id, upstream = &*next.upstream.name, after, "sent again");
    match (tried, kept) {
        (_, Some(kept)) => Body::full(kept),
        (Err(failed), None) => failed.unsent.map(|(_, body)| body).unwrap_or_default(),
        (Ok(_), None) => Body::empty(),
    }
}
