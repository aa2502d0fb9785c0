//! A client that sends exactly the bytes it is given.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::DEADLINE;
use crate::http1::Reply;

/// What carries the bytes: TCP, or TLS over it.
pub trait Transport: Read + Write + Send {}

impl<T: Read + Write + Send> Transport for T {}

/// A connection of HTTP/1.1, byte for byte.
pub struct Wire {
    stream: Box<dyn Transport>,
    socket: TcpStream,
    buffer: Vec<u8>,
}

impl Wire {
    /// Connects.
    #[must_use]
    pub fn connect(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).unwrap();
        Self::over(Box::new(socket.try_clone().unwrap()), socket)
    }

    /// Connects under TLS, and gives the protocol that ALPN settled.
    ///
    /// # Errors
    /// Why there was no handshake.
    pub fn connect_tls(address: SocketAddr, name: &str, config: Arc<ClientConfig>) -> Result<(Self, String), String> {
        let socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let connection = ClientConnection::new(config, name).unwrap();
        let mut stream = StreamOwned::new(connection, socket.try_clone().unwrap());
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock).map_err(|error| error.to_string())?;
        }
        let protocol = String::from_utf8_lossy(stream.conn.alpn_protocol().unwrap_or_default()).into_owned();
        Ok((Self::over(Box::new(stream), socket), protocol))
    }

    /// Speaks over what carries the bytes of a socket.
    #[must_use]
    pub fn over(stream: Box<dyn Transport>, socket: TcpStream) -> Self {
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        socket.set_write_timeout(Some(DEADLINE)).unwrap();
        Self { stream, socket, buffer: Vec::new() }
    }

    /// Sends bytes. That the peer closed before it read them all is no failure: a refusal may do so.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        match self.stream.write_all(bytes.as_ref()).and_then(|()| self.stream.flush()) {
            Err(error) if is_closing(error.kind()) => {}
            sent => sent.unwrap(),
        }
    }

    /// The socket itself, for what the rest cannot do.
    #[must_use]
    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// Ends the sending side only, if the peer has not ended both.
    pub fn end(&self) {
        match self.socket.shutdown(Shutdown::Write) {
            Err(error) if error.kind() == ErrorKind::NotConnected => {}
            ended => ended.unwrap(),
        }
    }

    /// The next response; an interim one (1xx) counts.
    pub fn reply(&mut self) -> Reply {
        self.reply_or_close().expect("the connection was closed before a response")
    }

    /// The next response to a HEAD request: its `content-length` announces nothing.
    pub fn reply_to_head(&mut self) -> Reply {
        self.read_head().expect("the connection was closed before a response")
    }

    /// The next response, `None` if the connection is closed before its first byte.
    pub fn reply_or_close(&mut self) -> Option<Reply> {
        let mut reply = self.read_head()?;
        if reply.status < 200 || reply.status == 204 || reply.status == 304 {
            return Some(reply);
        }
        if reply.header("transfer-encoding").is_some() {
            while let Some(chunk) = self.chunk() {
                reply.body.extend(chunk);
            }
            reply.trailers = self.trailers();
        } else if let Some(length) = reply.header("content-length") {
            reply.body = self.exactly(length.parse().unwrap());
        } else {
            reply.body = self.rest();
        }
        Some(reply)
    }

    /// The head of the next response, its body left unread.
    pub fn read_head(&mut self) -> Option<Reply> {
        let head = self.head()?;
        let mut fields = [httparse::EMPTY_HEADER; 128];
        let mut response = httparse::Response::new(&mut fields);
        let parsed = response.parse(&head);
        assert!(parsed.is_ok_and(|status| status.is_complete()), "not a head: {:?}", String::from_utf8_lossy(&head));
        let headers = response
            .headers
            .iter()
            .map(|field| (field.name.to_ascii_lowercase(), String::from_utf8_lossy(field.value).into_owned()));
        Some(Reply { status: response.code.unwrap(), headers: headers.collect(), ..Reply::default() })
    }

    /// The next bytes up to a blank line; `None` if the connection is closed before the first of them.
    pub(crate) fn head(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(place) = find(&self.buffer, b"\r\n\r\n") {
                return Some(self.buffer.drain(..place + 4).collect());
            }
            if !self.fill() {
                assert!(self.buffer.is_empty(), "closed amid a head: {:?}", String::from_utf8_lossy(&self.buffer));
                return None;
            }
        }
    }

    /// The next chunk of a chunked body; `None` after the last.
    pub fn chunk(&mut self) -> Option<Vec<u8>> {
        let size = self.line();
        let size = usize::from_str_radix(size.split(';').next().unwrap().trim(), 16).unwrap();
        if size == 0 {
            return None;
        }
        let chunk = self.exactly(size);
        assert_eq!(self.exactly(2), b"\r\n");
        Some(chunk)
    }

    pub(crate) fn trailers(&mut self) -> Vec<(String, String)> {
        let mut trailers = Vec::new();
        loop {
            let line = self.line();
            let Some((name, value)) = line.split_once(':') else {
                return trailers;
            };
            trailers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    /// Exactly so many bytes.
    pub fn exactly(&mut self, count: usize) -> Vec<u8> {
        while self.buffer.len() < count {
            assert!(self.fill(), "closed after {} of {count} bytes", self.buffer.len());
        }
        self.buffer.drain(..count).collect()
    }

    /// All bytes until the peer closes.
    pub fn rest(&mut self) -> Vec<u8> {
        while self.fill() {}
        std::mem::take(&mut self.buffer)
    }

    fn line(&mut self) -> String {
        let end = loop {
            if let Some(place) = find(&self.buffer, b"\r\n") {
                break place + 2;
            }
            assert!(self.fill(), "closed amid a line: {:?}", String::from_utf8_lossy(&self.buffer));
        };
        let line: Vec<u8> = self.buffer.drain(..end).collect();
        String::from_utf8(line).unwrap().trim_end().to_owned()
    }

    /// Reads until the peer closes; what came is dropped. `false` if it does not within the deadline.
    pub fn closes(&mut self) -> bool {
        self.closes_within(DEADLINE)
    }

    /// As `closes`, within a time.
    pub fn closes_within(&mut self, deadline: Duration) -> bool {
        self.socket.set_read_timeout(Some(deadline)).unwrap();
        let until = std::time::Instant::now() + deadline;
        let mut bytes = [0; 64 << 10];
        let closed = loop {
            match self.stream.read(&mut bytes) {
                Ok(0) => break true,
                Ok(_) if std::time::Instant::now() < until => {}
                Err(error) if is_closing(error.kind()) => break true,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Ok(_) | Err(_) => break false,
            }
        };
        self.socket.set_read_timeout(Some(DEADLINE)).unwrap();
        closed
    }

    /// Reads more; `false` at the end.
    fn fill(&mut self) -> bool {
        let mut bytes = [0; 64 << 10];
        loop {
            match self.stream.read(&mut bytes) {
                Ok(0) => return false,
                Ok(count) => {
                    self.buffer.extend(bytes.iter().take(count));
                    return true;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if is_closing(error.kind()) => return false,
                Err(error) => panic!("{error} with {:?} read", String::from_utf8_lossy(&self.buffer)),
            }
        }
    }
}

fn is_closing(kind: ErrorKind) -> bool {
    use ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, InvalidData, UnexpectedEof};
    // The last two are how TLS says that its peer sent an alert, or closed without one.
    matches!(kind, ConnectionReset | BrokenPipe | ConnectionAborted | InvalidData | UnexpectedEof)
}

/// Where `wanted` first stands in `bytes`.
pub(crate) fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
