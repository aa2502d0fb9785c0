//! Opens connections: name look-up, TCP, TLS, HTTP.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::endpoint::{Connection, Endpoint, Place, fault};
use crate::body::Body;
use crate::config::UpstreamProtocol;
use crate::error::{Error, Reason};
use crate::proxy_protocol::{self, Proxied};

/// How long one address of several may take before the next one is tried as well.
const HEAD_START: Duration = Duration::from_millis(250);

/// The most bytes of a response's headers.
const HEADER_BYTES_MAX: u32 = 64 << 10;

/// Bytes both ways.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Place {
    async fn dial(&self) -> io::Result<Box<dyn Stream>> {
        match self {
            Self::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                // Every write here is a whole message part: waiting for more would only delay events.
                stream.set_nodelay(true)?;
                Ok(Box::new(stream))
            }
            Self::Unix(path) => Ok(Box::new(UnixStream::connect(path).await?)),
        }
    }
}

impl Endpoint {
    /// A new connection of the protocol that is configured or that ALPN settles.
    pub(super) async fn connect(self: &Arc<Self>, proxied: Option<Proxied>, epoch: u64) -> Result<Connection, Error> {
        let protocol = self.terms.protocol;
        let (stream, is_h2) = self.dial(protocol, proxied).await?;
        if is_h2 || (self.tls.is_none() && protocol == UpstreamProtocol::Http2) {
            let sender = self.start_http2(stream).await?;
            self.pool.share(sender.clone(), epoch);
            return Ok(Connection::Http2(sender));
        }
        let (sender, connection) =
            http1_builder().handshake(TokioIo::new(stream)).await.map_err(|error| fault(&error))?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "upstream connection ended");
            }
        });
        Ok(Connection::Http1(sender))
    }

    /// A new HTTP/1.1 connection that may become a tunnel.
    pub(super) async fn connect_for_upgrade(
        &self,
        proxied: Option<Proxied>,
    ) -> Result<http1::SendRequest<Body>, Error> {
        let (stream, _) = self.dial(UpstreamProtocol::Http1, proxied).await?;
        let (sender, connection) =
            http1_builder().handshake(TokioIo::new(stream)).await.map_err(|error| fault(&error))?;
        tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "upstream connection ended");
            }
        });
        Ok(sender)
    }

    async fn start_http2(&self, stream: Box<dyn Stream>) -> Result<http2::SendRequest<Body>, Error> {
        let handshake = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(Some(Duration::from_secs(20)))
            .keep_alive_timeout(Duration::from_secs(10))
            .initial_stream_window_size(1 << 20)
            .initial_connection_window_size(4 << 20)
            .max_header_list_size(HEADER_BYTES_MAX)
            .handshake(TokioIo::new(stream));
        let (sender, connection) = handshake.await.map_err(|error| fault(&error))?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "upstream connection ended");
            }
        });
        Ok(sender)
    }

    /// A connection on which nothing was said but who the client is, whatever TLS is configured.
    pub(super) async fn connect_plainly(&self, proxied: Option<Proxied>) -> Result<Box<dyn Stream>, Error> {
        self.terms.metrics.upstream_connections.inc();
        let dialled = tokio::time::timeout(self.terms.connect_timeout, self.dial_plainly(proxied)).await;
        dialled.map_err(|_| self.late())?
    }

    /// Only connects, and closes again.
    pub(super) async fn knock(&self) -> Result<(), Error> {
        self.dial(self.terms.protocol, None).await.map(drop)
    }

    /// A stream to the endpoint, and whether ALPN chose HTTP/2.
    async fn dial(
        &self,
        protocol: UpstreamProtocol,
        proxied: Option<Proxied>,
    ) -> Result<(Box<dyn Stream>, bool), Error> {
        let dialled = tokio::time::timeout(self.terms.connect_timeout, async {
            let stream = self.dial_plainly(proxied).await?;
            let Some((tls, name)) = &self.tls else { return Ok((stream, false)) };
            let config = match protocol {
                UpstreamProtocol::Auto => &tls.any,
                UpstreamProtocol::Http1 => &tls.http1,
                UpstreamProtocol::Http2 => &tls.http2,
            };
            let connecting = TlsConnector::from(config.clone()).connect(name.clone(), stream).await;
            let stream = connecting.map_err(|error| self.explain(&error))?;
            let is_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            Ok((Box::new(stream) as Box<dyn Stream>, is_h2))
        });
        self.terms.metrics.upstream_connections.inc();
        dialled.await.map_err(|_| self.late())?
    }

    /// A stream to the endpoint below TLS, on which it was told who the client is, if it is to be.
    async fn dial_plainly(&self, proxied: Option<Proxied>) -> Result<Box<dyn Stream>, Error> {
        let mut stream = self.dial_any().await?;
        if let Some(version) = self.terms.proxy_protocol {
            let header = proxy_protocol::encode(version, proxied);
            stream.write_all(&header).await.map_err(|error| self.unreachable(&error))?;
        }
        Ok(stream)
    }

    fn late(&self) -> Error {
        Error::new(Reason::UpstreamTimeout, format!("connect to {}", self.address))
    }

    /// A stream to the first place that answers. Where one does not do so soon, the next one is tried beside it
    /// (RFC 8305 §5).
    async fn dial_any(&self) -> Result<Box<dyn Stream>, Error> {
        let places = self.places.load_full();
        let mut rest = places.iter();
        let mut tried = FuturesUnordered::new();
        let mut last = None;
        loop {
            if let Some(place) = rest.next() {
                tried.push(place.dial());
            } else if tried.is_empty() {
                let error = last.unwrap_or_else(|| io::Error::other("its name has no address that is known"));
                return Err(self.unreachable(&error));
            }
            let answered = if rest.as_slice().is_empty() {
                tried.next().await
            } else {
                tokio::time::timeout(HEAD_START, tried.next()).await.ok().flatten()
            };
            match answered {
                Some(Ok(stream)) => return Ok(stream),
                Some(Err(error)) => last = Some(error),
                None => {}
            }
        }
    }

    fn unreachable(&self, error: &io::Error) -> Error {
        Error::new(Reason::UpstreamUnreachable, format!("{}: {error}", self.address))
    }

    fn explain(&self, error: &io::Error) -> Error {
        let is_tls = error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>());
        let reason = if is_tls { Reason::UpstreamTls } else { Reason::UpstreamUnreachable };
        Error::new(reason, format!("{}: {error}", self.address))
    }
}

fn http1_builder() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder.max_buf_size(HEADER_BYTES_MAX as usize);
    builder
}
