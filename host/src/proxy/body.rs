//! The body of a response on its way to the client, counted, and through the chains where they read events.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep};

use super::run::Run;
use crate::body::{Body, Framer, Framing};
use crate::error::{Error, Reason};
use crate::grpc;
use crate::plugin::{StreamEnding, StreamStep, join};

thread_local! {
    static LAST: Cell<BodyState> = const { Cell::new(BodyState::Untouched) };
}

/// What the response body said that was polled last on this thread. A server that waits for its client to read never
/// polls the body, so that this is how the two are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyState {
    /// It was not polled.
    Untouched,
    /// It gave something, or is about to: the client is to take it.
    Gave,
    /// It waits for the upstream.
    Waits,
}

impl BodyState {
    /// What was said since the last call.
    #[must_use]
    pub fn take() -> Self {
        LAST.replace(Self::Untouched)
    }
}

/// The body of a response.
pub struct ResponseBody(State);

enum State {
    Plain(Box<Plain>),
    /// Between two batches.
    Events(Box<EventStream>),
    /// A batch is on its way. Who drops it says so first.
    Working(Working, Arc<Notify>),
    Over,
}

type Working = Pin<Box<dyn Future<Output = (Box<EventStream>, Result<Bytes, Error>)> + Send>>;

struct Plain {
    body: Body,
    run: Run,
    /// Ends the response when its time is over; only set while nothing comes.
    deadline: Option<Pin<Box<Sleep>>>,
    until: Instant,
}

struct EventStream {
    body: Body,
    run: Run,
    framings: Framings,
    framer: Framer,
    until: Instant,
    ended: bool,
    /// The client has gone.
    gone: Arc<Notify>,
}

/// How a stream of events is framed: as it comes from the upstream, and as the client is to get it.
#[derive(Debug, Clone, Copy)]
pub struct Framings {
    pub(super) from_upstream: Framing,
    pub(super) to_client: Framing,
}

/// A comment of server-sent events, which clients pass over (WHATWG HTML §9.2.6).
const SILENCE: &[u8] = b": keep-alive\n\n";

/// Blocks that are handed over at once; more wait for the next call.
const BATCH_MAX: usize = 64;

impl ResponseBody {
    pub(super) fn plain(body: Body, streamed: bool, mut run: Run) -> Self {
        if body.is_empty() {
            run.complete = true;
        }
        let until = run.deadline(streamed);
        LAST.set(BodyState::Gave);
        Self(State::Plain(Box::new(Plain { body, run, deadline: None, until })))
    }

    pub(super) fn events(body: Body, framings: Framings, run: Run) -> Self {
        let max = run.snapshot.config.bounds.event.as_usize();
        let until = run.deadline(true);
        let framer = Framer::new(framings.from_upstream, max);
        LAST.set(BodyState::Gave);
        let gone = Arc::default();
        Self(State::Events(Box::new(EventStream { body, run, framings, framer, until, ended: false, gone })))
    }
}

impl Plain {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                self.run.bytes_out += frame.data_ref().map_or(0, |data| data.len() as u64);
                if self.body.is_end_stream() {
                    self.run.complete = true;
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(self.break_off(error))),
            Poll::Ready(None) => {
                self.run.complete = true;
                Poll::Ready(None)
            }
            Poll::Pending => {
                let until = self.until;
                let deadline = self.deadline.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
                match deadline.as_mut().poll(context) {
                    Poll::Ready(()) => {
                        let error = Error::new(Reason::Timeout, "the response took too long");
                        Poll::Ready(Some(self.break_off(error)))
                    }
                    Poll::Pending => Poll::Pending,
                }
            }
        }
    }
}

impl Plain {
    /// Ends the response early: in the words of gRPC where it is a call, else the connection or the stream breaks.
    fn break_off(&mut self, error: Error) -> Result<Frame<Bytes>, Error> {
        self.run.fail(error.clone());
        if self.run.grpc.is_none() {
            return Err(error);
        }
        self.body = Body::empty();
        self.deadline = None;
        Ok(Frame::trailers(grpc::trailers(error.reason.status(), error.reason.text())))
    }
}

impl EventStream {
    /// The next bytes for the client; none at the end.
    async fn next(mut self: Box<Self>) -> (Box<Self>, Result<Bytes, Error>) {
        loop {
            if self.ended {
                self.run.complete = true;
                return (self, Ok(Bytes::new()));
            }
            let result = match self.batch() {
                Some(step) => self.pass(step, StreamEnding::Open).await,
                None => self.read().await,
            };
            match result {
                Ok(bytes) if bytes.is_empty() => {}
                Ok(bytes) => {
                    self.run.bytes_out += bytes.len() as u64;
                    return (self, Ok(bytes));
                }
                Err(error) => {
                    self.run.fail(error.clone());
                    return (self, Err(error));
                }
            }
        }
    }

    /// What has arrived whole.
    fn batch(&mut self) -> Option<StreamStep> {
        let (mut pieces, mut events) = (Vec::new(), Vec::new());
        while let Some((bytes, event)) = self.framer.next_block() {
            pieces.push(bytes);
            events.extend(event);
            if events.len() >= BATCH_MAX {
                break;
            }
        }
        (!pieces.is_empty()).then(|| StreamStep::new(join(pieces), events))
    }

