//! Bodies: streamed with back-pressure, gathered under a cap, framed into events. Nothing else buffers.

mod events;
mod gather;
mod json;
mod stream;

pub use events::{Event, Framer, Framing, write_event};
pub use gather::gather;
pub use json::{JsonBounds, JsonFault, json_get, json_patch};
pub use stream::{Body, Kind, Limited, Progress, Release};
