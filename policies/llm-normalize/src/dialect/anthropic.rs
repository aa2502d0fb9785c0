//! Anthropic messages: what an upstream may speak.

mod block;
pub(crate) mod error;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod stream;
mod thinking;
mod tool_name;
mod usage;

pub(crate) use thinking::ThinkingStyle;
pub(crate) use tool_name::ToolNames;

/// The end of the path of a message.
pub(crate) const PATH: &str = "/messages";
/// The header that names the version of the API.
pub(crate) const VERSION_HEADER: &str = "anthropic-version";
