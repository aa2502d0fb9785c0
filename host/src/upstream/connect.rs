//! Opens connections: name look-up, TCP, TLS, HTTP.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::endpoint::{Connection, Endpoint, fault};
use crate::body::Body;
use crate::config::UpstreamProtocol;
use crate::error::{Error, Reason};

/// How long the addresses of the last good look-up serve while look-ups fail.
const STALE_ADDRESSES_MAX: Duration = Duration::from_secs(600);

/// The most bytes of a response's headers.
const HEADER_BYTES_MAX: u32 = 64 << 10;

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Endpoint {
    /// A new connection of the protocol that is configured or that ALPN settles.
    pub(super) async fn connect(self: &Arc<Self>) -> Result<Connection, Error> {
        let alpn: &[&[u8]] = match self.protocol {
            UpstreamProtocol::Auto => &[b"h2", b"http/1.1"],
            UpstreamProtocol::Http1 => &[b"http/1.1"],
            UpstreamProtocol::Http2 => &[b"h2"],
        };
        let (stream, is_h2) = self.dial(alpn).await?;
        if is_h2 || (self.tls.is_none() && self.protocol == UpstreamProtocol::Http2) {
            let sender = self.start_http2(stream).await?;
            self.share(sender.clone());
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
    pub(super) async fn connect_for_upgrade(&self) -> Result<http1::SendRequest<Body>, Error> {
        let (stream, _) = self.dial(&[b"http/1.1"]).await?;
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

    /// A stream to the endpoint, and whether ALPN chose HTTP/2.
    async fn dial(&self, alpn: &[&[u8]]) -> Result<(Box<dyn Stream>, bool), Error> {
        let dialled = tokio::time::timeout(self.connect_timeout, async {
            let stream = self.dial_tcp().await?;
            let Some((config, name)) = &self.tls else {
                return Ok((Box::new(stream) as Box<dyn Stream>, false));
            };
            let mut config = rustls::ClientConfig::clone(config);
            config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
            let connecting = TlsConnector::from(Arc::new(config)).connect(name.clone(), stream).await;
            let stream = connecting.map_err(|error| self.explain(&error))?;
            let is_h2 = negotiated_h2(&stream);
            Ok((Box::new(stream) as Box<dyn Stream>, is_h2))
        });
        self.metrics.upstream_connections.inc();
        dialled.await.map_err(|_| Error::new(Reason::UpstreamTimeout, format!("connect to {}", self.address)))?
    }

    async fn dial_tcp(&self) -> Result<TcpStream, Error> {
        let mut last = None;
        for address in self.addresses().await? {
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    // Every write here is a whole message part: waiting for more would only delay events.
                    stream.set_nodelay(true).map_err(|error| self.unreachable(&error))?;
                    return Ok(stream);
                }
                Err(error) => last = Some(error),
            }
        }
        let error = last.unwrap_or_else(|| io::Error::other("the name has no address"));
        Err(self.unreachable(&error))
    }

    async fn addresses(&self) -> Result<Vec<SocketAddr>, Error> {
        if let Ok(address) = self.host.parse() {
            return Ok(vec![SocketAddr::new(address, self.port)]);
        }
        match tokio::net::lookup_host((self.host.as_str(), self.port)).await {
            Ok(addresses) => {
                let addresses: Vec<SocketAddr> = addresses.collect();
                *self.resolved.lock() = Some((Instant::now(), addresses.clone()));
                Ok(addresses)
            }
            Err(error) => {
                let known = self.resolved.lock().clone();
                match known {
                    Some((since, addresses)) if since.elapsed() < STALE_ADDRESSES_MAX => {
                        tracing::warn!(%error, host = self.host, "name look-up failed; using the last addresses");
                        Ok(addresses)
                    }
                    _ => Err(self.unreachable(&error)),
                }
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

fn negotiated_h2(stream: &TlsStream<TcpStream>) -> bool {
    stream.get_ref().1.alpn_protocol() == Some(b"h2")
}

fn http1_builder() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder.max_buf_size(HEADER_BYTES_MAX as usize);
    builder
}
