//! Writes events. Blocks of this dialect come one after the other: one that begins too early waits for its turn.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::completion::{Block, Finish, Piece, Step};
use crate::content::Citation;
use crate::dialect::cohere::citation::Cited;
use crate::dialect::cohere::{error, message, probability, response, usage};
use crate::dialect::{Frame, Heading, Output};
use crate::error::{ErrorKind, UpstreamError};
use crate::json::{ObjectWriter, Raw, Text, object_text};
use crate::usage::Usage;

/// What may wait: it is stored with the state.
const WAITING_BYTES_MAX: usize = 96 * 1024;

/// What was said so far.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Writer {
    is_started: bool,
    is_ended: bool,
    /// Parts of the content so far.
    contents: u32,
    calls: u32,
    citations: u32,
    /// The block that goes on.
    open: Option<Open>,
    /// Blocks that began while another went on.
    waiting: VecDeque<Waiting>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Open {
    block: u32,
    kind: Kind,
    /// Which part of the content, or which call.
    index: u32,
    /// In characters.
    length: u32,
    is_told: bool,
    /// The text of each citation, which come after the end.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    citations: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Kind {
    Text,
    Thought,
    Call,
}

/// A block that waits: the events that it will be, but for its number.
#[derive(Debug, Serialize, Deserialize)]
struct Waiting {
    block: u32,
    begin: Begin,
    said: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    signature: Option<String>,
    is_closed: bool,
}

/// How a block begins.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Begin {
    kind: Kind,
    call: String,
    name: String,
}

impl Writer {
    /// Writes a step.
    pub fn write(&mut self, step: &Step<'_>, heading: &Heading, output: &mut Output) {
        if self.is_ended {
            return;
        }
        match step {
            Step::Start { id, .. } => self.start(id, heading, output),
            Step::Open { block, kind } => {
                self.start(&Text::default(), heading, output);
                self.open(*block, kind, output);
            }
            Step::Piece { block, piece } => self.piece(*block, piece, output),
            Step::Close { block } => self.close(*block, output),
            Step::Alive | Step::Usage(_) => {}
            Step::Finish { finish, usage, .. } => {
                self.start(&Text::default(), heading, output);
                self.finish(*finish, *usage, output);
            }
            Step::Error(error) => {
                self.start(&Text::default(), heading, output);
                self.is_ended = true;
                output.frames.push(error::stream(error));
            }
        }
    }

    fn start(&mut self, id: &Text<'_>, heading: &Heading, output: &mut Output) {
        if std::mem::replace(&mut self.is_started, true) {
            return;
        }
        let seed = Text::from(heading.seed.as_str());
        event("message-start", None, output, |event| {
            event.put("id", if id.is_empty() { &seed } else { id });
            event.object("delta", |delta| {
                delta.object("message", |message| {
                    message.put("role", "assistant");
                    message.list("content", |_| {});
                    message.put("tool_plan", "");
                    message.list("tool_calls", |_| {});
                    message.list("citations", |_| {});
                });
            });
        });
    }

    fn open(&mut self, block: u32, kind: &Block<'_>, output: &mut Output) {
        let mut begin = Begin { kind: Kind::Text, call: String::new(), name: String::new() };
        match kind {
            Block::Text => {}
            Block::Refusal => output.ledger.changed("the refusal", "became a text"),
            Block::Thought => begin.kind = Kind::Thought,
            Block::Call { id, name } => {
                begin = Begin { kind: Kind::Call, call: id.plain().into(), name: name.plain().into() };
            }
            Block::Redacted(signature) => {
                begin.kind = Kind::Thought;
                let signature = message::signature(signature).into_string();
                let (said, signature) = (String::new(), Some(signature));
                self.waiting.push_back(Waiting { block, begin, said, signature, is_closed: false });
                return self.advance(output);
            }
            Block::Whole(part) => {
                let name = response::name_of(&part.content);
                return output.ledger.left_out(&format!("{name} in the answer"));
            }
        }
        self.waiting.push_back(Waiting { block, begin, said: String::new(), signature: None, is_closed: false });
        self.advance(output);
    }

    /// Writes what waits, as far as its turn has come.
    fn advance(&mut self, output: &mut Output) {
        while self.open.is_none()
            && let Some(waiting) = self.waiting.pop_front()
        {
            self.begin(&waiting, output);
            if !waiting.said.is_empty() {
                self.say(&Text::from(waiting.said.as_str()), output);
            }
            if waiting.is_closed {
                self.end(output);
            }
        }
    }

    fn begin(&mut self, waiting: &Waiting, output: &mut Output) {
        let Begin { kind, call, name } = &waiting.begin;
        let count = if *kind == Kind::Call { &mut self.calls } else { &mut self.contents };
        let index = *count;
        *count += 1;
        let open = Open { block: waiting.block, kind: *kind, index, length: 0, is_told: false, citations: Vec::new() };
        match kind {
            Kind::Call => delta("tool-call-start", index, output, |message| {
                message.object("tool_calls", |object| {
                    object.put("id", call);
                    object.put("type", "function");
                    object.object("function", |function| {
                        function.put("name", name);
                        function.put("arguments", "");
                    });
                });
            }),
            Kind::Text | Kind::Thought => content("content-start", index, output, |content| {
                let word = if *kind == Kind::Text { "text" } else { "thinking" };
                content.put("type", word);
                content.put(word, "");
                if let Some(signature) = &waiting.signature {
                    content.put("signature", signature);
                    content.put("redacted", true);
                }
            }),
        }
        self.open = Some(open);
    }

