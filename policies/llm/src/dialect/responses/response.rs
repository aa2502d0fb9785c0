//! Reads and writes whole answers.

use super::item::{self, CallItem};
use super::snapshot::{self, Snapshot, State};
use super::{citation, error, output, probability, usage};
use crate::completion::{Completion, TokenProbability};
use crate::content::{Arguments, Citation, Content, Media, Part};
use crate::dialect::Heading;
use crate::error::{ErrorKind, UpstreamError};
use crate::fault::Ledger;
use crate::json::{Json, ListWriter, Text, ToJson, list};

/// Reads an answer.
///
/// # Errors
/// It failed, is not done yet, or is none.
pub fn read<'a>(body: Json<'a>, heading: &Heading, ledger: &mut Ledger) -> Result<Completion<'a>, UpstreamError> {
    if let Some(failure) = body.member("error").filter(|failure| failure.is_object()) {
        return Err(error::read_object(failure, ErrorKind::Other));
    }
    let status = output::text(body, "status").unwrap_or_default();
    if !matches!(status.plain().as_ref(), "" | "completed" | "incomplete") {
        return Err(UpstreamError::new(ErrorKind::Other, format!("the provider's answer is {}", status.plain())));
    }
    let Some(items) = body.member("output").and_then(Json::items) else {
        return Err(UpstreamError::new(ErrorKind::Other, "the provider's answer cannot be read"));
    };
    let mut completion = Completion { usage: usage::of(body), ..Completion::default() };
    completion.id = output::text(body, "id").unwrap_or_default();
    completion.model = output::text(body, "model").unwrap_or_else(|| heading.model.clone().into());
    for item in items {
        completion.parts.extend(output::parts(item, ledger));
        completion.log_probabilities.extend(output::probabilities(item));
    }
    let has = |is: fn(&Content<'_>) -> bool| completion.parts.iter().any(|part| is(&part.content));
    let has_calls = has(|content| matches!(content, Content::Call(_)));
    completion.finish = output::finish(body, has_calls, has(|content| matches!(content, Content::Refusal(_))));
    Ok(completion)
}

/// Writes an answer.
pub fn write(completion: &Completion<'_>, heading: &Heading, ledger: &mut Ledger) -> String {
    let has_refusal = completion.parts.iter().any(|part| matches!(part.content, Content::Refusal(_)));
    let state = State::of(completion.finish, completion.usage, has_refusal, ledger);
    let mut output = String::new();
    list(&mut output, |list| {
        let mut items = Items { list, heading, count: 0, status: state.word(), ledger };
        items.write(&completion.parts, &completion.log_probabilities);
    });
    let items = output.strip_prefix('[').and_then(|items| items.strip_suffix(']')).unwrap_or_default();
    let id = snapshot::id(&completion.id, &heading.seed);
    let (created, model) = (heading.created, &completion.model);
    let mut text = String::with_capacity(output.len() + 1024);
    Snapshot { id: &id, model, created, state, output: items }.write_to(&mut text);
    text
}

/// Writes the items of an answer.
struct Items<'i, 'o> {
    list: &'i mut ListWriter<'o>,
    heading: &'i Heading,
    count: u32,
    status: &'static str,
    ledger: &'i mut Ledger,
}

impl Items<'_, '_> {
    /// Texts and refusals side by side are one message. All probabilities go to the first text.
    fn write(&mut self, parts: &[Part<'_>], probabilities: &[TokenProbability<'_>]) {
        let mut probabilities = probabilities;
        for run in parts.chunk_by(|one, other| is_said(&one.content) && is_said(&other.content)) {
            match run.first().map(|part| &part.content) {
                Some(content) if is_said(content) => self.message(run, std::mem::take(&mut probabilities)),
                Some(content) => self.other(content),
                None => {}
            }
        }
    }

    fn id(&mut self, prefix: &str) -> String {
        self.count += 1;
        item::id(prefix, &self.heading.seed, self.count - 1)
    }

    fn message(&mut self, parts: &[Part<'_>], probabilities: &[TokenProbability<'_>]) {
        let (id, status) = (self.id("msg"), self.status);
        let mut written = String::new();
        list(&mut written, |entries| probability::write(probabilities, entries));
        let mut probabilities = written.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or_default();
        let mut content = String::new();
        list(&mut content, |list| {
            for part in parts {
                match &part.content {
                    Content::Refusal(text) => list.object(|part| item::write_refusal(text, part)),
                    Content::Text { text, citations } => {
                        let annotations = annotations(text, citations, self.ledger);
                        let probabilities = std::mem::take(&mut probabilities);
                        list.object(|part| item::write_text(text, &annotations, probabilities, part));
                    }
                    _ => {}
                }
            }
        });
        self.list.object(|item| item::write_message(&id, status, crate::json::Raw(&content), item));
    }

    fn other(&mut self, content: &Content<'_>) {
        match content {
            Content::Thought(thought) => {
                let id = self.id("rs");
                let signature = thought.signature.as_ref().map(item::encrypted);
                let summary = (!thought.is_redacted).then_some(&thought.text);
                self.list.object(|item| item::write_reasoning(Some(&id), summary, signature, item));
            }
            Content::Call(call) => {
                let (id, status) = (self.id("fc"), self.status);
                let minted = Text::from(item::id("call", &self.heading.seed, self.count - 1));
                let arguments = match &call.arguments {
                    Arguments::Object(json) => Text::from(json.written()),
                    Arguments::Text(text) if text.is_empty() => Text::from(item::NO_ARGUMENTS),
                    Arguments::Text(text) => text.clone(),
                };
                let call_id = if call.id.is_empty() { &minted } else { &call.id };
                let item = CallItem { id: &id, call: call_id, name: &call.name, arguments: &arguments, status };
                self.list.object(|object| item.write(object));
            }
            Content::Image { media: Media::Base64 { media_type, data }, .. } => {
                let id = self.id("ig");
                self.list.object(|item| item::write_image(&id, media_type, Some(data), item));
            }
            other => self.ledger.left_out(&format!("{} in the answer", name_of(other))),
        }
    }
}

/// Whether something is part of a message.
fn is_said(content: &Content<'_>) -> bool {
    matches!(content, Content::Text { .. } | Content::Refusal(_))
}

/// The annotations of a whole text.
pub(super) fn annotations(text: &Text<'_>, citations: &[Citation<'_>], ledger: &mut Ledger) -> Vec<String> {
    if citations.is_empty() {
        return Vec::new();
    }
    let length = u32::try_from(text.plain().chars().count()).unwrap_or(u32::MAX);
    citations.iter().filter_map(|citation| citation::write(citation, length, ledger)).collect()
}

/// What a person calls a piece that an answer of this dialect cannot hold.
pub(super) fn name_of(content: &Content<'_>) -> &'static str {
    match content {
        Content::Text { .. } => "text",
        Content::Image { .. } => "image",
        Content::Audio(_) => "audio",
        Content::Video(_) => "video",
        Content::Document(_) => "document",
        Content::Thought(_) => "thinking",
        Content::Call(_) => "tool call",
        Content::ToolResult(_) => "tool result",
        Content::Refusal(_) => "refusal",
    }
}
