//! One connection: TLS, which HTTP it speaks, and serving it to its end.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::metrics::gauge::Gauge;
use rustls::{HandshakeKind, ServerConnection};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::watch;
use tokio::time::Instant;

use super::guard::Guard;
use super::passthrough::{self, Greeted};
use super::preamble;
use super::socket::Socket;
use super::stall::StallExecutor;
use crate::config::{BoundsConfig, Config, TimeoutsConfig};
use crate::exchange::{Certificate, Peer, TlsFacts};
use crate::proxy::{self, Connection, Gateway, ResponseBody};
use crate::proxy_protocol::Proxied;
use crate::snapshot::{ListenerKey, ListenerTls};

/// The start of every HTTP/2 connection (RFC 9113 §3.4).
pub(super) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a connection may hold of one response that its client does not read.
const SEND_BUFFER: usize = 64 << 10;
/// As many header fields as hyper keeps on its stack; a higher bound costs an allocation a request.
const HEADERS_ON_STACK: usize = 100;
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;

/// What a connection keeps of the configuration that it came under, to its end. It does not keep the snapshot: an idle
/// connection would hold every plugin of an old one.
pub(super) struct Terms {
    pub(super) timeouts: TimeoutsConfig,
    pub(super) bounds: BoundsConfig,
}

impl Terms {
    fn of(config: &Config) -> Self {
        Self { timeouts: config.timeouts.clone(), bounds: config.bounds.clone() }
    }

    fn idle_at_the_end(&self) -> Duration {
        self.timeouts.drain_idle.0.min(self.timeouts.drain.0)
    }
}

/// Counts a connection as long as it is open.
struct Open(Gauge);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Serves a connection to its end.
pub(super) async fn serve(
    gateway: Arc<Gateway>,
    key: ListenerKey,
    (mut socket, address): (Socket, SocketAddr),
    draining: watch::Receiver<bool>,
) {
    let gauge = gateway.shared.metrics.connections.clone();
    gauge.inc();
    let _open = Open(gauge);
    let (terms, listener) = {
        let snapshot = gateway.snapshot.load();
        (Terms::of(&snapshot.config), snapshot.listeners.get(&key).cloned())
    };
    // Its listener may be gone since it was accepted.
    let Some(listener) = listener else { return };
    let Ok(local) = socket.prepare() else { return };
    let mut peer = Peer { address, local, tls: None, forwards_certificate: listener.config.forward_client_cert };
    if let Some(config) = &listener.config.proxy_protocol {
        let read = Box::pin(preamble::read(&mut socket, config, address.ip()));
        match tokio::time::timeout(terms.timeouts.first_byte.0, read).await {
            Ok(Ok(None)) => {}
            Ok(Ok(Some(Proxied { source, destination }))) => (peer.address, peer.local) = (source, destination),
            Ok(Err(error)) => return tracing::debug!(error, %address, "refused for the PROXY protocol"),
            Err(_) => return tracing::debug!(%address, "the PROXY protocol took too long"),
        }
    }
    if listener.tls.is_none() && listener.passthrough.is_empty() {
        return speak(gateway, terms, Arc::new(peer), (socket, false), draining).await;
    }
    let patience = terms.timeouts.tls_handshake.0;
    // In boxes, what comes before the first request and what is rare weighs on no idle connection.
    match tokio::time::timeout(patience, Box::pin(passthrough::greet(&gateway, &listener, socket))).await {
        Ok(Ok(Greeted::Here(stream))) => {
            let session = stream.get_ref().1;
            if !listener.tls.as_ref().is_some_and(|tls| is_acceptable(session, tls, &peer)) {
                return;
            }
            let is_h2 = session.alpn_protocol() == Some(b"h2");
            peer.tls = Some(tls_facts(session));
            // A connection that lasts must not keep the certificates of an old configuration.
            drop(listener);
            speak(gateway, terms, Arc::new(peer), (stream, is_h2), draining).await;
        }
        Ok(Ok(Greeted::Elsewhere(upstream, client))) => {
            drop(listener);
            let proxied = Proxied { source: peer.address, destination: peer.local };
            Box::pin(passthrough::pass(&gateway, &upstream, *client, proxied)).await;
        }
        Ok(Ok(Greeted::Nowhere)) => tracing::debug!(%address, "the greeting names nothing that is served"),
        Ok(Err(error)) => tracing::debug!(%error, %address, "TLS handshake failed"),
        Err(_) => tracing::debug!(%address, "TLS handshake took too long"),
    }
}

