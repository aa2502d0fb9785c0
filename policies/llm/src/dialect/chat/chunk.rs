//! Writes the chunks of a streamed answer.

use serde::{Deserialize, Serialize};

use super::response::{finish_word, put_id, put_model, write_citation};
use super::{DONE, error, probability, thought, usage};
use crate::completion::{Block, Piece, Step};
use crate::content::{Content, Maker, Signature, Thought};
use crate::dialect::{Frame, Heading, Output};
use crate::json::{ObjectWriter, Text, object_text};
use crate::usage::Usage;

/// How far a stream is.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Writer {
    id: String,
    model: String,
    /// What each block is, but for texts.
    blocks: Vec<(u32, Kind)>,
    calls: u32,
    thoughts: u32,
    /// Google's signature of the call that follows.
    signature: Option<String>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
enum Kind {
    Thought(u32),
    Call(u32),
    Refusal,
}

impl Writer {
    /// The chunks that one step becomes.
    pub fn write(&mut self, step: &Step<'_>, heading: &Heading, output: &mut Output) {
        match step {
            Step::Start { id, model, .. } => {
                self.id = id.clone().into_string();
                self.model = model.clone().into_string();
                self.delta(heading, output, |delta| {
                    delta.put("role", "assistant");
                    delta.put("content", "");
                });
            }
            Step::Open { block, kind } => self.open(*block, kind, heading, output),
            Step::Piece { block, piece } => self.piece(*block, piece, heading, output),
            Step::Close { .. } | Step::Alive | Step::Usage(_) => {}
            Step::Finish { finish, usage, .. } => {
                self.keep_signature(heading, output);
                let word = finish_word(*finish);
                output.frames.push(self.chunk(heading, |choice| {
                    choice.object("delta", |_| {});
                    choice.put("finish_reason", word);
                }));
                if heading.stream_usage {
                    output.frames.push(self.usage(heading, usage));
                }
                output.frames.push(Frame::unnamed(DONE));
            }
            Step::Error(reason) => output.frames.push(error::stream(reason)),
        }
    }

    fn open(&mut self, block: u32, kind: &Block<'_>, heading: &Heading, output: &mut Output) {
        match kind {
            Block::Text => self.keep_signature(heading, output),
            Block::Thought => {
                self.blocks.push((block, Kind::Thought(self.thoughts)));
                self.thoughts += 1;
            }
            Block::Redacted(signature) => {
                let (index, signature) = (self.thoughts, Some(signature.clone()));
                self.thoughts += 1;
                self.think(index, &Thought { text: Text::default(), signature, is_redacted: true }, heading, output);
            }
            Block::Refusal => self.blocks.push((block, Kind::Refusal)),
            Block::Call { id, name } => {
                let (index, signature) = (self.calls, self.signature.take());
                self.calls += 1;
                self.blocks.push((block, Kind::Call(index)));
                self.delta(heading, output, |delta| {
                    delta.list("tool_calls", |calls| {
                        calls.object(|call| {
                            call.put("index", index);
                            call.put("id", id);
                            call.put("type", "function");
                            call.object("function", |function| {
                                function.put("name", name);
                                function.put("arguments", "");
                            });
                            if let Some(signature) = signature {
                                thought::write_extra(call, &signature.into());
                            }
                        });
                    });
                });
            }
            Block::Whole(part) => match &part.content {
                Content::Image { media, .. } => self.delta(heading, output, |delta| {
                    delta.list("images", |list| super::response::write_image(media, list));
                }),
                _ => output.ledger.left_out("media of the answer"),
            },
        }
    }

