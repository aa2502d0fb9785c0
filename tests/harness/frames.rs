//! A client of HTTP/2 that sends exactly the frames it is given (RFC 9113 §4, RFC 7541 §6.2.2).

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::DEADLINE;

/// The type of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names are those of RFC 9113 §6")]
pub enum FrameKind {
    Data,
    Headers,
    Priority,
    Reset,
    Settings,
    PushPromise,
    Ping,
    GoAway,
    WindowUpdate,
    Continuation,
    Unknown,
}

/// The flags that tests need.
#[derive(Debug, Clone, Copy)]
pub struct Flags;

impl Flags {
    /// Nothing.
    pub const NONE: u8 = 0;
    /// The last of the stream; on SETTINGS and PING an acknowledgement.
    pub const END_STREAM: u8 = 1;
    /// The last of a header block.
    pub const END_HEADERS: u8 = 4;
}

/// A frame.
#[derive(Debug, Clone)]
pub struct Frame {
    /// Its type.
    pub kind: FrameKind,
    /// Its flags.
    pub flags: u8,
    /// Its stream; 0 for the connection.
    pub stream: u32,
    /// What it carries.
    pub payload: Vec<u8>,
}

impl Frame {
    /// A frame.
    #[must_use]
    pub fn new(kind: FrameKind, flags: u8, stream: u32, payload: impl Into<Vec<u8>>) -> Self {
        Self { kind, flags, stream, payload: payload.into() }
    }

    /// HEADERS that hold a whole block.
    #[must_use]
    pub fn headers(stream: u32, end: u8, fields: &[(&str, &str)]) -> Self {
        Self::new(FrameKind::Headers, Flags::END_HEADERS | end, stream, header_block(fields))
    }

    /// DATA.
    #[must_use]
    pub fn data(stream: u32, end: u8, bytes: &[u8]) -> Self {
        Self::new(FrameKind::Data, end, stream, bytes)
    }

    /// The error code of RST_STREAM or GOAWAY.
    #[must_use]
    pub fn error_code(&self) -> Option<u32> {
        let at = match self.kind {
            FrameKind::Reset => 0,
            FrameKind::GoAway => 4,
            _ => return None,
        };
        let bytes = self.payload.get(at..at + 4)?;
        Some(u32::from_be_bytes(bytes.try_into().ok()?))
    }

    /// As it goes over the wire.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let length = u32::try_from(self.payload.len()).unwrap().to_be_bytes();
        let mut bytes = length.get(1..).unwrap().to_vec();
        bytes.extend([self.kind as u8, self.flags]);
        bytes.extend(self.stream.to_be_bytes());
        bytes.extend(&self.payload);
        bytes
    }
}

/// The first answer of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// HEADERS with this status.
    Status(u16),
    /// RST_STREAM with this code.
    Reset(u32),
}

/// A header block of literals that enter no table, with neither Huffman code nor indexed names.
#[must_use]
pub fn header_block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            push_length(&mut block, text.len());
            block.extend(text.as_bytes());
        }
    }
    block
}

/// An integer with a prefix of seven bits (RFC 7541 §5.1).
fn push_length(block: &mut Vec<u8>, length: usize) {
    let Some(mut rest) = length.checked_sub(127) else {
        return block.push(u8::try_from(length).unwrap());
    };
    block.push(127);
    while rest >= 128 {
        block.push(u8::try_from(rest % 128).unwrap() | 128);
        rest /= 128;
    }
    block.push(u8::try_from(rest).unwrap());
}

/// A connection of HTTP/2, frame for frame.
pub struct Frames {
    socket: TcpStream,
    decoder: fluke_hpack::Decoder<'static>,
}

impl Frames {
    /// Connects by prior knowledge and sends the preface with these settings.
    #[must_use]
    pub fn connect(address: SocketAddr, settings: &[(u16, u32)]) -> Self {
        let socket = TcpStream::connect(address).unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_write_timeout(Some(DEADLINE)).unwrap();
        let mut frames = Self { socket, decoder: fluke_hpack::Decoder::new() };
        let mut payload = Vec::new();
        for (name, value) in settings {
            payload.extend(name.to_be_bytes());
            payload.extend(value.to_be_bytes());
        }
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        bytes.extend(Frame::new(FrameKind::Settings, Flags::NONE, 0, payload).encode());
        assert!(frames.send_bytes(&bytes));
        let is_theirs = |frame: &Frame| frame.kind == FrameKind::Settings && frame.flags & Flags::END_STREAM == 0;
        assert!(frames.find(is_theirs).is_some(), "closed before its SETTINGS");
        assert!(frames.send(&[Frame::new(FrameKind::Settings, Flags::END_STREAM, 0, [])]));
        frames
    }

