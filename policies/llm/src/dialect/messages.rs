//! Anthropic Messages.

mod block;
mod citation;
pub mod error;
mod event;
pub mod request;
pub mod response;
pub mod stream;
mod thinking;
pub mod usage;
mod writing;

/// The header that names the version of the API.
pub const VERSION_HEADER: &str = "anthropic-version";
