//! Cohere chat, version 2.
//!
//! Thoughts are not signed here. What proves one to another maker travels in a member `signature` of its own, which
//! Cohere's clients keep.

mod citation;
mod document;
pub mod error;
mod message;
mod probability;
pub mod request;
pub mod response;
pub mod stream;
pub mod usage;
