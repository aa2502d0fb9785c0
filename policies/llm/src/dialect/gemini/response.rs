//! Reads and writes a whole answer.

use super::part::{PartWriter, Place};
use super::{call_id, citation, finish, finish_reason, log_probabilities, media, signature, text, usage};
use crate::base64;
use crate::completion::{Completion, Finish};
use crate::content::{Arguments, Call, Content, Media, Part, Thought};
use crate::dialect::Heading;
use crate::error::{ErrorKind, UpstreamError};
use crate::fault::Ledger;
use crate::json::{Json, Text, object_text};
use crate::usage::Usage;

/// Reads an answer. A prompt that was blocked has none, and is one that was refused.
///
/// # Errors
/// The answer cannot be read, or ended in a way that no answer should.
pub fn read<'a>(body: Json<'a>, heading: &Heading, ledger: &mut Ledger) -> Result<Completion<'a>, UpstreamError> {
    let usage = body.member("usageMetadata").map_or(Usage::default(), usage::read);
    let mut completion = Completion { usage, ..Completion::default() };
    completion.id = body.member("responseId").and_then(text).unwrap_or_default();
    completion.model = model(body, heading);
    let Some(candidate) = candidate(body) else {
        if is_blocked(body) {
            return Ok(Completion { finish: Finish::Refused, ..completion });
        }
        return Err(UpstreamError::new(ErrorKind::Other, "the provider sent an answer without a candidate"));
    };
    let mut calls = 0;
    for (part, index) in parts(candidate).zip(0..) {
        let said = read_part(part, heading, &mut calls);
        if said.is_empty() && !is_empty_text(part) {
            ledger.left_out("a part of the answer of a kind that is not known");
        }
        let supports = citation::supports(candidate).into_iter().filter(|support| support.part == index);
        completion.parts.extend(said.into_iter().map(Part::from));
        if let Some(part) = completion.parts.last_mut() {
            cite(part, supports);
        }
    }
    let last_text = completion.parts.iter_mut().rev().find(|part| matches!(part.content, Content::Text { .. }));
    if let Some(Part { content: Content::Text { citations, .. }, .. }) = last_text {
        citations.extend(citation::sources(candidate));
    }
    completion.log_probabilities = candidate.member("logprobsResult").map(log_probabilities).unwrap_or_default();
    let reason = candidate.member("finishReason").and_then(text).unwrap_or_default();
    completion.finish = finish(&reason.plain(), candidate.member("finishMessage")).unwrap_or(Ok(Finish::Stop))?;
    if completion.finish == Finish::Stop && calls > 0 {
        completion.finish = Finish::ToolCalls;
    }
    Ok(completion)
}

/// The answer; never is more than one asked for.
pub(super) fn candidate(body: Json<'_>) -> Option<Json<'_>> {
    body.member("candidates")?.items()?.next()
}

/// Whether the prompt was refused.
pub(super) fn is_blocked(body: Json<'_>) -> bool {
    let reason = body.member("promptFeedback").and_then(|feedback| feedback.member("blockReason"));
    reason.and_then(text).is_some_and(|reason| !reason.is_empty())
}

/// The model that answered, or else the one that was asked.
pub(super) fn model<'a>(body: Json<'a>, heading: &Heading) -> Text<'a> {
    let named = body.member("modelVersion").and_then(text).filter(|model| !model.is_empty());
    named.unwrap_or_else(|| heading.model.clone().into())
}

/// The parts of a candidate's content.
pub(super) fn parts(candidate: Json<'_>) -> impl Iterator<Item = Json<'_>> {
    candidate.member("content").and_then(|content| content.member("parts")?.items()).into_iter().flatten()
}

/// A text that says nothing, as the last of an answer often is.
pub(super) fn is_empty_text(part: Json<'_>) -> bool {
    part.member("text").and_then(text).is_some_and(|text| text.is_empty())
}

/// Whether a part is a thought.
pub(super) fn is_thought(part: Json<'_>) -> bool {
    part.member("thought").is_some_and(|is_thought| is_thought.written() == "true")
}

/// What a part says, after its signature if it has one and is no thought; nothing if it is of no known kind.
pub(super) fn read_part<'a>(part: Json<'a>, heading: &Heading, calls: &mut u32) -> Vec<Content<'a>> {
    let signed = part.member("thoughtSignature").and_then(text).and_then(signature::read);
    let said = part.member("text").and_then(text);
    if is_thought(part) {
        let thought = Thought { text: said.unwrap_or_default(), ..signed.unwrap_or_default() };
        let says_something = !thought.text.is_empty() || thought.signature.is_some();
        return says_something.then_some(Content::Thought(thought)).into_iter().collect();
    }
    let call = part.member("functionCall").and_then(|call| {
        let name = call.member("name").and_then(text)?;
        let id = call.member("id").and_then(text).filter(|id| !id.is_empty());
        let id = id.unwrap_or_else(|| call_id(&heading.seed, *calls).into());
        *calls += 1;
        let arguments = call.member("args").filter(|arguments| arguments.is_object());
        let arguments = arguments.map_or(Arguments::Text("{}".into()), Arguments::Object);
        Some(Content::Call(Call { id, name, arguments }))
    });
    let said = said.filter(|said| !said.is_empty()).map(Content::text);
    let media = part.member("inlineData").and_then(|blob| {
        let media_type = blob.member("mimeType").and_then(text)?;
        let data = base64::standard(blob.member("data").and_then(text)?);
        Some(media::content(Media::Base64 { media_type, data }, None))
    });
    let file = part.member("fileData").and_then(|file| {
        let media_type = file.member("mimeType").and_then(text);
        Some(media::content(Media::Url { media_type, url: file.member("fileUri").and_then(text)? }, None))
    });
    let content = said.or(call).or(media).or(file);
    signed.map(Content::Thought).into_iter().chain(content).collect()
}

fn cite<'a>(part: &mut Part<'a>, supports: impl Iterator<Item = citation::Support<'a>>) {
    let Content::Text { text, citations } = &mut part.content else { return };
    citations.extend(supports.map(|support| {
        let place = citation::characters(&text.plain(), support.bytes);
        crate::content::Citation { place, ..support.citation }
    }));
}

/// The text of an answer.
pub fn write(completion: &Completion<'_>, heading: &Heading, ledger: &mut Ledger) -> String {
    if completion.stop_sequence.is_some() {
        ledger.left_out("the stop sequence that came up");
    }
    object_text(|body| {
        body.list("candidates", |list| {
            list.object(|candidate| {
                let mut grounding = None;
                candidate.object("content", |content| {
                    content.list("parts", |list| {
                        let mut writer = PartWriter::new(list, Place::Answer, ledger);
                        writer.write(&completion.parts.iter().collect::<Vec<_>>());
                        grounding = Some(writer.close());
                    });
                    content.put("role", "model");
                });
                candidate.put("finishReason", finish_reason(completion.finish));
                candidate.put("index", 0_u32);
                if let Some(grounding) = grounding {
                    grounding.write(candidate);
                }
                if !completion.log_probabilities.is_empty() {
                    candidate.object("logprobsResult", |result| {
                        super::write_log_probabilities(result, &completion.log_probabilities);
                    });
                }
            });
        });
        body.object("usageMetadata", |metadata| usage::write(metadata, completion.usage));
        let model = if completion.model.is_empty() { heading.model.as_str().into() } else { completion.model.clone() };
        body.put("modelVersion", model);
        let id = if completion.id.is_empty() { heading.seed.as_str().into() } else { completion.id.clone() };
        body.put("responseId", id);
    })
}
