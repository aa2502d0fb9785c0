//! Stands between the socket and hyper: passes on only what is framed strictly, and ends what takes too long.

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
}

/// What hyper gets in place of a head that cannot be read; the service knows by the request's number what it was.
const SUBSTITUTE: &[u8] = b"GET / HTTP/1.1\r\nhost: refused\r\nconnection: close\r\n\r\n";

/// What no place of a chunked body may have.
const BROKEN_CHUNK: &[u8] = b"\0\n\r\n\r\n";

/// RFC 9113 §8.3.1.
const PSEUDO_HEADERS: usize = 4;
const READ: usize = 16 << 10;
/// What is read and thrown away after an early answer, so that the client gets to read it before the reset.
const LINGER_BYTES: usize = 64 << 10;
const LINGER: Duration = Duration::from_secs(1);

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
                    Step::Flood => {
                        self.state = State::Ended;
                        return Err(io::Error::new(io::ErrorKind::InvalidData, "a flood of control frames"));
                    }
                },
                State::Raw => self.vetted = self.buffer.len(),
                State::Refused | State::Ended => {
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
        let patience = if partial { self.timers.headers } else { self.timers.keep_alive };
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
        loop {
            this.vet()?;
            if this.vetted > 0 {
                this.give(out);
                return Poll::Ready(Ok(()));
            }
            match this.state {
                State::Refused => return Poll::Pending,
                State::Ended => return Poll::Ready(Ok(())),
                _ => {}
            }
            match this.poll_fill(context) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(_)) => {
                    if matches!(this.state, State::Head(0)) {
                        this.waiting_since = Some(Instant::now());
                    }
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    if !this.poll_timers(context) {
                        return Poll::Pending;
                    }
                    this.end();
                }
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Guard<S> {
    /// A client that does not read is waited for, but not for ever.
    fn written(&mut self, context: &mut Context<'_>, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(result) = polled {
            self.stalled = None;
            if let (State::Frames(frames), Ok(bytes)) = (&mut self.state, &result) {
                frames.sent(*bytes);
            }
            return Poll::Ready(result);
        }
        let patience = self.timers.write_stall;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        match stalled.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read"))),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Guard<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.inner).poll_write(context, bytes);
        this.written(context, polled)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.inner).poll_write_vectored(context, slices);
        this.written(context, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.inner).poll_flush(context).map_ok(|()| 0);
        this.written(context, polled).map_ok(drop)
    }

    /// Closes the sending side, then reads on for a moment: a socket closed with unread bytes is reset, and the reset
    /// may overtake the answer.
    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.lingering.is_none() {
            ready!(Pin::new(&mut this.inner).poll_shutdown(context))?;
            this.lingering = Some((Box::pin(tokio::time::sleep(LINGER)), 0));
        }
        let Some((sleep, read)) = &mut this.lingering else { return Poll::Ready(Ok(())) };
        let mut space = [const { std::mem::MaybeUninit::uninit() }; READ];
        loop {
            let mut buffer = ReadBuf::uninit(&mut space);
            match Pin::new(&mut this.inner).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() && *read < LINGER_BYTES => {
                    *read += buffer.filled().len();
                }
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => return sleep.as_mut().poll(context).map(Ok),
            }
        }
    }
}
