//! Writes a stream. A call is written whole: its arguments are an object here.

use serde::{Deserialize, Serialize};

use super::super::citation::Grounding;
use super::super::part::{PartWriter, Place};
use super::super::{error, finish_reason, signature, usage, write_log_probabilities};
use crate::completion::{Block, Finish, Piece, Step};
use crate::content::{Arguments, Citation, Maker, Signature};
use crate::dialect::{Frame, Heading, Output};
use crate::json::{ListWriter, ObjectWriter, Raw, Text, object_text};
use crate::usage::Usage;

/// What the client has so far.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Writer {
    id: String,
    model: String,
    /// Blocks that may go on.
    open: Vec<Open>,
    /// The signature of the part that comes next.
    signature: Option<String>,
    grounding: Grounding,
    /// Whether a character of more than one byte was written, so that characters are no bytes.
    has_wide_characters: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct Open {
    block: u32,
    kind: Kind,
}

#[derive(Debug, Serialize, Deserialize)]
enum Kind {
    Text,
    Thought { is_empty: bool },
    Call { id: String, name: String, arguments: String, signature: Option<String> },
}

impl Writer {
    /// Writes one step.
    pub fn write(&mut self, step: &Step<'_>, heading: &Heading, output: &mut Output) {
        match step {
            Step::Start { id, model, .. } => {
                self.id = if id.is_empty() { heading.seed.clone() } else { id.plain().into_owned() };
                self.model = if model.is_empty() { heading.model.clone() } else { model.plain().into_owned() };
            }
            Step::Open { block, kind } => self.open_block(*block, kind, output),
            Step::Piece { block, piece } => self.write_piece(*block, piece, output),
            Step::Close { block } => self.close_block(*block, output),
            Step::Alive | Step::Usage(_) => {}
            Step::Finish { finish, stop_sequence, usage } => {
                if stop_sequence.is_some() {
                    output.ledger.left_out("the stop sequence that came up");
                }
                self.write_end(*finish, *usage, output);
            }
            Step::Error(upstream) => output.frames.push(error::stream(upstream)),
        }
    }

    fn open_block(&mut self, block: u32, kind: &Block<'_>, output: &mut Output) {
        let kind = match kind {
            Block::Text => Kind::Text,
            Block::Refusal => {
                output.ledger.changed("a refusal", "was made a text");
                Kind::Text
            }
            Block::Thought => Kind::Thought { is_empty: true },
            Block::Redacted(signature) => return self.write_signature(&signature::write(signature, true), output),
            Block::Call { id, name } => Kind::Call {
                id: id.plain().into_owned(),
                name: name.plain().into_owned(),
                arguments: String::new(),
                signature: self.signature.take(),
            },
            Block::Whole(part) => {
                let mut text = String::new();
                crate::json::list(&mut text, |list| {
                    let mut writer = PartWriter::new(list, Place::Answer, &mut output.ledger);
                    writer.write(&[part]);
                    // What comes whole is no text, and only texts are based on something.
                    let _none = writer.close();
                });
                let parts = |content: &mut ObjectWriter<'_>| content.put("parts", Raw(&text));
                return output.frames.push(self.frame(parts, |_| {}, None));
            }
        };
        self.open.push(Open { block, kind });
    }

