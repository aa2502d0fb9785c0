//! Between the contract's exports and a [`Policy`]: what `export!` stands on.

use std::cell::OnceCell;
use std::marker::PhantomData;
use std::panic::PanicHookInfo;
use std::thread::LocalKey;

use crate::bindings::policy::exports::gatewright::policy::lifecycle;
use crate::bindings::policy::gatewright::policy::types;
use crate::bindings::{on_event, on_log, on_request, on_request_body, on_response, on_response_body, on_schedule};
use crate::{Decision, Failure, Policy, log};

/// A policy that `export!` gave a place for its configured value.
pub trait Hosted: Policy + 'static {
    /// The configured policy of this instance.
    fn slot() -> &'static LocalKey<OnceCell<Self>>;
}

/// Implements the exported interfaces for a policy.
pub struct Adapter<P>(PhantomData<P>);

fn with<P: Hosted, T>(run: impl FnOnce(&P) -> T) -> T {
    P::slot().with(|slot| run(slot.get().expect("the host calls `configure` before any phase")))
}

impl From<Decision> for types::Decision {
    fn from(decision: Decision) -> Self {
        match decision {
            Decision::Next => Self::Next,
            Decision::Detach => Self::Detach,
            Decision::Answer(reply) => Self::Answer(reply),
        }
    }
}

impl<P: Hosted> lifecycle::Guest for Adapter<P> {
    fn describe() -> lifecycle::Descriptor {
        lifecycle::Descriptor { config_schema: crate::schema_of::<P>(), attributes: crate::attributes_of::<P>() }
    }

    fn validate_config(config: String) -> Vec<lifecycle::Problem> {
        match serde_json::from_str(config.leak()) {
            Ok(config) => P::validate(&config),
            Err(error) => vec![crate::problem("", error.to_string())],
        }
    }

    fn configure(config: String) -> Result<(), String> {
        std::panic::set_hook(Box::new(log_panic));
        // The instance keeps its configuration to its end, so the settings may borrow from the text.
        let config = serde_json::from_str(config.leak()).map_err(|error| error.to_string())?;
        let policy = P::new(config)?;
        P::slot().with(|slot| slot.set(policy)).map_err(|_| "configured twice".to_owned())?;
        #[cfg(target_arch = "wasm32")]
        crate::allocator::reserve(P::HEAP_BYTES);
        Ok(())
    }
}

/// The host sees only a trap: the message must reach the log first.
fn log_panic(info: &PanicHookInfo<'_>) {
    let message = info.payload_as_str().unwrap_or("panic");
    let mut attributes = Vec::new();
    if let Some(location) = info.location() {
        attributes.push(("file".to_owned(), location.file().to_owned()));
        attributes.push(("line".to_owned(), location.line().to_string()));
    }
    log::emit(log::Level::Error, message, &attributes);
}

impl<P: Hosted> on_request::exports::gatewright::policy::on_request::Guest for Adapter<P> {
    fn handle(exchange: &types::Exchange) -> Result<types::Decision, Failure> {
        with(|policy: &P| policy.on_request(exchange)).map(Into::into)
    }
}

impl<P: Hosted> on_request_body::exports::gatewright::policy::on_request_body::Guest for Adapter<P> {
    fn handle(exchange: &types::Exchange, content: &types::Body) -> Result<types::Decision, Failure> {
        with(|policy: &P| policy.on_request_body(exchange, content)).map(Into::into)
    }
}

impl<P: Hosted> on_response::exports::gatewright::policy::on_response::Guest for Adapter<P> {
    fn handle(exchange: &types::Exchange) -> Result<types::Decision, Failure> {
        with(|policy: &P| policy.on_response(exchange)).map(Into::into)
    }
}

impl<P: Hosted> on_response_body::exports::gatewright::policy::on_response_body::Guest for Adapter<P> {
    fn handle(exchange: &types::Exchange, content: &types::Body) -> Result<types::Decision, Failure> {
        with(|policy: &P| policy.on_response_body(exchange, content)).map(Into::into)
    }
}

impl<P: Hosted> on_event::exports::gatewright::policy::on_event::Guest for Adapter<P> {
    fn handle(
        exchange: &types::Exchange,
        events: Vec<crate::Event>,
        state: crate::Ending,
    ) -> Result<crate::Outcome, Failure> {
        with(|policy: &P| policy.on_event(exchange, events, state))
    }
}

impl<P: Hosted> on_log::exports::gatewright::policy::on_log::Guest for Adapter<P> {
    fn handle(exchange: &types::Exchange) {
        with(|policy: &P| policy.on_log(exchange));
    }
}

impl<P: Hosted> on_schedule::exports::gatewright::policy::on_schedule::Guest for Adapter<P> {
    fn handle(job: String) -> Result<(), Failure> {
        with(|policy: &P| policy.on_schedule(&job))
    }
}
