//! OpenAI Responses, and the Open Responses specification.
//!
//! Thoughts are `reasoning` items. One that was signed elsewhere travels as an item whose `encrypted_content` names
//! its maker; one that only its maker can read has no summary at all, one that is empty has an empty summary.

mod citation;
pub mod error;
mod item;
mod media;
mod output;
mod probability;
pub mod request;
pub mod response;
mod snapshot;
pub mod stream;
pub mod usage;
