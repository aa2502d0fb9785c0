//! The load: keep-alive connections that each send the next request when the last was answered.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What is sent, again and again.
#[derive(Debug, Clone)]
pub(crate) struct Exchange(Vec<u8>);

/// Latencies of many exchanges.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Latencies {
    /// Half were faster.
    pub(crate) p50: Duration,
    /// All but one of a hundred were faster.
    pub(crate) p99: Duration,
}

const HEADERS: &str = "host: bench.test\r\nuser-agent: bench\r\naccept: */*\r\nauthorization: Bearer alice-key\r\n";

impl Exchange {
    /// A plain request.
    pub(crate) fn get(path: &str) -> Self {
        Self(format!("GET {path} HTTP/1.1\r\n{HEADERS}\r\n").into_bytes())
    }

    /// A chat of about 1 KB.
    pub(crate) fn chat() -> Self {
        let text = "tell me something about gateways, please. ".repeat(20);
        Self::post(&format!(
            r#"{{"model":"fast","max_tokens":200,"messages":[{{"role":"system","content":"be brief"}},{{"role":"user","content":"{text}"}}]}}"#
        ))
    }

    /// A chat whose answer is streamed.
    pub(crate) fn stream() -> Self {
        Self::post(r#"{"model":"fast","stream":true,"max_tokens":200,"messages":[{"role":"user","content":"hi"}]}"#)
    }

    fn post(body: &str) -> Self {
        let head = format!("POST /v1/chat/completions HTTP/1.1\r\n{HEADERS}content-type: application/json\r\n");
        Self(format!("{head}content-length: {}\r\n\r\n{body}", body.len()).into_bytes())
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Runs for a time; how many exchanges were done.
pub(crate) fn run(address: SocketAddr, exchange: &Exchange, connections: usize, time: Duration) -> u64 {
    runtime().block_on(async {
        let until = Instant::now() + time;
        let tasks: Vec<_> = (0..connections)
            .map(|_| {
                let exchange = exchange.clone();
                tokio::spawn(async move {
                    let mut client = Client::connect(address).await;
                    let mut done = 0;
                    while Instant::now() < until {
                        client.exchange(&exchange).await;
                        done += 1;
                    }
                    done
                })
            })
            .collect();
        let mut done = 0;
        for task in tasks {
            done += task.await.unwrap();
        }
        done
    })
}

/// Latencies at one connection.
pub(crate) fn latencies(address: SocketAddr, exchange: &Exchange, time: Duration) -> Latencies {
    runtime().block_on(async {
        let mut client = Client::connect(address).await;
        let until = Instant::now() + time;
        let mut times = Vec::new();
        while Instant::now() < until {
            let start = Instant::now();
            client.exchange(exchange).await;
            times.push(start.elapsed());
        }
        percentiles(times)
    })
}

/// From the request to the first byte of the first event.
pub(crate) fn first_events(address: SocketAddr, exchange: &Exchange, count: usize) -> Latencies {
    runtime().block_on(async {
        let mut client = Client::connect(address).await;
        let mut times = Vec::new();
        for _ in 0..count {
            let start = Instant::now();
            client.stream.write_all(&exchange.0).await.unwrap();
            client.until(b"data: ").await;
            times.push(start.elapsed());
            client = Client::connect(address).await;
        }
        percentiles(times)
    })
}

fn percentiles(mut times: Vec<Duration>) -> Latencies {
    times.sort();
    let at = |percent: usize| times.get(times.len() * percent / 100).copied().unwrap();
    Latencies { p50: at(50), p99: at(99) }
}

struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: Vec::with_capacity(16 << 10) }
    }

    async fn until(&mut self, text: &[u8]) -> usize {
        loop {
            if let Some(at) = memchr::memmem::find(&self.buffer, text) {
                return at;
            }
            assert!(self.stream.read_buf(&mut self.buffer).await.unwrap() > 0, "the connection was closed");
        }
    }

    async fn exchange(&mut self, exchange: &Exchange) {
        self.stream.write_all(&exchange.0).await.unwrap();
        let end = self.until(b"\r\n\r\n").await;
        let head = self.buffer.get(..end).unwrap();
        assert!(head.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&self.buffer));
        let lower = head.to_ascii_lowercase();
        let at = memchr::memmem::find(&lower, b"content-length: ").unwrap() + 16;
        let digits: Vec<u8> = lower.get(at..).unwrap().iter().copied().take_while(u8::is_ascii_digit).collect();
        let length: usize = String::from_utf8(digits).unwrap().parse().unwrap();
        let total = end + 4 + length;
        while self.buffer.len() < total {
            assert!(self.stream.read_buf(&mut self.buffer).await.unwrap() > 0, "the connection was closed");
        }
        self.buffer.drain(..total);
    }
}
