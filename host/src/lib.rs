//! Gatewright: a programmable API and LLM gateway whose every policy is a sandboxed WebAssembly component.
pub mod mock;
pub mod config;
