//! Streamed answers.

pub use super::chunk::Writer;

use serde::{Deserialize, Serialize};

use super::{DONE, error, message, probability, response, thought, usage};
use crate::completion::{Block, Finish, Piece, Step};
use crate::content::Thought;
use crate::dialect::{Frame, Heading, Sink};
use crate::error::{ErrorKind, UpstreamError};
use crate::json::{Document, FromJson as _, Json, Text};
use crate::usage::Usage;

/// How far a stream is.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Reader {
    has_started: bool,
    /// Nothing follows: the answer has ended, well or not.
    is_over: bool,
    finish: Option<Finish>,
    usage: Usage,
    /// How many blocks have begun.
    blocks: u32,
    /// The block that texts go to, with what it holds.
    open: Option<(u32, Kind)>,
    calls: Vec<OpenCall>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Kind {
    Text,
    /// With the thought's index among the upstream's.
    Thought(u32),
    Refusal,
}

#[derive(Debug, Serialize, Deserialize)]
struct OpenCall {
    /// Its index among the upstream's calls, which need neither start at 0 nor be dense.
    index: u32,
    id: String,
    block: u32,
    has_arguments: bool,
}

impl Reader {
    /// The steps of one chunk.
    pub fn read(&mut self, frame: &Frame, heading: &Heading, sink: Sink<'_>) {
        let data = frame.data.trim();
        if self.is_over || data.is_empty() {
            return;
        }
        if data == DONE {
            return self.close(sink);
        }
        let document = Document::parse(data).ok();
        let Some(chunk) = document.as_ref().map(Document::root).filter(|chunk| chunk.is_object()) else {
            let unreadable = UpstreamError::new(ErrorKind::Other, "the provider sent an event that cannot be read");
            return self.fail(unreadable, sink);
        };
        if let Some(error) = chunk.member("error").filter(|error| !error.is_null()) {
            return self.fail(error::read_object(200, error), sink);
        }
        if let Some(usage) = chunk.member("usage").and_then(usage::read) {
            self.usage = usage;
        }
        self.start(chunk, sink);
        let choices = chunk.member("choices").and_then(Json::items).into_iter().flatten();
        let is_first = |choice: &Json<'_>| choice.member("index").and_then(u32::from_json).unwrap_or(0) == 0;
        for choice in choices.filter(is_first) {
            if self.finish.is_none() {
                self.read_choice(choice, heading, sink);
            }
        }
    }

    /// The stream is at its end. Not every provider says `[DONE]`, but an answer says why it finished.
    pub fn close(&mut self, sink: Sink<'_>) {
        if self.is_over {
            return;
        }
        let Some(finish) = self.finish else { return self.fail(UpstreamError::truncated(), sink) };
        self.is_over = true;
        sink(Step::Finish { finish, stop_sequence: None, usage: self.usage });
    }

    fn fail(&mut self, error: UpstreamError, sink: Sink<'_>) {
        self.is_over = true;
        if self.usage != Usage::default() {
            sink(Step::Usage(self.usage));
        }
        sink(Step::Error(error));
    }

    fn start(&mut self, chunk: Json<'_>, sink: Sink<'_>) {
        if !std::mem::replace(&mut self.has_started, true) {
            let text = |name: &str| chunk.member(name).and_then(Text::from_json).unwrap_or_default();
            sink(Step::Start { id: text("id"), model: text("model"), usage: self.usage });
        }
    }

    fn read_choice(&mut self, choice: Json<'_>, heading: &Heading, sink: Sink<'_>) {
        if let Some(delta) = choice.member("delta") {
            for thought in thought::answered(delta) {
                self.read_thought(&thought, delta, sink);
            }
            if let Some(text) = delta.member("content").and_then(message::answered) {
                let block = self.block(Kind::Text, sink);
                sink(Step::Piece { block, piece: Piece::Text(text) });
            }
            if let Some(text) = delta.member("refusal").and_then(Text::from_json).filter(|text| !text.is_empty()) {
                let block = self.block(Kind::Refusal, sink);
                sink(Step::Piece { block, piece: Piece::Text(text) });
            }
            for citation in delta.member("annotations").map(response::citations).into_iter().flatten() {
                let block = self.block(Kind::Text, sink);
                sink(Step::Piece { block, piece: Piece::Citation(citation) });
            }
            for call in delta.member("tool_calls").and_then(Json::items).into_iter().flatten() {
                self.read_call(call, heading, sink);
            }
        }
        let known = choice.member("logprobs").and_then(|known| known.member("content")).map(probability::read);
        if let Some(known) = known.filter(|known| !known.is_empty()) {
            let block = self.block(Kind::Text, sink);
            sink(Step::Piece { block, piece: Piece::LogProbabilities(known) });
        }
        if let Some(reason) = choice.member("finish_reason") {
            self.finish = response::finish(reason, !self.calls.is_empty());
            if self.finish.is_some() {
                self.close_all(sink);
            }
        }
    }

