//! Reads and writes the events of a streamed answer.

mod reader;
mod writer;

pub use reader::Reader;
pub use writer::Writer;
