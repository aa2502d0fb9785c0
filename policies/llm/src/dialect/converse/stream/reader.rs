//! Reads a stream.

use serde::{Deserialize, Serialize};

use super::super::{block, citation, error, response, usage};
use crate::completion::{Block, Finish, Piece, Step};
use crate::content::{Content, Maker, Media, Signature};
use crate::dialect::{Frame, Heading, Sink};
use crate::error::{ErrorKind, UpstreamError};
use crate::json::{Document, FromJson as _, Json, Text};
use crate::usage::Usage;

/// How far a stream is.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Reader {
    is_started: bool,
    is_over: bool,
    /// Blocks begun so far.
    blocks: u32,
    open: Vec<Open>,
    /// Why it ends; the usage comes after that.
    finish: Option<Finish>,
    stop_sequence: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Open {
    /// Its index among the upstream's.
    index: u32,
    block: u32,
    /// Of a call, whether nothing was said of its arguments.
    lacks_arguments: bool,
    /// Of a picture, its format.
    image: Option<String>,
}

impl Reader {
    /// Reads one frame.
    pub fn read(&mut self, frame: &Frame, heading: &Heading, sink: Sink<'_>) {
        if self.is_over {
            return;
        }
        if frame.name.to_ascii_lowercase().ends_with("exception") {
            return self.fail(error::named(&frame.name, 500, &frame.data), sink);
        }
        let Ok(document) = Document::parse(&frame.data) else {
            let unreadable = UpstreamError::new(ErrorKind::Other, "the provider sent an event that cannot be read");
            return self.fail(unreadable, sink);
        };
        let event = document.root();
        let index = event.member("contentBlockIndex").and_then(u32::from_json).unwrap_or(0);
        if !std::mem::replace(&mut self.is_started, true) {
            let model = heading.model.as_str().into();
            sink(Step::Start { id: Text::default(), model, usage: Usage::default() });
        }
        match frame.name.as_str() {
            "contentBlockStart" => self.start_block(index, event, sink),
            "contentBlockDelta" => {
                if let Some(delta) = event.member("delta") {
                    self.read_delta(index, delta, sink);
                }
            }
            "contentBlockStop" => self.close_block(index, sink),
            "messageStop" => self.stop(event, sink),
            "metadata" => {
                let usage = event.member("usage").map_or(Usage::default(), usage::read);
                if self.finish.is_some() {
                    self.end(usage, sink);
                }
            }
            // `messageStart`, and events that this version does not know.
            _ => {}
        }
    }

    /// The upstream's stream has ended. A message that has stopped is whole even if its usage never came.
    pub fn close(&mut self, sink: Sink<'_>) {
        match self.finish {
            _ if self.is_over => {}
            Some(_) => self.end(Usage::default(), sink),
            None => self.fail(UpstreamError::truncated(), sink),
        }
    }

    fn stop(&mut self, event: Json<'_>, sink: Sink<'_>) {
        let reason = event.member("stopReason").and_then(String::from_json).unwrap_or_default();
        if self.finish.is_some() || reason.is_empty() {
            return;
        }
        match response::finish(&reason) {
            Ok(finish) => self.finish = Some(finish),
            Err(error) => return self.fail(error, sink),
        }
        self.stop_sequence = response::stop_sequence(event).map(Text::into_string);
    }

    fn end(&mut self, usage: Usage, sink: Sink<'_>) {
        while let Some(index) = self.open.first().map(|open| open.index) {
            self.close_block(index, sink);
        }
        self.is_over = true;
        let stop_sequence = self.stop_sequence.take().map(Text::from);
        sink(Step::Finish { finish: self.finish.unwrap_or_default(), stop_sequence, usage });
    }

    fn fail(&mut self, error: UpstreamError, sink: Sink<'_>) {
        self.is_over = true;
        sink(Step::Error(error));
    }

