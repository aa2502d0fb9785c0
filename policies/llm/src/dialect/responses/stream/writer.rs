//! Writes events. The last of them repeats the whole answer, so all of it is kept until then, up to a bound.

use serde::{Deserialize, Serialize};

use super::block::{self, Kind, Open, Place};
use super::ending;
use crate::completion::{Block, Finish, Piece, Step};
use crate::content::{Content, Media, Part, Signature};
use crate::dialect::responses::item;
use crate::dialect::responses::snapshot::{self, Snapshot, State};
use crate::dialect::responses::{citation, probability, response};
use crate::dialect::{Frame, Heading, Output};
use crate::error::UpstreamError;
use crate::json::{ObjectWriter, Raw, Text, list, object_text};
use crate::usage::Usage;

/// What was said so far.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Writer {
    id: String,
    model: String,
    /// Events so far.
    sequence: u32,
    /// Items so far.
    items: u32,
    is_ended: bool,
    has_refusal: bool,
    open: Vec<Open>,
    messages: Vec<Message>,
    /// The text of each item that is whole.
    done: Vec<(u32, String)>,
    /// How much is kept.
    weight: u32,
}

/// A message that is not whole yet.
#[derive(Debug, Serialize, Deserialize)]
struct Message {
    item: u32,
    /// The text of each part, empty until it is whole.
    parts: Vec<String>,
    /// Whether what is said next is part of another one.
    is_over: bool,
}

/// What may be kept, by [`weight`]: of the 256 KiB that a gateway keeps for one exchange, what others leave.
const WEIGHT_MAX: u32 = 176 * 1024;
/// What an item weighs beside its texts.
const ITEM_WEIGHT: u32 = 256;

impl Writer {
    /// Writes a step.
    pub fn write(&mut self, step: &Step<'_>, heading: &Heading, output: &mut Output) {
        if self.is_ended {
            return;
        }
        match step {
            Step::Start { id, model, .. } => self.start(id, model, heading, output),
            Step::Open { block, kind } => self.begin(*block, kind, heading, output),
            Step::Piece { block, piece } => {
                if let Some(index) = self.open.iter().position(|open| open.block == *block) {
                    self.piece(index, piece, heading, output);
                }
            }
            Step::Close { block } => {
                if let Some(index) = self.open.iter().position(|open| open.block == *block) {
                    self.close(index, heading, output);
                }
            }
            Step::Alive | Step::Usage(_) => {}
            Step::Finish { finish, usage, .. } => self.finish(*finish, *usage, heading, output),
            Step::Error(error) => self.fail(error, heading, output),
        }
    }

    fn start(&mut self, id: &Text<'_>, model: &Text<'_>, heading: &Heading, output: &mut Output) {
        if self.sequence > 0 {
            return;
        }
        self.id = snapshot::id(id, &heading.seed);
        self.model = if model.is_empty() { heading.model.clone() } else { model.plain().into_owned() };
        self.snapshot("response.created", State::InProgress, heading, output);
        self.snapshot("response.in_progress", State::InProgress, heading, output);
    }

    fn snapshot(&mut self, name: &'static str, state: State<'_>, heading: &Heading, output: &mut Output) {
        self.done.sort_unstable_by_key(|(item, _)| *item);
        let items = self.done.iter().map(|(_, item)| item.as_str()).collect::<Vec<_>>().join(",");
        let (id, model) = (std::mem::take(&mut self.id), Text::from(std::mem::take(&mut self.model)));
        let snapshot = Snapshot { id: &id, model: &model, created: heading.created, state, output: &items };
        self.event(name, output, |event| event.put("response", &snapshot));
        (self.id, self.model) = (id, model.into_string());
    }

