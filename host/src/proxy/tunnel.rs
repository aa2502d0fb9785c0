//! WebSocket (RFC 6455): once the chain allowed it and the upstream switched, bytes pass both ways.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::StatusCode;
use http::header::{CONNECTION, HeaderValue, UPGRADE};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::time::Instant;

use super::attempt::{clean_response, outgoing};
use super::gateway::Connection;
use super::run::Run;
use super::send::chosen;
use super::wish::Wishes;
use super::{Answer, AnswerBody, admit_to};
use crate::body::Body;
use crate::error::{Error, Reason};
use crate::exchange::{ResponseHead, Stage};
use crate::plugin::Flow;
use crate::snapshot::Route;

/// Asks the upstream, and joins both sides if it agrees.
pub(super) async fn open(
    run: &mut Run,
    route: &Arc<Route>,
    connection: &Arc<Connection>,
    upgrade: Option<OnUpgrade>,
) -> Result<Answer, Error> {
    let client = upgrade.ok_or(Reason::UpgradeRefused)?;
    let entry = chosen(run, route)?;
    admit_to(run, &entry).await?;
    run.held.attempt += 1;
    let wishes = Wishes::of(&run.held, &entry.upstream);
    let picked = entry.upstream.pick(&wishes.wish(&[]))?;
    run.held.endpoint = Some(picked.address().clone());
    run.held.provider.clone_from(&entry.upstream.provider);
    if let Flow::Answer(reply, _) = entry.chain.on_request(&mut run.held).await? {
        return Ok(run.reply(*reply));
    }
    let outgoing = outgoing(&run.held, &entry, &Body::empty());
    run.held.stage = Stage::Response;
    run.upstream_started = Some(Instant::now());
    let (mut response, release) = entry.upstream.upgrade(picked, outgoing).await?;
    run.first_byte = Some(Instant::now());
    let upstream = hyper::upgrade::on(&mut response);
    let (parts, incoming) = response.into_parts();
    let mut headers = parts.headers;
    clean_response(&mut headers);
    let switched = parts.status == StatusCode::SWITCHING_PROTOCOLS;
    run.held.response = Some(ResponseHead { status: parts.status, headers });
    for chain in [&entry.chain, &route.chain] {
        if let Flow::Answer(reply, _) = chain.on_response(&mut run.held, chain.len()).await? {
            return Ok(run.reply(*reply));
        }
    }
    let head = run.held.response.clone().ok_or_else(|| Error::new(Reason::Internal, "the response is gone"))?;
    if !switched {
        let body = Body::from_upstream(incoming, entry.upstream.config.timeouts.idle.0, Some(release));
        return Ok(Answer { head, body: AnswerBody::Plain(body) });
    }
    connection.tunnel.store(true, Ordering::Relaxed);
    let until = run.deadline(true);
    let (connection, gateway) = (connection.clone(), run.gateway.clone());
    let permits = (run.route_permit.take(), run.upstream_permit.take());
    tokio::spawn(async move {
        let _permits = permits;
        // The tunnel counts as a request under way, so that drain waits for it.
        connection.in_flight.fetch_add(1, Ordering::Relaxed);
        gateway.shared.metrics.in_flight.inc();
        if let Ok((client, upstream)) = tokio::try_join!(client, upstream) {
            join(client, upstream, until).await;
        }
        release();
        gateway.shared.metrics.in_flight.dec();
        connection.in_flight.fetch_sub(1, Ordering::Relaxed);
        connection.end_tunnel();
    });
    let mut head = head;
    head.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    head.headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    Ok(Answer { head, body: AnswerBody::Plain(Body::empty()) })
}

async fn join(client: Upgraded, upstream: Upgraded, until: Instant) {
    let (mut client, mut upstream) = (TokioIo::new(client), TokioIo::new(upstream));
    let joined = tokio::time::timeout_at(until, tokio::io::copy_bidirectional(&mut client, &mut upstream)).await;
    match joined {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::debug!(%error, "tunnel broke off"),
        Err(_) => tracing::debug!("tunnel reached its time"),
    }
}
