//! Whole answers.

use super::{error, message, part, probability, thought, usage, writing};
use crate::completion::{Completion, Finish};
use crate::content::{Arguments, Call, Citation, Content, Media, Part};
use crate::dialect::Heading;
use crate::error::{ErrorKind, UpstreamError};
use crate::fault::Ledger;
use crate::json::{FromJson as _, Json, ListWriter, ObjectWriter, Text, object_text};

/// Reads an answer.
///
/// # Errors
/// It holds no choice.
pub fn read<'a>(body: Json<'a>, _: &Heading, ledger: &mut Ledger) -> Result<Completion<'a>, UpstreamError> {
    if let Some(error) = body.member("error").filter(|error| !error.is_null()) {
        return Err(error::read_object(200, error));
    }
    let text = |name: &str| body.member(name).and_then(Text::from_json).unwrap_or_default();
    let mut choices = body.member("choices").and_then(Json::items).into_iter().flatten();
    let unreadable = || UpstreamError::new(ErrorKind::Other, "the provider sent an answer that cannot be read");
    let choice = choices.next().ok_or_else(unreadable)?;
    if choices.next().is_some() {
        ledger.left_out("choices after the first");
    }
    let said = choice.member("message").ok_or_else(unreadable)?;
    let parts = read_message(said, ledger);
    let has_calls = parts.iter().any(|part| matches!(part.content, Content::Call(_)));
    let probabilities = choice.member("logprobs").and_then(|known| known.member("content"));
    Ok(Completion {
        id: text("id"),
        model: text("model"),
        parts,
        finish: choice.member("finish_reason").and_then(|reason| finish(reason, has_calls)).unwrap_or_default(),
        stop_sequence: None,
        log_probabilities: probabilities.map(probability::read).unwrap_or_default(),
        usage: body.member("usage").and_then(usage::read).unwrap_or_default(),
    })
}

fn read_message<'a>(said: Json<'a>, ledger: &mut Ledger) -> Vec<Part<'a>> {
    let thoughts = thought::answered(said).into_iter().map(Content::Thought);
    let mut parts: Vec<Part<'a>> = thoughts.map(Part::from).collect();
    if let Some(text) = said.member("content").and_then(message::answered) {
        parts.push(
            Content::Text { text, citations: said.member("annotations").map(citations).unwrap_or_default() }.into(),
        );
    }
    let images = said.member("images").and_then(Json::items).into_iter().flatten();
    parts.extend(images.filter_map(part::answered_image).map(Part::from));
    if said.member("audio").is_some_and(|audio| !audio.is_null()) {
        ledger.left_out("audio of the answer");
    }
    let refusal = said.member("refusal").and_then(Text::from_json).filter(|refusal| !refusal.is_empty());
    parts.extend(refusal.map(|refusal| Content::Refusal(refusal).into()));
    for call in said.member("tool_calls").and_then(Json::items).into_iter().flatten() {
        parts.extend(thought::answered_extra(call).map(|thought| Content::Thought(thought).into()));
        parts.extend(read_call(call).map(|call| Content::Call(call).into()));
    }
    parts
}

fn read_call(call: Json<'_>) -> Option<Call<'_>> {
    let function = call.member("function")?;
    Some(Call {
        id: call.member("id").and_then(Text::from_json).unwrap_or_default(),
        name: function.member("name").and_then(Text::from_json)?,
        arguments: match function.member("arguments") {
            // Some providers send the object itself.
            Some(object) if object.is_object() => Arguments::Object(object),
            arguments => Arguments::Text(arguments.and_then(Text::from_json).unwrap_or_default()),
        },
    })
}

/// What a text is based on, of a whole answer or of a piece of one.
pub(super) fn citations(list: Json<'_>) -> Vec<Citation<'_>> {
    let read = |annotation: Json<'_>| {
        let cited = annotation.member("url_citation")?;
        let place = |name: &str| cited.member(name).and_then(u32::from_json);
        Some(Citation {
            place: place("start_index").zip(place("end_index")),
            quote: cited.member("content").and_then(Text::from_json).map(Text::into_owned),
            title: cited.member("title").and_then(Text::from_json).map(Text::into_owned),
            url: cited.member("url").and_then(Text::from_json).map(Text::into_owned),
            ..Citation::default()
        })
    };
    list.items().into_iter().flatten().filter_map(read).collect()
}

/// Why an answer ended; null, "" and "null" are no reason, and one that is not known is a plain end.
pub(super) fn finish(reason: Json<'_>, has_calls: bool) -> Option<Finish> {
    let word = Text::from_json(reason).map(Text::into_string).unwrap_or_default();
    Some(match word.as_str() {
        "" | "null" => return None,
        "length" => Finish::Length,
        "tool_calls" | "function_call" => Finish::ToolCalls,
        "content_filter" => Finish::Refused,
        _ if has_calls => Finish::ToolCalls,
        _ => Finish::Stop,
    })
}

/// The word for it.
pub(super) fn finish_word(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop | Finish::StopSequence | Finish::Paused => "stop",
        Finish::Length => "length",
        Finish::ToolCalls => "tool_calls",
        Finish::Refused => "content_filter",
    }
}

