//! Stands between the socket and hyper: passes on only what is framed strictly, and ends what takes too long.

mod writing;

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::chunked::{Chunked, Followed};
use super::connection::Terms;
use super::frames::{Frames, Step};
use super::head::{Extent, Framing, HeadBounds, check, extent};
use crate::error::{Error, Reason};
use crate::proxy::Connection;

/// A stream that hyper reads requests from.
pub(super) struct Guard<S> {
    inner: S,
    connection: Arc<Connection>,
    bounds: HeadBounds,
    timers: Timers,
    buffer: BytesMut,
    /// How much at the start of `buffer` hyper may have.
    vetted: usize,
    state: State,
    /// Heads that were passed on.
    requests: u64,
    waiting_since: Option<Instant>,
    sleep: Pin<Box<Sleep>>,
    is_parked: bool,
    stalled: Option<Pin<Box<Sleep>>>,
    lingering: Option<(Pin<Box<Sleep>>, usize)>,
}

struct Timers {
    headers: Duration,
    keep_alive: Duration,
    write_stall: Duration,
}

enum State {
    /// Before or in a head, of which so much has been looked at.
    Head(usize),
    /// In a body of a declared length.
    Length(u64),
    Chunked(Box<Chunked>),
    /// HTTP/2.
    Frames(Box<Frames>),
    /// No longer HTTP.
    Raw,
    /// A request was refused: nothing after it is read.
    Refused,
    /// It took too long: as if the client had closed.
    Ended,
    /// It was a flood: nothing after it is read, and what is left to say is said soon or never.
    Flooded,
}

/// What hyper gets in place of a head that cannot be read; the service knows by the request's number what it was.
const SUBSTITUTE: &[u8] = b"GET / HTTP/1.1\r\nhost: refused\r\nconnection: close\r\n\r\n";

/// What no place of a chunked body may have.
const BROKEN_CHUNK: &[u8] = b"\0\n\r\n\r\n";

/// RFC 9113 §8.3.1.
const PSEUDO_HEADERS: usize = 4;
const READ: usize = 16 << 10;
/// How long a connection is idle before it is parked.
const PARK_AFTER: Duration = Duration::from_millis(500);

impl<S: AsyncRead + AsyncWrite + Unpin> Guard<S> {
    pub(super) fn new(inner: S, connection: Arc<Connection>, terms: &Terms) -> Self {
        let bounds = HeadBounds {
            target: terms.bounds.uri_bytes.as_usize(),
            bytes: terms.bounds.header_bytes.as_usize(),
            fields: terms.bounds.headers,
        };
        let timeouts = &terms.timeouts;
        let timers = Timers {
            headers: timeouts.headers.0,
            keep_alive: timeouts.keep_alive.0,
            write_stall: timeouts.write_stall.0,
        };
        let sleep = Box::pin(tokio::time::sleep(timers.headers));
        Self {
            inner,
            connection,
            bounds,
            timers,
            buffer: BytesMut::new(),
            vetted: 0,
            state: State::Head(0),
            requests: 0,
            waiting_since: None,
            sleep,
            is_parked: false,
            stalled: None,
            lingering: None,
        }
    }

    /// Whether the stream begins with a text; `None` if it ended first.
    pub(super) async fn begins_with(&mut self, text: &[u8]) -> io::Result<Option<bool>> {
        loop {
            let so_far = self.buffer.len().min(text.len());
            if self.buffer.get(..so_far) != text.get(..so_far) {
                return Ok(Some(false));
            }
            if so_far == text.len() {
                return Ok(Some(true));
            }
            if poll_fn(|context| self.poll_fill(context)).await? == 0 {
                return Ok(None);
            }
            // Only HTTP/2 begins like this; anything else is told after its first byte.
            if self.buffer.first() != text.first() {
                return Ok(Some(false));
            }
        }
    }

