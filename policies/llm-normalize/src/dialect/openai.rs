//! OpenAI chat completions: what clients speak.

pub(crate) mod error;
mod message;
pub(crate) mod passage;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod stream;
mod usage;

/// The end of the path of a chat completion.
pub(crate) const PATH: &str = "/chat/completions";
/// What ends a good stream.
pub(crate) const DONE: &str = "[DONE]";
