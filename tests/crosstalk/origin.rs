//! Origins that answer with a body made from the request's tag, and spoil one answer in twenty.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use harness::Numbers;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};

use super::Faults;
use super::inbox::{Body, Inbox, framed, framing};
use super::tag::Tag;

/// One origin, in a thread of its own until it is dropped.
pub(super) struct TaggedOrigin {
    pub(super) address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    faults: Arc<Faults>,
    stopped: AtomicBool,
    misdeeds: Mutex<BTreeMap<&'static str, u64>>,
}

/// What an origin does to an answer.
#[derive(Debug, Clone, Copy)]
enum Misdeed {
    Reset,
    Close,
    Stall,
    WrongChunk,
    Surplus,
}

/// How many there are.
pub(super) const MISDEEDS: usize = 5;
/// One answer of so many is spoiled.
const BAD_OF: usize = 20;
/// The most answers on a connection.
const ANSWERS_MAX: usize = 60;
/// What goes into one segment: a surplus that comes later than the end of the answer is the answer to the next request,
/// for all that a gateway can tell.
const SEGMENT: usize = 8 << 10;
const SURPLUS: &str = "HTTP/1.1 200 OK\r\nx-tag: surplus\r\ncontent-length: 5\r\n\r\nwrong";

impl TaggedOrigin {
    pub(super) fn start(seed: u64, faults: Arc<Faults>) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared { faults, stopped: AtomicBool::new(false), misdeeds: Mutex::default() });
        let accepting = shared.clone();
        std::thread::spawn(move || super::block_on(accept(listener, accepting, Numbers::new(seed << 32))));
        Self { address, shared }
    }

    /// How often each thing was done.
    pub(super) fn misdeeds(&self) -> BTreeMap<&'static str, u64> {
        self.shared.misdeeds.lock().unwrap().clone()
    }
}

impl Drop for TaggedOrigin {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // The accepting thread looks at `stopped` once a connection wakes it.
        drop(std::net::TcpStream::connect(self.address));
    }
}

async fn accept(listener: std::net::TcpListener, shared: Arc<Shared>, mut numbers: Numbers) {
    let listener = TcpListener::from_std(listener).unwrap();
    while let Ok((socket, _)) = listener.accept().await {
        if shared.stopped.load(Ordering::SeqCst) {
            return;
        }
        let (shared, numbers) = (shared.clone(), Numbers::new(numbers.number()));
        tokio::spawn(async move {
            match talk(socket, &shared, numbers).await {
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    shared.faults.add(format!("an origin was sent {error}"));
                }
                // The gateway may leave at any time: its client did.
                Ok(()) | Err(_) => {}
            }
        });
    }
}

async fn talk(mut socket: TcpStream, shared: &Shared, mut numbers: Numbers) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let count = 1 + numbers.below(ANSWERS_MAX);
    let mut rest = Vec::new();
    for index in 0..count {
        let Some(tag) = request(&mut socket, &mut rest, shared).await? else { return Ok(()) };
        if !rest.is_empty() {
            shared.faults.add(format!("an origin was sent {} bytes after {}", rest.len(), tag.name()));
        }
        let chunk_bytes = tag.is_chunked().then(|| 1 + numbers.below(16 << 10));
        let (framing, body) = framed(&tag.answer(), chunk_bytes);
        let last = if index + 1 == count && numbers.below(2) == 0 { "connection: close\r\n" } else { "" };
        let mut answer = format!("HTTP/1.1 200 OK\r\nx-tag: {}\r\n{last}{framing}\r\n", tag.name()).into_bytes();
        let head = answer.len();
        answer.extend(body);
        if numbers.below(BAD_OF) == 0 {
            let misdeed = match numbers.below(MISDEEDS) {
                0 => Misdeed::Reset,
                1 => Misdeed::Stall,
                2 if chunk_bytes.is_some() => Misdeed::WrongChunk,
                3 | 4 if answer.len() + SURPLUS.len() < SEGMENT => Misdeed::Surplus,
                _ => Misdeed::Close,
            };
            let at =
                if numbers.below(4) == 0 { numbers.below(head) } else { head + numbers.below(answer.len() - head) };
            shared.note(misdeed);
            if !spoil(&mut socket, misdeed, (answer, at)).await? {
                return Ok(());
            }
            continue;
        }
        let half = numbers.below(answer.len());
        if let Some(delay) = tag.delay_ms() {
            let (first, second) = answer.split_at(half);
            socket.write_all(first).await?;
            tokio::time::sleep(Duration::from_millis(delay)).await;
            socket.write_all(second).await?;
        } else {
            socket.write_all(&answer).await?;
        }
    }
    Ok(())
}

/// Reads a request; `None` if there is no more.
async fn request(socket: &mut TcpStream, rest: &mut Vec<u8>, shared: &Shared) -> io::Result<Option<Tag>> {
    let mut inbox = Inbox::new(socket, std::mem::take(rest));
    let Some(head) = inbox.through(b"\r\n\r\n").await? else { return Ok(None) };
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut request = httparse::Request::new(&mut headers);
    let is_head = request.parse(&head).is_ok_and(|parsed| parsed.is_complete());
    let Some(tag) = request.path.filter(|_| is_head).and_then(Tag::of_path) else {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{:?}", String::from_utf8_lossy(&head))));
    };
    let mut body = Vec::new();
    let whole = inbox.body(framing(request.headers), Body { bytes: &mut body, enough: usize::MAX }).await;
    let expected = tag.question().unwrap_or_default();
    let is_own = if whole.is_ok() { body == expected } else { expected.starts_with(&body) };
    if !is_own {
        shared.faults.add(format!("an origin was sent another body with {}", tag.name()));
    }
    *rest = inbox.rest;
    whole.map(|_| Some(tag))
}

/// Sends an answer up to a place and spoils it there; whether the connection may go on.
async fn spoil(socket: &mut TcpStream, misdeed: Misdeed, (mut answer, at): (Vec<u8>, usize)) -> io::Result<bool> {
    match misdeed {
        Misdeed::Surplus => {
            answer.extend(SURPLUS.bytes());
            socket.write_all(&answer).await?;
            return Ok(true);
        }
        Misdeed::WrongChunk => {
            // The size of the last chunk, of no bytes, becomes what is no number.
            let size = answer.len() - b"0\r\n\r\n".len();
            answer.splice(size.., SURPLUS.bytes());
            socket.write_all(&answer).await?;
        }
        Misdeed::Reset | Misdeed::Close | Misdeed::Stall => {
            socket.write_all(answer.get(..at).unwrap_or_default()).await?;
        }
    }
    match misdeed {
        Misdeed::Reset => socket.set_zero_linger()?,
        Misdeed::Stall => while Inbox::new(&mut *socket, Vec::new()).fill().await? {},
        Misdeed::Close | Misdeed::WrongChunk | Misdeed::Surplus => {}
    }
    Ok(false)
}

impl Shared {
    fn note(&self, misdeed: Misdeed) {
        let name = match misdeed {
            Misdeed::Reset => "reset",
            Misdeed::Close => "closed early",
            Misdeed::Stall => "stalled",
            Misdeed::WrongChunk => "wrong chunk",
            Misdeed::Surplus => "surplus",
        };
        *self.misdeeds.lock().unwrap().entry(name).or_default() += 1;
    }
}
