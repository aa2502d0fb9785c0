//! Writes parts.

use std::collections::BTreeMap;

use super::super::citation::{self, Grounding};
use super::super::{media, signature};
use crate::content::{Call, Content, Maker, Part, ResultContent, Thought, ToolResult};
use crate::fault::Ledger;
use crate::json::{Json, ListWriter, ObjectWriter, Raw, Text, object_text};

/// Writes parts one after the other.
#[derive(Debug)]
pub(in super::super) struct PartWriter<'o, 'c> {
    list: &'o mut ListWriter<'c>,
    place: Place<'o>,
    ledger: &'o mut Ledger,
    /// The signature of the part that comes next.
    signature: Option<Text<'static>>,
    /// Whether a call was written: only the first of several needs a signature.
    has_call: bool,
    /// How many parts were written.
    count: u32,
    grounding: Grounding,
}

/// Where parts are written to.
#[derive(Debug, Clone, Copy)]
pub(in super::super) enum Place<'p> {
    /// To the model.
    Request {
        /// The tool of each call, by the call's id.
        tools: &'p BTreeMap<String, String>,
        /// Whether the model is of the time before signatures were checked.
        is_older: bool,
    },
    /// From a model.
    Answer,
}

impl<'o, 'c> PartWriter<'o, 'c> {
    /// A writer of the parts of one content.
    pub(in super::super) fn new(list: &'o mut ListWriter<'c>, place: Place<'o>, ledger: &'o mut Ledger) -> Self {
        Self { list, place, ledger, signature: None, has_call: false, count: 0, grounding: Grounding::default() }
    }

