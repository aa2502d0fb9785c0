//! The outer tests: the gateway seen from outside, through the binary that ships.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a panic is how a test fails")]

mod components;
mod configuration;
mod contract;
mod credentials;
mod crosstalk;
mod engine;
mod framing;
mod fuzz;
mod grpc;
mod hostile;
mod http2;
mod interop;
mod languages;
mod listeners;
mod mock;
mod paths;
mod overload;
mod policies;
mod preview1;
mod provenance;
mod providers;
mod prompts;
mod proxying;
mod reload;
mod sdks;
mod services;
mod streaming;
mod tidy;
mod tls;
mod upgrade;
mod upstreams;
