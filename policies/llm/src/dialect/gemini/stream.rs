//! Reads and writes streamed answers: each frame is an answer with what is new in it.

mod reader;
mod writer;

pub use reader::Reader;
pub use writer::Writer;