    /// A thought goes on until another one begins, or something that is none.
    fn read_thought(&mut self, thought: &Thought<'_>, delta: Json<'_>, sink: Sink<'_>) {
        let details = delta.member("reasoning_details").and_then(Json::items).into_iter().flatten();
        let index = details.filter_map(|detail| detail.member("index").and_then(u32::from_json)).next().unwrap_or(0);
        if thought.is_redacted {
            self.close_open(sink);
            let block = self.count();
            if let Some(signature) = thought.signature.clone() {
                sink(Step::Open { block, kind: Block::Redacted(signature) });
                sink(Step::Close { block });
            }
            return;
        }
        let block = self.block(Kind::Thought(index), sink);
        if !thought.text.is_empty() {
            sink(Step::Piece { block, piece: Piece::Text(thought.text.clone()) });
        }
        if let Some(signature) = thought.signature.clone() {
            sink(Step::Piece { block, piece: Piece::Signature(signature) });
        }
    }

    fn read_call(&mut self, call: Json<'_>, heading: &Heading, sink: Sink<'_>) {
        let id = call.member("id").and_then(Text::from_json).filter(|id| !id.is_empty());
        let position = self.position(call, id.as_ref());
        let function = call.member("function");
        let text = |name: &str| {
            let text = function.and_then(|function| function.member(name)).and_then(Text::from_json);
            text.filter(|text| !text.is_empty())
        };
        let place = match position {
            Ok(place) => place,
            Err(index) => {
                let Some(name) = text("name") else { return };
                self.close_open(sink);
                self.sign(call, sink);
                let block = self.count();
                let id = id.map_or_else(|| format!("call_{}_{block}", heading.seed), Text::into_string);
                sink(Step::Open { block, kind: Block::Call { id: id.as_str().into(), name } });
                self.calls.push(OpenCall { index, id, block, has_arguments: false });
                self.calls.len() - 1
            }
        };
        if let (Some(arguments), Some(open)) = (text("arguments"), self.calls.get_mut(place)) {
            open.has_arguments = true;
            sink(Step::Piece { block: open.block, piece: Piece::Arguments(arguments) });
        }
    }

    /// The call that a piece belongs to; of a new one, its index. Some give every call the same index and tell them
    /// apart by their ids, some give no index at all.
    fn position(&self, call: Json<'_>, id: Option<&Text<'_>>) -> Result<usize, u32> {
        let count = u32::try_from(self.calls.len()).unwrap_or(u32::MAX);
        let index = call.member("index").and_then(u32::from_json);
        let is_other = |open: &OpenCall| id.is_some_and(|id| *id != *open.id.as_str());
        match index {
            Some(index) => {
                let found = self.calls.iter().rposition(|open| open.index == index);
                found.filter(|place| !self.calls.get(*place).is_some_and(is_other)).ok_or(index)
            }
            None if id.is_some() => self.calls.iter().position(|open| !is_other(open)).ok_or(count),
            None => self.calls.len().checked_sub(1).ok_or(count),
        }
    }

    /// Google's signature of the call that follows.
    fn sign(&mut self, call: Json<'_>, sink: Sink<'_>) {
        if let Some(signature) = thought::answered_extra(call).and_then(|thought| thought.signature) {
            let block = self.count();
            sink(Step::Open { block, kind: Block::Thought });
            sink(Step::Piece { block, piece: Piece::Signature(signature) });
            sink(Step::Close { block });
        }
    }

    /// The open block of a kind, which begins if it is not there.
    fn block(&mut self, kind: Kind, sink: Sink<'_>) -> u32 {
        if let Some((block, open)) = self.open
            && open == kind
        {
            return block;
        }
        self.close_open(sink);
        let block = self.count();
        self.open = Some((block, kind));
        let kind = match kind {
            Kind::Text => Block::Text,
            Kind::Thought(_) => Block::Thought,
            Kind::Refusal => Block::Refusal,
        };
        sink(Step::Open { block, kind });
        block
    }

    fn close_open(&mut self, sink: Sink<'_>) {
        if let Some((block, _)) = self.open.take() {
            sink(Step::Close { block });
        }
    }

    /// A call without arguments has an empty object for them, not an empty text.
    fn close_all(&mut self, sink: Sink<'_>) {
        self.close_open(sink);
        for call in self.calls.drain(..) {
            if !call.has_arguments {
                sink(Step::Piece { block: call.block, piece: Piece::Arguments("{}".into()) });
            }
            sink(Step::Close { block: call.block });
        }
    }

    fn count(&mut self) -> u32 {
        self.blocks += 1;
        self.blocks - 1
    }
}
