//! The load: keep-alive connections that each send the next request when the last was answered.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::origin::{PACED, micros};

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

    /// A plain request with header fields of its own.
    pub(crate) fn get_with(path: &str, fields: &str) -> Self {
        Self(format!("GET {path} HTTP/1.1\r\n{HEADERS}{fields}\r\n").into_bytes())
    }

    /// A chat of about 1 KB.
    pub(crate) fn chat() -> Self {
        let text = "tell me something about gateways, please. ".repeat(20);
        Self::post_chat(&format!(
            r#"{{"model":"fast","max_tokens":200,"messages":[{{"role":"system","content":"be brief"}},{{"role":"user","content":"{text}"}}]}}"#
        ))
    }

    /// A chat whose answer is streamed.
    pub(crate) fn stream() -> Self {
        Self::post_chat(
            r#"{"model":"fast","stream":true,"max_tokens":200,"messages":[{"role":"user","content":"hi"}]}"#,
        )
    }

    fn post_chat(body: &str) -> Self {
        Self::post("/v1/chat/completions", body)
    }

    /// A request with a body of JSON.
    pub(crate) fn post(path: &str, body: &str) -> Self {
        let head = format!("POST {path} HTTP/1.1\r\n{HEADERS}content-type: application/json\r\n");
        Self(format!("{head}content-length: {}\r\n\r\n{body}", body.len()).into_bytes())
    }
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
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

/// Latencies at a fixed rate, until told to stop. A request that is sent late because the one before was answered late
/// counts from when it was due.
pub(crate) fn at_rate(
    address: SocketAddr,
    exchange: &Exchange,
    rate: u32,
    stop: &dyn Fn(Instant) -> bool,
) -> Latencies {
    let start = Instant::now();
    let every = Duration::from_secs(AT_RATE) / rate;
    let paced = |number: u64| async move {
        let mut client = Client::connect(address).await;
        let mut due = start + every * u32::try_from(number).unwrap() / u32::try_from(AT_RATE).unwrap();
        let mut times = Vec::new();
        while !stop(start) {
            let is_late = Instant::now() > due;
            tokio::time::sleep_until(due.into()).await;
            let from = if is_late { due } else { Instant::now() };
            client.exchange(exchange).await;
            times.push(from.elapsed());
            due += every;
        }
        times
    };
    runtime().block_on(async {
        let [mut times, second, third, fourth] = {
            let (first, second, third, fourth) = tokio::join!(paced(0), paced(1), paced(2), paced(3));
            [first, second, third, fourth]
        };
        times.extend([second, third, fourth].concat());
        percentiles(times)
    })
}

/// Connections of a fixed rate.
const AT_RATE: u64 = 4;

/// Connections on which a request was sent that is not answered yet.
pub(crate) struct Held(Vec<std::net::TcpStream>);

impl Held {
    /// Sends a request on so many connections.
    pub(crate) fn start(address: SocketAddr, exchange: &Exchange, count: usize) -> Self {
        let send = |_| {
            let mut stream = std::net::TcpStream::connect(address).unwrap();
            stream.write_all(&exchange.0).unwrap();
            stream
        };
        Self((0..count).map(send).collect())
    }

    /// Waits for every answer, which must be a good one.
    pub(crate) fn finish(self) {
        for mut stream in self.0 {
            let mut status = [0; 12];
            stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
            stream.read_exact(&mut status).unwrap();
            assert_eq!(&status, b"HTTP/1.1 200");
        }
    }
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

/// What became of the events of paced streams.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paced {
    /// All that came.
    pub(crate) events: usize,
    /// From when the origin sent them.
    pub(crate) lag: Latencies,
}

/// Many streams at once, whose events say when they were sent.
pub(crate) fn paced(address: SocketAddr, exchange: &Exchange, streams: usize) -> Paced {
    runtime().block_on(async {
        let read = |number: usize| {
            let exchange = exchange.clone();
            async move {
                // They begin apart, as streams do.
                tokio::time::sleep(Duration::from_micros(313) * u32::try_from(number).unwrap()).await;
                let mut client = Client::connect(address).await;
                client.stream.write_all(&exchange.0).await.unwrap();
                let mut lags = Vec::new();
                while lags.len() < PACED {
                    let sent = client.stamp().await;
                    lags.push(Duration::from_micros(micros().saturating_sub(sent)));
                }
                lags
            }
        };
        let tasks: Vec<_> = (0..streams).map(|number| tokio::spawn(read(number))).collect();
        let mut lags = Vec::new();
        for task in tasks {
            lags.extend(task.await.unwrap());
        }
        Paced { events: lags.len(), lag: percentiles(lags) }
    })
}

fn percentiles(mut times: Vec<Duration>) -> Latencies {
    times.sort();
    let at = |percent: usize| times.get(times.len() * percent / 100).copied().unwrap();
    Latencies { p50: at(50), p99: at(99) }
}

/// What a client speaks over.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A keep-alive connection.
pub(crate) struct Client<S> {
    stream: S,
    buffer: Vec<u8>,
}

impl Client<TcpStream> {
    async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self::over(stream)
    }
}

impl<S: Stream> Client<S> {
    pub(crate) fn over(stream: S) -> Self {
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

    /// The number between the next two `@`.
    async fn stamp(&mut self) -> u64 {
        let start = self.until(b"@").await + 1;
        self.buffer.drain(..start);
        let end = self.until(b"@").await;
        let text = String::from_utf8(self.buffer.drain(..=end).take(end).collect()).unwrap();
        text.parse().unwrap()
    }

    /// Asks once, and reads the whole answer.
    pub(crate) async fn exchange(&mut self, exchange: &Exchange) {
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
