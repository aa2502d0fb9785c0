//! Bodies: streamed with back-pressure, gathered under a cap, framed into events. Nothing else buffers.

mod content;
mod copy;
mod event_stream;
mod events;
mod gather;
mod json;
mod stream;

pub use content::Content;
pub use copy::Copied;
pub use events::{Event, Framer, Framing, write_event};
pub use gather::{gather, gather_apart, hold};
pub use json::{JsonBounds, JsonFault};
pub use stream::{Body, Kind, Limited, Progress, Release, Source};
