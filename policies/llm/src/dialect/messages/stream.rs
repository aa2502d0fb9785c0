//! Streamed answers.

pub use super::event::Writer;

use serde::{Deserialize, Serialize};

use super::response::finish;
use super::{block, citation, error, usage};
use crate::completion::{Block, Finish, Piece, Step};
use crate::content::{Arguments, Content, Maker, Signature};
use crate::dialect::{Frame, Heading, Sink};
use crate::error::{ErrorKind, UpstreamError};
use crate::json::{Document, FromJson as _, Json, Text};
use crate::usage::Usage;

/// How far a stream is.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Reader {
    id: Option<String>,
    /// Nothing follows: the message has ended, well or not.
    is_over: bool,
    finish: Option<Finish>,
    stop_sequence: Option<String>,
    usage: Usage,
    /// How many blocks have begun.
    blocks: u32,
    open: Vec<OpenBlock>,
}

#[derive(Debug, Serialize, Deserialize)]
struct OpenBlock {
    /// Its index among the upstream's.
    index: u32,
    block: u32,
    /// Of a call, whether nothing has been said of its arguments.
    lacks_arguments: bool,
}

impl Reader {
    /// The steps of one event.
    pub fn read(&mut self, frame: &Frame, _: &Heading, sink: Sink<'_>) {
        if self.is_over || frame.data.trim().is_empty() {
            return;
        }
        let document = Document::parse(&frame.data).ok();
        let Some(event) = document.as_ref().map(Document::root).filter(|event| event.is_object()) else {
            let unreadable = UpstreamError::new(ErrorKind::Other, "the provider sent an event that cannot be read");
            return self.fail(unreadable, sink);
        };
        let index = event.member("index").and_then(u32::from_json).unwrap_or(0);
        let kind = event.member("type").and_then(String::from_json).unwrap_or_default();
        match (kind.as_str(), event.member("delta")) {
            ("message_start", _) => self.start(event, sink),
            ("content_block_start", _) => {
                if let Some(block) = event.member("content_block") {
                    self.open_block(index, block, sink);
                }
            }
            ("content_block_delta", Some(delta)) => self.extend_block(index, delta, sink),
            ("content_block_stop", _) => self.close_block(index, sink),
            ("message_delta", delta) => {
                if let Some(said) = event.member("usage") {
                    usage::apply(said, &mut self.usage);
                }
                let text = |name: &str| delta.and_then(|delta| delta.member(name)).and_then(String::from_json);
                if let Some(reason) = text("stop_reason") {
                    self.finish = Some(finish(Some(&reason)));
                    self.stop_sequence = text("stop_sequence");
                }
            }
            ("message_stop", _) => self.end(sink),
            ("ping", _) => sink(Step::Alive),
            ("error", _) => {
                let known = event.member("error").map(|error| error::read_object(error, ErrorKind::Other));
                self.fail(known.unwrap_or_else(|| UpstreamError::of_status(500)), sink);
            }
            // Events that this version does not know.
            _ => {}
        }
    }

    /// The stream is at its end; a message that has not ended was cut off.
    pub fn close(&mut self, sink: Sink<'_>) {
        if !self.is_over {
            self.fail(UpstreamError::truncated(), sink);
        }
    }

    fn fail(&mut self, error: UpstreamError, sink: Sink<'_>) {
        self.is_over = true;
        if self.usage != Usage::default() {
            sink(Step::Usage(self.usage));
        }
        sink(Step::Error(error));
    }

    fn start(&mut self, event: Json<'_>, sink: Sink<'_>) {
        let Some(message) = event.member("message") else { return };
        let text = |name: &str| message.member(name).and_then(Text::from_json).unwrap_or_default();
        let id = text("id").into_string();
        match &self.id {
            None => {
                if let Some(said) = message.member("usage") {
                    usage::apply(said, &mut self.usage);
                }
                sink(Step::Start { id: id.as_str().into(), model: text("model"), usage: self.usage });
                self.id = Some(id);
            }
            Some(known) if *known == id => {}
            // Two messages in one stream: what belongs to which can no longer be told.
            Some(_) => self.fail(UpstreamError::new(ErrorKind::Other, "the provider began a second message"), sink),
        }
    }

    /// An index that was not seen before is a new block, whatever it is: not everyone counts from 0.
    fn open_block(&mut self, index: u32, json: Json<'_>, sink: Sink<'_>) {
        let Some(content) = block::answered(json) else { return };
        let block = self.blocks;
        let mut lacks_arguments = false;
        let (kind, first) = match content {
            Content::Text { text, .. } => (Block::Text, Some(text)),
            Content::Thought(thought) if thought.is_redacted => {
                let Some(signature) = thought.signature else { return };
                (Block::Redacted(signature), None)
            }
            Content::Thought(thought) => (Block::Thought, Some(thought.text)),
            Content::Call(call) => {
                lacks_arguments = true;
                let given = match call.arguments {
                    Arguments::Object(input) if !input.says_nothing() => Some(input.written()),
                    Arguments::Object(_) | Arguments::Text(_) => None,
                };
                sink(Step::Open { block, kind: Block::Call { id: call.id, name: call.name } });
                if let Some(given) = given {
                    lacks_arguments = false;
                    sink(Step::Piece { block, piece: Piece::Arguments(given.into()) });
                }
                self.blocks += 1;
                return self.open.push(OpenBlock { index, block, lacks_arguments });
            }
            _ => return,
        };
        self.blocks += 1;
        sink(Step::Open { block, kind });
        if let Some(text) = first.filter(|text| !text.is_empty()) {
            sink(Step::Piece { block, piece: Piece::Text(text) });
        }
        self.open.push(OpenBlock { index, block, lacks_arguments });
    }

    fn extend_block(&mut self, index: u32, delta: Json<'_>, sink: Sink<'_>) {
        let Some(open) = self.open.iter_mut().find(|open| open.index == index) else { return };
        let block = open.block;
        let text = |name: &str| delta.member(name).and_then(Text::from_json).filter(|text| !text.is_empty());
        for text in [text("text"), text("thinking")].into_iter().flatten() {
            sink(Step::Piece { block, piece: Piece::Text(text) });
        }
        if let Some(value) = text("signature") {
            let signature = Signature::from_dialect(Maker::Anthropic, value);
            sink(Step::Piece { block, piece: Piece::Signature(signature) });
        }
        if let Some(fragment) = text("partial_json") {
            open.lacks_arguments = false;
            sink(Step::Piece { block, piece: Piece::Arguments(fragment) });
        }
        if let Some(citation) = delta.member("citation").and_then(citation::read_one) {
            sink(Step::Piece { block, piece: Piece::Citation(citation) });
        }
    }

    /// A call without arguments has an empty object for them, not an empty text.
    fn close_block(&mut self, index: u32, sink: Sink<'_>) {
        let Some(place) = self.open.iter().position(|open| open.index == index) else { return };
        let open = self.open.remove(place);
        if open.lacks_arguments {
            sink(Step::Piece { block: open.block, piece: Piece::Arguments("{}".into()) });
        }
        sink(Step::Close { block: open.block });
    }

    fn end(&mut self, sink: Sink<'_>) {
        let Some(finish) = self.finish else { return self.fail(UpstreamError::truncated(), sink) };
        self.is_over = true;
        let stop_sequence = self.stop_sequence.take().map(Text::from);
        sink(Step::Finish { finish, stop_sequence, usage: self.usage });
    }
}
