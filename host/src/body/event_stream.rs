//! Messages of `application/vnd.amazon.eventstream`: a length, headers, a payload, and checksums of both.

use aws_smithy_eventstream::frame::{read_message_from, write_message_to};
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use bytes::{BufMut, Bytes};

use super::Event;

/// The length, the length of the headers, and the checksum of both.
const PRELUDE: usize = 12;
/// A message without headers and payload.
const MESSAGE_MIN: usize = PRELUDE + 4;

/// What stands at the start of a buffer.
pub(super) enum Start {
    /// The start of a message; of so many bytes in all, if that is known.
    Part(Option<usize>),
    /// A message of so many bytes.
    Whole(usize),
    /// No message.
    Broken,
}

/// Looks at the start of a buffer.
pub(super) fn start(buffer: &[u8]) -> Start {
    let Some(total) = buffer.first_chunk::<4>().map(|length| u32::from_be_bytes(*length) as usize) else {
        return Start::Part(None);
    };
    match total {
        ..MESSAGE_MIN => Start::Broken,
        total if total <= buffer.len() => Start::Whole(total),
        total => Start::Part(Some(total)),
    }
}

/// The event that a message is; none if its checksums are wrong or it is no text.
pub(super) fn read(message: &Bytes) -> Option<Event> {
    let message = read_message_from(message.clone()).ok()?;
    let header = |name: &str| {
        let header = message.headers().iter().find(|header| header.name().as_str() == name)?;
        header.value().as_string().ok().map(|value| value.as_str().to_owned())
    };
    let name = match header(":message-type").as_deref() {
        Some("exception") => header(":exception-type"),
        Some("error") => header(":error-code"),
        _ => header(":event-type"),
    };
    let data = String::from_utf8(message.payload().to_vec()).ok()?;
    Some(Event { name: name.unwrap_or_default(), data })
}

/// Appends an event. One whose name ends in `Exception` is one, as every name of AWS's exceptions does.
pub(super) fn write(event: &Event, out: &mut Vec<u8>) {
    let text = |name: &'static str, value: &str| Header::new(name, HeaderValue::String(value.to_owned().into()));
    let (kind, name) = match event.name.ends_with("Exception") {
        true => ("exception", ":exception-type"),
        false => ("event", ":event-type"),
    };
    let payload = Bytes::copy_from_slice(event.data.as_bytes());
    let message = Message::new(payload)
        .add_header(text(":message-type", kind))
        .add_header(text(name, &event.name))
        .add_header(text(":content-type", "application/json"));
    let mut written = Vec::new().writer();
    if write_message_to(&message, written.get_mut()).is_ok() {
        out.append(written.get_mut());
    } else {
        // A name past the bound of a header: what cannot be said is said to be so.
        tracing::warn!(name_bytes = event.name.len(), data_bytes = event.data.len(), "event cannot be framed");
    }
}

#[cfg(test)]
mod tests {
    use super::super::Event;
    use super::super::events::{Framer, Framing, write_event};

    fn messages() -> (Vec<u8>, Vec<Event>) {
        let events = [
            ("messageStart", "{\"role\":\"assistant\"}"),
            ("contentBlockDelta", "{\"x\":\"é😀\"}"),
            ("throttlingException", "{}"),
        ];
        let events = events.map(|(name, data)| Event { name: name.to_owned(), data: data.to_owned() });
        let mut bytes = Vec::new();
        events.iter().for_each(|event| write_event(Framing::EventStream, event, &mut bytes));
        (bytes, events.to_vec())
    }

    fn frame(pieces: &[&[u8]]) -> Option<(Vec<u8>, Vec<Event>)> {
        let mut framer = Framer::new(Framing::EventStream, 1 << 10);
        let (mut raw, mut events) = (Vec::new(), Vec::new());
        for piece in pieces {
            assert!(framer.push(piece));
            while let Some((bytes, event)) = framer.next_block() {
                raw.extend_from_slice(&bytes);
                events.extend(event);
            }
        }
        (!framer.is_broken()).then_some((raw, events))
    }

    #[test]
    fn every_one_and_two_cut_split_gives_the_same_events_and_bytes() {
        let (bytes, events) = messages();
        for first in 0..=bytes.len() {
            for second in first..=bytes.len() {
                let (raw, read) = frame(&[&bytes[..first], &bytes[first..second], &bytes[second..]]).unwrap();
                assert_eq!((raw, read), (bytes.clone(), events.clone()));
            }
        }
    }

    #[test]
    fn a_changed_byte_breaks_the_stream_or_leaves_it_short() {
        let (bytes, events) = messages();
        for place in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[place] ^= 0x10;
            let mut framer = Framer::new(Framing::EventStream, 1 << 10);
            let fits = framer.push(&changed);
            let read: Vec<_> = std::iter::from_fn(|| framer.next_block()).filter_map(|(_, event)| event).collect();
            // A length that grew is either past the bound, or waits for bytes that never come.
            assert!(!fits || framer.is_broken() || framer.rest().is_some(), "{place}");
            assert!(read.len() < events.len() && read == events[..read.len()], "{place}");
        }
    }

    #[test]
    fn a_message_past_its_bound_is_refused() {
        let mut framer = Framer::new(Framing::EventStream, 100);
        assert!(framer.push(&101u32.to_be_bytes()));
        assert!(framer.next_block().is_none());
        assert!(!framer.push(b"x"));
    }
}
