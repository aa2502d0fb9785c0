//! Write Gatewright policies in Rust.
//!
//! Implement [`Policy`], then name the phases in [`export!`]. On WebAssembly the types here
//! are the gateway's own; natively they are those of [`testing`], so that a policy's tests
//! run under `cargo test`. The `README.md` beside this crate teaches with `key-auth`.

#[cfg(target_arch = "wasm32")]
#[expect(unsafe_code, reason = "an allocator cannot be written without")]
mod allocator;
#[doc(hidden)]
#[expect(clippy::mem_forget, reason = "generated from the contract")]
pub mod bindings;
mod exchange;
mod export;
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod guest;
mod list;
mod policy;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;
mod text;

pub use bindings::on_event::exports::gatewright::policy::on_event::{Ending, Event, Outcome};
pub use bindings::policy::exports::gatewright::policy::lifecycle::Problem;
pub use bindings::policy::gatewright::policy::types::{BodyError, Failure, HeaderError, Scalar, WriteError};
pub use exchange::failure;
pub use list::OneOrMany;
pub use policy::{Decision, Policy, problem, schema_of};
pub use text::deserialize_text;

#[cfg(target_arch = "wasm32")]
pub use bindings::policy::gatewright::policy::types::{Body, Exchange, Fields, Reply};
#[cfg(target_arch = "wasm32")]
pub use bindings::policy::gatewright::policy::{clock, crypto, http, kv, limits, log, metrics, secrets};
#[cfg(target_arch = "wasm32")]
use policy::attributes_of;

#[cfg(not(target_arch = "wasm32"))]
pub use testing::services::{clock, crypto, limits, log, metrics, secrets};
#[cfg(not(target_arch = "wasm32"))]
pub use testing::{Body, Exchange, Fields, Reply};
#[cfg(not(target_arch = "wasm32"))]
pub use testing::{http, kv};
