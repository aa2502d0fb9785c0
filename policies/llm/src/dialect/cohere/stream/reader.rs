//! Reads events.

use serde::{Deserialize, Serialize};

use crate::completion::{Block, Piece, Step};
use crate::dialect::cohere::{citation, error, message, probability, response, usage};
use crate::dialect::{Frame, Heading, Sink};
use crate::error::{ErrorKind, UpstreamError};
use crate::json::{Document, FromJson, Json, Text};

/// What is known of a stream between two events.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Reader {
    is_started: bool,
    is_ended: bool,
    has_calls: bool,
    blocks: u32,
    /// The block that goes on. A text does so until something else begins: its citations come after its end.
    open: Option<Open>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Open {
    block: u32,
    kind: Kind,
    is_told: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Kind {
    Text,
    Thought,
    Plan,
    Call,
}

impl Reader {
    /// Reads an event.
    pub fn read(&mut self, frame: &Frame, heading: &Heading, sink: Sink<'_>) {
        // After the end comes a marker, which is no event.
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
        let kind = message::text(event, "type").unwrap_or_default().plain();
        let kind = if kind.is_empty() { name } else { kind.as_ref() };
        let delta = event.member("delta");
        let message = delta.and_then(|delta| delta.member("message"));
        let content = message.and_then(|message| message.member("content"));
        let call = message.and_then(|message| message.member("tool_calls"));
        match kind {
            "message-start" => self.start(event, heading, sink),
            "content-start" => {
                self.start(event, heading, sink);
                self.content_start(content, sink);
            }
            "content-delta" => {
                self.start(event, heading, sink);
                self.content(content, sink);
                self.weigh(event.member("logprobs"), sink);
            }
            "tool-plan-delta" => {
                self.start(event, heading, sink);
                let plan = message.and_then(|message| message::text(message, "tool_plan")).unwrap_or_default();
                self.say(Kind::Plan, plan, sink);
            }
            "tool-call-start" => {
                self.start(event, heading, sink);
                self.call(call, sink);
            }
            "tool-call-delta" => self.argue(call, sink),
            "tool-call-end" => self.shut(sink),
            "content-end" if self.open.is_some_and(|open| open.kind == Kind::Thought) => self.shut(sink),
            "citation-start" => self.cite(message.and_then(|message| message.member("citations")), sink),
            "message-end" => self.finish(event, delta, heading, sink),
            "ping" => sink(Step::Alive),
            // An error stands alone, without a type.
            "" | "error" => {
                if let Some(told) = error::message(event) {
                    self.fail(UpstreamError::told(ErrorKind::Other, told), sink);
                }
            }
            _ => {}
        }
    }

    fn start(&mut self, event: Json<'_>, heading: &Heading, sink: Sink<'_>) {
        if !std::mem::replace(&mut self.is_started, true) {
            let id = message::text(event, "id").unwrap_or_default();
            sink(Step::Start { id, model: heading.model.clone().into(), usage: usage::of(event) });
        }
    }

    fn begin(&mut self, kind: Kind, block: Block<'_>, sink: Sink<'_>) {
        self.shut(sink);
        sink(Step::Open { block: self.blocks, kind: block });
        self.open = Some(Open { block: self.blocks, kind, is_told: false });
        self.blocks += 1;
    }

    /// A block begins with its first piece: one without any is none.
    fn content_start(&mut self, content: Option<Json<'_>>, sink: Sink<'_>) {
        self.shut(sink);
        self.content(content, sink);
    }

    fn content(&mut self, content: Option<Json<'_>>, sink: Sink<'_>) {
        let Some(content) = content else { return };
        let is_redacted = content.member("redacted").and_then(bool::from_json).unwrap_or(false);
        let signature = message::read_signature(content);
        match signature {
            Some(signature) if is_redacted => {
                self.begin(Kind::Thought, Block::Redacted(signature), sink);
                return self.shut(sink);
            }
            Some(signature) => {
                self.say(Kind::Thought, message::text(content, "thinking").unwrap_or_default(), sink);
                self.block(Kind::Thought, sink);
                self.piece(Piece::Signature(signature), sink);
            }
            None => self.say(Kind::Thought, message::text(content, "thinking").unwrap_or_default(), sink),
        }
        self.say(Kind::Text, message::text(content, "text").unwrap_or_default(), sink);
    }

    /// Makes sure that a block of this kind is open.
    fn block(&mut self, kind: Kind, sink: Sink<'_>) {
        if self.open.is_none_or(|open| open.kind != kind) {
            let block = if kind == Kind::Text { Block::Text } else { Block::Thought };
            self.begin(kind, block, sink);
        }
    }

    fn say(&mut self, kind: Kind, text: Text<'_>, sink: Sink<'_>) {
        if !text.is_empty() {
            self.block(kind, sink);
            self.piece(Piece::Text(text), sink);
        }
    }

    fn piece(&mut self, piece: Piece<'_>, sink: Sink<'_>) {
        if let Some(open) = &mut self.open {
            open.is_told = true;
            sink(Step::Piece { block: open.block, piece });
        }
    }

    /// How likely the tokens of a text were.
    fn weigh(&mut self, entry: Option<Json<'_>>, sink: Sink<'_>) {
        if self.open.is_some_and(|open| open.kind == Kind::Text)
            && let Some(token) = entry.and_then(probability::read)
        {
            self.piece(Piece::LogProbabilities(vec![token]), sink);
        }
    }

    fn call(&mut self, call: Option<Json<'_>>, sink: Sink<'_>) {
        if let Some(json) = call {
            self.has_calls = true;
            let call = message::read_call(json);
            self.begin(Kind::Call, Block::Call { id: call.id, name: call.name }, sink);
            self.argue(Some(json), sink);
        }
    }

    /// More of a call's arguments.
    fn argue(&mut self, call: Option<Json<'_>>, sink: Sink<'_>) {
        let function = call.and_then(|call| call.member("function"));
        let text = function.and_then(|function| message::text(function, "arguments")).unwrap_or_default();
        if !text.is_empty() && self.open.is_some_and(|open| open.kind == Kind::Call) {
            self.piece(Piece::Arguments(text), sink);
        }
    }

    /// Citations of plans and thoughts have no place elsewhere.
    fn cite(&mut self, citation: Option<Json<'_>>, sink: Sink<'_>) {
        let is_text = self.open.is_some_and(|open| open.kind == Kind::Text);
        if let Some(json) = citation.filter(|citation| is_text && citation::is_of_text(*citation)) {
            for citation in citation::read(json) {
                self.piece(Piece::Citation(citation), sink);
            }
        }
    }

    /// The block is whole. A call without arguments has `{}`.
    fn shut(&mut self, sink: Sink<'_>) {
        if let Some(open) = self.open.take() {
            if open.kind == Kind::Call && !open.is_told {
                let piece = Piece::Arguments(message::NO_ARGUMENTS.into());
                sink(Step::Piece { block: open.block, piece });
            }
            sink(Step::Close { block: open.block });
        }
    }

    fn finish(&mut self, event: Json<'_>, delta: Option<Json<'_>>, heading: &Heading, sink: Sink<'_>) {
        let Some(delta) = delta else { return };
        let text = |name: &str| message::text(delta, name).map(Text::into_string).filter(|text| !text.is_empty());
        let reason = text("finish_reason").filter(|reason| reason != "null");
        if let Some(error) = error::of_finish(reason.as_deref().unwrap_or_default(), text("error")) {
            return self.fail(error, sink);
        }
        let Some(reason) = reason else { return };
        self.start(event, heading, sink);
        self.shut(sink);
        self.is_ended = true;
        let finish = response::finish(&reason, self.has_calls);
        sink(Step::Finish { finish, stop_sequence: None, usage: usage::of(delta) });
    }

    fn fail(&mut self, error: UpstreamError, sink: Sink<'_>) {
        self.is_ended = true;
        sink(Step::Error(error));
    }
}
