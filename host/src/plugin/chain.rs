//! Runs the policies of a route or an upstream in order, and back in reverse.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};

use super::Phase;
use super::bindings::exports::gatewright::policy::on_event::Ending;
use super::call::CallBody;
use super::called::{Called, Decided, Outcome};
use super::policy::Policy;
use crate::body::{Event, Framing, write_event};
use crate::error::Error;
use crate::exchange::{Exchange, Reply};

/// Policies in order.
#[derive(Debug, Clone, Default)]
pub struct Chain(Vec<Arc<Policy>>);

/// Whether an exchange goes on.
#[derive(Debug)]
pub enum Flow {
    /// On.
    Next,
    /// No: this is the answer, made by the policy of this index.
    Answer(Box<Reply>, usize),
}

/// An exchange that its owner lends to one policy call at a time.
#[derive(Debug)]
pub struct Held(Option<Box<Exchange>>);

/// Events on their way through a chain, with the bytes they came as, as long as nothing changed them.
#[derive(Debug)]
pub struct StreamStep {
    /// The blocks as they came, comments included.
    pub raw: Bytes,
    /// The events in them.
    pub events: Vec<Event>,
    /// Whether the bytes no longer say what the events say.
    pub changed: bool,
    /// Whether a policy ended the stream.
    pub finished: bool,
}

const GONE: &str = "an exchange is away only during a call, which holds the only borrow of it";

impl Held {
    /// Holds an exchange.
    #[must_use]
    pub const fn new(exchange: Box<Exchange>) -> Self {
        Self(Some(exchange))
    }

    /// Whether it is here: a call that was cut off midway takes its exchange with it.
    #[must_use]
    pub const fn is_here(&self) -> bool {
        self.0.is_some()
    }

    fn lend(&mut self) -> Box<Exchange> {
        self.0.take().expect(GONE)
    }

    fn settle<R>(&mut self, called: Called<R>) -> (Option<CallBody>, Result<R, Error>) {
        self.0 = Some(called.exchange);
        (called.body, called.result)
    }
}

impl Deref for Held {
    type Target = Exchange;

    fn deref(&self) -> &Exchange {
        self.0.as_deref().expect(GONE)
    }
}

impl DerefMut for Held {
    fn deref_mut(&mut self) -> &mut Exchange {
        self.0.as_deref_mut().expect(GONE)
    }
}

impl Chain {
    /// A chain of these policies.
    #[must_use]
    pub const fn new(policies: Vec<Arc<Policy>>) -> Self {
        Self(policies)
    }

    /// Whether any of its policies takes part in a phase.
    #[must_use]
    pub fn has(&self, phase: Phase) -> bool {
        self.0.iter().any(|policy| policy.has(phase))
    }

    /// Whether any of its policies still takes part in a phase of this exchange.
    #[must_use]
    pub fn wants(&self, phase: Phase, exchange: &Exchange) -> bool {
        self.0.iter().any(|policy| policy.has(phase) && !exchange.is_detached(policy.id))
    }

    /// How many policies there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The policies, in order.
    pub fn policies(&self) -> impl Iterator<Item = &Arc<Policy>> {
        self.0.iter()
    }

    /// The least that any of its policies says it reads of a body, under this name.
    #[must_use]
    pub fn body_max(&self, name: &str, phase: Phase, otherwise: u64) -> u64 {
        let bounds =
            self.0.iter().filter(|policy| policy.has(phase)).filter_map(|policy| policy.description().bytes(name));
        bounds.min().unwrap_or(otherwise).min(otherwise)
    }

    /// `on-request` of every policy, in order.
    ///
    /// # Errors
    /// The failure of a policy that fails closed.
    pub async fn on_request(&self, held: &mut Held) -> Result<Flow, Error> {
        for (index, policy) in self.0.iter().enumerate() {
            if policy.has(Phase::OnRequest) {
                let called = policy.decide(Phase::OnRequest, held.lend()).await;
                let (_, result) = held.settle(called);
                if let Some(flow) = decided(policy, index, held, result)? {
                    return Ok(flow);
                }
            }
        }
        Ok(Flow::Next)
    }

    /// `on-request-body` of every policy, in order.
    ///
    /// # Errors
    /// The failure of a policy that fails closed.
    pub async fn on_request_body(&self, held: &mut Held, body: &mut CallBody) -> Result<Flow, Error> {
        let order = self.0.iter().enumerate();
        Self::on_body(order, Phase::OnRequestBody, held, body).await
    }

    /// `on-response` of the first `count` policies, in reverse.
    ///
    /// # Errors
    /// The failure of a policy that fails closed.
    pub async fn on_response(&self, held: &mut Held, count: usize) -> Result<Flow, Error> {
        for (index, policy) in self.0.iter().enumerate().take(count).rev() {
            held.give_headers(policy.id);
            if policy.has(Phase::OnResponse) && !held.is_detached(policy.id) {
                let called = policy.decide(Phase::OnResponse, held.lend()).await;
                let (_, result) = held.settle(called);
                if let Some(flow) = decided(policy, index, held, result)? {
                    return Ok(flow);
                }
            }
        }
        Ok(Flow::Next)
    }

