//! Frames a stream into whole events: server-sent events (WHATWG HTML §9.2), NDJSON, and AWS event streams.

use bytes::{Bytes, BytesMut};

use super::event_stream::{self, Start};

/// How a stream is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// `text/event-stream`.
    Sse,
    /// `application/x-ndjson`: one JSON text a line.
    Ndjson,
    /// `application/vnd.amazon.eventstream`: one message after another.
    EventStream,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The SSE `event:` name, or the type of a message or exception; empty if none.
    pub name: String,
    /// The SSE `data:` lines joined by LF; for NDJSON the line, for a message the payload.
    pub data: String,
}

/// Cuts a stream into blocks, each with its bytes as they came, wherever the reads cut it.
#[derive(Debug)]
pub struct Framer {
    framing: Framing,
    buffer: BytesMut,
    /// How much of `buffer` has been looked at, and where its current line starts.
    scanned: usize,
    line: usize,
    /// The last byte looked at was a carriage return, so a line feed now belongs to it.
    after_return: bool,
    started: bool,
    /// What comes is no message, and nothing after it can be told apart.
    broken: bool,
    max: usize,
}

impl Framing {
    /// The framing that a `content-type` names, if policies can read it.
    #[must_use]
    pub fn of(content_type: &str) -> Option<Self> {
        let essence = content_type.split(';').next().unwrap_or("").trim();
        match essence.to_ascii_lowercase().as_str() {
            "text/event-stream" => Some(Self::Sse),
            "application/x-ndjson" | "application/jsonl" | "application/ndjson" => Some(Self::Ndjson),
            "application/vnd.amazon.eventstream" => Some(Self::EventStream),
            _ => None,
        }
    }
}

impl Framer {
    /// A framer whose blocks are at most `max` bytes.
    #[must_use]
    pub fn new(framing: Framing, max: usize) -> Self {
        let buffer = BytesMut::new();
        Self { framing, buffer, scanned: 0, line: 0, after_return: false, started: false, broken: false, max }
    }

    /// Takes what was read. `false` if the block under way is too large.
    #[must_use]
    pub fn push(&mut self, data: &[u8]) -> bool {
        self.buffer.extend_from_slice(data);
        self.scanned < self.max
    }

    /// The next whole block and its event; a block of comments or blank lines has none.
    pub fn next_block(&mut self) -> Option<(Bytes, Option<Event>)> {
        if self.framing == Framing::EventStream {
            return self.next_message();
        }
        while let Some(byte) = self.buffer.get(self.scanned).copied() {
            self.scanned += 1;
            if byte == b'\n' && self.after_return {
                self.after_return = false;
                self.line = self.scanned;
                continue;
            }
            self.after_return = byte == b'\r' && self.framing == Framing::Sse;
            if byte != b'\n' && !self.after_return {
                continue;
            }
            let blank = self.scanned - 1 == self.line;
            if blank && self.after_return && self.awaits_line_feed() {
                self.scanned -= 1;
                self.after_return = false;
                return None;
            }
            self.line = self.scanned;
            if blank || self.framing == Framing::Ndjson {
                if self.after_return && self.buffer.get(self.scanned) == Some(&b'\n') {
                    self.scanned += 1;
                    self.after_return = false;
                }
                return Some(self.cut());
            }
        }
        None
    }

    /// Whether what came is no message of an event stream: its checksums are wrong, or its payload is no text.
    #[must_use]
    pub const fn is_broken(&self) -> bool {
        self.broken
    }

    fn next_message(&mut self) -> Option<(Bytes, Option<Event>)> {
        if self.broken {
            return None;
        }
        match event_stream::start(&self.buffer) {
            Start::Whole(total) => {
                self.scanned = 0;
                let message = self.buffer.split_to(total).freeze();
                let event = event_stream::read(&message);
                self.broken = event.is_none();
                event.map(|event| (message, Some(event)))
            }
            Start::Part(total) => {
                // Known to be too large before it has come.
                self.scanned = total.filter(|total| *total > self.max).unwrap_or(self.buffer.len());
                None
            }
            Start::Broken => {
                self.broken = true;
                None
            }
        }
    }

    /// Whether a return is the newest byte and the line before ended in both: the line feed belongs to this block, and
    /// would be lost with the next one where a policy writes that anew.
    fn awaits_line_feed(&self) -> bool {
        let before = self.scanned.checked_sub(2).and_then(|place| self.buffer.get(place));
        self.scanned == self.buffer.len() && before == Some(&b'\n')
    }

    /// What is left when the stream has ended: an event whose last line end is missing.
    pub fn rest(&mut self) -> Option<(Bytes, Option<Event>)> {
        self.scanned = self.buffer.len();
        (self.scanned > 0).then(|| self.cut())
    }

