//! Clients of HTTP/1.1, which send some requests before the answers to those before.

use std::io::{Error, ErrorKind, Result};
use std::sync::Arc;

use harness::{DEADLINE, Numbers};
use tokio::io::{AsyncRead, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::inbox::{Body, Inbox, framed, framing};
use super::tag::Tag;
use super::{Abort, Got, Plan};

/// Requests that go out at once: one in three times more than one.
const BURST_MAX: usize = 6;

/// Asks on one connection after another.
pub(super) async fn client(plan: Arc<Plan>, mut numbers: Numbers) {
    while let Some(first) = plan.take() {
        let Ok(mut socket) = TcpStream::connect(plan.address).await else {
            plan.judge("http1", first, &Got::default(), None);
            continue;
        };
        let mut next = Some(first);
        while let Some(tag) = next {
            let more = if numbers.below(3) == 0 { 1 + numbers.below(BURST_MAX - 1) } else { 0 };
            let tags = std::iter::once(tag).chain((0..more).map_while(|_| plan.take()));
            let burst: Vec<_> = tags.map(|tag| (tag, plan.abort(&mut numbers, tag))).collect();
            if !exchange(&plan, &mut socket, &burst, &mut numbers).await {
                break;
            }
            next = plan.take();
        }
        if numbers.below(2) == 0 {
            // A socket that is gone already needs no reset.
            drop(socket.set_zero_linger());
        }
    }
}

/// Sends requests while their answers are read; whether the connection may be used again.
async fn exchange(plan: &Plan, socket: &mut TcpStream, burst: &[(Tag, Option<Abort>)], numbers: &mut Numbers) -> bool {
    let mut bytes = Vec::new();
    for (tag, abort) in burst {
        let request = request(*tag, numbers);
        let is_cut = matches!(abort, Some(Abort::After(_))) && numbers.below(2) == 0;
        let end = if is_cut { numbers.below(request.len()) } else { request.len() };
        bytes.extend(request.into_iter().take(end));
        if is_cut {
            break;
        }
    }
    let (read, mut write) = socket.split();
    let writing = async {
        // Where the gateway has closed, the reading side sees it too.
        drop(write.write_all(&bytes).await);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        goes_on = read_all(plan, Inbox::new(read, Vec::new()), burst) => goes_on,
        () = writing => false,
    }
}

async fn read_all(plan: &Plan, mut inbox: Inbox<impl AsyncRead + Unpin>, burst: &[(Tag, Option<Abort>)]) -> bool {
    let mut left = burst.iter();
    while let Some((tag, abort)) = left.next() {
        let mut got = Got::default();
        let patience = if let Some(Abort::After(patience)) = abort { *patience } else { DEADLINE };
        let read = timeout(patience, answer(&mut inbox, &mut got, *abort)).await;
        plan.judge("http1", *tag, &got, *abort);
        let goes_on = match read {
            Ok(Ok(goes_on)) => goes_on,
            Ok(Err(error)) => {
                if error.kind() == ErrorKind::InvalidData {
                    plan.faults.add(format!("http1 {}: {error}", tag.name()));
                }
                false
            }
            Err(_) => {
                if abort.is_none() {
                    plan.faults.add(format!("http1 {}: no end in time", tag.name()));
                }
                false
            }
        };
        if !goes_on {
            for (unanswered, their_abort) in left {
                plan.judge("http1", *unanswered, &Got::default(), abort.or(*their_abort));
            }
            return false;
        }
    }
    if !inbox.rest.is_empty() {
        plan.faults.add(format!("http1: {:?} after the last answer", String::from_utf8_lossy(&inbox.rest)));
    }
    inbox.rest.is_empty()
}

/// Reads an answer, or what its client wants of it; whether the connection goes on.
async fn answer(inbox: &mut Inbox<impl AsyncRead + Unpin>, got: &mut Got, abort: Option<Abort>) -> Result<bool> {
    let Some(head) = inbox.through(b"\r\n\r\n").await? else { return Ok(false) };
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    if !response.parse(&head).is_ok_and(|parsed| parsed.is_complete()) {
        return Err(Error::new(ErrorKind::InvalidData, format!("{:?}", String::from_utf8_lossy(&head))));
    }
    let value = |name: &str| {
        let header = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        header.map(|header| String::from_utf8_lossy(header.value).into_owned())
    };
    got.status = response.code.unwrap_or_default();
    got.tag = value("x-tag");
    let goes_on = value("connection").as_deref() != Some("close");
    let enough = if let Some(Abort::At(at)) = abort { at } else { usize::MAX };
    got.is_whole = inbox.body(framing(response.headers), Body { bytes: &mut got.body, enough }).await?;
    Ok(got.is_whole && goes_on)
}

fn request(tag: Tag, numbers: &mut Numbers) -> Vec<u8> {
    let path = tag.path();
    let Some(question) = tag.question() else {
        return format!("GET {path} HTTP/1.1\r\nhost: a.test\r\n\r\n").into_bytes();
    };
    let chunk_bytes = (numbers.below(2) == 0).then(|| 1 + numbers.below(8 << 10));
    let (framing, body) = framed(&question, chunk_bytes);
    let mut request = format!("POST {path} HTTP/1.1\r\nhost: a.test\r\n{framing}\r\n").into_bytes();
    request.extend(body);
    request
}
