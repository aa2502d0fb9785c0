//! The dialects of LLM providers, and the way from each to each.
//!
//! A request is read into a [`Conversation`](conversation::Conversation), which every dialect can be written from; a
//! whole answer into a [`Completion`](completion::Completion), and a streamed one into
//! [`Step`](completion::Step)s. What a dialect cannot carry is written to the [`Ledger`](fault::Ledger): a warning or
//! a refusal, never silence. Nothing here does any input or output, knows the time or keeps a secret.

pub mod base64;
pub mod completion;
pub mod content;
pub mod conversation;
mod data_url;
pub mod dialect;
pub mod endpoint;
pub mod error;
pub mod fault;
pub mod json;
pub mod price;
mod sides;
pub mod spoken;
pub mod tool_name;
pub mod translate;
pub mod usage;

pub use dialect::Dialect;
