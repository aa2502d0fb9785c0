//! What comes back from a call of a guest: the exchange, and what was decided on it.

use super::bindings::exports::gatewright::policy::on_event;
use super::bindings::gatewright::policy::types;
use super::call::CallBody;
use crate::error::{Error, Reason};
use crate::exchange::{Exchange, Reply};

/// What a guest decided on headers or a body.
pub(super) enum Decided {
    Next,
    Detach,
    Answer(Box<Reply>),
}

/// What a guest made of a batch of events.
pub(super) enum Outcome {
    Pass,
    Send(Vec<crate::body::Event>),
    Finish(Vec<crate::body::Event>),
    Detach,
}

/// What came back from a call, and the exchange with it.
pub(super) struct Called<R> {
    pub(super) exchange: Box<Exchange>,
    pub(super) body: Option<CallBody>,
    pub(super) result: Result<R, Error>,
}

/// What a phase on headers or a body returns, with the replies that were made.
pub(super) type Answer = (Result<types::Decision, types::Failure>, Vec<Reply>);

impl Called<Answer> {
    pub(super) fn decided(self, policy: &str) -> Called<Decided> {
        let Self { exchange, body, result } = self;
        let result = result.and_then(|(decision, mut replies)| match decision {
            Ok(types::Decision::Next) => Ok(Decided::Next),
            Ok(types::Decision::Detach) => Ok(Decided::Detach),
            Ok(types::Decision::Answer(reply)) => {
                let index = reply.rep() as usize;
                if index < replies.len() {
                    Ok(Decided::Answer(Box::new(replies.swap_remove(index))))
                } else {
                    Err(Error::new(Reason::PolicyTrapped, "the answer is no reply"))
                }
            }
            Err(failure) => Err(failed(policy, &failure)),
        });
        Called { exchange, body, result }.settle()
    }
}

/// What `on-event` returns, with the replies that were made: none is of use there.
pub(super) type Transformed = (Result<on_event::Outcome, types::Failure>, Vec<Reply>);

impl Called<Transformed> {
    pub(super) fn transformed(self, policy: &str) -> Called<Outcome> {
        let Self { exchange, body, result } = self;
        let result = result.and_then(|(outcome, _)| match outcome {
            Ok(on_event::Outcome::Pass) => Ok(Outcome::Pass),
            Ok(on_event::Outcome::Send(events)) => Ok(Outcome::Send(plain(events))),
            Ok(on_event::Outcome::Finish(events)) => Ok(Outcome::Finish(plain(events))),
            Ok(on_event::Outcome::Detach) => Ok(Outcome::Detach),
            Err(failure) => Err(failed(policy, &failure)),
        });
        Called { exchange, body, result }.settle()
    }
}

impl<R> Called<(R, Vec<Reply>)> {
    /// Where replies are of no use.
    pub(super) fn without_replies(self) -> Called<R> {
        self.map(|(result, _)| result)
    }
}

impl<R> Called<R> {
    pub(super) fn map<S>(self, map: impl FnOnce(R) -> S) -> Called<S> {
        let Self { exchange, body, result } = self;
        Called { exchange, body, result: result.map(map) }
    }

    /// The writes of a call stay if it returned well, and else never were.
    fn settle(mut self) -> Self {
        if self.result.is_ok() {
            self.exchange.commit();
        } else {
            self.exchange.roll_back();
        }
        self
    }
}

pub(super) fn failed(policy: &str, failure: &types::Failure) -> Error {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let fits = (1..=64).contains(&failure.code.len()) && failure.code.bytes().all(plain);
    let code = if fits { failure.code.as_str() } else { "unnamed" };
    let detail = failure.detail.get(..failure.detail.floor_char_boundary(1 << 10)).unwrap_or("");
    Error::new(Reason::PolicyFailed, format!("policy {policy:?}: {code}: {detail}"))
}

fn plain(events: Vec<on_event::Event>) -> Vec<crate::body::Event> {
    events.into_iter().map(|event| crate::body::Event { name: event.name, data: event.data }).collect()
}