    /// Reads once more, or tells the chains that it is over.
    async fn read(&mut self) -> Result<Bytes, Error> {
        let failed = if self.framer.is_broken() {
            Some(Error::new(Reason::UpstreamBroken, "no message of an event stream"))
        } else {
            let speaks_at = self.speaks_at();
            let body = &mut self.body;
            let frame = std::future::poll_fn(|context| Pin::new(&mut *body).poll_frame(context));
            let came = tokio::select! {
                biased;
                came = tokio::time::timeout_at(speaks_at.unwrap_or(self.until), frame) => came,
                () = self.gone.notified() => return Err(Reason::ClientGone.into()),
            };
            match came {
                Ok(Some(Ok(frame))) => {
                    let data = frame.into_data().unwrap_or_default();
                    if !self.framer.push(&data) {
                        return Err(Error::new(Reason::UpstreamTooLarge, "one event is too large"));
                    }
                    return Ok(Bytes::new());
                }
                Ok(None) => None,
                Ok(Some(Err(error))) => Some(error),
                // Only whole events have gone out, so that a comment may stand here.
                Err(_) if speaks_at.is_some() => return Ok(Bytes::from_static(SILENCE)),
                Err(_) => Some(Error::new(Reason::Timeout, "the stream took too long")),
            }
        };
        // What was not read is of no use to anyone.
        self.body = Body::empty();
        self.ended = true;
        let step = match self.framer.rest() {
            // Half an event of a stream that broke off is no event.
            Some((bytes, event)) if failed.is_none() => StreamStep::new(bytes, event.into_iter().collect()),
            Some(_) | None => StreamStep::new(Bytes::new(), Vec::new()),
        };
        let ending = if failed.is_some() { StreamEnding::Truncated } else { StreamEnding::Complete };
        let bytes = self.pass(step, ending).await?;
        match failed {
            // A policy told the client in its own protocol; without one the connection has to.
            Some(error) if bytes.is_empty() => Err(error),
            Some(error) => {
                self.run.fail(error);
                Ok(bytes)
            }
            None => Ok(bytes),
        }
    }

    /// When the client is to get a comment; none where the stream is over before.
    fn speaks_at(&self) -> Option<Instant> {
        let silence = self.run.snapshot.config.timeouts.event_silence.0;
        let is_spoken = self.framings.to_client == Framing::Sse && !silence.is_zero();
        Some(Instant::now() + silence).filter(|at| is_spoken && *at < self.until)
    }

    /// The client has gone: the upstream is let go, and the chains are told, so that they settle what it came to.
    async fn leave(mut self: Box<Self>) {
        if self.ended {
            return;
        }
        self.body = Body::empty();
        self.run.fail(Reason::ClientGone.into());
        if let Err(error) = self.pass(StreamStep::new(Bytes::new(), Vec::new()), StreamEnding::Truncated).await {
            tracing::debug!(%error, "a stream without its client");
        }
    }

    async fn pass(&mut self, mut step: StreamStep, ending: StreamEnding) -> Result<Bytes, Error> {
        let snapshot = self.run.snapshot.clone();
        if let Some(entry) = snapshot.upstreams.get(&*self.run.held.upstream) {
            entry.chain.on_event(&mut self.run.held, &mut step, ending).await?;
        }
        if let Some(route) = self.run.route.clone() {
            route.chain.on_event(&mut self.run.held, &mut step, ending).await?;
        }
        if step.finished {
            self.ended = true;
            self.body = Body::empty();
        }
        Ok(step.into_bytes(self.framings.from_upstream, self.framings.to_client))
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        let left = std::mem::replace(&mut self.0, State::Over);
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        match left {
            State::Events(stream) => drop(runtime.spawn(stream.leave())),
            State::Working(working, gone) => {
                gone.notify_one();
                drop(runtime.spawn(async move { working.await.0.leave().await }));
            }
            State::Plain(_) | State::Over => {}
        }
    }
}

impl HttpBody for ResponseBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let polled = self.get_mut().0.poll(context);
        LAST.set(if polled.is_ready() { BodyState::Gave } else { BodyState::Waits });
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            State::Plain(plain) => plain.body.is_end_stream(),
            State::Over => true,
            State::Events(_) | State::Working(..) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            State::Plain(plain) => plain.body.size_hint(),
            State::Over => SizeHint::with_exact(0),
            State::Events(_) | State::Working(..) => SizeHint::default(),
        }
    }
}

impl State {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        loop {
            match std::mem::replace(self, Self::Over) {
                Self::Over => return Poll::Ready(None),
                Self::Plain(mut plain) => {
                    let polled = plain.poll(context);
                    *self = Self::Plain(plain);
                    return polled;
                }
                Self::Events(stream) => {
                    let gone = stream.gone.clone();
                    *self = Self::Working(Box::pin(stream.next()), gone);
                }
                Self::Working(mut working, gone) => match working.as_mut().poll(context) {
                    Poll::Pending => {
                        *self = Self::Working(working, gone);
                        return Poll::Pending;
                    }
                    Poll::Ready((_, Ok(bytes))) if bytes.is_empty() => return Poll::Ready(None),
                    Poll::Ready((stream, Ok(bytes))) => {
                        *self = Self::Events(stream);
                        return Poll::Ready(Some(Ok(Frame::data(bytes))));
                    }
                    Poll::Ready((_, Err(error))) => return Poll::Ready(Some(Err(error))),
                },
            }
        }
    }
}
