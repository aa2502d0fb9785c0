//! An upstream of raw TCP that keeps every byte it is sent, and answers as the test says.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::DEADLINE;
use crate::wire::{Transport, Wire};

/// A listening origin; each connection has a thread of its own.
#[derive(Debug)]
pub struct Origin {
    /// Where it listens.
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

/// What came so far.
#[derive(Debug, Clone, Default)]
pub struct Recording {
    /// Connections that were accepted.
    pub connections: usize,
    /// Every byte of all connections.
    pub bytes: Vec<u8>,
    /// Requests that came to their end.
    pub requests: Vec<Request>,
}

/// A request that came to its end.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Method, target and version as they came.
    pub line: String,
    /// Names as they came with their values, in order.
    pub headers: Vec<(String, String)>,
    /// The body without its framing.
    pub body: Vec<u8>,
    /// The trailer section of a chunked body.
    pub trailers: Vec<(String, String)>,
}

impl Request {
    /// All values of a header.
    #[must_use]
    pub fn values(&self, name: &str) -> Vec<&str> {
        self.headers
            .iter()
            .filter(|(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .collect()
    }
}

#[derive(Debug, Default)]
struct Shared {
    recording: Mutex<Recording>,
    changed: Condvar,
    stopped: AtomicBool,
    sockets: Mutex<BTreeMap<u64, TcpStream>>,
}

impl Origin {
    /// Answers every request with these bytes, and keeps the connection.
    #[must_use]
    pub fn answering(response: &'static str) -> Self {
        Self::talking(move |conversation| {
            while conversation.request().is_some() {
                conversation.send(response);
            }
        })
    }

    /// Answers every request with 200 and the body `ok`.
    #[must_use]
    pub fn ok() -> Self {
        Self::answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
    }

    /// Hands each connection to `talk`; it is closed when that returns.
    #[must_use]
    pub fn talking(talk: impl Fn(&mut Conversation) + Send + Sync + 'static) -> Self {
        Self::talking_at(SocketAddr::from(([127, 0, 0, 1], 0)), talk)
    }

    /// As `talking`, at an address of the test's choice.
    #[must_use]
    pub fn talking_at(address: SocketAddr, talk: impl Fn(&mut Conversation) + Send + Sync + 'static) -> Self {
        Self::start(address, None, talk)
    }

    /// As `talking`, under TLS; what is recorded is what went through the socket.
    #[must_use]
    pub fn talking_tls(tls: Arc<ServerConfig>, talk: impl Fn(&mut Conversation) + Send + Sync + 'static) -> Self {
        Self::start(SocketAddr::from(([127, 0, 0, 1], 0)), Some(tls), talk)
    }

    fn start(
        address: SocketAddr,
        tls: Option<Arc<ServerConfig>>,
        talk: impl Fn(&mut Conversation) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::<Shared>::default();
        let (accepting, talk) = (Arc::clone(&shared), Arc::new(talk));
        std::thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                if accepting.stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (shared, talk, tls) = (Arc::clone(&accepting), Arc::clone(&talk), tls.clone());
                std::thread::spawn(move || {
                    let open = shared.open(&socket);
                    talk(&mut Conversation::new(socket, Arc::clone(&shared), tls));
                    shared.sockets.lock().unwrap().remove(&open);
                });
            }
        });
        Self { address, shared }
    }

    /// Listens no longer, and closes every connection.
    pub fn stop(&self) {
        if !self.shared.stopped.swap(true, Ordering::SeqCst) {
            // The accepting thread looks at `stopped` once a connection wakes it, and nobody listens once it has gone.
            while TcpStream::connect(self.address).is_ok() {
                std::thread::yield_now();
            }
        }
        for socket in self.shared.sockets.lock().unwrap().values() {
            // It may be closed already.
            drop(socket.shutdown(Shutdown::Both));
        }
    }

    /// `http://` and the address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What came since the last `take`.
    #[must_use]
    pub fn take(&self) -> Recording {
        std::mem::take(&mut *self.shared.recording.lock().unwrap())
    }

    /// Waits until the recording is as `reached` says.
    pub fn wait_until(&self, what: &str, mut reached: impl FnMut(&Recording) -> bool) -> Recording {
        let recording = self.shared.recording.lock().unwrap();
        let waited = self.shared.changed.wait_timeout_while(recording, DEADLINE, |recording| !reached(recording));
        let (recording, timeout) = waited.unwrap();
        assert!(!timeout.timed_out(), "not {what}: {recording:?}");
        recording.clone()
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.stop();
    }
}

/// One connection, seen from the origin.
pub struct Conversation {
    /// Which connection this is, from 1.
    pub number: usize,
    /// The connection; what is read from it is recorded.
    pub wire: Wire,
    shared: Arc<Shared>,
}

impl Conversation {
    fn new(socket: TcpStream, shared: Arc<Shared>, tls: Option<Arc<ServerConfig>>) -> Self {
        let number = shared.change(|recording| {
            recording.connections += 1;
            recording.connections
        });
        let recorded = Recorded { socket: socket.try_clone().unwrap(), shared: Arc::clone(&shared) };
        let stream: Box<dyn Transport> = match tls {
            Some(tls) => Box::new(StreamOwned::new(ServerConnection::new(tls).unwrap(), recorded)),
            None => Box::new(recorded),
        };
        Self { number, wire: Wire::over(stream, socket), shared }
    }

    /// The next request to its end, `None` if the connection ends.
    pub fn request(&mut self) -> Option<Request> {
        let mut request = self.request_head()?;
        if request.values("transfer-encoding") == ["chunked"] {
            while let Some(chunk) = self.wire.chunk() {
                request.body.extend(chunk);
            }
            request.trailers = self.wire.trailers();
        } else if let [length] = request.values("content-length").as_slice() {
            request.body = self.wire.exactly(length.parse().unwrap());
        }
        self.shared.change(|recording| recording.requests.push(request.clone()));
        Some(request)
    }

    /// The head of the next request, its body left unread; `None` if the connection ends.
    pub fn request_head(&mut self) -> Option<Request> {
        let head = String::from_utf8(self.wire.head()?).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let line = lines.next().unwrap().to_owned();
        let field = |line: &str| {
            let (name, value) = line.split_once(':').unwrap();
            (name.to_owned(), value.trim().to_owned())
        };
        Some(Request { line, headers: lines.map(field).collect(), ..Request::default() })
    }

    /// Sends bytes.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.wire.send(bytes);
    }
}

impl Shared {
    /// Remembers a socket until its conversation is over.
    fn open(&self, socket: &TcpStream) -> u64 {
        let mut sockets = self.sockets.lock().unwrap();
        let number = sockets.last_key_value().map_or(0, |(last, _)| last + 1);
        sockets.insert(number, socket.try_clone().unwrap());
        number
    }

    fn change<T>(&self, change: impl FnOnce(&mut Recording) -> T) -> T {
        let result = change(&mut self.recording.lock().unwrap());
        self.changed.notify_all();
        result
    }
}

/// A socket that records what is read from it.
struct Recorded {
    socket: TcpStream,
    shared: Arc<Shared>,
}

impl Read for Recorded {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        let count = self.socket.read(bytes)?;
        let kept = bytes.get(..count).unwrap_or_default();
        self.shared.change(|recording| {
            let room = RECORDED_BYTES_MAX.saturating_sub(recording.bytes.len());
            recording.bytes.extend(kept.iter().take(room));
        });
        Ok(count)
    }
}

impl Write for Recorded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.socket.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.socket.flush()
    }
}

const RECORDED_BYTES_MAX: usize = 16 << 20;