    fn cut(&mut self) -> (Bytes, Option<Event>) {
        let block = self.buffer.split_to(self.scanned).freeze();
        self.scanned = 0;
        self.line = 0;
        let mut text = String::from_utf8_lossy(&block);
        if !std::mem::replace(&mut self.started, true)
            && let Some(rest) = text.strip_prefix('\u{feff}')
        {
            text = rest.to_owned().into();
        }
        let event = match self.framing {
            Framing::Sse => sse_event(&text),
            // Half a message is none.
            Framing::EventStream => None,
            Framing::Ndjson => Some(text.trim()).filter(|line| !line.is_empty()).map(|line| Event::of("", line)),
        };
        (block, event)
    }
}

impl Event {
    fn of(name: &str, data: &str) -> Self {
        Self { name: name.to_owned(), data: data.to_owned() }
    }
}

/// The event of one block, by the field rules of the specification.
fn sse_event(block: &str) -> Option<Event> {
    let mut event = Event { name: String::new(), data: String::new() };
    let mut has_data = false;
    for line in block.replace("\r\n", "\n").split(['\n', '\r']) {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => {
                if std::mem::replace(&mut has_data, true) {
                    event.data.push('\n');
                }
                event.data.push_str(value);
            }
            "event" => value.clone_into(&mut event.name),
            _ => {}
        }
    }
    has_data.then_some(event)
}

/// Appends an event in its framing.
pub fn write_event(framing: Framing, event: &Event, out: &mut Vec<u8>) {
    match framing {
        Framing::EventStream => event_stream::write(event, out),
        Framing::Ndjson => {
            // A line end inside the document would make two of it; in JSON text it is only white space.
            out.extend(event.data.bytes().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { byte }));
            out.push(b'\n');
        }
        Framing::Sse => {
            if !event.name.is_empty() {
                out.extend_from_slice(b"event: ");
                out.extend(event.name.bytes().filter(|byte| !matches!(byte, b'\n' | b'\r')));
                out.push(b'\n');
            }
            for line in event.data.replace("\r\n", "\n").split(['\n', '\r']) {
                out.extend_from_slice(b"data: ");
                out.extend_from_slice(line.as_bytes());
                out.push(b'\n');
            }
            out.push(b'\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Event, Framer, Framing, write_event};

    fn frame(pieces: &[&[u8]]) -> (Vec<u8>, Vec<Event>) {
        let mut framer = Framer::new(Framing::Sse, 1 << 16);
        let (mut raw, mut events) = (Vec::new(), Vec::new());
        for piece in pieces {
            assert!(framer.push(piece));
            while let Some((bytes, event)) = framer.next_block() {
                raw.extend_from_slice(&bytes);
                events.extend(event);
            }
        }
        if let Some((bytes, event)) = framer.rest() {
            raw.extend_from_slice(&bytes);
            events.extend(event);
        }
        (raw, events)
    }

    #[test]
    fn every_one_and_two_cut_split_gives_the_same_events_and_bytes() {
        let corpus: [&[u8]; 4] = [
            "\u{feff}event: a\ndata: 你好\ndata: 🎉\n\n: comment\n\ndata:x\n\n".as_bytes(),
            b"data: one\r\ndata: two\r\n\r\nid: 7\r\nevent: b\r\ndata: {\"k\":1}\r\n\r\n",
            b"data: r\r\rdata: s\r\rdata",
            b"\n\n\ndata: a\n\ndata: no end",
        ];
        for text in corpus {
            let whole = frame(&[text]);
            assert_eq!(whole.0, text, "bytes pass unchanged");
            assert!(!whole.1.is_empty());
            for first in 0..=text.len() {
                for second in first..=text.len() {
                    assert_eq!(frame(&[&text[..first], &text[first..second], &text[second..]]), whole);
                }
            }
        }
    }

    #[test]
    fn no_line_end_is_torn_between_two_blocks() {
        let text = b": hello\r\n\r\ndata: one\r\n\r\ndata: two\r\n\r\n";
        let mut framer = Framer::new(Framing::Sse, 1 << 10);
        let mut blocks = Vec::new();
        for byte in text {
            assert!(framer.push(&[*byte]));
            blocks.extend(std::iter::from_fn(|| framer.next_block()).map(|(bytes, _)| bytes));
        }
        assert_eq!(blocks, [": hello\r\n\r\n", "data: one\r\n\r\n", "data: two\r\n\r\n"]);
    }

    #[test]
    fn an_event_survives_being_written_and_framed() {
        for (name, data) in [("", ""), ("ping", "{}"), ("x", "two\nlines"), ("", " leading space")] {
            let event = Event::of(name, data);
            let mut out = Vec::new();
            write_event(Framing::Sse, &event, &mut out);
            assert_eq!(frame(&[&out]).1, [event]);
        }
    }

    #[test]
    fn a_block_past_its_bound_is_refused_and_one_below_is_not() {
        let mut framer = Framer::new(Framing::Sse, 16);
        assert!(framer.push(b"data: 123456789"));
        assert!(framer.next_block().is_none());
        assert!(framer.push(b"0"));
        assert!(framer.next_block().is_none());
        assert!(!framer.push(b"1"));
    }
}