/// Whether a session may be used once its handshake is over.
fn is_acceptable(session: &ServerConnection, tls: &ListenerTls, peer: &Peer) -> bool {
    let chain = session.peer_certificates().unwrap_or_default();
    if session.handshake_kind() == Some(HandshakeKind::Resumed) && !tls.is_still_good(chain) {
        tracing::warn!(address = %peer.address, "a session was resumed whose client certificate is no longer good");
        return false;
    }
    let leaf = chain.first().filter(|_| peer.forwards_certificate);
    if leaf.is_some_and(|leaf| Certificate::read(leaf).forwarded().is_none()) {
        tracing::warn!(address = %peer.address, "a client certificate says more than a header may hold");
        return false;
    }
    true
}

fn tls_facts(session: &ServerConnection) -> TlsFacts {
    let version = match session.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_2) => "1.2",
        _ => "1.3",
    };
    let leaf = session.peer_certificates().and_then(|chain| chain.first());
    let peer_subject = leaf.and_then(|leaf| {
        let parsed = webpki::EndEntityCert::try_from(leaf).ok()?;
        Some(escape(parsed.subject()))
    });
    let certificate = leaf.map(|leaf| Certificate::read(leaf));
    TlsFacts { version, server_name: session.server_name().map(str::to_owned), peer_subject, certificate }
}

