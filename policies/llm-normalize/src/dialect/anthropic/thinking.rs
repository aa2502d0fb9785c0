//! How much a model may think, and how long its answer may be with it.

use serde::Serialize;

use crate::conversation::{Conversation, Effort, ToolChoice, Turn};
use crate::fault::Warnings;

/// The least the provider accepts.
const BUDGET_TOKENS_MIN: u32 = 1024;

/// Thinking turned on.
#[derive(Serialize)]
pub(super) struct Thinking {
    #[serde(rename = "type")]
    kind: &'static str,
    budget_tokens: u32,
}

impl Thinking {
    /// What the client's effort becomes, with the bound on the whole answer. Thoughts count
    /// against that bound, in both dialects.
    pub(super) fn plan(
        conversation: &Conversation<'_>,
        tokens_default: u32,
        warnings: &mut Warnings,
    ) -> (Option<Self>, u32) {
        let tokens_max = conversation.output_tokens_max.unwrap_or(tokens_default);
        let wanted = match conversation.effort {
            None | Some(Effort::None) => return (None, tokens_max),
            Some(Effort::Low) => 1024,
            Some(Effort::Medium) => 4096,
            Some(Effort::High) => 16_384,
            Some(Effort::Highest) => 32_768,
        };
        let (budget_tokens, tokens_max) = match conversation.output_tokens_max {
            Some(tokens_max) => (wanted.min(tokens_max / 2), tokens_max),
            None => (wanted, tokens_max.saturating_add(wanted)),
        };
        let obstacle = if budget_tokens < BUDGET_TOKENS_MIN {
            Some("the answer may not be long enough for it")
        } else if matches!(conversation.tool_choice, Some(ToolChoice::Any | ToolChoice::Named(_))) {
            Some("it does not go with a required tool")
        } else if answers_unexplained_calls(&conversation.turns) {
            Some("the thoughts before the last tool call did not come back")
        } else {
            None
        };
        if let Some(obstacle) = obstacle {
            warnings.add(format!("reasoning_effort was left out: {obstacle}"));
            return (None, conversation.output_tokens_max.unwrap_or(tokens_default));
        }
        (Some(Self { kind: "enabled", budget_tokens }), tokens_max)
    }
}

/// In the middle of a tool's use, the provider wants the thoughts that led to the call.
fn answers_unexplained_calls(turns: &[Turn<'_>]) -> bool {
    let last = turns.iter().rev().find(|turn| !matches!(turn, Turn::ToolResult { .. }));
    matches!(last, Some(Turn::Assistant { thoughts, calls, .. }) if thoughts.is_empty() && !calls.is_empty())
}
