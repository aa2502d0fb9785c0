//! Reads a stream.

use serde::{Deserialize, Serialize};

use super::super::partial_arguments::PartialArguments;
use super::super::{call_id, citation, error, finish, log_probabilities, response, text, usage};
use crate::completion::{Block, Finish, Piece, Step};
use crate::content::{Arguments, Call, Citation, Content, Thought};
use crate::dialect::{Frame, Heading, Sink};
use crate::error::{ErrorKind, UpstreamError};
use crate::json::{Document, Json, Text};
use crate::usage::Usage;

/// How far a stream is.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Reader {
    is_started: bool,
    is_over: bool,
    /// Blocks begun so far.
    blocks: u32,
    /// Calls begun so far.
    calls: u32,
    /// The text or the thought that may go on.
    open: Option<Open>,
    /// The call whose arguments come value by value.
    call: Option<OpenCall>,
    /// Why it ends: the end itself is that of the stream, since more may follow the reason.
    finish: Option<Finish>,
    usage: Usage,
    /// Citations told so far: each frame may repeat those before.
    cited: u32,
    /// Whether a character of more than one byte came, so that bytes are no characters.
    has_wide_characters: bool,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Open {
    block: u32,
    is_thought: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct OpenCall {
    block: u32,
    arguments: PartialArguments,
}

impl Reader {
    /// Reads one frame.
    pub fn read(&mut self, frame: &Frame, heading: &Heading, sink: Sink<'_>) {
        let data = frame.data.trim();
        if self.is_over || data.is_empty() || data == "[DONE]" {
            return;
        }
        let Ok(document) = Document::parse(data) else {
            return self
                .fail(UpstreamError::new(ErrorKind::Other, "the provider sent an event that cannot be read"), sink);
        };
        let body = document.root();
        if let Some(error) = error::of_body(body) {
            return self.fail(error::read_error(500, error), sink);
        }
        // Some frames only say by which plan they are paid for.
        if let Some(usage) = body.member("usageMetadata").map(usage::read).filter(|usage| usage.total() > 0) {
            self.usage = usage;
        }
        self.start(body, heading, sink);
        let Some(candidate) = response::candidate(body) else {
            if response::is_blocked(body) {
                self.finish.get_or_insert(Finish::Refused);
            }
            return;
        };
        for part in response::parts(candidate) {
            self.read_part(part, heading, sink);
        }
        self.read_rest(candidate, sink);
    }

    /// The upstream's stream has ended.
    pub fn close(&mut self, sink: Sink<'_>) {
        if self.is_over {
            return;
        }
        let Some(mut finish) = self.finish else { return self.fail(UpstreamError::truncated(), sink) };
        self.end_call(sink);
        self.end_open(sink);
        if finish == Finish::Stop && self.calls > 0 {
            finish = Finish::ToolCalls;
        }
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

    fn start(&mut self, body: Json<'_>, heading: &Heading, sink: Sink<'_>) {
        if std::mem::replace(&mut self.is_started, true) {
            return;
        }
        let id = body.member("responseId").and_then(text).unwrap_or_default();
        sink(Step::Start { id, model: response::model(body, heading), usage: self.usage });
    }

    fn read_part(&mut self, part: Json<'_>, heading: &Heading, sink: Sink<'_>) {
        if let Some(call) = part.member("functionCall")
            && (self.call.is_some() && call.member("name").is_none() || is_partial(call))
        {
            return self.read_partial_call(part, call, heading, sink);
        }
        let is_signed = part.member("thoughtSignature").is_some();
        if is_signed && !response::is_thought(part) {
            self.end_open(sink);
        }
        for content in response::read_part(part, heading, &mut self.calls) {
            match content {
                Content::Text { text, .. } => {
                    self.add_text(text, sink);
                    // A text with a signature is a piece of its own.
                    if is_signed {
                        self.end_open(sink);
                    }
                }
                Content::Thought(thought) => self.add_thought(thought, sink),
                Content::Call(call) => self.add_call(call, sink),
                whole => {
                    self.end_open(sink);
                    let block = self.next_block();
                    sink(Step::Open { block, kind: Block::Whole(whole.into()) });
                    sink(Step::Close { block });
                }
            }
        }
    }

    fn add_text(&mut self, text: Text<'_>, sink: Sink<'_>) {
        self.has_wide_characters |= !text.plain().is_ascii();
        let block = self.continue_block(false, sink);
        sink(Step::Piece { block, piece: Piece::Text(text) });
    }

    fn add_thought(&mut self, thought: Thought<'_>, sink: Sink<'_>) {
        let Thought { text, signature, is_redacted } = thought;
        if let Some(signature) = signature {
            if is_redacted {
                self.end_open(sink);
                let block = self.next_block();
                sink(Step::Open { block, kind: Block::Redacted(signature) });
                return sink(Step::Close { block });
            }
            let block = self.continue_block(true, sink);
            if !text.is_empty() {
                sink(Step::Piece { block, piece: Piece::Text(text) });
            }
            sink(Step::Piece { block, piece: Piece::Signature(signature) });
            return self.end_open(sink);
        }
        let block = self.continue_block(true, sink);
        sink(Step::Piece { block, piece: Piece::Text(text) });
    }

    fn add_call(&mut self, call: Call<'_>, sink: Sink<'_>) {
        self.end_call(sink);
        self.end_open(sink);
        let block = self.next_block();
        let arguments = match call.arguments {
            Arguments::Object(json) => json.written().to_owned().into(),
            Arguments::Text(text) => text,
        };
        sink(Step::Open { block, kind: Block::Call { id: call.id, name: call.name } });
        sink(Step::Piece { block, piece: Piece::Arguments(arguments) });
        sink(Step::Close { block });
    }

    /// A name begins a call, values go on with it, and what does not say that more comes ends it.
    fn read_partial_call(&mut self, part: Json<'_>, call: Json<'_>, heading: &Heading, sink: Sink<'_>) {
        if let Some(name) = call.member("name").and_then(text).filter(|name| !name.is_empty()) {
            self.end_call(sink);
            self.end_open(sink);
            if let Some(thought) =
                part.member("thoughtSignature").and_then(text).and_then(super::super::signature::read)
            {
                self.add_thought(thought, sink);
            }
            let id = call.member("id").and_then(text).filter(|id| !id.is_empty());
            let id = id.unwrap_or_else(|| call_id(&heading.seed, self.calls).into());
            self.calls += 1;
            let block = self.next_block();
            sink(Step::Open { block, kind: Block::Call { id, name } });
            self.call = Some(OpenCall { block, arguments: PartialArguments::default() });
        }
        let Some(open) = &mut self.call else { return };
        for item in call.member("partialArgs").and_then(Json::items).into_iter().flatten() {
            let added = open.arguments.add(item);
            if !added.is_empty() {
                sink(Step::Piece { block: open.block, piece: Piece::Arguments(added.into()) });
            }
        }
        if !goes_on(call) {
            self.end_call(sink);
        }
    }

    /// What a candidate says beside its parts.
    fn read_rest(&mut self, candidate: Json<'_>, sink: Sink<'_>) {
        let supports = citation::supports(candidate);
        let known = usize::try_from(self.cited).unwrap_or(usize::MAX);
        self.cited = self.cited.max(u32::try_from(supports.len()).unwrap_or(u32::MAX));
        let mut citations: Vec<Citation<'_>> = Vec::new();
        for support in supports.into_iter().skip(known) {
            let place = support.bytes.filter(|_| !self.has_wide_characters);
            citations.push(Citation { place, ..support.citation });
        }
        let reason = candidate.member("finishReason").and_then(text).unwrap_or_default();
        let end = finish(&reason.plain(), candidate.member("finishMessage"));
        if end.is_some() && self.cited == 0 {
            citations.extend(citation::sources(candidate));
        }
        if let Some(Open { block, is_thought: false }) = self.open {
            for citation in citations {
                sink(Step::Piece { block, piece: Piece::Citation(citation) });
            }
            if let Some(result) = candidate.member("logprobsResult") {
                sink(Step::Piece { block, piece: Piece::LogProbabilities(log_probabilities(result)) });
            }
        }
        match end {
            None => {}
            Some(Ok(finish)) => {
                self.end_call(sink);
                self.finish.get_or_insert(finish);
            }
            Some(Err(error)) if self.finish.is_none() => self.fail(error, sink),
            Some(Err(_)) => {}
        }
    }

    fn continue_block(&mut self, is_thought: bool, sink: Sink<'_>) -> u32 {
        if let Some(open) = self.open.filter(|open| open.is_thought == is_thought) {
            return open.block;
        }
        self.end_open(sink);
        let block = self.next_block();
        self.open = Some(Open { block, is_thought });
        sink(Step::Open { block, kind: if is_thought { Block::Thought } else { Block::Text } });
        block
    }

    fn next_block(&mut self) -> u32 {
        self.blocks += 1;
        self.blocks - 1
    }

    fn end_open(&mut self, sink: Sink<'_>) {
        if let Some(open) = self.open.take() {
            sink(Step::Close { block: open.block });
        }
    }

    fn end_call(&mut self, sink: Sink<'_>) {
        let Some(OpenCall { block, arguments }) = self.call.take() else { return };
        let rest = arguments.close();
        sink(Step::Piece { block, piece: Piece::Arguments(rest.into()) });
        sink(Step::Close { block });
    }
}

fn goes_on(call: Json<'_>) -> bool {
    call.member("willContinue").is_some_and(|goes_on| goes_on.written() == "true")
}

/// Whether the arguments of a call come value by value.
fn is_partial(call: Json<'_>) -> bool {
    call.member("args").is_none() && (goes_on(call) || call.member("partialArgs").is_some())
}
