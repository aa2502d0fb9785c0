//! The only code that names wasmtime: engine, plugins, policies, chains, components.

mod artifact;
mod bindings;
mod cache;
mod call;
mod called;
mod chain;
mod clock;
mod compiler;
mod component;
mod core_module;
mod engine;
mod grants;
mod health;
#[expect(unreachable_pub, reason = "the generated bindings re-export them")]
mod handles;
mod host_exchange;
mod host_http;
mod host_kv;
mod host_services;
mod host_types;
mod idle;
mod image;
mod job;
mod lane;
mod pace;
mod package;
mod policy;
mod prepare;
mod prepared;
mod preview1;
mod reset;
mod reset_module;
mod run;
mod sandbox;

pub use call::CallBody;
pub use chain::{Chain, Flow, Held, StreamEnding, StreamStep, join};
pub use compiler::{Compiler, serve_one};
pub use component::{Component, ComponentInputs};
pub use engine::Engine;
pub use package::{Description, FILE_MAX, Facts, Hashed, Plugin, SharedPlugin, hash_of};
pub use policy::Policy;
pub use prepared::Preparation;

/// A phase of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the contract documents each")]
pub enum Phase {
    OnRequest,
    OnRequestBody,
    OnResponse,
    OnResponseBody,
    OnEvent,
    OnLog,
    OnSchedule,
}

impl Phase {
    /// Every phase.
    pub const ALL: [Self; 7] = [
        Self::OnRequest,
        Self::OnRequestBody,
        Self::OnResponse,
        Self::OnResponseBody,
        Self::OnEvent,
        Self::OnLog,
        Self::OnSchedule,
    ];

    /// Its name in the contract.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OnRequest => "on-request",
            Self::OnRequestBody => "on-request-body",
            Self::OnResponse => "on-response",
            Self::OnResponseBody => "on-response-body",
            Self::OnEvent => "on-event",
            Self::OnLog => "on-log",
            Self::OnSchedule => "on-schedule",
        }
    }
}
