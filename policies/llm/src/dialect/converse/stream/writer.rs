//! Writes a stream. Blocks come one after the other: what is said of a later one waits.

use serde::{Deserialize, Serialize};

use super::super::{block, citation, error, media, response, usage};
use crate::completion::{Block, Piece, Step};
use crate::content::{Content, Maker, Part};
use crate::dialect::{Frame, Heading, Output};
use crate::json::{ObjectWriter, Text, object_text};

/// What the client has so far, and what waits.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Writer {
    /// Blocks that are not written whole, the one that is being written first.
    open: Vec<Open>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Open {
    block: u32,
    is_closed: bool,
    is_thought: bool,
    /// Names and data of frames that wait.
    waiting: Vec<(String, String)>,
}

impl Writer {
    /// Writes one step.
    pub fn write(&mut self, step: &Step<'_>, _: &Heading, output: &mut Output) {
        match step {
            Step::Start { .. } => {
                output.frames.push(frame("messageStart", |event| event.put("role", "assistant")));
            }
            Step::Open { block, kind } => {
                let is_thought = matches!(kind, Block::Thought);
                self.open.push(Open { block: *block, is_closed: false, is_thought, waiting: Vec::new() });
                self.open_block(*block, kind, output);
            }
            Step::Piece { block, piece } => self.write_piece(*block, piece, output),
            Step::Close { block } => self.close_block(*block, output),
            Step::Alive | Step::Usage(_) => {}
            Step::Finish { finish, stop_sequence, usage } => {
                output.frames.push(frame("messageStop", |event| {
                    event.put("stopReason", response::stop_reason(*finish));
                    if let Some(stop) = stop_sequence {
                        event.object("additionalModelResponseFields", |fields| fields.put("stop_sequence", stop));
                    }
                }));
                output.frames.push(frame("metadata", |event| {
                    event.object("usage", |object| usage::write(object, *usage));
                    event.object("metrics", |metrics| metrics.put("latencyMs", 0_u32));
                }));
            }
            Step::Error(upstream) => output.frames.push(error::stream(upstream)),
        }
    }

    fn open_block(&mut self, block: u32, kind: &Block<'_>, output: &mut Output) {
        match kind {
            Block::Text | Block::Thought => {}
            Block::Refusal => output.ledger.changed("a refusal", "was made a text"),
            Block::Redacted(signature) => {
                let data = block::redacted_bytes(signature);
                self.delta(block, output, |delta| {
                    delta.object("reasoningContent", |thought| thought.put("redactedContent", data));
                });
            }
            Block::Call { id, name } => {
                let start = frame("contentBlockStart", |event| {
                    event.object("start", |start| {
                        start.object("toolUse", |call| {
                            call.put("toolUseId", id);
                            call.put("name", name);
                        });
                    });
                    event.put("contentBlockIndex", block);
                });
                self.push(block, start, output);
            }
            Block::Whole(part) => self.write_whole(block, part, output),
        }
    }

    fn write_whole(&mut self, block: u32, part: &Part<'_>, output: &mut Output) {
        let Content::Image { media, .. } = &part.content else {
            return output.ledger.left_out("a part of the answer that is no text and no picture");
        };
        let Some(format) = media::format(media, "image", &mut output.ledger) else { return };
        let start = frame("contentBlockStart", |event| {
            event.object("start", |start| start.object("image", |image| image.put("format", format)));
            event.put("contentBlockIndex", block);
        });
        self.push(block, start, output);
        self.delta(block, output, |delta| delta.object("image", |image| media::write_source(image, media)));
    }

    fn write_piece(&mut self, block: u32, piece: &Piece<'_>, output: &mut Output) {
        let is_thought = self.open.iter().any(|open| open.block == block && open.is_thought);
        match piece {
            Piece::Text(text) if is_thought => self.delta(block, output, |delta| {
                delta.object("reasoningContent", |thought| thought.put("text", text));
            }),
            Piece::Text(text) => self.delta(block, output, |delta| delta.put("text", text)),
            Piece::Arguments(text) => {
                self.delta(block, output, |delta| delta.object("toolUse", |call| call.put("input", text)));
            }
            Piece::Signature(signature) => {
                let text: Text<'_> = signature.in_dialect(Maker::Anthropic);
                self.delta(block, output, |delta| {
                    delta.object("reasoningContent", |thought| thought.put("signature", text));
                });
            }
            Piece::Citation(cited) => self.delta(block, output, |delta| {
                delta.object("citation", |object| citation::write(cited, object));
            }),
            Piece::LogProbabilities(_) => output.ledger.left_out("log probabilities"),
        }
    }

    fn close_block(&mut self, block: u32, output: &mut Output) {
        self.push(block, frame("contentBlockStop", |event| event.put("contentBlockIndex", block)), output);
        if let Some(open) = self.open.iter_mut().find(|open| open.block == block) {
            open.is_closed = true;
        }
        while self.open.first().is_some_and(|open| open.is_closed) {
            self.open.remove(0);
            if let Some(next) = self.open.first_mut() {
                let waiting = std::mem::take(&mut next.waiting).into_iter();
                output.frames.extend(waiting.map(|(name, data)| Frame { name, data }));
            }
        }
    }

    fn delta(&mut self, block: u32, output: &mut Output, write: impl FnOnce(&mut ObjectWriter<'_>)) {
        let frame = frame("contentBlockDelta", |event| {
            event.object("delta", write);
            event.put("contentBlockIndex", block);
        });
        self.push(block, frame, output);
    }

    fn push(&mut self, block: u32, frame: Frame, output: &mut Output) {
        match self.open.iter().position(|open| open.block == block) {
            Some(0) => output.frames.push(frame),
            Some(place) => {
                if let Some(open) = self.open.get_mut(place) {
                    open.waiting.push((frame.name, frame.data));
                }
            }
            None => {}
        }
    }
}

fn frame(name: &str, write: impl FnOnce(&mut ObjectWriter<'_>)) -> Frame {
    Frame::named(name, object_text(write))
}
