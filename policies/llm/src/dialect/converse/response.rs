//! Reads and writes a whole answer.

use super::block::{self, Place};
use super::usage;
use crate::completion::{Completion, Finish};
use crate::dialect::Heading;
use crate::error::{ErrorKind, UpstreamError};
use crate::fault::{Ledger, OnLoss};
use crate::json::{FromJson as _, Json, Text, object_text};
use crate::usage::Usage;

/// Reads an answer. It names neither itself nor its model.
///
/// # Errors
/// The answer cannot be read, or ended in a way that no answer should.
pub fn read<'a>(body: Json<'a>, heading: &Heading, ledger: &mut Ledger) -> Result<Completion<'a>, UpstreamError> {
    let message = body.member("output").and_then(|output| output.member("message")).and_then(Json::members);
    let unreadable = || UpstreamError::new(ErrorKind::Other, "the provider sent an answer that cannot be read");
    let mut message = message.ok_or_else(unreadable)?;
    // What a provider adds is no fault of the answer, but a block of a kind that is not known is a loss.
    let mut found = Ledger::new(OnLoss::Warn);
    let parts = block::read_all(&mut message, "content", &mut found).map_err(|_| unreadable())?;
    if !found.is_empty() {
        ledger.left_out("what is not known of the answer");
    }
    let reason = body.member("stopReason").and_then(String::from_json).unwrap_or_default();
    Ok(Completion {
        model: heading.model.clone().into(),
        parts,
        finish: finish(&reason)?,
        stop_sequence: stop_sequence(body),
        usage: body.member("usage").map_or(Usage::default(), usage::read),
        ..Completion::default()
    })
}

/// The text that ended the answer, where the client asked for it.
pub(super) fn stop_sequence(body: Json<'_>) -> Option<Text<'_>> {
    Text::from_json(body.member("additionalModelResponseFields")?.member("stop_sequence")?)
}

/// What a reason to stop means.
pub(super) fn finish(reason: &str) -> Result<Finish, UpstreamError> {
    Ok(match reason {
        "max_tokens" | "model_context_window_exceeded" => Finish::Length,
        "stop_sequence" => Finish::StopSequence,
        "tool_use" => Finish::ToolCalls,
        "guardrail_intervened" | "content_filtered" => Finish::Refused,
        "malformed_model_output" | "malformed_tool_use" => {
            let message = format!("the provider ended the answer with {reason}");
            return Err(UpstreamError::told(ErrorKind::Other, message));
        }
        _ => Finish::Stop,
    })
}

/// The word for an end.
pub(super) fn stop_reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop | Finish::Paused => "end_turn",
        Finish::StopSequence => "stop_sequence",
        Finish::Length => "max_tokens",
        Finish::ToolCalls => "tool_use",
        Finish::Refused => "content_filtered",
    }
}

/// The text of an answer.
pub fn write(completion: &Completion<'_>, _: &Heading, ledger: &mut Ledger) -> String {
    if !completion.log_probabilities.is_empty() {
        ledger.left_out("log probabilities");
    }
    object_text(|body| {
        body.object("output", |output| {
            output.object("message", |message| {
                message.put("role", "assistant");
                message.list("content", |list| {
                    completion.parts.iter().for_each(|part| block::write(part, Place::Answer, list, ledger));
                });
            });
        });
        body.put("stopReason", stop_reason(completion.finish));
        body.object("usage", |usage| usage::write(usage, completion.usage));
        body.object("metrics", |metrics| metrics.put("latencyMs", 0_u32));
        if let Some(stop) = &completion.stop_sequence {
            body.object("additionalModelResponseFields", |fields| fields.put("stop_sequence", stop));
        }
    })
}
