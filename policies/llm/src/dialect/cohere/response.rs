//! Reads and writes whole answers.

use super::message::{self, Said, Uttered};
use super::{error, probability, usage};
use crate::completion::{Completion, Finish};
use crate::content::Content;
use crate::dialect::Heading;
use crate::error::{ErrorKind, UpstreamError};
use crate::fault::Ledger;
use crate::json::{Json, Text, object_text};

/// Reads an answer.
///
/// # Errors
/// It failed, or is none.
pub fn read<'a>(body: Json<'a>, heading: &Heading, ledger: &mut Ledger) -> Result<Completion<'a>, UpstreamError> {
    let reason = message::text(body, "finish_reason").unwrap_or_default().into_string();
    if let Some(failure) = error::of_finish(&reason, None) {
        return Err(failure);
    }
    let Some(message) = body.member("message").filter(|message| message.is_object()) else {
        return Err(match error::message(body) {
            Some(told) => UpstreamError::told(ErrorKind::Other, told),
            None => UpstreamError::new(ErrorKind::Other, "the provider's answer cannot be read"),
        });
    };
    let parts = message::read(message, ledger);
    let has_calls = parts.iter().any(|part| matches!(part.content, Content::Call(_)));
    let probabilities = body.member("logprobs").and_then(Json::items).into_iter().flatten();
    Ok(Completion {
        id: message::text(body, "id").unwrap_or_default(),
        model: Text::from(heading.model.clone()),
        parts,
        finish: finish(&reason, has_calls),
        stop_sequence: None,
        log_probabilities: probabilities.filter_map(probability::read).collect(),
        usage: usage::of(body),
    })
}

/// Why an answer ended, by the word for it.
pub(super) fn finish(reason: &str, has_calls: bool) -> Finish {
    match reason {
        "MAX_TOKENS" => Finish::Length,
        "STOP_SEQUENCE" => Finish::StopSequence,
        "TOOL_CALL" => Finish::ToolCalls,
        _ if has_calls => Finish::ToolCalls,
        _ => Finish::Stop,
    }
}

/// The word for why an answer ended.
pub(super) fn finish_reason(finish: Finish, ledger: &mut Ledger) -> &'static str {
    match finish {
        Finish::Stop => "COMPLETE",
        Finish::StopSequence => "STOP_SEQUENCE",
        Finish::Length => "MAX_TOKENS",
        Finish::ToolCalls => "TOOL_CALL",
        Finish::Refused => {
            ledger.changed("the end by a refusal", "became COMPLETE");
            "COMPLETE"
        }
        Finish::Paused => {
            ledger.changed("the pause of a long turn", "became COMPLETE");
            "COMPLETE"
        }
    }
}

/// Writes an answer.
pub fn write(completion: &Completion<'_>, heading: &Heading, ledger: &mut Ledger) -> String {
    let said = sort(completion, ledger);
    let seed = Text::from(heading.seed.as_str());
    object_text(|body| {
        body.put("id", if completion.id.is_empty() { &seed } else { &completion.id });
        body.object("message", |message| {
            message.put("role", "assistant");
            if !said.content.is_empty() {
                message.list("content", |list| said.write_content(list));
            }
            said.write_rest(message, ledger);
        });
        body.put("finish_reason", finish_reason(completion.finish, ledger));
        if !completion.log_probabilities.is_empty() {
            body.list("logprobs", |list| {
                for token in &completion.log_probabilities {
                    list.object(|entry| probability::write(token, entry, ledger));
                }
            });
        }
        body.object("usage", |object| usage::write(completion.usage, object));
    })
}

fn sort<'p, 'a>(completion: &'p Completion<'a>, ledger: &mut Ledger) -> Said<'p, 'a> {
    let mut said = Said::default();
    for part in &completion.parts {
        match &part.content {
            Content::Text { text, citations } => said.content.push(Uttered::Text(text, citations)),
            Content::Refusal(text) => {
                ledger.changed("the refusal", "became a text");
                said.content.push(Uttered::Text(text, &[]));
            }
            Content::Thought(thought) => said.content.push(Uttered::Thought(thought)),
            Content::Call(call) => said.calls.push(call),
            other => ledger.left_out(&format!("{} in the answer", name_of(other))),
        }
    }
    said
}

/// What a person calls a piece that has no place in this dialect.
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
