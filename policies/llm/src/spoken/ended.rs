//! What of a stream has ended with an event.

use crate::dialect::Dialect;
use crate::json::{FromJson as _, Json};

/// What of a stream goes on no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// All goes on.
    None,
    /// The texts whose run begins with this.
    Runs(String),
    /// All of them.
    All,
}

/// What has ended with an event.
pub(super) fn by_event(dialect: Dialect, kind: &str, root: Json<'_>) -> Ended {
    let counted = |name: &str| match root.member(name).and_then(u32::from_json) {
        Some(count) => Ended::Runs(format!("{count}.")),
        None => Ended::All,
    };
    match (dialect, kind) {
        (Dialect::Chat, _) => of_choices(root, "choices", "finish_reason"),
        (Dialect::Gemini, _) => of_choices(root, "candidates", "finishReason"),
        (Dialect::Responses, "response.completed" | "response.incomplete" | "response.failed" | "error")
        | (Dialect::Messages, "message_delta" | "message_stop" | "error")
        | (Dialect::Converse, "messageStop" | "metadata")
        | (Dialect::Cohere, "message-end") => Ended::All,
        (Dialect::Responses, _) if kind.ends_with(".done") => counted("output_index"),
        (Dialect::Messages, "content_block_stop") | (Dialect::Cohere, "content-end" | "tool-call-end") => {
            counted("index")
        }
        (Dialect::Converse, "contentBlockStop") => counted("contentBlockIndex"),
        _ => Ended::None,
    }
}

/// Of several answers at once each has its own end.
fn of_choices(root: Json<'_>, list: &str, reason: &str) -> Ended {
    let choices: Vec<Json<'_>> = root.member(list).and_then(Json::items).into_iter().flatten().collect();
    let is_over = |choice: &&Json<'_>| {
        choice.member(reason).is_some_and(|reason| reason.written().len() > 2 && !reason.is_null())
    };
    let Some(choice) = choices.iter().find(is_over) else { return Ended::None };
    match choice.member("index").and_then(u32::from_json) {
        Some(count) if choices.len() == 1 => Ended::Runs(format!("{count}.")),
        _ => Ended::All,
    }
}
