//! `llm-normalize` from outside: what the client sends and gets, what the upstream gets and sends.

#![expect(clippy::unwrap_used, clippy::needless_pass_by_value, reason = "helpers of tests, called with `json!`")]

mod errors;
mod odd_input;
mod passing;
mod request;
mod response;
mod rig;
mod stream;