    fn piece(&mut self, block: u32, piece: &Piece<'_>, heading: &Heading, output: &mut Output) {
        let kind = self.blocks.iter().rev().find(|(known, _)| *known == block).map(|(_, kind)| *kind);
        match (piece, kind) {
            (Piece::Text(text), Some(Kind::Thought(index))) => {
                self.think(index, &Thought { text: text.clone(), ..Thought::default() }, heading, output);
            }
            (Piece::Text(text), Some(Kind::Refusal)) => {
                self.delta(heading, output, |delta| delta.put("refusal", text));
            }
            (Piece::Text(text), _) => self.delta(heading, output, |delta| delta.put("content", text)),
            (Piece::Arguments(text), Some(Kind::Call(index))) => self.delta(heading, output, |delta| {
                delta.list("tool_calls", |calls| {
                    calls.object(|call| {
                        call.put("index", index);
                        call.object("function", |function| function.put("arguments", text));
                    });
                });
            }),
            (Piece::Signature(signature), Some(Kind::Thought(_))) if signature.maker == Maker::Google => {
                self.signature = Some(signature.value.clone().into_string());
            }
            (Piece::Signature(signature), Some(Kind::Thought(index))) => {
                let signature = Some(signature.clone());
                self.think(index, &Thought { signature, ..Thought::default() }, heading, output);
            }
            (Piece::Citation(citation), _) => {
                let ledger = &mut output.ledger;
                let mut is_said = false;
                let frame = self.chunk(heading, |choice| {
                    choice.object("delta", |delta| {
                        delta.list("annotations", |list| {
                            write_citation(0, citation, list, ledger);
                            is_said = citation.url.is_some();
                        });
                    });
                    choice.put("finish_reason", None::<bool>);
                });
                output.frames.extend(is_said.then_some(frame));
            }
            (Piece::LogProbabilities(known), _) => output.frames.push(self.chunk(heading, |choice| {
                choice.object("delta", |_| {});
                choice.object("logprobs", |object| object.list("content", |list| probability::write(known, list)));
                choice.put("finish_reason", None::<bool>);
            })),
            (Piece::Arguments(_) | Piece::Signature(_), _) => {}
        }
    }

    /// A signature that no call came after is of what came before.
    fn keep_signature(&mut self, heading: &Heading, output: &mut Output) {
        if let Some(value) = self.signature.take() {
            let index = self.thoughts.saturating_sub(1);
            let signature = Some(Signature { maker: Maker::Google, value: value.into() });
            self.think(index, &Thought { signature, ..Thought::default() }, heading, output);
        }
    }

    fn think(&self, index: u32, thought: &Thought<'_>, heading: &Heading, output: &mut Output) {
        self.delta(heading, output, |delta| {
            delta.put_some("reasoning_content", (!thought.text.is_empty()).then_some(&thought.text));
            delta.list("reasoning_details", |list| {
                list.object(|detail| thought::write_detail(detail, index, thought));
            });
        });
    }

    fn delta(&self, heading: &Heading, output: &mut Output, write: impl FnOnce(&mut ObjectWriter<'_>)) {
        output.frames.push(self.chunk(heading, |choice| {
            choice.object("delta", write);
            choice.put("finish_reason", None::<bool>);
        }));
    }

    fn chunk(&self, heading: &Heading, write: impl FnOnce(&mut ObjectWriter<'_>)) -> Frame {
        Frame::unnamed(object_text(|chunk| {
            self.head(heading, chunk);
            chunk.list("choices", |choices| {
                choices.object(|choice| {
                    choice.put("index", 0u32);
                    write(choice);
                });
            });
            if heading.stream_usage {
                chunk.put("usage", None::<bool>);
            }
        }))
    }

    fn usage(&self, heading: &Heading, usage: &Usage) -> Frame {
        Frame::unnamed(object_text(|chunk| {
            self.head(heading, chunk);
            chunk.list("choices", |_| {});
            chunk.object("usage", |object| usage::write(usage, object));
        }))
    }

    fn head(&self, heading: &Heading, chunk: &mut ObjectWriter<'_>) {
        put_id(&self.id.as_str().into(), heading, chunk);
        chunk.put("object", "chat.completion.chunk");
        chunk.put("created", heading.created);
        put_model(&self.model.as_str().into(), heading, chunk);
    }
}
