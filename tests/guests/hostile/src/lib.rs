//! Misbehaves in whichever way it is told: by its settings, or by the request's header `x-do`.
//!
//! A deed is `NAME` or `PHASE/NAME`, where the phase is `on-request` if none is named. Deeds that ask the gateway for
//! what it should refuse answer with what it said.

mod deeds;
mod events;
mod load;

use gatewright_sdk::{Body, Decision, Ending, Event, Exchange, Failure, Outcome, Policy, Problem, export, metrics};

use load::Settings;

/// The policy.
pub struct Hostile(Settings);

impl Hostile {
    /// What to do in a phase, if anything.
    fn deed(&self, exchange: &Exchange, phase: &str) -> Option<String> {
        let told = match &self.0.deed {
            Some(deed) => deed.clone(),
            None => exchange.request_headers().get("x-do").ok().flatten()?,
        };
        if told == "count" {
            metrics::add("hostile_calls", &[("phase".to_owned(), phase.to_owned())], 1);
            return None;
        }
        let (when, deed) = told.split_once('/').unwrap_or(("on-request", &told));
        (when == phase).then(|| deed.to_owned())
    }

    fn decide(&self, exchange: &Exchange, phase: &str, content: Option<&Body>) -> Result<Decision, Failure> {
        match self.deed(exchange, phase) {
            Some(deed) => deeds::perform(&deed, exchange, content),
            None => Ok(Decision::Next),
        }
    }
}

impl Policy for Hostile {
    type Config = Settings;

    fn new(settings: Settings) -> Result<Self, String> {
        settings.perform()?;
        Ok(Self(settings))
    }

    fn validate(settings: &Settings) -> Vec<Problem> {
        settings.problems()
    }

    fn on_request(&self, exchange: &Exchange) -> Result<Decision, Failure> {
        self.decide(exchange, "on-request", None)
    }

    fn on_request_body(&self, exchange: &Exchange, content: &Body) -> Result<Decision, Failure> {
        self.decide(exchange, "on-request-body", Some(content))
    }

    fn on_response(&self, exchange: &Exchange) -> Result<Decision, Failure> {
        self.decide(exchange, "on-response", None)
    }

    fn on_response_body(&self, exchange: &Exchange, content: &Body) -> Result<Decision, Failure> {
        self.decide(exchange, "on-response-body", Some(content))
    }

    fn on_event(&self, exchange: &Exchange, batch: Vec<Event>, _: Ending) -> Result<Outcome, Failure> {
        match self.deed(exchange, "on-event") {
            Some(deed) => events::perform(&deed, exchange, batch),
            None => Ok(Outcome::Pass),
        }
    }

    fn on_log(&self, exchange: &Exchange) {
        if let Some(deed) = self.deed(exchange, "on-log") {
            drop(deeds::perform(&deed, exchange, None));
        }
    }
}

export!(Hostile: on_request, on_request_body, on_response, on_response_body, on_event, on_log);
