//! A copy of a request for another upstream, whose answer is thrown away.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;

use http::HeaderName;
use http::header::{CONTENT_LENGTH, HeaderValue, TRAILER};
use http_body::Body as _;

use super::attempt::outgoing;
use super::run::Run;
use super::wish::Wishes;
use crate::body::{Body, Copied};
use crate::error::{Error, Reason};
use crate::snapshot::{Mirror, Route, UpstreamEntry};
use crate::telemetry::{AttemptLabels, Metrics};
use crate::upstream::Outgoing;

/// Tells the upstream that nobody reads its answer, and on which route. The edge takes it away from clients.
const MIRROR: HeaderName = HeaderName::from_static("x-gatewright-mirror");

/// A copy that has its place.
struct Copy {
    entry: Arc<UpstreamEntry>,
    outgoing: Outgoing,
    body: Copied,
    wishes: Wishes,
}

/// Starts a copy of a request if the route has a mirror and it is this one's turn. The body is copied as it goes by.
pub(super) fn start(run: &Run, route: &Route, body: &mut Body) {
    let Some(mirror) = &route.mirror else { return };
    if fastrand::u8(..100) >= mirror.percent {
        return;
    }
    let metrics = run.gateway.shared.metrics.clone();
    let Mirror { entry, body_max, slots, .. } = mirror;
    if run.held.request.content_length.is_some_and(|length| length > *body_max) {
        return count(&metrics, entry, "body-too-large");
    }
    let Ok(slot) = slots.clone().try_acquire_owned() else { return count(&metrics, entry, "busy") };
    let mut outgoing = outgoing(&run.held, entry, body);
    if let Ok(name) = HeaderValue::from_str(&route.name) {
        outgoing.headers.insert(MIRROR, name);
    }
    let Some(copied) = body.copy(usize::try_from(*body_max).unwrap_or(usize::MAX)) else {
        return count(&metrics, entry, "body-too-large");
    };
    let copy = Copy { entry: entry.clone(), outgoing, body: copied, wishes: Wishes::of(&run.held, &entry.upstream) };
    let deadline = run.deadline(false);
    tokio::spawn(async move {
        let _slot = slot;
        let entry = copy.entry.clone();
        let outcome = match tokio::time::timeout_at(deadline, send(copy)).await {
            Ok(Ok(())) => "answered",
            Ok(Err(error)) => error.reason.code(),
            Err(_) => Reason::Timeout.code(),
        };
        count(&metrics, &entry, outcome);
    });
}

fn count(metrics: &Metrics, entry: &UpstreamEntry, outcome: &'static str) {
    let labels = AttemptLabels { upstream: entry.upstream.name.to_string(), outcome };
    metrics.mirrored_requests.get_or_create(&labels).inc();
}

/// Sends a copy and reads its answer to the end, so that the connection can serve again.
async fn send(copy: Copy) -> Result<(), Error> {
    let Copy { entry, mut outgoing, body, wishes } = copy;
    let body = match body {
        Copied::Whole(content) => Body::full(content),
        Copied::Coming(coming) => {
            // The request was broken off, or its body turned out too large.
            let bytes = coming.await.map_err(|_| Error::from(Reason::BodyTooLarge))?;
            outgoing.headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
            outgoing.headers.remove(TRAILER);
            Body::full(bytes)
        }
    };
    let picked = entry.upstream.pick(&wishes.wish(&[]))?;
    let answer = entry.upstream.send(picked, outgoing, body, None).await?;
    let incoming = answer.response.into_body();
    let mut body = Body::from_upstream(incoming, entry.upstream.config.timeouts.idle.0, answer.release);
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        frame?;
    }
    Ok(())
}
