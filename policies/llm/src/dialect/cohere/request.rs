//! Reads and writes requests.

mod messages;
mod reader;
mod turns;
mod writer;

pub use reader::read;
pub use writer::write;
