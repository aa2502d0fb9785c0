//! What the outer tests stand on: the real binary, byte-exact clients, recording origins, certificates.
//!
//! Everything here panics when something is not as expected, with what there was instead: it runs in tests only.
#![expect(clippy::unwrap_used, clippy::panic, clippy::missing_panics_doc, reason = "a panic is how a test fails")]

mod client;
mod debian;
mod examples;
mod frames;
mod gateway;
mod guests;
mod http1;
mod mock;
mod names;
mod node;
mod numbers;
mod origin;
mod pki;
mod process;
mod python;
mod wait;
mod wire;

use std::time::Duration;

pub use client::{Client, Protocol};
pub use debian::debian;
pub use examples::example;
pub use frames::{Flags, Frame, FrameKind, Frames, Outcome, header_block};
pub use gateway::Gateway;
pub use guests::{build_folder, guest, guest_for_wasi, guest_with};
pub use http1::{Reply, http_get, http_post};
pub use mock::Mock;
pub use names::{Mood, Names, Record};
pub use node::node;
pub use numbers::Numbers;
pub use origin::{Conversation, Origin, Recording, Request};
pub use pki::{Authority, Identity};
pub use process::{Lines, Process, gatewright, gatewright_with_components};
pub use python::{fixture, python, run};
pub use wait::{eventually, within};
pub use wire::Wire;

/// How long a test waits for what must happen: far above what it takes on a slow machine, far below for ever.
pub const DEADLINE: Duration = Duration::from_secs(30);
