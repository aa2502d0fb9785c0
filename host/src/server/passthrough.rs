//! TLS that is not ended here: the greeting tells which upstream it is for, and bytes pass both ways from there on.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use parking_lot::Mutex;
use rustls::server::Acceptor;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::time::Instant;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{LazyConfigAcceptor, TlsAcceptor};

use super::socket::Socket;
use crate::error::{Error, Reason};
use crate::proxy::Gateway;
use crate::proxy_protocol::Proxied;
use crate::snapshot::{Listener, UpstreamEntry};
use crate::telemetry::AttemptLabels;
use crate::upstream::{Tunnel, Wish};

/// A client's socket that keeps what was read of it, as long as it is not known whose that is.
pub(super) struct Recorder {
    socket: Socket,
    read: Option<Vec<u8>>,
}

/// What a client's greeting leads to.
pub(super) enum Greeted {
    /// A session that is ended here.
    Here(Box<TlsStream<Recorder>>),
    /// Another's: the upstream, and what was read.
    Elsewhere(String, Box<Recorder>),
    /// Nothing: it was told so.
    Nowhere,
}

/// RFC 8446 §6: a fatal alert in a record of its own, as every version of TLS reads it.
const fn alert(description: u8) -> [u8; 7] {
    [21, 3, 3, 0, 2, 2, description]
}
/// RFC 6066 §3.
const UNRECOGNIZED_NAME: u8 = 112;
/// RFC 8446 §6.2.
const INTERNAL_ERROR: u8 = 80;

/// What a tunnel reads at once, in each direction.
const CHUNK: usize = 8 << 10;
/// Endpoints that are tried: nothing has been sent to one that does not answer.
const TRIES_MAX: usize = 3;

/// Reads a client's greeting, and does the rest of the handshake if it is ours.
pub(super) async fn greet(gateway: &Gateway, listener: &Listener, socket: Socket) -> io::Result<Greeted> {
    let recorder = Recorder { socket, read: (!listener.passthrough.is_empty()).then(Vec::new) };
    if let (true, Some(tls)) = (recorder.read.is_none(), &listener.tls) {
        let stream = TlsAcceptor::from(tls.server.clone()).accept(recorder).await?;
        return Ok(Greeted::Here(Box::new(stream)));
    }
    let mut start = LazyConfigAcceptor::new(Acceptor::default(), recorder).await?;
    let name = start.client_hello().server_name().map(str::to_owned);
    if let Some(upstream) = name.as_ref().and_then(|name| listener.passthrough.find(name)) {
        let upstream = upstream.to_owned();
        return Ok(Greeted::Elsewhere(upstream, Box::new(start.io)));
    }
    if let Some(tls) = &listener.tls {
        start.io.read = None;
        return Ok(Greeted::Here(Box::new(start.into_stream(tls.server.clone()).await?)));
    }
    count(gateway, "", if name.is_some() { "unknown-name" } else { "no-name" });
    start.io.write_all(&alert(UNRECOGNIZED_NAME)).await?;
    start.io.shutdown().await?;
    Ok(Greeted::Nowhere)
}

fn count(gateway: &Gateway, upstream: &str, outcome: &'static str) {
    let labels = AttemptLabels { upstream: upstream.to_owned(), outcome };
    gateway.shared.metrics.passthroughs.get_or_create(&labels).inc();
}

/// Passes bytes between a client and an endpoint of the upstream until both sides have ended theirs, or nothing has
/// passed for the upstream's `timeouts.idle`.
pub(super) async fn pass(gateway: &Gateway, name: &str, mut client: Recorder, proxied: Proxied) {
    // Its upstream may be gone since it was greeted.
    let Some(entry) = gateway.snapshot.load().upstreams.get(name).cloned() else { return };
    let Tunnel { mut stream, release } = match open(&entry, proxied).await {
        Ok(tunnel) => tunnel,
        Err(error) => {
            count(gateway, name, error.reason.code());
            tracing::warn!(%error, upstream = name, "no endpoint takes the tunnel");
            if let Err(error) = client.write_all(&alert(INTERNAL_ERROR)).await {
                tracing::debug!(%error, "the client has gone");
            }
            return;
        }
    };
    count(gateway, name, "passed");
    let greeting = client.read.take().unwrap_or_default();
    let idle = entry.upstream.config.timeouts.idle.0;
    // It waits for as long as it likes: what the configuration was before must not be kept for it.
    drop(entry);
    gateway.shared.metrics.in_flight.inc();
    let joined = async {
        stream.write_all(&greeting).await?;
        drop(greeting);
        join(client, stream, idle).await
    };
    if let Err(error) = joined.await {
        tracing::debug!(%error, upstream = name, "tunnel broke off");
    }
    gateway.shared.metrics.in_flight.dec();
    release();
}

async fn open(entry: &UpstreamEntry, proxied: Proxied) -> Result<Tunnel, Error> {
    let key = proxied.source.ip().to_string();
    let mut tried: Vec<Arc<str>> = Vec::new();
    entry.upstream.count_request();
    loop {
        let picked = entry.upstream.pick(&Wish { key: Some(&key), tried: &tried, ..Wish::default() })?;
        let endpoint = picked.address().clone();
        match entry.upstream.tunnel(picked, Some(proxied)).await {
            Ok(tunnel) => return Ok(tunnel),
            Err(error) if tried.len() + 1 >= TRIES_MAX || tried.contains(&endpoint) => return Err(error),
            Err(_) if !entry.upstream.may_repeat() => return Err(Reason::UpstreamUnreachable.into()),
            Err(error) => {
                tracing::debug!(%error, "another endpoint is tried");
                tried.push(endpoint);
            }
        }
    }
}

async fn join(
    client: impl AsyncRead + AsyncWrite,
    upstream: impl AsyncRead + AsyncWrite,
    idle: Duration,
) -> io::Result<()> {
    let last = Mutex::new(Instant::now());
    let (client_out, client_in) = tokio::io::split(client);
    let (upstream_out, upstream_in) = tokio::io::split(upstream);
    let both = async {
        tokio::try_join!(copy(client_out, upstream_in, &last), copy(upstream_out, client_in, &last)).map(drop)
    };
    tokio::select! {
        ended = both => ended,
        () = silence(&last, idle) => Err(io::Error::new(io::ErrorKind::TimedOut, "nothing passed for too long")),
    }
}

/// Copies to the end of one side, and ends the other side's reading then; what comes back still comes.
async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    last: &Mutex<Instant>,
) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = from.read(&mut chunk).await?;
        if read == 0 {
            return to.shutdown().await;
        }
        to.write_all(chunk.get(..read).unwrap_or_default()).await?;
        *last.lock() = Instant::now();
    }
}

/// Returns when nothing has passed for so long.
async fn silence(last: &Mutex<Instant>, idle: Duration) {
    loop {
        let until = *last.lock() + idle;
        if until <= Instant::now() {
            return;
        }
        tokio::time::sleep_until(until).await;
    }
}

impl AsyncRead for Recorder {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = out.filled().len();
        let polled = Pin::new(&mut this.socket).poll_read(context, out);
        if let Some(read) = &mut this.read {
            read.extend_from_slice(out.filled().get(before..).unwrap_or_default());
        }
        polled
    }
}

impl AsyncWrite for Recorder {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(context)
    }
}
