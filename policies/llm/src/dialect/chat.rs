//! OpenAI Chat Completions, as OpenAI and the many that speak it have it.

mod chunk;
pub mod error;
mod message;
mod part;
pub(crate) mod probability;
pub mod request;
pub mod response;
pub mod stream;
mod thought;
pub mod usage;
mod writing;

/// What ends a good stream.
pub const DONE: &str = "[DONE]";