/// The DER of a name with everything but letters, digits and blanks percent-encoded: it may hold any byte.
fn escape(name: &[u8]) -> String {
    let mut text = String::new();
    for byte in name {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b' ' => text.push(char::from(*byte)),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

async fn speak<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    gateway: Arc<Gateway>,
    terms: Terms,
    peer: Arc<Peer>,
    (stream, is_h2): (S, bool),
    mut draining: watch::Receiver<bool>,
) {
    let connection = Arc::new(Connection::new(peer));
    let mut guard = Guard::new(stream, connection.clone(), &terms);
    let wait = tokio::time::timeout(terms.timeouts.first_byte.0, guard.begins_with(PREFACE));
    let begun = tokio::select! {
        begun = wait => begun,
        () = idle_at_the_end(&mut draining, &connection, terms.idle_at_the_end()) => return,
    };
    let is_h2 = match begun {
        Ok(Ok(Some(preface))) => preface,
        // It said nothing, or ended: there is nobody to answer.
        Ok(Ok(None) | Err(_)) | Err(_) => return,
    } || is_h2;
    guard.speak(is_h2);
    let shared = connection.clone();
    let serve = move |request| proxy::serve(gateway.clone(), shared.clone(), request);
    // What it takes to answer goes once the answer's body begins: a stream that is not read, or a connection that is not
    // asked, holds no more of it. It is large, and in a box it is not moved.
    let service = service_fn(move |request| {
        let serving = Box::pin(serve(request));
        async move { Ok(serving.await) }
    });
    if is_h2 {
        Box::pin(speak_http2(service, terms, guard, (&connection, draining))).await;
    } else {
        speak_http1(service, terms, guard, (&connection, draining)).await;
        connection.tunnel_is_over().await;
    }
}

/// Returns when it is time to finish.
async fn drained(draining: &mut watch::Receiver<bool>) {
    while !*draining.borrow_and_update() {
        if draining.changed().await.is_err() {
            return;
        }
    }
}

/// Returns when it is time to finish and nothing was asked for in a while. A client of HTTP/1.1 cannot be told that it
/// shall ask no more before it asks: its next request may be on its way, and is answered with `connection: close`.
async fn idle_at_the_end(draining: &mut watch::Receiver<bool>, connection: &Connection, patience: Duration) {
    drained(draining).await;
    let mut idle_since = Instant::now();
    while idle_since.elapsed() < patience {
        tokio::time::sleep(patience / IDLE_LOOKS).await;
        if connection.in_flight.load(Ordering::Relaxed) > 0 {
            idle_since = Instant::now();
        }
    }
}

/// How often a connection is looked at in the time that it may be idle.
const IDLE_LOOKS: u32 = 10;

/// Serves until the client goes, or, once it is time to finish, until what is under way is over.
async fn to_the_end<C: Future<Output = hyper::Result<()>>>(
    mut serving: Pin<&mut C>,
    finish: impl FnOnce(Pin<&mut C>),
    time: impl Future<Output = ()>,
) {
    let ended = tokio::select! {
        biased;
        ended = serving.as_mut() => ended,
        () = time => {
            finish(serving.as_mut());
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended");
    }
}

/// Answers each request of a connection.
trait Serving:
    HttpService<Incoming, ResBody = ResponseBody, Error = Infallible, Future: Send + 'static> + Send + 'static
{
}

impl<V> Serving for V where
    V: HttpService<Incoming, ResBody = ResponseBody, Error = Infallible, Future: Send + 'static> + Send + 'static
{
}

async fn speak_http1<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    mut service: impl Serving,
    terms: Terms,
    mut guard: Guard<S>,
    (connection, mut draining): (&Connection, watch::Receiver<bool>),
) {
    let mut idle = pin!(idle_at_the_end(&mut draining, connection, terms.idle_at_the_end()));
    let bounds = terms.bounds;
    let mut builder = http1::Builder::new();
    // The guard has its own, narrower bounds and timers.
    builder.timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(512 << 10);
    if bounds.headers > HEADERS_ON_STACK {
        builder.max_headers(bounds.headers);
    }
    loop {
        let mut serving = Box::new(builder.serve_connection(TokioIo::new(guard), service).with_upgrades());
        let ended = tokio::select! {
            biased;
            ended = &mut *serving => ended,
            () = quiet(connection) => {
                // hyper keeps two buffers of 8 KiB each for as long as it has the connection.
                let Some(parts) = serving.into_parts() else { return };
                (guard, service) = (parts.io.into_inner(), parts.service);
                let parked = tokio::select! {
                    parked = guard.park(&parts.read_buf) => parked,
                    () = &mut idle => guard.shutdown().await.and(Err(io::ErrorKind::ConnectionAborted.into())),
                };
                match parked {
                    Ok(()) => continue,
                    Err(error) => return tracing::debug!(%error, "connection ended"),
                }
            }
            () = &mut idle => {
                Pin::new(&mut *serving).graceful_shutdown();
                serving.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "connection ended");
        }
        return;
    }
}

/// Returns when the guard finds that the connection may be parked: it looks whenever the connection is polled.
async fn quiet(connection: &Connection) {
    poll_fn(|_| if connection.quiet.load(Ordering::Relaxed) { Poll::Ready(()) } else { Poll::Pending }).await;
}

async fn speak_http2<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    service: impl Serving,
    Terms { timeouts, bounds }: Terms,
    guard: Guard<S>,
    (connection, mut draining): (&Connection, watch::Receiver<bool>),
) {
    let mut builder = http2::Builder::new(StallExecutor { stall: timeouts.write_stall.0 });
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(bounds.streams)
        .max_header_list_size(u32::try_from(bounds.header_bytes.0 + bounds.uri_bytes.0).unwrap_or(u32::MAX))
        .max_send_buf_size(SEND_BUFFER)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_pending_accept_reset_streams(20)
        .max_local_error_reset_streams(Some(100))
        .keep_alive_interval(Some(Duration::from_secs(30)))
        .keep_alive_timeout(Duration::from_secs(10));
    let serving = pin!(builder.serve_connection(TokioIo::new(guard), service));
    // RFC 9113 §6.8: a GOAWAY that refuses nothing, a PING, and only after its answer one that names the last stream.
    let time = async {
        tokio::select! {
            () = drained(&mut draining) => {}
            () = connection.is_retired() => {}
        }
    };
    to_the_end(serving, |serving| serving.graceful_shutdown(), time).await;
}
