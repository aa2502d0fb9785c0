//! Writes the events of a streamed answer.

use serde::{Deserialize, Serialize};

use super::response::{finish_word, put_head};
use super::{citation, error, usage};
use crate::completion::{Block, Finish, Piece, Step};
use crate::content::{Citation, Maker};
use crate::dialect::{Frame, Heading, Output};
use crate::json::{ObjectWriter, Text, object_text};
use crate::usage::Usage;

/// How far a stream is. Blocks of messages never interleave: what comes while another is open waits.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Writer {
    /// The client's index of the next block.
    index: u32,
    open: Option<u32>,
    /// Blocks that are thoughts.
    thoughts: Vec<u32>,
    waiting: Vec<Waiting>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Waiting {
    block: u32,
    /// The text of `content_block`.
    start: String,
    /// The texts of `delta`.
    deltas: Vec<String>,
    is_closed: bool,
}

impl Writer {
    /// The events that one step becomes.
    pub fn write(&mut self, step: &Step<'_>, heading: &Heading, output: &mut Output) {
        match step {
            Step::Start { id, model, usage } => output.frames.push(start(id, model, *usage, heading)),
            Step::Open { block, kind } => self.open(*block, kind, output),
            Step::Piece { block, piece } => self.piece(*block, piece, output),
            Step::Close { block } => self.close(*block, output),
            Step::Alive => output.frames.push(event("ping", |_| {})),
            Step::Usage(_) => {}
            Step::Finish { finish, stop_sequence, usage } => {
                output.frames.push(end(*finish, stop_sequence.as_ref(), usage));
                output.frames.push(event("message_stop", |_| {}));
            }
            Step::Error(reason) => output.frames.push(error::stream(reason)),
        }
    }

    fn open(&mut self, block: u32, kind: &Block<'_>, output: &mut Output) {
        let Some(start) = content_block(kind) else { return output.ledger.left_out("media of the answer") };
        if matches!(kind, Block::Thought) {
            self.thoughts.push(block);
        }
        if self.open.is_none() {
            self.open = Some(block);
            self.begin(&start, output);
        } else {
            self.waiting.push(Waiting { block, start, deltas: Vec::new(), is_closed: false });
        }
    }

    fn piece(&mut self, block: u32, piece: &Piece<'_>, output: &mut Output) {
        let Some(delta) = delta(piece, self.thoughts.contains(&block), output) else { return };
        if self.open == Some(block) {
            self.extend(&delta, output);
        } else if let Some(waiting) = self.waiting.iter_mut().find(|waiting| waiting.block == block) {
            waiting.deltas.push(delta);
        }
    }

    fn close(&mut self, block: u32, output: &mut Output) {
        if self.open != Some(block) {
            if let Some(waiting) = self.waiting.iter_mut().find(|waiting| waiting.block == block) {
                waiting.is_closed = true;
            }
            return;
        }
        self.end_block(output);
        while self.open.is_none() && !self.waiting.is_empty() {
            let next = self.waiting.remove(0);
            self.open = Some(next.block);
            self.begin(&next.start, output);
            for delta in &next.deltas {
                self.extend(delta, output);
            }
            if next.is_closed {
                self.end_block(output);
            }
        }
    }

    fn begin(&self, start: &str, output: &mut Output) {
        output.frames.push(event("content_block_start", |event| {
            event.put("index", self.index);
            event.put("content_block", Raw(start));
        }));
    }

    fn extend(&self, delta: &str, output: &mut Output) {
        output.frames.push(event("content_block_delta", |event| {
            event.put("index", self.index);
            event.put("delta", Raw(delta));
        }));
    }

    fn end_block(&mut self, output: &mut Output) {
        output.frames.push(event("content_block_stop", |event| event.put("index", self.index)));
        self.open = None;
        self.index += 1;
    }
}

/// A JSON text that is written as it is.
struct Raw<'a>(&'a str);

impl crate::json::ToJson for Raw<'_> {
    fn write_to(&self, out: &mut String) {
        out.push_str(self.0);
    }
}

fn event(name: &str, write: impl FnOnce(&mut ObjectWriter<'_>)) -> Frame {
    Frame::named(
        name,
        object_text(|event| {
            event.put("type", name);
            write(event);
        }),
    )
}

/// Clients size their context by what the start says, so an estimate is better than nothing.
fn start(id: &Text<'_>, model: &Text<'_>, mut used: Usage, heading: &Heading) -> Frame {
    if used.input_total() == 0 {
        used.input = heading.input_estimate;
    }
    used.output = used.output.max(1);
    event("message_start", |event| {
        event.object("message", |message| {
            put_head(id, model, heading, message);
            message.list("content", |_| {});
            message.put("stop_reason", None::<bool>);
            message.put("stop_sequence", None::<bool>);
            message.object("usage", |object| usage::write(&used, object));
        });
    })
}

fn end(finish: Finish, stop_sequence: Option<&Text<'_>>, used: &Usage) -> Frame {
    event("message_delta", |event| {
        event.object("delta", |delta| {
            delta.put("stop_reason", finish_word(finish));
            delta.put("stop_sequence", stop_sequence);
        });
        event.object("usage", |object| usage::write(used, object));
    })
}

/// The text of a block that begins; none of a kind that has no place here.
fn content_block(kind: &Block<'_>) -> Option<String> {
    Some(object_text(|block| match kind {
        Block::Text | Block::Refusal | Block::Whole(_) => {
            block.put("type", "text");
            block.put("text", "");
        }
        Block::Thought => {
            block.put("type", "thinking");
            block.put("thinking", "");
            block.put("signature", "");
        }
        Block::Redacted(signature) => {
            block.put("type", "redacted_thinking");
            block.put("data", signature.in_dialect(Maker::Anthropic));
        }
        Block::Call { id, name } => {
            block.put("type", "tool_use");
            block.put("id", id);
            block.put("name", name);
            block.object("input", |_| {});
        }
    }))
    .filter(|_| !matches!(kind, Block::Whole(_)))
}

/// The text of a delta; none of what has no place here.
fn delta(piece: &Piece<'_>, is_thought: bool, output: &mut Output) -> Option<String> {
    let typed = |kind: &str, name: &str, text: &Text<'_>| {
        object_text(|delta| {
            delta.put("type", kind);
            delta.put(name, text);
        })
    };
    Some(match piece {
        Piece::Text(text) if is_thought => typed("thinking_delta", "thinking", text),
        Piece::Text(text) => typed("text_delta", "text", text),
        Piece::Arguments(text) => typed("input_json_delta", "partial_json", text),
        Piece::Signature(signature) => typed("signature_delta", "signature", &signature.in_dialect(Maker::Anthropic)),
        Piece::Citation(citation) if citation::is_known(citation) => citation_delta(citation),
        Piece::Citation(_) => {
            output.ledger.left_out("citations that name no document");
            return None;
        }
        Piece::LogProbabilities(_) => {
            output.ledger.left_out("logprobs");
            return None;
        }
    })
}

fn citation_delta(citation: &Citation<'_>) -> String {
    object_text(|delta| {
        delta.put("type", "citations_delta");
        delta.put("citation", citation::Written(citation));
    })
}
