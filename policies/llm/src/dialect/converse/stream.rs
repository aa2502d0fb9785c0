//! Reads and writes streamed answers.

mod reader;
mod writer;

pub use reader::Reader;
pub use writer::Writer;