    /// Settles the protocol.
    pub(super) fn speak(&mut self, is_h2: bool) {
        self.waiting_since = Some(Instant::now());
        if is_h2 {
            // A request with somewhat more fields than it may have is answered that it has.
            let block = (self.bounds.bytes + self.bounds.target, 2 * self.bounds.fields + PSEUDO_HEADERS);
            self.state = State::Frames(Box::new(Frames::new(super::connection::PREFACE.len(), block)));
        }
    }

    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut space = [const { std::mem::MaybeUninit::uninit() }; READ];
        let mut read = ReadBuf::uninit(&mut space);
        ready!(Pin::new(&mut self.inner).poll_read(context, &mut read))?;
        self.buffer.extend_from_slice(read.filled());
        Poll::Ready(Ok(read.filled().len()))
    }

    /// Vets what is in the buffer beyond what is vetted already.
    fn vet(&mut self) -> io::Result<()> {
        loop {
            let fresh = self.buffer.get(self.vetted..).unwrap_or_default();
            if fresh.is_empty() {
                return Ok(());
            }
            match &mut self.state {
                State::Head(_) if self.connection.tunnel.load(Ordering::Relaxed) => self.state = State::Raw,
                State::Head(scanned) => {
                    // RFC 9112 §2.2: an empty line before a request is passed over.
                    if *scanned == 0 && fresh.starts_with(b"\r\n") {
                        self.vetted += 2;
                        continue;
                    }
                    match extent(fresh, scanned, self.bounds) {
                        Ok(Extent::Partial) => return Ok(()),
                        Ok(Extent::Whole(length)) => self.take_head(length),
                        Err(error) => self.refuse(error),
                    }
                }
                State::Length(left) => {
                    let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(fresh.len());
                    *left -= taken as u64;
                    self.vetted += taken;
                    if *left == 0 {
                        self.state = State::Head(0);
                    }
                }
                State::Chunked(chunked) => match chunked.follow(fresh) {
                    Followed::More => self.vetted = self.buffer.len(),
                    Followed::Ended(length) => {
                        self.vetted += length;
                        self.state = State::Head(0);
                    }
                    Followed::Broken => {
                        // hyper reads what breaks the framing at any place, so that it is the service that answers.
                        self.buffer.truncate(self.vetted);
                        self.buffer.extend_from_slice(BROKEN_CHUNK);
                        self.vetted = self.buffer.len();
                        self.state = State::Refused;
                    }
                },
                State::Frames(frames) => match frames.follow(fresh) {
                    Step::Pass(length) => self.vetted += length,
                    Step::Replace(length, bytes) => {
                        let rest = self.buffer.split_off(self.vetted + length);
                        self.buffer.truncate(self.vetted);
                        self.buffer.extend_from_slice(&bytes);
                        self.vetted = self.buffer.len();
                        self.buffer.unsplit(rest);
                    }
                    Step::Wait => return Ok(()),
                    Step::Flood(length, bytes) => {
                        self.buffer.truncate(self.vetted + length);
                        self.buffer.extend_from_slice(&bytes);
                        self.vetted = self.buffer.len();
                        self.state = State::Flooded;
                        self.stalled = None;
                    }
                },
                State::Raw => self.vetted = self.buffer.len(),
                State::Refused | State::Ended | State::Flooded => {
                    self.buffer.truncate(self.vetted);
                    return Ok(());
                }
            }
        }
    }

    fn take_head(&mut self, length: usize) {
        let head = self.buffer.get(self.vetted..self.vetted + length).unwrap_or_default();
        match check(head, self.bounds) {
            Ok(framing) => {
                self.vetted += length;
                self.requests += 1;
                // The wait for the next one starts when this one is over.
                self.waiting_since = None;
                self.state = match framing {
                    Framing::Length(0) => State::Head(0),
                    Framing::Length(length) => State::Length(length),
                    Framing::Chunked => State::Chunked(Box::new(Chunked::new())),
                };
            }
            Err(error) => self.refuse(error),
        }
    }

    /// Lets the service answer in its turn, and reads nothing more.
    fn refuse(&mut self, error: Error) {
        self.connection.refuse(self.requests, error);
        self.buffer.truncate(self.vetted);
        self.buffer.extend_from_slice(SUBSTITUTE);
        self.vetted = self.buffer.len();
        self.state = State::Refused;
    }

    /// Ends a wait for a request that took too long. hyper reads on while a request is under way, to see its client go;
    /// that wait has no end of its own.
    fn poll_timers(&mut self, context: &mut Context<'_>) -> bool {
        let partial = self.buffer.len() > self.vetted;
        let waits = matches!(self.state, State::Head(_) | State::Frames(_));
        if !waits || self.connection.in_flight.load(Ordering::Relaxed) > 0 {
            self.waiting_since = None;
        } else if self.waiting_since.is_none() {
            self.waiting_since = Some(Instant::now());
        }
        // HTTP/2 has a state of its own between requests.
        let is_quiet = self.connection.quiet.load(Ordering::Relaxed);
        let parks = !partial && !is_quiet && !self.is_parked && matches!(self.state, State::Head(0));
        let patience = if partial { self.timers.headers } else { self.timers.keep_alive };
        let patience = if parks { PARK_AFTER.min(patience) } else { patience };
        loop {
            // An early wake-up looks again, so that the timer is not set anew for every request.
            let latest = self.waiting_since.unwrap_or_else(Instant::now) + patience;
            if self.sleep.deadline() > latest {
                self.sleep.as_mut().reset(latest);
            }
            if self.sleep.as_mut().poll(context).is_pending() {
                return false;
            }
            match self.waiting_since {
                Some(since) if parks && since.elapsed() >= patience => {
                    // Nothing is under way or half read; nor may anything be half written.
                    self.connection.quiet.store(self.stalled.is_none(), Ordering::Relaxed);
                    self.sleep.as_mut().reset((since + self.timers.keep_alive).max(Instant::now() + PARK_AFTER));
                    if self.sleep.as_mut().poll(context).is_pending() {
                        return false;
                    }
                }
                Some(since) if since + patience <= Instant::now() => return true,
                _ => self.sleep.as_mut().reset(latest.max(Instant::now() + Duration::from_millis(100))),
            }
        }
    }

    fn end(&mut self) {
        let partial = self.buffer.len() > self.vetted;
        if partial && matches!(self.state, State::Head(_)) {
            self.refuse(Reason::RequestTimeout.into());
        } else {
            self.state = State::Ended;
        }
    }

    fn give(&mut self, out: &mut ReadBuf<'_>) {
        let length = self.vetted.min(out.remaining());
        out.put_slice(self.buffer.get(..length).unwrap_or_default());
        self.buffer.advance(length);
        self.vetted -= length;
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Guard<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_vetted(context))?;
        this.give(out);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Guard<S> {
    /// Waits for what hyper may have; nothing of it is the end.
    fn poll_vetted(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            self.vet()?;
            if self.vetted > 0 {
                return Poll::Ready(Ok(()));
            }
            match self.state {
                State::Refused => return Poll::Pending,
                State::Ended | State::Flooded => return Poll::Ready(Ok(())),
                _ => {}
            }
            match self.poll_fill(context) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(_)) => {
                    self.connection.quiet.store(false, Ordering::Relaxed);
                    if matches!(self.state, State::Head(0)) {
                        self.waiting_since = Some(Instant::now());
                    }
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    if !self.poll_timers(context) {
                        return Poll::Pending;
                    }
                    self.end();
                }
            }
        }
    }

    /// Waits for the next request, or the end, with next to nothing in memory. `unread` is what was given already.
    pub(super) async fn park(&mut self, unread: &[u8]) -> io::Result<()> {
        self.is_parked = true;
        let mut buffer = BytesMut::from(unread);
        buffer.extend_from_slice(&self.buffer);
        self.buffer = buffer;
        self.vetted += unread.len();
        let more = poll_fn(|context| self.poll_vetted(context)).await;
        self.is_parked = false;
        self.connection.quiet.store(false, Ordering::Relaxed);
        more
    }
}