    /// `on-response-body` of every policy, in reverse.
    ///
    /// # Errors
    /// The failure of a policy that fails closed.
    pub async fn on_response_body(&self, held: &mut Held, body: &mut CallBody) -> Result<Flow, Error> {
        let order = self.0.iter().enumerate().rev();
        Self::on_body(order, Phase::OnResponseBody, held, body).await
    }

    async fn on_body<'a>(
        order: impl Iterator<Item = (usize, &'a Arc<Policy>)>,
        phase: Phase,
        held: &mut Held,
        body: &mut CallBody,
    ) -> Result<Flow, Error> {
        for (index, policy) in order {
            if policy.has(phase) && !held.is_detached(policy.id) {
                let called = policy.decide_on_body(phase, held.lend(), body.clone()).await;
                let (after, result) = held.settle(called);
                if let Some(after) = after {
                    *body = after;
                }
                if let Some(flow) = decided(policy, index, held, result)? {
                    return Ok(flow);
                }
            }
        }
        Ok(Flow::Next)
    }

    /// `on-event` of every policy, in reverse, each with what the one before made of the batch.
    ///
    /// # Errors
    /// The failure of a policy that fails closed.
    pub async fn on_event(&self, held: &mut Held, step: &mut StreamStep, ending: StreamEnding) -> Result<(), Error> {
        for policy in self.0.iter().rev() {
            if !policy.has(Phase::OnEvent) || held.is_detached(policy.id) {
                continue;
            }
            if step.events.is_empty() && ending == StreamEnding::Open && !step.finished {
                return Ok(());
            }
            let ending = if step.finished { Ending::Complete } else { ending.to_guest() };
            let called = policy.transform(held.lend(), &step.events, ending).await;
            let (_, result) = held.settle(called);
            match result {
                Ok(Outcome::Pass) => {}
                Ok(Outcome::Detach) => held.detach(policy.id),
                Ok(Outcome::Send(events)) => step.replace(events),
                Ok(Outcome::Finish(events)) => {
                    step.replace(events);
                    step.finished = true;
                }
                Err(error) if policy.fails_open() => report_open(policy, &error),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// `on-log` of every policy, in order.
    pub async fn on_log(&self, held: &mut Held) {
        for policy in &self.0 {
            if policy.has(Phase::OnLog) && !held.is_detached(policy.id) {
                let called = policy.tell(held.lend()).await;
                if let (_, Err(error)) = held.settle(called) {
                    tracing::warn!(%error, policy = &*policy.name, "on-log failed");
                }
            }
        }
    }
}

/// Whether a stream has ended, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamEnding {
    /// More may come.
    Open,
    /// As its framing says.
    Complete,
    /// Broken off.
    Truncated,
}

impl StreamEnding {
    const fn to_guest(self) -> Ending {
        match self {
            Self::Open => Ending::Open,
            Self::Complete => Ending::Complete,
            Self::Truncated => Ending::Truncated,
        }
    }
}

impl StreamStep {
    /// A batch of blocks as they came.
    #[must_use]
    pub const fn new(raw: Bytes, events: Vec<Event>) -> Self {
        Self { raw, events, changed: false, finished: false }
    }

    fn replace(&mut self, events: Vec<Event>) {
        self.events = events;
        self.changed = true;
    }

    /// The bytes to send: as they came, unless a policy changed them or they are to be framed in another way.
    #[must_use]
    pub fn into_bytes(self, came: Framing, goes: Framing) -> Bytes {
        if !self.changed && came == goes {
            return self.raw;
        }
        let mut out = Vec::new();
        for event in &self.events {
            write_event(goes, event, &mut out);
        }
        out.into()
    }
}

/// Joins pieces without copying a single one.
#[must_use]
pub fn join(pieces: Vec<Bytes>) -> Bytes {
    let mut pieces = pieces.into_iter();
    match (pieces.next(), pieces.next()) {
        (None, _) => Bytes::new(),
        (Some(only), None) => only,
        (Some(first), Some(second)) => {
            let mut joined = BytesMut::new();
            for piece in [first, second].into_iter().chain(pieces) {
                joined.put(piece);
            }
            joined.freeze()
        }
    }
}

/// `None` to go on with the next policy.
fn decided(
    policy: &Policy,
    index: usize,
    held: &mut Held,
    result: Result<Decided, Error>,
) -> Result<Option<Flow>, Error> {
    match result {
        Ok(Decided::Next) => Ok(None),
        Ok(Decided::Detach) => {
            held.detach(policy.id);
            Ok(None)
        }
        Ok(Decided::Answer(reply)) => Ok(Some(Flow::Answer(reply, index))),
        Err(error) if policy.fails_open() => {
            report_open(policy, &error);
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn report_open(policy: &Policy, error: &Error) {
    tracing::warn!(%error, policy = &*policy.name, "policy failed and the exchange goes on");
}
