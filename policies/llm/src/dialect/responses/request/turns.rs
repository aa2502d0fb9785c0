//! Writes turns as the items of an input.

use crate::content::{Arguments, Call, Content, Maker, Media, Part, ResultContent, Thought, ToolResult};
use crate::conversation::{CacheMark, Conversation, Role, Turn};
use crate::dialect::responses::{citation::Annotations, item, media, response};
use crate::fault::Ledger;
use crate::json::{ListWriter, ObjectWriter, Text};

/// The instructions, if they are one text: they have a place of their own.
pub(super) fn instructions<'c, 'a>(parts: &'c [Part<'a>], ledger: &mut Ledger) -> Option<&'c Text<'a>> {
    match parts {
        [Part { content: Content::Text { text, .. }, cache }] => {
            forget_cache(cache.as_ref(), ledger);
            Some(text)
        }
        _ => None,
    }
}

/// Writes all turns, and before them the instructions if they are still to be said.
pub(super) fn write(
    conversation: &Conversation<'_>,
    has_instructions: bool,
    list: &mut ListWriter<'_>,
    ledger: &mut Ledger,
) {
    if has_instructions && !conversation.instructions.is_empty() {
        let parts: Vec<_> = conversation.instructions.iter().collect();
        write_message("developer", &parts, list, ledger);
    }
    for turn in &conversation.turns {
        if turn.name.is_some() {
            ledger.left_out("messages[].name");
        }
        match turn.role {
            Role::System => write_message("developer", &turn.parts.iter().collect::<Vec<_>>(), list, ledger),
            Role::User => write_user(turn, list, ledger),
            Role::Assistant => write_assistant(turn, list, ledger),
        }
    }
}

/// Answers of tools come before what the person says.
fn write_user(turn: &Turn<'_>, list: &mut ListWriter<'_>, ledger: &mut Ledger) {
    let mut rest = Vec::new();
    for part in &turn.parts {
        match &part.content {
            Content::ToolResult(result) => {
                forget_cache(part.cache.as_ref(), ledger);
                list.object(|object| write_result(result, object, ledger));
            }
            _ => rest.push(part),
        }
    }
    if !rest.is_empty() {
        write_message("user", &rest, list, ledger);
    }
}

fn write_result(result: &ToolResult<'_>, object: &mut ObjectWriter<'_>, ledger: &mut Ledger) {
    if result.is_error == Some(true) {
        ledger.left_out("messages[].content tool_result is_error");
    }
    object.put("type", "function_call_output");
    object.put("call_id", &result.call);
    match &result.content {
        ResultContent::Object(json) => object.put("output", json.written()),
        ResultContent::Parts(parts) => match parts.as_slice() {
            [] => object.put("output", ""),
            [Part { content: Content::Text { text, .. }, cache }] => {
                forget_cache(cache.as_ref(), ledger);
                object.put("output", text);
            }
            parts => object.list("output", |list| parts.iter().for_each(|part| write_part(part, list, ledger))),
        },
    }
}

/// A message of one text is written as that text.
fn write_message(role: &str, parts: &[&Part<'_>], list: &mut ListWriter<'_>, ledger: &mut Ledger) {
    list.object(|message| {
        message.put("type", "message");
        message.put("role", role);
        match parts {
            [Part { content: Content::Text { text, .. }, cache }] => {
                forget_cache(cache.as_ref(), ledger);
                message.put("content", text);
            }
            parts => message.list("content", |list| parts.iter().for_each(|part| write_part(part, list, ledger))),
        }
    });
}

/// One part of what a person, a tool or the operator says.
fn write_part(part: &Part<'_>, list: &mut ListWriter<'_>, ledger: &mut Ledger) {
    forget_cache(part.cache.as_ref(), ledger);
    match &part.content {
        Content::Text { text, .. } => list.object(|part| {
            part.put("type", "input_text");
            part.put("text", text);
        }),
        Content::Image { media, detail } => media::write_image(media, detail.as_ref(), list),
        Content::Document(document) => media::write_document(document, list, ledger),
        Content::Audio(media) => media::write_audio(media, list, ledger),
        Content::Video(media) => media::write_video(media, list, ledger),
        other => refuse(other, ledger),
    }
}

/// Texts and refusals side by side are one message; everything else is an item of its own.
fn write_assistant(turn: &Turn<'_>, list: &mut ListWriter<'_>, ledger: &mut Ledger) {
    let is_said = |part: &Part<'_>| matches!(part.content, Content::Text { .. } | Content::Refusal(_));
    for run in turn.parts.chunk_by(|one, other| is_said(one) && is_said(other)) {
        run.iter().for_each(|part| forget_cache(part.cache.as_ref(), ledger));
        match run.first().map(|part| &part.content) {
            Some(Content::Text { .. } | Content::Refusal(_)) => write_said(run, list, ledger),
            Some(Content::Thought(thought)) => write_thought(thought, list, ledger),
            Some(Content::Call(call)) => list.object(|object| write_call(call, object)),
            Some(Content::Image { media: Media::Base64 { media_type, data }, .. }) => {
                list.object(|object| item::write_image("ig_0", media_type, Some(data), object));
            }
            Some(other) => refuse(other, ledger),
            None => {}
        }
    }
}

fn write_said(parts: &[Part<'_>], list: &mut ListWriter<'_>, ledger: &mut Ledger) {
    list.object(|message| {
        message.put("type", "message");
        message.put("role", "assistant");
        message.list("content", |list| {
            for part in parts {
                match &part.content {
                    Content::Text { text, citations } => {
                        let annotations = response::annotations(text, citations, ledger);
                        list.object(|part| {
                            part.put("type", "output_text");
                            part.put("text", text);
                            part.put("annotations", Annotations(&annotations));
                        });
                    }
                    Content::Refusal(text) => list.object(|part| item::write_refusal(text, part)),
                    _ => {}
                }
            }
        });
    });
}

/// The provider takes only the thoughts of its own models.
fn write_thought(thought: &Thought<'_>, list: &mut ListWriter<'_>, ledger: &mut Ledger) {
    match &thought.signature {
        Some(signature) if signature.maker == Maker::Openai => list.object(|object| {
            let summary = (!thought.is_redacted).then_some(&thought.text);
            item::write_reasoning(None, summary, Some(&signature.value), object);
        }),
        _ => ledger.left_out("messages[].content thinking of another model"),
    }
}

fn write_call(call: &Call<'_>, object: &mut ObjectWriter<'_>) {
    object.put("type", "function_call");
    object.put("call_id", &call.id);
    object.put("name", &call.name);
    match &call.arguments {
        Arguments::Object(json) => object.put("arguments", json.written()),
        Arguments::Text(text) if text.is_empty() => object.put("arguments", item::NO_ARGUMENTS),
        Arguments::Text(text) => object.put("arguments", text),
    }
}

fn refuse(content: &Content<'_>, ledger: &mut Ledger) {
    let field = format!("messages[].content {}", response::name_of(content));
    ledger.refuse(&field, "has no place on its side of a conversation with this provider");
}

/// The provider finds by itself what to keep in its cache.
pub(super) fn forget_cache(mark: Option<&CacheMark<'_>>, ledger: &mut Ledger) {
    if mark.is_some() {
        ledger.left_out("cache marks");
    }
}