/// The text of an answer.
pub fn write(completion: &Completion<'_>, heading: &Heading, ledger: &mut Ledger) -> String {
    object_text(|body| {
        put_id(&completion.id, heading, body);
        body.put("object", "chat.completion");
        body.put("created", heading.created);
        put_model(&completion.model, heading, body);
        body.list("choices", |choices| {
            choices.object(|choice| {
                choice.put("index", 0u32);
                choice.object("message", |message| write_message(completion, message, ledger));
                if completion.log_probabilities.is_empty() {
                    choice.put("logprobs", None::<bool>);
                } else {
                    choice.object("logprobs", |known| {
                        known.list("content", |list| probability::write(&completion.log_probabilities, list));
                        known.put("refusal", None::<bool>);
                    });
                }
                choice.put("finish_reason", finish_word(completion.finish));
            });
        });
        body.object("usage", |object| usage::write(&completion.usage, object));
    })
}

/// The answer's name: the upstream's, or one of our own.
pub(super) fn put_id(id: &Text<'_>, heading: &Heading, body: &mut ObjectWriter<'_>) {
    if id.is_empty() {
        body.put("id", format!("chatcmpl-{}", heading.seed));
    } else {
        body.put("id", id);
    }
}

/// The model that answered: as the upstream says, or else the one that was asked.
pub(super) fn put_model(model: &Text<'_>, heading: &Heading, body: &mut ObjectWriter<'_>) {
    if model.is_empty() {
        body.put("model", &heading.model);
    } else {
        body.put("model", model);
    }
}

fn write_message(completion: &Completion<'_>, message: &mut ObjectWriter<'_>, ledger: &mut Ledger) {
    message.put("role", "assistant");
    let (mut text, mut cited, mut thoughts, mut calls) = (None, Vec::new(), Vec::new(), Vec::new());
    let (mut refusal, mut images, mut sign) = (None, Vec::new(), None);
    for part in &completion.parts {
        match &part.content {
            Content::Text { text: more, citations } => {
                let before = text.get_or_insert_with(String::new);
                let start = u32::try_from(before.chars().count()).unwrap_or(u32::MAX);
                cited.extend(citations.iter().map(|citation| (start, citation)));
                before.push_str(&more.plain());
            }
            Content::Thought(thought) => match thought::google_signature(thought) {
                Some(signature) => sign = Some(signature),
                None => thoughts.push(thought),
            },
            Content::Call(call) => calls.push((call, sign.take())),
            Content::Refusal(declined) => refusal = Some(declined),
            Content::Image { media, .. } => images.push(media),
            _ => ledger.left_out("media of the answer"),
        }
    }
    message.put("content", text);
    message.put("refusal", refusal);
    if !thoughts.is_empty() {
        let said: String = thoughts.iter().map(|thought| thought.text.plain()).collect();
        message.put_some("reasoning_content", (!said.is_empty()).then_some(said));
        message.list("reasoning_details", |list| {
            for (index, thought) in (0u32..).zip(&thoughts) {
                list.object(|detail| thought::write_detail(detail, index, thought));
            }
        });
    }
    if !images.is_empty() {
        message.list("images", |list| images.iter().for_each(|media| write_image(media, list)));
    }
    if !calls.is_empty() {
        message.list("tool_calls", |list| {
            for (call, signature) in calls {
                writing::write_call(call, signature, list);
            }
        });
    }
    message.list("annotations", |list| {
        for (start, citation) in cited {
            write_citation(start, citation, list, ledger);
        }
    });
}

pub(super) fn write_image(media: &Media<'_>, list: &mut ListWriter<'_>) {
    list.object(|image| {
        image.put("type", "image_url");
        image.object("image_url", |object| object.put_some("url", part::data_url(media)));
    });
}

/// Only the web can be cited here. `start` is where the cited text begins in the whole of it.
pub(super) fn write_citation(start: u32, citation: &Citation<'_>, list: &mut ListWriter<'_>, ledger: &mut Ledger) {
    let Some(url) = &citation.url else { return ledger.left_out("citations of documents") };
    list.object(|annotation| {
        annotation.put("type", "url_citation");
        annotation.object("url_citation", |cited| {
            let (from, to) = citation.place.unwrap_or_default();
            cited.put("start_index", start.saturating_add(from));
            cited.put("end_index", start.saturating_add(to));
            cited.put("title", citation.title.as_ref().map_or("".into(), Text::plain));
            cited.put("url", url);
            cited.put_some("content", citation.quote.as_ref());
        });
    });
}