    /// Writes some parts.
    pub(in super::super) fn write(&mut self, parts: &[&Part<'_>]) {
        for part in parts {
            if part.cache.is_some() {
                self.ledger.left_out("cache marks");
            }
            self.write_content(&part.content);
        }
    }

    /// Writes the signature that still waits for its part; gives what the texts are based on.
    pub(in super::super) fn close(mut self) -> Grounding {
        self.flush_signature();
        self.grounding
    }

    fn flush_signature(&mut self) {
        if let Some(signature) = self.signature.take() {
            self.part(|part| {
                part.put("text", "");
                part.put("thoughtSignature", signature);
            });
        }
    }

    fn part(&mut self, write: impl FnOnce(&mut ObjectWriter<'_>)) {
        self.count += 1;
        self.list.object(write);
    }

    fn write_content(&mut self, content: &Content<'_>) {
        match content {
            Content::Text { text, citations } => {
                match self.place {
                    Place::Request { .. } if citations.is_empty() => {}
                    Place::Request { .. } => self.ledger.left_out("messages[].content citations"),
                    Place::Answer => {
                        let plain = text.plain();
                        for citation in citations {
                            self.grounding.add(
                                citation,
                                self.count,
                                citation::bytes(&plain, citation.place),
                                self.ledger,
                            );
                        }
                    }
                }
                self.write_text(text);
            }
            Content::Refusal(text) => {
                self.ledger.changed("messages[].content refusal", "was made a text");
                self.write_text(text);
            }
            Content::Thought(thought) => self.write_thought(thought),
            Content::Call(call) => self.write_call(call),
            Content::ToolResult(result) => self.write_result(result),
            Content::Image { .. } | Content::Audio(_) | Content::Video(_) | Content::Document(_) => {
                self.write_media(content);
            }
        }
    }

    fn write_text(&mut self, text: &Text<'_>) {
        let signature = self.signature.take();
        if text.is_empty() && signature.is_none() {
            return;
        }
        self.part(|part| {
            part.put("text", text);
            part.put_some("thoughtSignature", signature);
        });
    }

    /// Only Google's signatures go to its model; a client gets every one, so that it can give it back.
    fn write_thought(&mut self, thought: &Thought<'_>) {
        let is_own = thought.signature.as_ref().is_some_and(|signature| signature.maker == Maker::Google);
        let mut signature = thought.signature.as_ref();
        if matches!(self.place, Place::Request { .. }) && signature.is_some() && !is_own {
            let what = if thought.is_redacted { "redacted thoughts" } else { "signatures of thoughts" };
            self.ledger.left_out(&format!("{what} of another provider"));
            signature = None;
        }
        let signature = signature.map(|signature| signature::write(signature, thought.is_redacted).into_owned());
        if thought.text.is_empty() && (signature.is_none() || is_own && !thought.is_redacted) {
            if signature.is_some() {
                self.flush_signature();
                self.signature = signature;
            }
            return;
        }
        self.part(|part| {
            part.put("text", &thought.text);
            part.put("thought", true);
            part.put_some("thoughtSignature", signature);
        });
    }

    fn write_call(&mut self, call: &Call<'_>) {
        let is_first = !std::mem::replace(&mut self.has_call, true);
        let may_need_one = is_first && matches!(self.place, Place::Request { is_older: false, .. });
        let signature = self.signature.take().or_else(|| may_need_one.then(|| signature::PLACEHOLDER.into()));
        let arguments = call.arguments.object();
        if arguments.is_none() {
            self.ledger.changed("arguments of a tool call", "were left out: they are no JSON object");
        }
        self.part(|part| {
            part.object("functionCall", |written| {
                if !call.id.is_empty() {
                    written.put("id", &call.id);
                }
                written.put("name", &call.name);
                written.put("args", Raw(arguments.as_deref().unwrap_or("{}")));
            });
            part.put_some("thoughtSignature", signature);
        });
    }

    fn write_result(&mut self, result: &ToolResult<'_>) {
        let known = match self.place {
            Place::Request { tools, .. } => tools.get(&*result.call.plain()),
            Place::Answer => None,
        };
        let name = result.name.clone().or_else(|| known.map(|name| name.as_str().into()));
        let Some(name) = name else {
            return self.ledger.refuse("the result of a tool", "answers no call");
        };
        let parts: &[Part<'_>] = match &result.content {
            ResultContent::Parts(parts) => parts,
            ResultContent::Object(_) => &[],
        };
        if parts.iter().any(|part| part.cache.is_some()) {
            self.ledger.left_out("cache marks");
        }
        let ledger = &mut *self.ledger;
        self.list.object(|part| {
            part.object("functionResponse", |written| {
                if !result.call.is_empty() {
                    written.put("id", &result.call);
                }
                written.put("name", name);
                written.put("response", Raw(&response(result, ledger)));
                if parts.iter().any(media::is_media) {
                    written.list("parts", |list| {
                        for part in parts.iter().filter(|part| media::is_media(part)) {
                            list.object(|item| {
                                media::write(item, &part.content, ledger);
                            });
                        }
                    });
                }
            });
        });
    }

    fn write_media(&mut self, content: &Content<'_>) {
        let signature = self.signature.take();
        let is_older = matches!(self.place, Place::Request { is_older: true, .. });
        let level = match content {
            Content::Image { detail: Some(detail), .. } => match &*detail.plain() {
                "low" => Some("MEDIA_RESOLUTION_LOW"),
                "high" => Some("MEDIA_RESOLUTION_HIGH"),
                _ => None,
            },
            _ => None,
        };
        if level.is_some() && is_older {
            self.ledger.left_out("messages[].content image detail");
        }
        let ledger = &mut *self.ledger;
        let text = object_text(|part| {
            if media::write(part, content, ledger) {
                if let Some(level) = level.filter(|_| !is_older) {
                    part.object("mediaResolution", |resolution| resolution.put("level", level));
                }
                part.put_some("thoughtSignature", signature);
            }
        });
        if text != "{}" {
            self.count += 1;
            self.list.put(Raw(&text));
        }
    }
}

/// The object that a tool's result is: its own, or one with the text in it.
fn response(result: &ToolResult<'_>, ledger: &mut Ledger) -> String {
    let name = if result.is_error == Some(true) { "error" } else { "output" };
    match &result.content {
        ResultContent::Object(json) if name == "output" || json.member("error").is_some() => object_of(*json),
        ResultContent::Object(json) => object_text(|response| response.put(name, *json)),
        ResultContent::Parts(parts) => {
            let mut texts = Vec::new();
            for part in parts {
                match &part.content {
                    Content::Text { text, .. } => texts.push(text),
                    _ if media::is_media(part) => {}
                    _ => ledger.refuse("the result of a tool", "holds what only a message may"),
                }
            }
            object_text(|response| match texts.as_slice() {
                [] => {}
                [text] => response.put(name, text),
                texts => response.put(name, texts.iter().map(|text| text.plain()).collect::<String>()),
            })
        }
    }
}

fn object_of(json: Json<'_>) -> String {
    if json.is_object() { json.written().to_owned() } else { object_text(|response| response.put("output", json)) }
}
