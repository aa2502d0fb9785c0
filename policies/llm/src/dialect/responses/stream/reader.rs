//! Reads events. Some providers leave out some of them: what was not said piece by piece is taken from the event that
//! repeats it whole, and what was said is never said twice.

use serde::{Deserialize, Serialize};

use crate::completion::{Block, Piece, Step};
use crate::content::{Arguments, Content, Part};
use crate::dialect::responses::{citation, error, output, probability, usage};
use crate::dialect::{Frame, Heading, Sink};
use crate::error::{ErrorKind, UpstreamError};
use crate::fault::Ledger;
use crate::json::{Document, FromJson, Json, Text};

/// What is known of a stream between two events.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Reader {
    is_started: bool,
    is_ended: bool,
    has_calls: bool,
    has_refusal: bool,
    blocks: u32,
    open: Vec<Open>,
    /// Parts of messages that are not done which were said whole.
    told: Vec<Place>,
}

/// The item, and the part of it.
type Place = (u32, u32);

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Open {
    place: Place,
    block: u32,
    kind: Kind,
    is_told: bool,
    is_cited: bool,
    /// Which part of a summary was said last.
    summary: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Kind {
    Text,
    Refusal,
    Thought,
    Call,
}

impl Reader {
    /// Reads an event.
    pub fn read(&mut self, frame: &Frame, heading: &Heading, sink: Sink<'_>) {
        // The marker of other dialects' ends: the end of this one came before it.
        if self.is_ended || matches!(frame.data.trim(), "" | "[DONE]") {
            return;
        }
        match Document::parse(&frame.data) {
            Ok(document) => self.event(document.root(), &frame.name, heading, sink),
            Err(fault) => self.fail(UpstreamError::new(ErrorKind::Other, format!("an event {fault}")), sink),
        }
    }

    /// The upstream's stream is over.
    pub fn close(&mut self, sink: Sink<'_>) {
        if !self.is_ended {
            self.fail(UpstreamError::truncated(), sink);
        }
    }

    fn event(&mut self, event: Json<'_>, name: &str, heading: &Heading, sink: Sink<'_>) {
        let kind = output::kind(event);
        let kind = if kind.is_empty() { name } else { kind.as_ref() };
        if matches!(kind, "keepalive" | "ping") {
            return sink(Step::Alive);
        }
        if kind == "error" || kind == "response.failed" || kind.is_empty() {
            return self.failure(event, sink);
        }
        if !kind.starts_with("response.") {
            return;
        }
        self.start(event.member("response"), heading, sink);
        let index = |name: &str| event.member(name).and_then(u32::from_json).unwrap_or(0);
        let place = (index("output_index"), index("content_index"));
        let item = (place.0, 0);
        let delta = output::text(event, "delta").unwrap_or_default();
        match kind {
            "response.output_item.added" => self.item_added(item, event.member("item"), sink),
            "response.output_item.done" => self.item_done(place.0, event.member("item"), sink),
            "response.content_part.done" => self.part_done(place, event.member("part"), sink),
            "response.output_text.delta" => {
                self.say(place, Kind::Text, delta, sink);
                self.weigh(place, event, sink);
            }
            "response.refusal.delta" => self.say(place, Kind::Refusal, delta, sink),
            "response.output_text.annotation.added" => self.cite(place, event.member("annotation"), sink),
            "response.reasoning_summary_text.delta" => self.think(item, index("summary_index"), delta, sink),
            "response.reasoning_text.delta" | "response.reasoning.delta" => {
                self.think(item, REASONING_TEXTS + place.1, delta, sink);
            }
            "response.function_call_arguments.delta" => self.argue(item, delta, sink),
            "response.function_call_arguments.done" if self.at(item).is_some_and(|open| !open.is_told) => {
                self.argue(item, output::text(event, "arguments").unwrap_or_default(), sink);
            }
            "response.completed" | "response.incomplete" => self.finish(event, sink),
            _ => {}
        }
    }

    fn start(&mut self, answer: Option<Json<'_>>, heading: &Heading, sink: Sink<'_>) {
        if std::mem::replace(&mut self.is_started, true) {
            return;
        }
        let text = |name: &str| answer.and_then(|answer| output::text(answer, name));
        let model = text("model").unwrap_or_else(|| heading.model.clone().into());
        let usage = answer.map(usage::of).unwrap_or_default();
        sink(Step::Start { id: text("id").unwrap_or_default(), model, usage });
    }

    fn at(&mut self, place: Place) -> Option<&mut Open> {
        self.open.iter_mut().find(|open| open.place == place)
    }

    /// The block at a place, which begins if it has not.
    fn block(&mut self, place: Place, kind: Kind, block: Block<'_>, sink: Sink<'_>) -> &mut Open {
        let known = self.open.iter().position(|open| open.place == place);
        let index = known.unwrap_or_else(|| {
            sink(Step::Open { block: self.blocks, kind: block });
            let open = Open { place, block: self.blocks, kind, is_told: false, is_cited: false, summary: 0 };
            self.open.push(open);
            self.blocks += 1;
            self.open.len() - 1
        });
        &mut self.open[index]
    }

    /// More of a text or a refusal.
    fn say(&mut self, place: Place, kind: Kind, text: Text<'_>, sink: Sink<'_>) {
        if text.is_empty() || self.told.contains(&place) {
            return;
        }
        self.has_refusal |= kind == Kind::Refusal;
        let block = if kind == Kind::Refusal { Block::Refusal } else { Block::Text };
        let open = self.block(place, kind, block, sink);
        open.is_told = true;
        sink(Step::Piece { block: open.block, piece: Piece::Text(text) });
    }

    /// How likely the tokens of a text were, if anybody says.
    fn weigh(&mut self, place: Place, holder: Json<'_>, sink: Sink<'_>) {
        let tokens = holder.member("logprobs").map(probability::read).unwrap_or_default();
        if let Some(open) = self.at(place).filter(|_| !tokens.is_empty()) {
            sink(Step::Piece { block: open.block, piece: Piece::LogProbabilities(tokens) });
        }
    }

    fn cite(&mut self, place: Place, annotation: Option<Json<'_>>, sink: Sink<'_>) {
        // A stream has no ledger: an annotation that no other provider has is not carried.
        let citation = annotation.and_then(|annotation| citation::read(annotation, &mut Ledger::default()));
        if let Some(citation) = citation.filter(|_| !self.told.contains(&place)) {
            let open = self.block(place, Kind::Text, Block::Text, sink);
            open.is_cited = true;
            sink(Step::Piece { block: open.block, piece: Piece::Citation(citation) });
        }
    }

    /// More of a thought, or of a part of its summary.
    fn think(&mut self, place: Place, summary: u32, text: Text<'_>, sink: Sink<'_>) {
        if text.is_empty() {
            return;
        }
        let open = self.block(place, Kind::Thought, Block::Thought, sink);
        if open.is_told && open.summary != summary {
            sink(Step::Piece { block: open.block, piece: Piece::Text(output::BETWEEN_SUMMARIES.into()) });
        }
        (open.is_told, open.summary) = (true, summary);
        sink(Step::Piece { block: open.block, piece: Piece::Text(text) });
    }

    /// More of a call's arguments.
    fn argue(&mut self, place: Place, text: Text<'_>, sink: Sink<'_>) {
        if let Some(open) = self.at(place).filter(|open| open.kind == Kind::Call && !text.is_empty()) {
            open.is_told = true;
            sink(Step::Piece { block: open.block, piece: Piece::Arguments(text) });
        }
    }

    /// Only calls begin here: of other items nobody knows yet whether there is anything in them.
    fn item_added(&mut self, place: Place, item: Option<Json<'_>>, sink: Sink<'_>) {
        if let Some(item) = item.filter(|item| output::kind(*item) == "function_call") {
            self.has_calls = true;
            let call = output::call(item);
            self.block(place, Kind::Call, Block::Call { id: call.id, name: call.name }, sink);
            self.argue(place, output::text(item, "arguments").unwrap_or_default(), sink);
        }
    }

    /// A part of a message is whole.
    fn part_done(&mut self, place: Place, part: Option<Json<'_>>, sink: Sink<'_>) {
        let Some(part) = part.filter(|_| !self.told.contains(&place)) else { return };
        let Some(content) = output::message_part(part, &mut Ledger::default()) else { return };
        let is_told = self.at(place).is_some_and(|open| open.is_told);
        let is_cited = self.at(place).is_some_and(|open| open.is_cited);
        match content {
            Content::Text { text, citations } => {
                if !is_told {
                    self.say(place, Kind::Text, text, sink);
                    self.weigh(place, part, sink);
                }
                if let Some(open) = self.at(place).filter(|_| !is_cited) {
                    for citation in citations {
                        sink(Step::Piece { block: open.block, piece: Piece::Citation(citation) });
                    }
                }
            }
            Content::Refusal(text) if !is_told => self.say(place, Kind::Refusal, text, sink),
            _ => {}
        }
        self.shut(place, sink);
        self.told.push(place);
    }

    /// An item is whole.
    fn item_done(&mut self, index: u32, item: Option<Json<'_>>, sink: Sink<'_>) {
        let place = (index, 0);
        if let Some(item) = item {
            match output::kind(item).as_ref() {
                "message" => {
                    let parts = item.member("content").and_then(Json::items).into_iter().flatten();
                    parts.zip(0..).for_each(|(part, count)| self.part_done((index, count), Some(part), sink));
                }
                "function_call" => self.call_done(place, item, sink),
                "reasoning" => self.thought_done(place, item, sink),
                "image_generation_call" => {
                    if let Some(image) = output::image(item) {
                        sink(Step::Open { block: self.blocks, kind: Block::Whole(Part::from(image)) });
                        sink(Step::Close { block: self.blocks });
                        self.blocks += 1;
                    }
                }
                _ => {}
            }
        }
        let left: Vec<Place> = self.open.iter().map(|open| open.place).filter(|place| place.0 == index).collect();
        left.into_iter().for_each(|place| self.shut(place, sink));
        self.told.retain(|place| place.0 != index);
    }

    fn call_done(&mut self, place: Place, item: Json<'_>, sink: Sink<'_>) {
        if self.at(place).is_none() {
            self.item_added(place, Some(item), sink);
        }
        if let Some(open) = self.at(place).filter(|open| !open.is_told) {
            let Arguments::Text(arguments) = output::call(item).arguments else { return };
            open.is_told = true;
            sink(Step::Piece { block: open.block, piece: Piece::Arguments(arguments) });
        }
    }

    fn thought_done(&mut self, place: Place, item: Json<'_>, sink: Sink<'_>) {
        let Some(thought) = output::thought(item) else { return };
        let signature = match (self.at(place).is_some(), thought.is_redacted, thought.signature) {
            (false, true, Some(signature)) => {
                self.block(place, Kind::Thought, Block::Redacted(signature), sink);
                return;
            }
            (_, _, signature) => signature,
        };
        let open = self.block(place, Kind::Thought, Block::Thought, sink);
        let block = open.block;
        if !open.is_told && !thought.text.is_empty() {
            sink(Step::Piece { block, piece: Piece::Text(thought.text) });
        }
        if let Some(signature) = signature {
            sink(Step::Piece { block, piece: Piece::Signature(signature) });
        }
    }

    /// A block is whole. A call without arguments has `{}`.
    fn shut(&mut self, place: Place, sink: Sink<'_>) {
        let Some(index) = self.open.iter().position(|open| open.place == place) else { return };
        let Open { block, kind, is_told, .. } = self.open.remove(index);
        if kind == Kind::Call && !is_told {
            sink(Step::Piece { block, piece: Piece::Arguments(super::super::item::NO_ARGUMENTS.into()) });
        }
        sink(Step::Close { block });
    }

    fn finish(&mut self, event: Json<'_>, sink: Sink<'_>) {
        let answer = event.member("response").unwrap_or(event);
        if self.blocks == 0 {
            let items = answer.member("output").and_then(Json::items).into_iter().flatten();
            items.zip(0..).for_each(|(item, index)| self.item_done(index, Some(item), sink));
        }
        while let Some(place) = self.open.first().map(|open| open.place) {
            self.shut(place, sink);
        }
        self.is_ended = true;
        let finish = output::finish(answer, self.has_calls, self.has_refusal);
        sink(Step::Finish { finish, stop_sequence: None, usage: usage::of(answer) });
    }

    /// An event of an error, an answer that failed, or an error that is the whole event.
    fn failure(&mut self, event: Json<'_>, sink: Sink<'_>) {
        let answer = event.member("response").unwrap_or(event);
        let object = answer.member("error").filter(|error| error.is_object());
        if object.is_some() || !output::kind(event).is_empty() {
            if let Some(usage) = answer.member("usage").and_then(usage::read) {
                sink(Step::Usage(usage));
            }
            self.fail(error::read_object(object.unwrap_or(answer), ErrorKind::Other), sink);
        }
    }

    fn fail(&mut self, error: UpstreamError, sink: Sink<'_>) {
        self.is_ended = true;
        sink(Step::Error(error));
    }
}

/// Parts of the thought itself are counted from here, apart from those of its summary.
const REASONING_TEXTS: u32 = 1 << 16;
