//! Clients that ask without pause, each in its own way, and never take a failure lightly.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use harness::{Conversation, DEADLINE, Origin, Wire, eventually};

use crate::proxying::upgrades::{ACCEPTED, HANDSHAKE};

/// Events of a stream, and echoes of a tunnel.
pub(super) const EVENTS: usize = 10;
const PACE: Duration = Duration::from_millis(20);

/// An origin that answers at once, streams `/events` and echoes on `/socket`, both at a pace.
pub(super) fn mixed_origin() -> Origin {
    Origin::talking(|conversation| {
        while let Some(request) = conversation.request() {
            if request.line.contains("/socket") {
                return echo(conversation);
            }
            if request.line.contains("/events") {
                stream(conversation);
            } else {
                conversation.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
            }
        }
    })
}

fn stream(conversation: &mut Conversation) {
    conversation.send("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n");
    for _ in 0..EVENTS {
        pause();
        conversation.send("c\r\ndata: tick\n\n\r\n");
    }
    conversation.send("0\r\n\r\n");
}

fn echo(conversation: &mut Conversation) {
    conversation.send(ACCEPTED);
    for _ in 0..EVENTS {
        let bytes = conversation.wire.exactly(5);
        pause();
        conversation.send(bytes);
    }
}

/// Streams last: that is what an upgrade must not cut.
fn pause() {
    let (_keep, never) = mpsc::channel::<()>();
    assert!(never.recv_timeout(PACE).is_err());
}

/// What became of all requests.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) requests: u64,
    /// Requests that went over a new connection, since the old one was to be used no more when they were about to be
    /// sent (RFC 9113 §6.8, RFC 9112 §9.6).
    pub(super) moved: u64,
    pub(super) failures: Vec<String>,
}

/// Clients that ask until they are told to stop.
pub(super) struct Traffic {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    /// Requests of each client.
    requests: [AtomicU64; CLIENTS],
    moved: AtomicU64,
    failures: Mutex<Vec<String>>,
}

const CLIENTS: usize = 5;
type Ask = fn(&Shared, SocketAddr, &AtomicU64) -> Result<(), String>;

impl Traffic {
    pub(super) fn start(address: SocketAddr) -> Self {
        let shared = Arc::<Shared>::default();
        let ways: [Ask; CLIENTS] = [keep_alive, fresh, http2, events, socket];
        let client = |(index, way): (usize, Ask)| {
            let shared = shared.clone();
            std::thread::spawn(move || {
                while !shared.stop.load(Ordering::Relaxed) {
                    let Some(count) = shared.requests.get(index) else { return };
                    if let Err(error) = way(&shared, address, count) {
                        shared.failures.lock().unwrap().push(format!("client {index}: {error}"));
                        return;
                    }
                }
            })
        };
        let clients = ways.into_iter().enumerate().map(client).collect();
        Self { shared, clients }
    }

    pub(super) fn requests(&self) -> u64 {
        self.shared.requests.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// Waits until each client has asked once more, or one has failed.
    pub(super) fn wait_for_all(&self) {
        let counts = || self.shared.requests.iter().map(|count| count.load(Ordering::Relaxed)).collect::<Vec<_>>();
        let before = counts();
        eventually("a request of each client", || {
            let more = before.iter().zip(counts()).all(|(before, now)| now > *before);
            (more || !self.shared.failures.lock().unwrap().is_empty()).then_some(())
        });
    }

    pub(super) fn stop(self) -> Report {
        self.shared.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            if client.join().is_err() {
                self.shared.failures.lock().unwrap().push("a client panicked".to_owned());
            }
        }
        Report {
            requests: self.shared.requests.iter().map(|count| count.load(Ordering::Relaxed)).sum(),
            moved: self.shared.moved.load(Ordering::Relaxed),
            failures: self.shared.failures.lock().unwrap().clone(),
        }
    }
}

impl Shared {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

const GET: &str = "GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n";

/// One connection of HTTP/1.1 for as long as the gateway wants it.
fn keep_alive(shared: &Shared, address: SocketAddr, count: &AtomicU64) -> Result<(), String> {
    let mut wire = Wire::connect(address);
    while !shared.stopped() {
        wire.send(GET);
        let reply = wire.reply_or_close().ok_or("closed before an answer")?;
        if reply.status != 200 || reply.body != b"ok" {
            return Err(format!("{reply:?}"));
        }
        count.fetch_add(1, Ordering::Relaxed);
        if reply.header("connection") == Some("close") {
            shared.moved.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
    }
    Ok(())
}

/// A connection for each request.
fn fresh(_: &Shared, address: SocketAddr, count: &AtomicU64) -> Result<(), String> {
    let mut wire = Wire::connect(address);
    wire.send("GET /x HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");
    let reply = wire.reply_or_close().ok_or("closed before an answer")?;
    count.fetch_add(1, Ordering::Relaxed);
    if reply.status == 200 { Ok(()) } else { Err(format!("{reply:?}")) }
}

/// A stream of events to its end.
fn events(_: &Shared, address: SocketAddr, count: &AtomicU64) -> Result<(), String> {
    let mut wire = Wire::connect(address);
    wire.send("GET /events HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");
    let reply = wire.reply_or_close().ok_or("closed before an answer")?;
    count.fetch_add(1, Ordering::Relaxed);
    let expected = "data: tick\n\n".repeat(EVENTS);
    if reply.status == 200 && reply.body == expected.as_bytes() { Ok(()) } else { Err(format!("{reply:?}")) }
}

/// A tunnel to its end.
fn socket(_: &Shared, address: SocketAddr, count: &AtomicU64) -> Result<(), String> {
    let mut wire = Wire::connect(address);
    wire.send(HANDSHAKE);
    let status = wire.read_head().map_or(0, |reply| reply.status);
    if status != 101 {
        return Err(format!("{status} in place of a tunnel"));
    }
    for index in 0..EVENTS {
        let text = format!("{index:05}");
        wire.send(&text);
        if wire.exactly(5) != text.as_bytes() {
            return Err("another echo".to_owned());
        }
    }
    count.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

/// One connection of HTTP/2 for as long as the gateway wants it.
#[tokio::main(flavor = "current_thread")]
async fn http2(shared: &Shared, address: SocketAddr, count: &AtomicU64) -> Result<(), String> {
    let stream = tokio::net::TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    let (sender, connection) = h2::client::handshake(stream).await.map_err(|error| error.to_string())?;
    let connection = tokio::spawn(connection);
    let mut sender = sender;
    while !shared.stopped() {
        sender = match sender.ready().await {
            Ok(sender) => sender,
            // Told before anything was sent.
            Err(error) if error.is_go_away() && error.is_remote() && error.reason() == Some(h2::Reason::NO_ERROR) => {
                shared.moved.fetch_add(1, Ordering::Relaxed);
                return Ok(());
            }
            Err(error) => return Err(format!("not ready: {error:?}")),
        };
        let request = http::Request::get(format!("http://{address}/x")).body(()).map_err(|error| error.to_string())?;
        let asked = async {
            let (response, _) = sender.send_request(request, true)?;
            let mut body = response.await?.into_body();
            let mut bytes = Vec::new();
            while let Some(data) = body.data().await {
                bytes.extend(data?);
            }
            Ok::<_, h2::Error>(bytes)
        };
        match tokio::time::timeout(DEADLINE, asked).await {
            Ok(Ok(bytes)) if bytes == b"ok" => {
                count.fetch_add(1, Ordering::Relaxed);
            }
            other => return Err(format!("{other:?}")),
        }
    }
    connection.abort();
    Ok(())
}
