//! Gatewright: a programmable API and LLM gateway whose every policy is a sandboxed WebAssembly component.
pub mod body;
pub mod config;
pub mod error;
pub mod exchange;
pub mod mock;
pub mod plugin;
pub mod route;
pub mod services;
pub mod telemetry;
pub mod upstream;
