//! The gateway without policies beside nginx and HAProxy: protocols, sizes of bodies, memory of idle connections.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use harness::Authority;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::load::{Client, Exchange, Stream, runtime};
use crate::origin::Origin;
use crate::subject::Subject;
use crate::{CONNECTIONS, ROUNDS, median};

/// What is spoken to the subjects; all of them speak HTTP/1.1 to the origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spoken {
    Http1,
    Tls,
    Http2,
}

const NAME: &str = "bench.test";
/// Streams at once on each HTTP/2 connection.
const STREAMS: usize = 8;
const IDLE: usize = 2_000;

/// CPU time per request, and bytes per idle connection, of each.
pub(crate) fn beside_others(origin: &Origin, round: Duration) {
    let authority = Authority::new("bench");
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = authority.sign(&[NAME]).write(folder.path(), "server");
    let both = [std::fs::read(cert).unwrap(), std::fs::read(key).unwrap()].concat();
    std::fs::write(folder.path().join("both.pem"), both).unwrap();
    let tls = authority.client(None, &["http/1.1"]);
    println!("| spoken | body | nginx | HAProxy | gateway | beside nginx | beside HAProxy |");
    println!("|---|---|---|---|---|---|---|");
    for spoken in [Spoken::Http1, Spoken::Tls, Spoken::Http2] {
        let subjects = subjects(origin.address, spoken, folder.path());
        for size in [1 << 10, 16 << 10, 1 << 20] {
            let found: Vec<Option<f64>> = costs(&subjects, (spoken, size), &tls, round);
            let text = |cost: &Option<f64>| cost.map_or("-".to_owned(), |cost| format!("{cost:.1} µs"));
            let ours = found.last().copied().flatten().unwrap_or(f64::NAN);
            let beside = |other: &Option<f64>| other.map_or("-".to_owned(), |other| format!("{:.2}×", ours / other));
            let columns: Vec<String> = found.iter().map(text).chain(found.iter().take(2).map(beside)).collect();
            println!("| {spoken:?} | {} KiB | {} |", size >> 10, columns.join(" | "));
        }
    }
    println!();
    println!("| {IDLE} idle connections, each | nginx | HAProxy | gateway |");
    println!("|---|---|---|---|");
    for spoken in [Spoken::Http1, Spoken::Tls, Spoken::Http2] {
        let subjects = subjects(origin.address, spoken, folder.path());
        let held: Vec<String> = subjects.iter().map(|subject| idle(subject.as_ref(), spoken, &tls)).collect();
        println!("| {spoken:?} | {} |", held.join(" | "));
    }
    println!();
}

/// nginx, HAProxy and the gateway, as far as they are installed.
fn subjects(origin: SocketAddr, spoken: Spoken, folder: &Path) -> Vec<Option<Subject>> {
    vec![
        Subject::nginx_for(origin, spoken, folder),
        Subject::haproxy(origin, spoken, folder),
        Some(Subject::bare(origin, spoken, folder)),
    ]
}

/// The medians of rounds over all subjects.
fn costs(
    subjects: &[Option<Subject>],
    (spoken, size): (Spoken, usize),
    tls: &Arc<ClientConfig>,
    round: Duration,
) -> Vec<Option<f64>> {
    let path = format!("/bytes/{size}");
    let mut results: Vec<Vec<f64>> = vec![Vec::new(); subjects.len()];
    for number in 0..=ROUNDS {
        for (subject, results) in subjects.iter().zip(&mut results) {
            let Some(subject) = subject else { continue };
            let before = subject.cpu();
            let done = run(subject.address, spoken, &path, tls, if number == 0 { round / 4 } else { round });
            let used = subject.cpu() - before;
            // The first is for warming up.
            if number > 0 {
                results.push(used.as_secs_f64() * 1e6 / done as f64);
            }
        }
    }
    results.into_iter().map(|results| (!results.is_empty()).then(|| median(results.into_iter()))).collect()
}

/// Runs for a time; how many requests were answered.
fn run(address: SocketAddr, spoken: Spoken, path: &str, tls: &Arc<ClientConfig>, time: Duration) -> u64 {
    let exchange = Exchange::get(path);
    runtime().block_on(async {
        let until = Instant::now() + time;
        let mut tasks = Vec::new();
        if spoken == Spoken::Http2 {
            for _ in 0..CONNECTIONS / STREAMS {
                let sender = connect_http2(address).await;
                for _ in 0..STREAMS {
                    tasks.push(tokio::spawn(streams(sender.clone(), format!("http://{NAME}{path}"), until)));
                }
            }
        } else {
            for _ in 0..CONNECTIONS {
                let (exchange, stream) = (exchange.clone(), connect(address, spoken, tls).await);
                tasks.push(tokio::spawn(async move {
                    let mut client = Client::over(stream);
                    let mut done = 0;
                    while Instant::now() < until {
                        client.exchange(&exchange).await;
                        done += 1;
                    }
                    done
                }));
            }
        }
        let mut done = 0;
        for task in tasks {
            done += task.await.unwrap();
        }
        done
    })
}

async fn connect(address: SocketAddr, spoken: Spoken, tls: &Arc<ClientConfig>) -> Box<dyn Stream> {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    if spoken != Spoken::Tls {
        return Box::new(stream);
    }
    let name = ServerName::try_from(NAME).unwrap();
    Box::new(TlsConnector::from(Arc::clone(tls)).connect(name, stream).await.unwrap())
}

async fn connect_http2(address: SocketAddr) -> http2::SendRequest<Empty<Bytes>> {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(4 << 20).initial_connection_window_size(64 << 20);
    let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

async fn streams(mut sender: http2::SendRequest<Empty<Bytes>>, url: String, until: Instant) -> u64 {
    let mut done = 0;
    while Instant::now() < until {
        let request = http::Request::get(&url).header("user-agent", "bench").header("accept", "*/*");
        sender.ready().await.unwrap();
        let response = sender.send_request(request.body(Empty::new()).unwrap()).await.unwrap();
        assert_eq!(response.status(), 200);
        let mut body = response.into_body();
        while let Some(frame) = body.frame().await {
            frame.unwrap();
        }
        done += 1;
    }
    done
}

/// KiB that a connection holds on which one request was answered.
fn idle(subject: Option<&Subject>, spoken: Spoken, tls: &Arc<ClientConfig>) -> String {
    let Some(subject) = subject else { return "-".to_owned() };
    run(subject.address, spoken, "/bytes", tls, Duration::from_millis(200));
    let exchange = Exchange::get("/bytes");
    runtime().block_on(async {
        let before = subject.resident();
        let (mut plain, mut others) = (Vec::new(), Vec::new());
        for _ in 0..IDLE {
            if spoken == Spoken::Http2 {
                let mut sender = connect_http2(subject.address).await;
                let request = http::Request::get(format!("http://{NAME}/bytes")).body(Empty::new()).unwrap();
                let response = sender.send_request(request).await.unwrap();
                let mut body = response.into_body();
                while let Some(frame) = body.frame().await {
                    frame.unwrap();
                }
                others.push(sender);
            } else {
                let mut client = Client::over(connect(subject.address, spoken, tls).await);
                client.exchange(&exchange).await;
                plain.push(client);
            }
        }
        let held = subject.resident().saturating_sub(before) as f64 / IDLE as f64;
        format!("{:.1} KiB", held / 1024.0)
    })
}
