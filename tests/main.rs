//! The outer tests: the gateway seen from outside, through the binary that ships.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a panic is how a test fails")]

mod hostile;
mod reload;
