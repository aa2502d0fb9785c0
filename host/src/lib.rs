//! Gatewright: a programmable API and LLM gateway whose every policy is a sandboxed WebAssembly component.
//!
//! # Words
//!
//! | word | meaning |
//! |---|---|
//! | plugin | a compiled component file (`*.wasm`) in the drop folder |
//! | policy | a named, configured use of a plugin, with its grants and its failure mode |
//! | chain | the policies of a route (once a request) or of an upstream (once an attempt), in order |
//! | phase | one exported interface of the contract, e.g. `on-request` |
//! | exchange | one request with its response, as the chain sees it |
//! | route | a match, a chain, and an upstream |
//! | upstream | a named group of endpoints, with its own TLS and chain, or a component in their place |
//! | provider | who serves models, and what of them is known beforehand: address, dialect, the way keys are shown |
//! | component | a plugin of the standard `wasi:http` that answers requests, as an upstream does |
//! | grant | a power (an imported service) that the operator allows a policy |
//! | principal | who was authenticated; belongs to a tenant |
//! | snapshot | one validated, immutable state of everything configured; a request sees one from first byte to last |
//!
//! # Modules
//!
//! Each uses only those below it; a test checks it.

pub mod cli;
pub mod mock;
pub mod admin;
pub mod reload;
pub mod server;
pub mod proxy;
pub mod snapshot;
pub mod plugin;
pub mod exchange;
pub mod services;
pub mod upstream;
pub mod route;
pub mod body;
pub mod limiter;
pub mod overload;
pub mod telemetry;
pub mod proxy_protocol;
pub mod grpc;
pub mod shelf;
pub mod provider;
pub mod config;
pub mod error;