    fn write_piece(&mut self, block: u32, piece: &Piece<'_>, output: &mut Output) {
        let Some(open) = self.open.iter_mut().find(|open| open.block == block) else { return };
        match (&mut open.kind, piece) {
            (Kind::Text, Piece::Text(text)) => self.write_text(text, output),
            (Kind::Thought { is_empty }, Piece::Text(text)) => {
                *is_empty = false;
                let frame = self.part_frame(|part| {
                    part.put("text", text);
                    part.put("thought", true);
                });
                output.frames.push(frame);
            }
            (Kind::Thought { is_empty }, Piece::Signature(signature)) => {
                let is_for_next = *is_empty && signature.maker == Maker::Google;
                self.add_signature(signature, is_for_next, output);
            }
            (Kind::Call { arguments, .. }, Piece::Arguments(fragment)) => arguments.push_str(&fragment.plain()),
            (_, Piece::Citation(citation)) => self.add_citation(citation, output),
            (_, Piece::LogProbabilities(tokens)) => {
                let result = |candidate: &mut ObjectWriter<'_>| {
                    candidate.object("logprobsResult", |result| write_log_probabilities(result, tokens));
                };
                output.frames.push(self.frame(|content| content.list("parts", |_| {}), result, None));
            }
            _ => {}
        }
    }

    fn write_text(&mut self, text: &Text<'_>, output: &mut Output) {
        if text.is_empty() {
            return;
        }
        self.has_wide_characters |= !text.plain().is_ascii();
        let signature = self.signature.take();
        output.frames.push(self.part_frame(|part| {
            part.put("text", text);
            part.put_some("thoughtSignature", signature);
        }));
    }

    /// An empty thought that Google signed stands for the signature of what follows it.
    fn add_signature(&mut self, signature: &Signature<'_>, is_for_next: bool, output: &mut Output) {
        let text = signature::write(signature, false);
        if !is_for_next {
            return self.write_signature(&text, output);
        }
        if let Some(earlier) = self.signature.replace(text.into_string()) {
            output.frames.push(self.part_frame(|part| {
                part.put("text", "");
                part.put("thoughtSignature", earlier);
            }));
        }
    }

    fn write_signature(&self, signature: &Text<'_>, output: &mut Output) {
        output.frames.push(self.part_frame(|part| {
            part.put("text", "");
            part.put("thought", true);
            part.put("thoughtSignature", signature);
        }));
    }

    fn add_citation(&mut self, citation: &Citation<'_>, output: &mut Output) {
        let bytes = citation.place.filter(|_| !self.has_wide_characters);
        self.grounding.add(citation, 0, bytes, &mut output.ledger);
    }

    fn close_block(&mut self, block: u32, output: &mut Output) {
        let Some(place) = self.open.iter().position(|open| open.block == block) else { return };
        let Kind::Call { id, name, arguments, signature } = self.open.remove(place).kind else { return };
        let arguments = Arguments::Text(arguments.into());
        let object = arguments.object();
        if object.is_none() {
            output.ledger.changed("arguments of a tool call", "were left out: they are no JSON object");
        }
        output.frames.push(self.part_frame(|part| {
            part.object("functionCall", |call| {
                call.put("id", &id);
                call.put("name", &name);
                call.put("args", Raw(object.as_deref().unwrap_or("{}")));
            });
            part.put_some("thoughtSignature", signature);
        }));
    }

    fn write_end(&mut self, finish: Finish, usage: Usage, output: &mut Output) {
        let signature = self.signature.take();
        let parts = |list: &mut ListWriter<'_>| {
            list.object(|part| {
                part.put("text", "");
                part.put_some("thoughtSignature", signature);
            });
        };
        let end = |candidate: &mut ObjectWriter<'_>| {
            candidate.put("finishReason", finish_reason(finish));
            self.grounding.write(candidate);
        };
        output.frames.push(self.frame(|content| content.list("parts", parts), end, Some(usage)));
    }

    fn part_frame(&self, write: impl FnOnce(&mut ObjectWriter<'_>)) -> Frame {
        self.frame(|content| content.list("parts", |list| list.object(write)), |_| {}, None)
    }

    /// A frame with some parts, and what a candidate says beside them.
    fn frame(
        &self,
        parts: impl FnOnce(&mut ObjectWriter<'_>),
        rest: impl FnOnce(&mut ObjectWriter<'_>),
        usage: Option<Usage>,
    ) -> Frame {
        Frame::unnamed(object_text(|body| {
            body.list("candidates", |list| {
                list.object(|candidate| {
                    candidate.object("content", |content| {
                        parts(content);
                        content.put("role", "model");
                    });
                    rest(candidate);
                    candidate.put("index", 0_u32);
                });
            });
            if let Some(usage) = usage {
                body.object("usageMetadata", |metadata| usage::write(metadata, usage));
            }
            body.put("modelVersion", &self.model);
            body.put("responseId", &self.id);
        }))
    }
}
