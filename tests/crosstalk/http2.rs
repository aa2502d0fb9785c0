//! Clients of HTTP/2: many streams on a connection, some of which are reset.

use std::sync::Arc;

use bytes::Bytes;
use h2::client::SendRequest;
use harness::{DEADLINE, Numbers};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::tag::Tag;
use super::{Abort, Got, Plan};

/// Streams at a time, and how many one after another.
const LANES: usize = 8;
const STREAMS_MAX: usize = 500;

/// Asks on one connection after another.
pub(super) async fn client(plan: Arc<Plan>, mut numbers: Numbers) {
    while plan.goes_on() {
        let Ok((sender, connection)) = connect(&plan).await else {
            if let Some(tag) = plan.take() {
                plan.judge("http2", tag, &Got::default(), None);
            }
            continue;
        };
        let connection = tokio::spawn(connection);
        let mut lanes = JoinSet::new();
        for _ in 0..LANES {
            lanes.spawn(lane(plan.clone(), sender.clone(), Numbers::new(numbers.number())));
        }
        lanes.join_all().await;
        connection.abort();
    }
}

type Connection = h2::client::Connection<TcpStream, Bytes>;

async fn connect(plan: &Plan) -> Result<(SendRequest<Bytes>, Connection), h2::Error> {
    let socket = TcpStream::connect(plan.address).await.map_err(|_| h2::Reason::CONNECT_ERROR)?;
    h2::client::handshake(socket).await
}

/// Asks one request after another, until the connection takes no more.
async fn lane(plan: Arc<Plan>, mut sender: SendRequest<Bytes>, mut numbers: Numbers) {
    for _ in 0..STREAMS_MAX {
        let Ok(ready) = sender.ready().await else { return };
        sender = ready;
        let Some(tag) = plan.take() else { return };
        let abort = plan.abort(&mut numbers, tag);
        let mut got = Got::default();
        let patience = if let Some(Abort::After(patience)) = abort { patience } else { DEADLINE };
        // What is dropped before its end is reset.
        let ended = timeout(patience, exchange(&mut sender, tag, abort, &mut got)).await;
        if ended.is_err() && abort.is_none() {
            plan.faults.add(format!("http2 {}: no end in time", tag.name()));
        }
        plan.judge("http2", tag, &got, abort);
    }
}

async fn exchange(
    sender: &mut SendRequest<Bytes>,
    tag: Tag,
    abort: Option<Abort>,
    got: &mut Got,
) -> Result<(), h2::Error> {
    let question = tag.question();
    let method = if question.is_some() { "POST" } else { "GET" };
    let uri = format!("http://a.test{}", tag.path());
    let request = http::Request::builder().method(method).uri(uri).body(()).unwrap();
    let (response, mut body) = sender.send_request(request, question.is_none())?;
    if let Some(mut question) = question {
        // Who leaves without an answer leaves amid the request.
        let is_all = !matches!(abort, Some(Abort::After(_)));
        question.truncate(if is_all { question.len() } else { question.len() / 2 });
        body.send_data(question.into(), is_all)?;
    }
    let response = response.await?;
    got.status = response.status().as_u16();
    got.tag = response.headers().get("x-tag").and_then(|tag| tag.to_str().ok()).map(str::to_owned);
    let mut body = response.into_body();
    while let Some(data) = body.data().await {
        let data = data?;
        got.body.extend(&data);
        if matches!(abort, Some(Abort::At(at)) if got.body.len() >= at) {
            return Ok(());
        }
        body.flow_control().release_capacity(data.len())?;
    }
    got.is_whole = true;
    Ok(())
}