    /// Sends frames; `false` once the peer has closed.
    pub fn send(&mut self, frames: &[Frame]) -> bool {
        let bytes: Vec<u8> = frames.iter().flat_map(Frame::encode).collect();
        self.send_bytes(&bytes)
    }

    /// Sends bytes; `false` once the peer has closed, or has not read for the whole deadline.
    pub fn send_bytes(&mut self, bytes: &[u8]) -> bool {
        self.socket.write_all(bytes).is_ok()
    }

    /// A second handle, to read while another thread sends.
    #[must_use]
    pub fn reader(&self) -> Self {
        Self { socket: self.socket.try_clone().unwrap(), decoder: fluke_hpack::Decoder::new() }
    }

    /// The next frame, `None` once the peer has closed or reset the connection.
    pub fn frame(&mut self) -> Option<Frame> {
        self.next_within(DEADLINE).unwrap_or_else(|| panic!("no frame and no end"))
    }

    /// The next frame, `Some(None)` at the end of the connection, `None` if there is neither in time.
    pub fn next_within(&mut self, deadline: Duration) -> Option<Option<Frame>> {
        self.socket.set_read_timeout(Some(deadline)).unwrap();
        let mut head = [0; 9];
        if let Err(error) = self.socket.read_exact(&mut head) {
            return if is_timeout(error.kind()) { None } else { Some(None) };
        }
        let [a, b, c, kind, flags, stream @ ..] = head;
        let mut payload = vec![0; usize::try_from(u32::from_be_bytes([0, a, b, c])).unwrap()];
        if let Err(error) = self.socket.read_exact(&mut payload) {
            return if is_timeout(error.kind()) { None } else { Some(None) };
        }
        let stream = u32::from_be_bytes(stream) & 0x7fff_ffff;
        Some(Some(Frame { kind: kind_of(kind), flags, stream, payload }))
    }

    /// Reads frames until one is wanted; `None` if the connection ends before.
    pub fn find(&mut self, mut wanted: impl FnMut(&Frame) -> bool) -> Option<Frame> {
        loop {
            let frame = self.frame()?;
            if wanted(&frame) {
                return Some(frame);
            }
        }
    }

    /// Reads until each of these streams has its first answer, or the connection ends. In the order they came.
    pub fn outcomes(&mut self, streams: &[u32]) -> Vec<(u32, Outcome)> {
        let mut outcomes: Vec<(u32, Outcome)> = Vec::new();
        while outcomes.len() < streams.len() {
            let Some(frame) = self.frame() else {
                return outcomes;
            };
            let outcome = match frame.kind {
                FrameKind::Headers => Outcome::Status(self.status(&frame)),
                FrameKind::Reset => Outcome::Reset(frame.error_code().unwrap()),
                _ => continue,
            };
            let is_first = !outcomes.iter().any(|(stream, _)| *stream == frame.stream);
            if is_first && streams.contains(&frame.stream) {
                outcomes.push((frame.stream, outcome));
            }
        }
        outcomes
    }

    /// The status in a HEADERS frame that holds a whole block. Blocks must be decoded in the order they came.
    pub fn status(&mut self, frame: &Frame) -> u16 {
        assert!(frame.kind == FrameKind::Headers && frame.flags & Flags::END_HEADERS != 0, "{frame:?}");
        let fields = self.decoder.decode(&frame.payload).unwrap();
        let status = fields.iter().find(|(name, _)| name == b":status").unwrap();
        String::from_utf8_lossy(&status.1).parse().unwrap()
    }

    /// Reads to the end of the connection, and gives the last GOAWAY's code; `None` if it stays open for `deadline`.
    pub fn end_within(&mut self, deadline: Duration) -> Option<Option<u32>> {
        let until = Instant::now() + deadline;
        let mut code = None;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            match self.next_within(left)? {
                Some(frame) => code = frame.error_code().filter(|_| frame.kind == FrameKind::GoAway).or(code),
                None => return Some(code),
            }
        }
    }
}

fn is_timeout(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

fn kind_of(number: u8) -> FrameKind {
    use FrameKind::{
        Continuation, Data, GoAway, Headers, Ping, Priority, PushPromise, Reset, Settings, Unknown, WindowUpdate,
    };
    let kinds = [Data, Headers, Priority, Reset, Settings, PushPromise, Ping, GoAway, WindowUpdate, Continuation];
    kinds.get(usize::from(number)).copied().unwrap_or(Unknown)
}
