//! A body on its way, bounded in length and in the time between two reads.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use parking_lot::Mutex;
use tokio::time::{Instant, Sleep};

use super::copy::Copying;
use super::{Content, Copied};
use crate::error::{Error, Reason};

/// A message body.
#[derive(Debug, Default)]
pub struct Body(Option<Kind>);

/// Where a body's bytes come from.
#[derive(Debug)]
pub enum Kind {
    /// From memory.
    Full(Content),
    /// From a peer.
    Incoming(Box<Limited>),
}

/// Where a body comes from that is not in memory.
pub enum Source {
    /// From a connection.
    Incoming(Incoming),
    /// From something that the gateway itself runs, whose errors say who failed.
    Made(Pin<Box<dyn HttpBody<Data = Bytes, Error = Error> + Send>>),
}

/// A peer's body, with a cap on its length and a deadline on each read.
pub struct Limited {
    inner: Source,
    left: u64,
    faults: Faults,
    idle: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
    progress: Option<Arc<Progress>>,
    release: Option<Release>,
    copying: Option<Copying>,
    keeps: fn(&str) -> bool,
}

/// What it means when a body is too large, too slow or broken.
type Faults = (Reason, Reason, Reason);
const CLIENT: Faults = (Reason::BodyTooLarge, Reason::RequestTimeout, Reason::MalformedBody);
const UPSTREAM: Faults = (Reason::UpstreamTooLarge, Reason::UpstreamTimeout, Reason::UpstreamBroken);

/// Called when a body has been read to its end.
pub type Release = Box<dyn FnOnce() + Send>;

/// How far a body has been read.
#[derive(Debug, Default)]
pub struct Progress {
    last: Mutex<Option<Instant>>,
    bytes: AtomicU64,
}

impl Progress {
    /// The time of the last read.
    #[must_use]
    pub fn last(&self) -> Option<Instant> {
        *self.last.lock()
    }

    /// Bytes read so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

impl Body {
    /// A body of no bytes.
    #[must_use]
    pub const fn empty() -> Self {
        Self(None)
    }

    /// A body from memory.
    #[must_use]
    pub fn full(content: impl Into<Content>) -> Self {
        let content = content.into();
        Self((!content.bytes().is_empty()).then_some(Kind::Full(content)))
    }

    /// A client's body of at most `max` bytes.
    #[must_use]
    pub fn from_client(inner: Incoming, max: u64, idle: Duration) -> Self {
        if inner.is_end_stream() {
            return Self::empty();
        }
        Self::limited(Source::Incoming(inner), max, CLIENT, idle)
    }

    /// An upstream's body; `release` is called once it has been read to its end.
    #[must_use]
    pub fn from_upstream(inner: impl Into<Source>, idle: Duration, release: Option<Release>) -> Self {
        let inner = inner.into();
        if inner.is_end_stream() {
            if let Some(release) = release {
                release();
            }
            return Self::empty();
        }
        let mut body = Self::limited(inner, u64::MAX, UPSTREAM, idle);
        if let Some(Kind::Incoming(limited)) = &mut body.0 {
            limited.release = release;
        }
        body
    }

    fn limited(inner: Source, left: u64, faults: Faults, idle: Duration) -> Self {
        let limited = Limited {
            inner,
            left,
            faults,
            idle,
            sleep: None,
            progress: None,
            release: None,
            copying: None,
            keeps: |_| true,
        };
        Self(Some(Kind::Incoming(Box::new(limited))))
    }

    /// Sets how many bytes a body may have that has not been read yet.
    pub const fn cap(&mut self, max: u64) {
        if let Some(Kind::Incoming(limited)) = &mut self.0 {
            limited.left = max;
        }
    }

    /// Lets only those trailers through whose names pass.
    pub fn keep_trailers(&mut self, keeps: fn(&str) -> bool) {
        if let Some(Kind::Incoming(limited)) = &mut self.0 {
            limited.keeps = keeps;
        }
    }

    /// Lets another see when this body is read, if it comes from a peer.
    pub fn watch(&mut self) -> Option<Arc<Progress>> {
        let Some(Kind::Incoming(limited)) = &mut self.0 else { return None };
        Some(limited.progress.get_or_insert_default().clone())
    }

