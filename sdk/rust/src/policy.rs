//! What an author implements, and what its phases answer with.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::{Body, Ending, Event, Exchange, Failure, Outcome, Problem, Reply};

/// A policy: its settings, and the phases that it takes part in.
///
/// Every call may run in a fresh instance, so keep what belongs to an exchange in
/// [`Exchange::put_state`] and never in `self`.
pub trait Policy: Sized {
    /// The settings. Doc comments on their fields become the descriptions of the schema;
    /// put `#[serde(deny_unknown_fields)]` on each.
    type Config: Deserialize<'static> + JsonSchema;

    /// One line on what the policy does.
    const SUMMARY: &'static str = "";
    /// The version of the policy, usually `env!("CARGO_PKG_VERSION")`.
    const VERSION: &'static str = "0.1.0";
    /// Bytes of heap that a usual call needs at most: they are there when it begins. Each call also costs what it takes to
    /// write its memory anew, about 0.8 us for each 64 KiB.
    const HEAP_BYTES: usize = 16 << 10;
    /// The largest request body, in bytes, that `on_request_body` wants; 0 leaves it to the route.
    const REQUEST_BODY_MAX: u32 = 0;
    /// The largest response body, in bytes, that `on_response_body` wants; 0 leaves it to the route.
    const RESPONSE_BODY_MAX: u32 = 0;

    /// Makes the policy from settings that fit the schema and that [`validate`](Self::validate)
    /// found nothing wrong with. Runs for each fresh instance: keep it cheap.
    ///
    /// # Errors
    ///
    /// The text is for the operator and says what to write instead.
    fn new(config: Self::Config) -> Result<Self, String>;

    /// Faults that the schema cannot state, all of them at once.
    fn validate(config: &Self::Config) -> Vec<Problem> {
        let _ = config;
        Vec::new()
    }

    /// The request's headers are complete, and no byte has gone anywhere.
    ///
    /// # Errors
    ///
    /// The policy could not decide; the operator's failure mode then does.
    fn on_request(&self, exchange: &Exchange) -> Result<Decision, Failure> {
        let _ = exchange;
        Ok(Decision::Detach)
    }

    /// The whole request body is here; headers, path and body can all change.
    ///
    /// # Errors
    ///
    /// The policy could not decide; the operator's failure mode then does.
    fn on_request_body(&self, exchange: &Exchange, content: &Body) -> Result<Decision, Failure> {
        let _ = (exchange, content);
        Ok(Decision::Detach)
    }

    /// The response's headers are complete.
    ///
    /// # Errors
    ///
    /// The policy could not decide; the operator's failure mode then does.
    fn on_response(&self, exchange: &Exchange) -> Result<Decision, Failure> {
        let _ = exchange;
        Ok(Decision::Detach)
    }

    /// The whole response body is here; never called for a stream.
    ///
    /// # Errors
    ///
    /// The policy could not decide; the operator's failure mode then does.
    fn on_response_body(&self, exchange: &Exchange, content: &Body) -> Result<Decision, Failure> {
        let _ = (exchange, content);
        Ok(Decision::Detach)
    }

    /// Some whole events of a streamed response have arrived.
    ///
    /// # Errors
    ///
    /// The policy could not decide; the operator's failure mode then does.
    fn on_event(&self, exchange: &Exchange, events: Vec<Event>, ending: Ending) -> Result<Outcome, Failure> {
        let _ = (exchange, events, ending);
        Ok(Outcome::Detach)
    }

    /// The exchange is over. Nothing can change any more.
    fn on_log(&self, exchange: &Exchange) {
        let _ = exchange;
    }

    /// A job that the operator scheduled is due. There is no exchange; keep what it finds in `kv`.
    ///
    /// # Errors
    ///
    /// The job failed, which is logged and counted; it runs again when it is due again.
    fn on_schedule(&self, job: &str) -> Result<(), Failure> {
        let _ = job;
        Ok(())
    }
}

/// What a phase that can stop an exchange decides.
#[derive(Debug)]
pub enum Decision {
    /// On to the next policy.
    Next,
    /// On to the next policy, and call this one no more for this exchange.
    Detach,
    /// Stop the chain and answer with this.
    Answer(Reply),
}

/// The JSON Schema of a policy's settings, as text.
#[must_use]
pub fn schema_of<P: Policy>() -> String {
    schemars::schema_for!(P::Config).as_value().to_string()
}

/// What a policy says of itself beside its schema.
#[cfg_attr(not(target_arch = "wasm32"), expect(dead_code, reason = "only the host asks"))]
pub(crate) fn attributes_of<P: Policy>() -> Vec<(String, String)> {
    let mut attributes =
        vec![("version".to_owned(), P::VERSION.to_owned()), ("summary".to_owned(), P::SUMMARY.to_owned())];
    for (name, bytes_max) in [("request-body-max", P::REQUEST_BODY_MAX), ("response-body-max", P::RESPONSE_BODY_MAX)] {
        if bytes_max > 0 {
            attributes.push((name.to_owned(), bytes_max.to_string()));
        }
    }
    attributes
}

/// A fault in the settings, at an RFC 6901 pointer.
#[must_use]
pub fn problem(at: &str, message: impl Into<String>) -> Problem {
    Problem { at: at.to_owned(), message: message.into() }
}
