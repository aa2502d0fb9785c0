//! How much a model may think, and how long its answer may be with it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::conversation::{Conversation, Effort, ToolChoice, Turn};
use crate::fault::Warnings;

/// How the upstream's models are told to think.
#[derive(Deserialize, JsonSchema, Clone, Copy, Default, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ThinkingStyle {
    /// By effort; models since Claude Opus 4.6.
    #[default]
    Adaptive,
    /// By a budget of tokens; models before that.
    Budget,
}

/// The least budget that the provider accepts.
const BUDGET_TOKENS_MIN: u32 = 1024;

/// Thinking turned on or off.
#[derive(Serialize)]
pub(super) struct Thinking {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    budget_tokens: Option<u32>,
}

/// What a client's effort becomes. Thoughts count against the bound on the answer, in both dialects.
pub(super) struct Plan {
    pub(super) thinking: Option<Thinking>,
    /// The word for `output_config`.
    pub(super) effort: Option<&'static str>,
    pub(super) tokens_max: u32,
}

impl Plan {
    pub(super) fn new(
        conversation: &Conversation<'_>,
        style: ThinkingStyle,
        tokens_default: u32,
        warnings: &mut Warnings,
    ) -> Self {
        let tokens_max = conversation.output_tokens_max.unwrap_or(tokens_default);
        let plan = |thinking| Self { thinking, effort: None, tokens_max };
        let Some(effort) = conversation.effort else { return plan(None) };
        if effort == Effort::None {
            return plan(Some(Thinking { kind: "disabled", budget_tokens: None }));
        }
        let planned = match style {
            ThinkingStyle::Adaptive => Self::adaptive(effort, tokens_max),
            ThinkingStyle::Budget => Self::with_budget(effort, conversation.output_tokens_max, tokens_default),
        };
        match obstacle(conversation, &planned, style) {
            None => planned,
            Some(obstacle) => {
                warnings.add(format!("reasoning_effort was left out: {obstacle}"));
                plan(None)
            }
        }
    }

    fn adaptive(effort: Effort, tokens_max: u32) -> Self {
        let word = match effort {
            Effort::None | Effort::Low => "low",
            Effort::Medium => "medium",
            Effort::High => "high",
            Effort::Higher => "xhigh",
            Effort::Highest => "max",
        };
        let thinking = Some(Thinking { kind: "adaptive", budget_tokens: None });
        Self { thinking, effort: Some(word), tokens_max }
    }

    fn with_budget(effort: Effort, tokens_max: Option<u32>, tokens_default: u32) -> Self {
        let wanted = match effort {
            Effort::None | Effort::Low => BUDGET_TOKENS_MIN,
            Effort::Medium => 4096,
            Effort::High => 16_384,
            Effort::Higher | Effort::Highest => 32_768,
        };
        // Half of what the client allows is left for the answer itself.
        let (budget_tokens, tokens_max) = match tokens_max {
            Some(tokens_max) => (wanted.min(tokens_max / 2), tokens_max),
            None => (wanted, tokens_default.saturating_add(wanted)),
        };
        let thinking = Some(Thinking { kind: "enabled", budget_tokens: Some(budget_tokens) });
        Self { thinking, effort: None, tokens_max }
    }

    /// Whether the model is to think.
    pub(super) fn is_thinking(&self) -> bool {
        self.thinking.as_ref().is_some_and(|thinking| thinking.kind != "disabled")
    }
}

/// Why the provider would refuse the plan.
fn obstacle(conversation: &Conversation<'_>, planned: &Plan, style: ThinkingStyle) -> Option<&'static str> {
    let budget_tokens = planned.thinking.as_ref().and_then(|thinking| thinking.budget_tokens);
    if budget_tokens.is_some_and(|budget_tokens| budget_tokens < BUDGET_TOKENS_MIN) {
        return Some("the answer may not be long enough for it");
    }
    if matches!(conversation.tool_choice, Some(ToolChoice::Any | ToolChoice::Named(_))) {
        return Some("it does not go with a required tool");
    }
    let is_unexplained = style == ThinkingStyle::Budget && answers_unexplained_calls(&conversation.turns);
    is_unexplained.then_some("the thoughts before the last tool call did not come back")
}

/// In the middle of a tool's use, a model with a budget wants the thoughts that led to the call.
fn answers_unexplained_calls(turns: &[Turn<'_>]) -> bool {
    let last = turns.iter().rev().find(|turn| !matches!(turn, Turn::ToolResult { .. }));
    matches!(last, Some(Turn::Assistant { thoughts, calls, .. }) if thoughts.is_empty() && !calls.is_empty())
}
