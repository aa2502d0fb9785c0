//! Reads and writes the body of a `Converse` request.

mod reader;
mod writer;

pub use reader::read;
pub use writer::write;
