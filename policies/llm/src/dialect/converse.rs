//! Bedrock Converse: the model and whether to stream are in the path, so neither is read or written here.

mod block;
mod citation;
mod media;

pub mod error;
pub mod request;
pub mod response;
pub mod stream;
pub mod usage;
