//! Whole answers.

use super::{block, error, usage};
use crate::completion::{Completion, Finish};
use crate::content::{Content, Maker, Thought};
use crate::dialect::Heading;
use crate::error::{ErrorKind, UpstreamError};
use crate::fault::Ledger;
use crate::json::{FromJson as _, Json, ListWriter, ObjectWriter, Text, object_text};
use crate::usage::Usage;

/// Reads an answer.
///
/// # Errors
/// It has no content.
pub fn read<'a>(body: Json<'a>, _: &Heading, ledger: &mut Ledger) -> Result<Completion<'a>, UpstreamError> {
    if let Some(error) = body.member("error") {
        return Err(error::read_object(error, ErrorKind::Other));
    }
    let text = |name: &str| body.member(name).and_then(Text::from_json);
    let unreadable = || UpstreamError::new(ErrorKind::Other, "the provider sent an answer that cannot be read");
    let blocks = body.member("content").and_then(Json::items).ok_or_else(unreadable)?;
    let mut parts = Vec::new();
    for json in blocks {
        match block::answered(json) {
            Some(content) => parts.push(content.into()),
            None => {
                let kind = json.member("type").and_then(String::from_json).unwrap_or_default();
                ledger.left_out(&format!("a block of type {kind:?}"));
            }
        }
    }
    let mut used = Usage::default();
    if let Some(said) = body.member("usage") {
        usage::apply(said, &mut used);
    }
    Ok(Completion {
        id: text("id").unwrap_or_default(),
        model: text("model").unwrap_or_default(),
        parts,
        finish: finish(text("stop_reason").map(Text::into_string).as_deref()),
        stop_sequence: text("stop_sequence"),
        log_probabilities: Vec::new(),
        usage: used,
    })
}

/// Why a message ended; a reason that is not known is a plain end.
pub(super) fn finish(reason: Option<&str>) -> Finish {
    match reason {
        Some("max_tokens" | "model_context_window_exceeded") => Finish::Length,
        Some("stop_sequence") => Finish::StopSequence,
        Some("tool_use") => Finish::ToolCalls,
        Some("refusal") => Finish::Refused,
        Some("pause_turn") => Finish::Paused,
        _ => Finish::Stop,
    }
}

/// The word for it.
pub(super) fn finish_word(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "end_turn",
        Finish::StopSequence => "stop_sequence",
        Finish::Length => "max_tokens",
        Finish::ToolCalls => "tool_use",
        Finish::Refused => "refusal",
        Finish::Paused => "pause_turn",
    }
}

/// The text of an answer.
pub fn write(completion: &Completion<'_>, heading: &Heading, ledger: &mut Ledger) -> String {
    if !completion.log_probabilities.is_empty() {
        ledger.left_out("logprobs");
    }
    object_text(|body| {
        put_head(&completion.id, &completion.model, heading, body);
        body.list("content", |list| {
            for part in &completion.parts {
                match &part.content {
                    Content::Thought(thought) => write_thought(thought, list),
                    Content::Image { .. } | Content::Audio(_) | Content::Video(_) | Content::Document(_) => {
                        ledger.left_out("media of the answer");
                    }
                    Content::Text { .. } | Content::Call(_) | Content::Refusal(_) | Content::ToolResult(_) => {
                        block::write(part, list, ledger);
                    }
                }
            }
        });
        body.put("stop_reason", finish_word(completion.finish));
        body.put("stop_sequence", completion.stop_sequence.as_ref());
        body.object("usage", |object| usage::write(&completion.usage, object));
    })
}

/// The members that a message begins with.
pub(super) fn put_head(id: &Text<'_>, model: &Text<'_>, heading: &Heading, body: &mut ObjectWriter<'_>) {
    if id.is_empty() {
        body.put("id", format!("msg_{}", heading.seed));
    } else {
        body.put("id", id);
    }
    body.put("type", "message");
    body.put("role", "assistant");
    if model.is_empty() {
        body.put("model", &heading.model);
    } else {
        body.put("model", model);
    }
}

/// A client gets every thought, and with it a signature for its maker, even where that is another one.
fn write_thought(thought: &Thought<'_>, list: &mut ListWriter<'_>) {
    let signature = thought.signature.as_ref().map(|signature| signature.in_dialect(Maker::Anthropic));
    list.object(|block| {
        if thought.is_redacted {
            block.put("type", "redacted_thinking");
            block.put("data", signature.unwrap_or_default());
        } else {
            block.put("type", "thinking");
            block.put("thinking", &thought.text);
            block.put("signature", signature.unwrap_or_default());
        }
    });
}