    fn piece(&mut self, block: u32, piece: &Piece<'_>, output: &mut Output) {
        let is_open = self.open.as_ref().is_some_and(|open| open.block == block);
        let waiting = self.waiting.iter_mut().find(|waiting| waiting.block == block);
        match (piece, waiting) {
            (Piece::Text(text) | Piece::Arguments(text), _) if is_open => self.say(text, output),
            (Piece::Text(text) | Piece::Arguments(text), Some(waiting)) => {
                waiting.said.push_str(&text.plain());
                if self.waiting.iter().map(|waiting| waiting.said.len()).sum::<usize>() > WAITING_BYTES_MAX {
                    self.is_ended = true;
                    let error = UpstreamError::new(ErrorKind::Other, "the provider says too much at once");
                    output.frames.push(error::stream(&error));
                }
            }
            (Piece::Signature(signature), _) if is_open => {
                let index = self.open.as_ref().map_or(0, |open| open.index);
                content("content-delta", index, output, |content| {
                    content.put("thinking", "");
                    content.put("signature", message::signature(signature));
                });
            }
            (Piece::Citation(citation), _) if is_open => self.cite(citation, output),
            (Piece::LogProbabilities(tokens), _) if is_open => {
                let index = self.open.as_ref().map_or(0, |open| open.index);
                for token in tokens {
                    let entry = object_text(|entry| probability::write(token, entry, &mut output.ledger));
                    event("content-delta", Some(index), output, |event| {
                        event.object("delta", |delta| {
                            delta.object("message", |message| message.object("content", |text| text.put("text", "")));
                        });
                        event.put("logprobs", Raw(&entry));
                    });
                }
            }
            (_, Some(_)) => output.ledger.left_out("what belongs to a block that had to wait"),
            _ => {}
        }
    }

    /// More of the block that goes on.
    fn say(&mut self, text: &Text<'_>, output: &mut Output) {
        let Some(open) = &mut self.open else { return };
        open.is_told |= !text.is_empty();
        let length = text.plain().chars().count();
        open.length = open.length.saturating_add(u32::try_from(length).unwrap_or(u32::MAX));
        match open.kind {
            Kind::Text => content("content-delta", open.index, output, |content| content.put("text", text)),
            Kind::Thought => content("content-delta", open.index, output, |content| content.put("thinking", text)),
            Kind::Call => delta("tool-call-delta", open.index, output, |message| {
                message.object("tool_calls", |call| {
                    call.object("function", |function| function.put("arguments", text));
                });
            }),
        }
    }

    /// The words are not kept: a client has them by their place.
    fn cite(&mut self, citation: &Citation<'_>, output: &mut Output) {
        let Some(open) = &mut self.open else { return };
        let cited = Cited { text: None, length: open.length, content: open.index };
        let group = std::slice::from_ref(citation);
        open.citations.push(object_text(|object| cited.write(group, object, &mut output.ledger)));
    }

    fn close(&mut self, block: u32, output: &mut Output) {
        if self.open.as_ref().is_some_and(|open| open.block == block) {
            self.end(output);
            self.advance(output);
        } else if let Some(waiting) = self.waiting.iter_mut().find(|waiting| waiting.block == block) {
            waiting.is_closed = true;
        }
    }

    fn end(&mut self, output: &mut Output) {
        if self.open.as_ref().is_some_and(|open| open.kind == Kind::Call && !open.is_told) {
            self.say(&Text::from(message::NO_ARGUMENTS), output);
        }
        let Some(open) = self.open.take() else { return };
        let name = if open.kind == Kind::Call { "tool-call-end" } else { "content-end" };
        event(name, Some(open.index), output, |_| {});
        for citation in open.citations {
            delta("citation-start", self.citations, output, |message| message.put("citations", Raw(&citation)));
            event("citation-end", Some(self.citations), output, |_| {});
            self.citations += 1;
        }
    }

    fn finish(&mut self, finish: Finish, usage: Usage, output: &mut Output) {
        self.waiting.iter_mut().for_each(|waiting| waiting.is_closed = true);
        self.end(output);
        self.advance(output);
        self.is_ended = true;
        let reason = response::finish_reason(finish, &mut output.ledger);
        event("message-end", None, output, |event| {
            event.object("delta", |delta| {
                delta.put("finish_reason", reason);
                delta.object("usage", |object| usage::write(usage, object));
            });
        });
        output.frames.push(Frame::unnamed("[DONE]"));
    }
}

fn event(name: &str, index: Option<u32>, output: &mut Output, write: impl FnOnce(&mut ObjectWriter<'_>)) {
    let data = object_text(|event| {
        event.put("type", name);
        event.put_some("index", index);
        write(event);
    });
    output.frames.push(Frame::named(name, data));
}

/// An event with a part of the message.
fn delta(name: &str, index: u32, output: &mut Output, write: impl FnOnce(&mut ObjectWriter<'_>)) {
    event(name, Some(index), output, |event| event.object("delta", |delta| delta.object("message", write)));
}

/// An event with a part of the content.
fn content(name: &str, index: u32, output: &mut Output, write: impl FnOnce(&mut ObjectWriter<'_>)) {
    delta(name, index, output, |message| message.object("content", write));
}
