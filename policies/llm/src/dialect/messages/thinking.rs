//! How much a model may think, and how long its answer may be with it.

use crate::content::{Content, Maker, Thought};
use crate::conversation::{Conversation, Effort, Role, ToolChoice, Turn};
use crate::dialect::{Options, ThinkingStyle};
use crate::fault::Ledger;
use crate::json::ObjectWriter;

/// The least budget that the provider accepts.
const BUDGET_TOKENS_MIN: u32 = 1024;

/// What a client's effort or budget becomes. Thoughts count against the bound on the answer, in every dialect.
pub(super) struct Plan {
    kind: Option<&'static str>,
    budget_tokens: Option<u32>,
    is_shown: Option<bool>,
    /// The word for `output_config`.
    pub(super) effort: Option<&'static str>,
    pub(super) tokens_max: u32,
}

impl Plan {
    pub(super) fn new(conversation: &Conversation<'_>, options: &Options, ledger: &mut Ledger) -> Self {
        let tokens_max = conversation.sampling.output_tokens_max.unwrap_or(options.output_tokens_default);
        let plain = Self { kind: None, budget_tokens: None, is_shown: None, effort: None, tokens_max };
        let Some(thinking) = conversation.thinking else { return plain };
        if thinking.effort == Some(Effort::None) {
            return Self { kind: Some("disabled"), ..plain };
        }
        let is_shown = thinking.is_shown;
        let effort = thinking.effort.or_else(|| thinking.budget_tokens.map(Effort::of_budget));
        let Some(effort) = effort else { return plain };
        let planned = match options.thinking {
            ThinkingStyle::Adaptive => {
                Self { kind: Some("adaptive"), is_shown, effort: Some(adaptive_word(effort)), ..plain }
            }
            ThinkingStyle::Budget => {
                let wanted = thinking.budget_tokens.unwrap_or_else(|| effort.budget_tokens()).max(BUDGET_TOKENS_MIN);
                // Half of what the client allows is left for the answer itself.
                let (budget, tokens_max) = match conversation.sampling.output_tokens_max {
                    Some(tokens_max) if thinking.budget_tokens.is_some() => (wanted, tokens_max),
                    Some(tokens_max) => (wanted.min(tokens_max / 2), tokens_max),
                    None => (wanted, tokens_max.saturating_add(wanted)),
                };
                Self { kind: Some("enabled"), budget_tokens: Some(budget), is_shown, effort: None, tokens_max }
            }
        };
        let plain = Self { kind: None, budget_tokens: None, is_shown: None, effort: None, tokens_max };
        match obstacle(conversation, &planned, options.thinking) {
            None => planned,
            Some(obstacle) => {
                ledger.changed("thinking", &format!("was left out: {obstacle}"));
                plain
            }
        }
    }

    /// Whether the model is to think.
    pub(super) fn is_thinking(&self) -> bool {
        self.kind.is_some_and(|kind| kind != "disabled")
    }

    /// Writes `thinking`.
    pub(super) fn write(&self, body: &mut ObjectWriter<'_>) {
        if let Some(kind) = self.kind {
            body.object("thinking", |thinking| {
                thinking.put("type", kind);
                thinking.put_some("budget_tokens", self.budget_tokens);
                let display = self.is_shown.map(|is_shown| if is_shown { "summarized" } else { "omitted" });
                thinking.put_some("display", display);
            });
        }
    }
}

fn adaptive_word(effort: Effort) -> &'static str {
    match effort {
        Effort::None | Effort::Minimal | Effort::Low => "low",
        Effort::Medium => "medium",
        Effort::High => "high",
        Effort::Higher => "xhigh",
        Effort::Highest => "max",
    }
}

/// Why the provider would refuse the plan.
fn obstacle(conversation: &Conversation<'_>, planned: &Plan, style: ThinkingStyle) -> Option<&'static str> {
    if planned.budget_tokens.is_some_and(|budget_tokens| budget_tokens < BUDGET_TOKENS_MIN) {
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
    let is_result = |turn: &&Turn<'_>| {
        let mut parts = turn.parts.iter();
        turn.role == Role::User && parts.all(|part| matches!(part.content, Content::ToolResult(_)))
    };
    let Some(last) = turns.iter().rev().find(|turn| !is_result(turn)) else { return false };
    let calls = last.parts.iter().any(|part| matches!(part.content, Content::Call(_)));
    let is_own =
        |thought: &Thought<'_>| thought.signature.as_ref().is_some_and(|signature| signature.maker == Maker::Anthropic);
    let mut parts = last.parts.iter();
    let explains = parts.any(|part| matches!(&part.content, Content::Thought(thought) if is_own(thought)));
    calls && !explains
}
