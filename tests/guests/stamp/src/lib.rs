//! Writes its version on everything it touches, so that a test can tell whether one version answered all of a request.

use std::hint::black_box;

use gatewright_sdk::{Decision, Ending, Event, Exchange, Failure, Outcome, Policy, export};
use schemars::JsonSchema;
use serde::Deserialize;

/// Settings of `stamp`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Stands beside the version, so that a change of the configuration shows as well.
    label: String,
}

/// Tests make other versions of this plugin by writing over these bytes in the compiled file.
static VERSION: &str = "stamp-version-000000";

/// The policy.
pub struct Stamp(String);

impl Policy for Stamp {
    type Config = Settings;

    fn new(settings: Settings) -> Result<Self, String> {
        Ok(Self(format!("{}/{}", black_box(VERSION), settings.label)))
    }

    fn on_request(&self, exchange: &Exchange) -> Result<Decision, Failure> {
        exchange.request_headers().set("x-stamp", &self.0)?;
        Ok(Decision::Next)
    }

    fn on_response(&self, exchange: &Exchange) -> Result<Decision, Failure> {
        let asked = exchange.request_headers().get("x-stamp")?.unwrap_or_default();
        if let Some(headers) = exchange.response_headers() {
            headers.set("x-stamp-asked", &asked)?;
            headers.set("x-stamp-answered", &self.0)?;
        }
        Ok(Decision::Next)
    }

    fn on_event(&self, _: &Exchange, events: Vec<Event>, _: Ending) -> Result<Outcome, Failure> {
        let stamped = |event: Event| Event { name: event.name, data: format!("{} {}", event.data, self.0) };
        Ok(Outcome::Send(events.into_iter().map(stamped).collect()))
    }
}

export!(Stamp: on_request, on_response, on_event);
