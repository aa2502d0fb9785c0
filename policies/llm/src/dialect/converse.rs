//! Bedrock Converse: the model and whether to stream are in the path, so neither is read or written here.

mod block;
mod citation;
mod media;
mod usage;

pub mod error;
pub mod request;
pub mod response;
pub mod stream;