    /// The whole of it, if it is in memory.
    #[must_use]
    pub fn in_memory(&self) -> Option<Content> {
        match &self.0 {
            None => Some(Content::default()),
            Some(Kind::Full(content)) => Some(content.clone()),
            Some(Kind::Incoming(_)) => None,
        }
    }

    /// A copy of at most so many bytes; none where it is known to be larger.
    pub fn copy(&mut self, max: usize) -> Option<Copied> {
        if let Some(content) = self.in_memory() {
            return (content.bytes().len() <= max).then_some(Copied::Whole(content));
        }
        let Some(Kind::Incoming(limited)) = &mut self.0 else { return None };
        let (copying, coming) = Copying::new(max);
        limited.copying = Some(copying);
        Some(Copied::Coming(coming))
    }

    /// Whether there is nothing to send.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

impl Source {
    /// The next frame; a connection that breaks does so for this reason.
    fn poll_frame(&mut self, broken: Reason, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match self {
            Self::Incoming(incoming) => {
                Pin::new(incoming).poll_frame(context).map_err(|error| Error::new(broken, error.to_string()))
            }
            Self::Made(made) => made.as_mut().poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Incoming(incoming) => incoming.is_end_stream(),
            Self::Made(made) => made.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Incoming(incoming) => incoming.size_hint(),
            Self::Made(made) => made.size_hint(),
        }
    }
}

impl From<Incoming> for Source {
    fn from(incoming: Incoming) -> Self {
        Self::Incoming(incoming)
    }
}

impl Limited {
    fn keep_trailers(&self, frame: Frame<Bytes>) -> Frame<Bytes> {
        match frame.into_trailers() {
            Err(frame) => frame,
            Ok(mut trailers) => {
                let names = trailers.keys().filter(|name| !(self.keeps)(name.as_str())).cloned().collect::<Vec<_>>();
                for name in names {
                    trailers.remove(name);
                }
                Frame::trailers(trailers)
            }
        }
    }

    /// It was read to its end.
    fn finish(&mut self) {
        if let Some(release) = self.release.take() {
            release();
        }
        if let Some(copying) = self.copying.take() {
            copying.finish();
        }
    }

    fn poll_limited(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match self.inner.poll_frame(self.faults.2, context) {
            Poll::Ready(Some(Ok(frame))) => {
                let frame = self.keep_trailers(frame);
                if let Some(sleep) = &mut self.sleep {
                    sleep.as_mut().reset(Instant::now() + self.idle);
                }
                if let Some(progress) = &self.progress {
                    *progress.last.lock() = Some(Instant::now());
                    progress.bytes.fetch_add(frame.data_ref().map_or(0, |data| data.len() as u64), Ordering::Relaxed);
                }
                let length = frame.data_ref().map_or(0, |data| data.len() as u64);
                match self.left.checked_sub(length) {
                    Some(left) => self.left = left,
                    None => return Poll::Ready(Some(Err(self.faults.0.into()))),
                }
                if let Some(data) = frame.data_ref() {
                    self.copying = self.copying.take().and_then(|copying| copying.with(data));
                }
                // With a declared length nobody polls again after the last byte.
                if self.inner.is_end_stream() {
                    self.finish();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(error))),
            Poll::Ready(None) => {
                self.finish();
                Poll::Ready(None)
            }
            Poll::Pending => {
                let idle = self.idle;
                let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep(idle)));
                match std::future::Future::poll(sleep.as_mut(), context) {
                    Poll::Ready(()) => Poll::Ready(Some(Err(self.faults.1.into()))),
                    Poll::Pending => Poll::Pending,
                }
            }
        }
    }
}

impl fmt::Debug for Limited {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Limited").field("left", &self.left).finish_non_exhaustive()
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        match &mut this.0 {
            None => Poll::Ready(None),
            Some(Kind::Full(content)) => {
                let bytes = std::mem::take(content).into_bytes();
                this.0 = None;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Some(Kind::Incoming(limited)) => {
                let polled = limited.poll_limited(context);
                if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
                    this.0 = None;
                }
                polled
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            None => true,
            Some(Kind::Full(_)) => false,
            Some(Kind::Incoming(limited)) => limited.inner.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            None => SizeHint::with_exact(0),
            Some(Kind::Full(content)) => SizeHint::with_exact(content.bytes().len() as u64),
            Some(Kind::Incoming(limited)) => limited.inner.size_hint(),
        }
    }
}
