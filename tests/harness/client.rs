//! A client that asks on one connection, by HTTP/1.1 or HTTP/2, and never makes another.

use std::net::SocketAddr;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

use crate::DEADLINE;
use crate::http1::Reply;

/// What is spoken to the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 by prior knowledge.
    Http2,
}

impl Protocol {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Http1, Self::Http2];
}

/// One connection. A request that cannot be answered on it is an error, never a reason for another.
pub struct Client {
    runtime: Runtime,
    sender: Sender,
    authority: String,
}

enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Client {
    /// Connects.
    #[must_use]
    pub fn connect(address: SocketAddr, protocol: Protocol) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let sender = runtime.block_on(async {
            let stream = TcpStream::connect(address).await.unwrap();
            stream.set_nodelay(true).unwrap();
            match protocol {
                Protocol::Http1 => {
                    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
                    tokio::spawn(connection);
                    Sender::Http1(sender)
                }
                Protocol::Http2 => {
                    let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
                    let (sender, connection) = handshake.unwrap();
                    tokio::spawn(connection);
                    Sender::Http2(sender)
                }
            }
        });
        Self { runtime, sender, authority: address.to_string() }
    }

    /// Asks for a path with GET.
    pub fn get(&mut self, path: &str, headers: &[(&str, &str)]) -> Reply {
        self.ask("GET", path, headers, b"")
    }

    /// Sends a body with POST.
    pub fn post(&mut self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        self.ask("POST", path, headers, body)
    }

    /// Sends a request and reads its whole response.
    pub fn ask(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        self.try_ask(method, path, headers, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// As `ask`, where the connection or the stream may break off.
    ///
    /// # Errors
    /// What broke.
    pub fn try_ask(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Reply, String> {
        let is_http2 = matches!(self.sender, Sender::Http2(_));
        let target = if is_http2 { format!("http://{}{path}", self.authority) } else { path.to_owned() };
        let mut request = Request::builder().method(method).uri(target);
        if !is_http2 {
            request = request.header("host", &self.authority);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::copy_from_slice(body))).unwrap();
        let sender = &mut self.sender;
        self.runtime.block_on(async {
            let asked = async { read(sender.send(request).await?).await };
            let asked = tokio::time::timeout(DEADLINE, asked).await;
            asked.map_err(|_| "no answer in time".to_owned())?.map_err(|error| format!("{error:?}"))
        })
    }
}

impl Sender {
    async fn send(&mut self, request: Request<Full<Bytes>>) -> hyper::Result<http::Response<Incoming>> {
        match self {
            Self::Http1(sender) => {
                sender.ready().await?;
                sender.send_request(request).await
            }
            Self::Http2(sender) => {
                sender.ready().await?;
                sender.send_request(request).await
            }
        }
    }
}

async fn read(response: http::Response<Incoming>) -> hyper::Result<Reply> {
    let (parts, mut incoming) = response.into_parts();
    let value = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = parts.headers.iter().map(|(name, text)| (name.as_str().to_owned(), value(text))).collect();
    let mut body = Vec::new();
    while let Some(frame) = incoming.frame().await {
        body.extend(frame?.into_data().unwrap_or_default());
    }
    Ok(Reply { status: parts.status.as_u16(), headers, body, trailers: Vec::new() })
}