    fn start_block(&mut self, index: u32, event: Json<'_>, sink: Sink<'_>) {
        let Some(start) = event.member("start") else { return };
        if let Some(call) = start.member("toolUse") {
            let text = |name: &str| call.member(name).and_then(Text::from_json).unwrap_or_default();
            self.open_block(index, Block::Call { id: text("toolUseId"), name: text("name") }, sink);
            if let Some(open) = self.open.last_mut() {
                open.lacks_arguments = true;
            }
        } else if let Some(image) = start.member("image") {
            let image = image.member("format").and_then(String::from_json);
            self.open.push(Open { index, block: self.blocks, lacks_arguments: false, image });
            self.blocks += 1;
        }
    }

    /// A block of text begins with its first piece.
    fn read_delta(&mut self, index: u32, delta: Json<'_>, sink: Sink<'_>) {
        let text = |json: Json<'_>, name: &str| json.member(name).is_some_and(|json| !json.is_null());
        if let Some(said) = delta.member("text").and_then(Text::from_json) {
            self.add(index, Block::Text, Piece::Text(said), sink);
        } else if let Some(said) = delta.member("citation") {
            self.add(index, Block::Text, Piece::Citation(citation::read(said)), sink);
        } else if let Some(input) = delta.member("toolUse").and_then(|call| Text::from_json(call.member("input")?)) {
            let Some(open) = self.open.iter_mut().find(|open| open.index == index) else { return };
            if !input.is_empty() {
                open.lacks_arguments = false;
                sink(Step::Piece { block: open.block, piece: Piece::Arguments(input) });
            }
        } else if let Some(thought) = delta.member("reasoningContent") {
            let said = |name: &str| thought.member(name).and_then(Text::from_json);
            if let Some(data) = said("redactedContent") {
                self.open_block(index, Block::Redacted(block::redacted(data)), sink);
            } else if let Some(signature) = said("signature").filter(|signature| !signature.is_empty()) {
                let signature = Signature::from_dialect(Maker::Anthropic, signature);
                self.add(index, Block::Thought, Piece::Signature(signature), sink);
            } else if let Some(said) = said("text") {
                self.add(index, Block::Thought, Piece::Text(said), sink);
            }
        } else if text(delta, "image") {
            self.read_image(index, delta, sink);
        }
    }

    fn read_image(&mut self, index: u32, delta: Json<'_>, sink: Sink<'_>) {
        let data = delta.member("image").and_then(|image| Text::from_json(image.member("source")?.member("bytes")?));
        let open = self.open.iter_mut().find(|open| open.index == index);
        if let (Some(data), Some(open)) = (data, open)
            && let Some(format) = open.image.take()
        {
            let media = Media::Base64 { media_type: format!("image/{format}").into(), data };
            let kind = Block::Whole(Content::Image { media, detail: None }.into());
            sink(Step::Open { block: open.block, kind });
        }
    }

    fn add(&mut self, index: u32, kind: Block<'_>, piece: Piece<'_>, sink: Sink<'_>) {
        let known = self.open.iter().find(|open| open.index == index).map(|open| open.block);
        let block = known.unwrap_or_else(|| self.open_block(index, kind, sink));
        sink(Step::Piece { block, piece });
    }

    fn open_block(&mut self, index: u32, kind: Block<'_>, sink: Sink<'_>) -> u32 {
        let block = self.blocks;
        self.blocks += 1;
        self.open.push(Open { index, block, lacks_arguments: false, image: None });
        sink(Step::Open { block, kind });
        block
    }

    /// A call without arguments has an empty object for them, not an empty text.
    fn close_block(&mut self, index: u32, sink: Sink<'_>) {
        let Some(place) = self.open.iter().position(|open| open.index == index) else { return };
        let open = self.open.remove(place);
        if open.lacks_arguments {
            sink(Step::Piece { block: open.block, piece: Piece::Arguments("{}".into()) });
        }
        // A picture that never came was never opened.
        if open.image.is_none() {
            sink(Step::Close { block: open.block });
        }
    }
}