    pub(super) fn event(&mut self, name: &str, output: &mut Output, write: impl FnOnce(&mut ObjectWriter<'_>)) {
        let data = object_text(|event| {
            event.put("type", name);
            event.put("sequence_number", self.sequence);
            write(event);
        });
        self.sequence += 1;
        output.frames.push(Frame::named(name, data));
    }

    fn begin(&mut self, number: u32, kind: &Block<'_>, heading: &Heading, output: &mut Output) {
        self.start(&Text::default(), &Text::default(), heading, output);
        if !matches!(kind, Block::Text | Block::Refusal) {
            self.messages.iter_mut().for_each(|message| message.is_over = true);
            self.close_messages(heading, output);
        }
        let mut open = Open { block: number, item: self.items, ..Open::default() };
        match kind {
            Block::Text | Block::Refusal => {
                open.kind = if matches!(kind, Block::Text) { Kind::Text } else { Kind::Refusal };
                self.has_refusal |= open.kind == Kind::Refusal;
                (open.item, open.part) = self.begin_part(heading, output);
                let place = Place::of(&open, &heading.seed);
                self.event("response.content_part.added", output, |event| {
                    place.put_part(event);
                    event.object("part", |part| block::write_part(&Open { kind: open.kind, ..Open::default() }, part));
                });
            }
            Block::Thought => {
                open.kind = Kind::Thought;
                self.begin_item(&open, heading, output);
            }
            Block::Call { id, name } => {
                open.kind = Kind::Call;
                let minted = || item::id("call", &heading.seed, open.item);
                open.call = if id.is_empty() { minted() } else { id.plain().into_owned() };
                open.name = name.plain().into_owned();
                self.begin_item(&open, heading, output);
            }
            Block::Redacted(signature) => return self.whole_thought(open, signature, heading, output),
            Block::Whole(part) => return self.whole(part, heading, output),
        }
        self.open.push(open);
    }

    fn begin_item(&mut self, open: &Open, heading: &Heading, output: &mut Output) {
        self.items += 1;
        self.keep(ITEM_WEIGHT, output);
        let place = Place::of(open, &heading.seed);
        self.event("response.output_item.added", output, |event| {
            event.put("output_index", open.item);
            event.object("item", |item| block::write_item(open, &place.id, "in_progress", item));
        });
    }

    /// The place of a new part: of the message that goes on, or of a new one.
    fn begin_part(&mut self, heading: &Heading, output: &mut Output) -> (u32, u32) {
        if !self.messages.iter().any(|message| !message.is_over) {
            let item = self.items;
            self.items += 1;
            self.keep(ITEM_WEIGHT, output);
            self.messages.push(Message { item, parts: Vec::new(), is_over: false });
            let id = item::id("msg", &heading.seed, item);
            self.event("response.output_item.added", output, |event| {
                event.put("output_index", item);
                event.object("item", |item| item::write_message(&id, "in_progress", Raw("[]"), item));
            });
        }
        let Some(message) = self.messages.iter_mut().find(|message| !message.is_over) else { return (0, 0) };
        message.parts.push(String::new());
        (message.item, u32::try_from(message.parts.len() - 1).unwrap_or(u32::MAX))
    }

    fn piece(&mut self, index: usize, piece: &Piece<'_>, heading: &Heading, output: &mut Output) {
        let place = Place::of(&self.open[index], &heading.seed);
        match piece {
            Piece::Text(text) | Piece::Arguments(text) => {
                self.say(index, &place, text, output);
                let plain = text.plain();
                if self.keep(weight(&plain), output) {
                    self.open[index].text.push_str(&plain);
                }
            }
            Piece::Signature(signature) => {
                let value = item::encrypted(signature).into_string();
                if self.keep(weight(&value), output) {
                    self.open[index].signature = value;
                }
            }
            Piece::Citation(citation) => {
                let length = u32::try_from(self.open[index].text.chars().count()).unwrap_or(u32::MAX);
                let Some(annotation) = citation::write(citation, length, &mut output.ledger) else { return };
                let count = self.open[index].annotations.len();
                self.event("response.output_text.annotation.added", output, |event| {
                    place.put_part(event);
                    event.put("annotation_index", count);
                    event.put("annotation", Raw(&annotation));
                });
                if self.keep(weight(&annotation), output) {
                    self.open[index].annotations.push(annotation);
                }
            }
            Piece::LogProbabilities(tokens) => {
                let mut written = String::new();
                list(&mut written, |entries| probability::write(tokens, entries));
                self.event("response.output_text.delta", output, |event| {
                    place.put_part(event);
                    event.put("delta", "");
                    event.put("logprobs", Raw(&written));
                });
                let entries = written.trim_matches(['[', ']']);
                if self.keep(weight(entries), output) {
                    let kept = &mut self.open[index].probabilities;
                    kept.push_str(if kept.is_empty() { "" } else { "," });
                    kept.push_str(entries);
                }
            }
        }
    }

    /// The event of more text.
    fn say(&mut self, index: usize, place: &Place, text: &Text<'_>, output: &mut Output) {
        let open = &mut self.open[index];
        let (kind, is_first) = (open.kind, !std::mem::replace(&mut open.is_told, true));
        match kind {
            Kind::Text => self.event("response.output_text.delta", output, |event| {
                place.put_part(event);
                event.put("delta", text);
                event.list("logprobs", |_| {});
            }),
            Kind::Refusal => self.event("response.refusal.delta", output, |event| {
                place.put_part(event);
                event.put("delta", text);
            }),
            Kind::Thought => {
                if is_first {
                    self.summary_begins(place, output);
                }
                self.event("response.reasoning_summary_text.delta", output, |event| {
                    place.put_summary(event);
                    event.put("delta", text);
                });
            }
            Kind::Call => self.event("response.function_call_arguments.delta", output, |event| {
                place.put_item(event);
                event.put("delta", text);
            }),
        }
    }

    pub(super) fn summary_begins(&mut self, place: &Place, output: &mut Output) {
        self.event("response.reasoning_summary_part.added", output, |event| {
            place.put_summary(event);
            event.object("part", |part| item::write_summary("", part));
        });
    }

    fn close(&mut self, index: usize, heading: &Heading, output: &mut Output) {
        let mut open = self.open.remove(index);
        if open.kind == Kind::Call && !open.is_told {
            let place = Place::of(&open, &heading.seed);
            open.text.push_str(item::NO_ARGUMENTS);
            self.event("response.function_call_arguments.delta", output, |event| {
                place.put_item(event);
                event.put("delta", item::NO_ARGUMENTS);
            });
        }
        ending::write(self, &open, &Place::of(&open, &heading.seed), output);
        match open.kind {
            Kind::Text | Kind::Refusal => {
                let text = object_text(|part| block::write_part(&open, part));
                let message = self.messages.iter_mut().find(|message| message.item == open.item);
                let part = message.and_then(|message| message.parts.get_mut(open.part as usize));
                if let Some(part) = part {
                    *part = text;
                }
                self.close_messages(heading, output);
            }
            Kind::Thought | Kind::Call => {
                let id = Place::of(&open, &heading.seed).id;
                let text = object_text(|item| block::write_item(&open, &id, "completed", item));
                self.item_done(open.item, text, output);
            }
        }
    }

    fn item_done(&mut self, index: u32, text: String, output: &mut Output) {
        self.event("response.output_item.done", output, |event| {
            event.put("output_index", index);
            event.put("item", Raw(&text));
        });
        // What began when there was no room is not repeated at all.
        if self.weight < WEIGHT_MAX || index < WEIGHT_MAX / ITEM_WEIGHT / 2 {
            self.done.push((index, text));
        }
    }

    /// Messages are whole once something else was said, and all their parts are.
    fn close_messages(&mut self, heading: &Heading, output: &mut Output) {
        let is_whole = |message: &Message| message.is_over && !message.parts.iter().any(String::is_empty);
        while let Some(index) = self.messages.iter().position(is_whole) {
            let message = self.messages.remove(index);
            let id = item::id("msg", &heading.seed, message.item);
            let content = format!("[{}]", message.parts.join(","));
            let text = object_text(|item| item::write_message(&id, "completed", Raw(&content), item));
            self.item_done(message.item, text, output);
        }
    }

    fn whole_thought(&mut self, mut open: Open, signature: &Signature<'_>, heading: &Heading, output: &mut Output) {
        (open.kind, open.is_redacted) = (Kind::Thought, true);
        self.begin_item(&open, heading, output);
        open.signature = item::encrypted(signature).into_string();
        let id = Place::of(&open, &heading.seed).id;
        let text = object_text(|item| block::write_item(&open, &id, "completed", item));
        if !self.keep(weight(&open.signature), output) {
            open.signature.clear();
        }
        let index = open.item;
        self.event("response.output_item.done", output, |event| {
            event.put("output_index", index);
            event.put("item", Raw(&text));
        });
        if !open.signature.is_empty() {
            self.done.push((index, text));
        }
    }

    /// Of what comes whole only images have a place. One that is too large to be kept is not repeated.
    fn whole(&mut self, part: &Part<'_>, heading: &Heading, output: &mut Output) {
        let Content::Image { media: Media::Base64 { media_type, data }, .. } = &part.content else {
            return output.ledger.left_out(&format!("{} in the answer", response::name_of(&part.content)));
        };
        let index = self.items;
        self.items += 1;
        let id = item::id("ig", &heading.seed, index);
        let text = object_text(|item| item::write_image(&id, media_type, Some(data), item));
        for name in ["response.output_item.added", "response.output_item.done"] {
            self.event(name, output, |event| {
                event.put("output_index", index);
                event.put("item", Raw(&text));
            });
        }
        if self.keep(weight(&text), output) {
            self.done.push((index, text));
        }
    }

    fn finish(&mut self, finish: Finish, usage: Usage, heading: &Heading, output: &mut Output) {
        self.start(&Text::default(), &Text::default(), heading, output);
        while !self.open.is_empty() {
            self.close(0, heading, output);
        }
        self.messages.iter_mut().for_each(|message| message.is_over = true);
        self.close_messages(heading, output);
        let state = State::of(finish, usage, self.has_refusal, &mut output.ledger);
        let name = match state {
            State::Incomplete(..) => "response.incomplete",
            State::InProgress | State::Completed(_) | State::Failed(_) => "response.completed",
        };
        self.snapshot(name, state, heading, output);
        self.is_ended = true;
    }

    /// What is not whole stays so.
    fn fail(&mut self, error: &UpstreamError, heading: &Heading, output: &mut Output) {
        self.start(&Text::default(), &Text::default(), heading, output);
        self.snapshot("response.failed", State::Failed(error), heading, output);
        self.is_ended = true;
    }

    /// Whether there is room for so much more. Once there is not, nothing is kept any longer: no text has a hole.
    fn keep(&mut self, weight: u32, output: &mut Output) -> bool {
        self.weight = self.weight.saturating_add(weight);
        if self.weight <= WEIGHT_MAX {
            return true;
        }
        self.weight = u32::MAX;
        output.ledger.left_out("what exceeds 176 KiB of the answer, in the events that repeat it,");
        false
    }
}

/// The bytes of a text that is kept: it may stand in a JSON text within a JSON text.
fn weight(text: &str) -> u32 {
    let weigh = |byte: u8| match byte {
        b'"' | b'\\' => 4,
        b'\n' | b'\r' | b'\t' => 3,
        0..0x20 => 7,
        _ => 1,
    };
    text.bytes().map(weigh).fold(0, u32::saturating_add)
}
