//! Writes a request.

use super::turns;
use crate::content::{Content, Maker, Part};
use crate::conversation::{Conversation, Effort, Format, Sampling, Thinking, Tool, ToolChoice, hint};
use crate::dialect::Options;
use crate::fault::Ledger;
use crate::json::{Json, ObjectWriter};

/// The text of a request. The prompt comes in the order in which the provider's cache sees it.
pub fn write(conversation: &mut Conversation<'_>, _options: &Options, ledger: &mut Ledger) -> String {
    let hints = Hints::take(conversation);
    let conversation = &*conversation;
    crate::json::object_text(|body| {
        body.put("model", &conversation.model);
        write_tools(conversation, body, ledger);
        let first = turns::instructions(&conversation.instructions, ledger);
        body.put_some("instructions", first);
        body.list("input", |list| turns::write(conversation, first.is_none(), list, ledger));
        write_sampling(&conversation.sampling, body, ledger);
        write_text(conversation, &hints, body);
        if let Some(thinking) = conversation.thinking {
            write_thinking(thinking, body, ledger);
        }
        write_include(conversation, body);
        write_user(conversation, body, ledger);
        hints.write(body);
        if conversation.stream {
            body.put("stream", true);
        }
    })
}

/// What OpenAI's other dialects have too.
struct Hints<'a> {
    named: Vec<(&'static str, Json<'a>)>,
    store: Option<Json<'a>>,
    verbosity: Option<Json<'a>>,
}

impl<'a> Hints<'a> {
    fn take(conversation: &mut Conversation<'a>) -> Self {
        let names = [hint::METADATA, hint::PROMPT_CACHE_KEY, hint::PROMPT_CACHE_RETENTION, hint::SERVICE_TIER];
        let named = names.into_iter().filter_map(|name| Some((name, conversation.take_hint(name)?))).collect();
        let store = conversation.take_hint(hint::STORE);
        Self { named, store, verbosity: conversation.take_hint(hint::VERBOSITY) }
    }

    /// An answer is kept by this provider unless it is told not to; in the other dialects it is not.
    fn write(&self, body: &mut ObjectWriter<'_>) {
        match self.store {
            Some(store) => body.put("store", store),
            None => body.put("store", false),
        }
        for (name, value) in &self.named {
            body.put(name, value);
        }
    }
}

fn write_tools(conversation: &Conversation<'_>, body: &mut ObjectWriter<'_>, ledger: &mut Ledger) {
    if conversation.tools.is_empty() {
        if matches!(conversation.tool_choice, Some(ToolChoice::Any | ToolChoice::Named(_))) {
            ledger.left_out("tool_choice without tools");
        }
        return;
    }
    body.list("tools", |list| {
        for tool in &conversation.tools {
            turns::forget_cache(tool.cache.as_ref(), ledger);
            list.object(|object| write_tool(tool, object));
        }
    });
    match &conversation.tool_choice {
        None => {}
        Some(ToolChoice::Auto) => body.put("tool_choice", "auto"),
        Some(ToolChoice::None) => body.put("tool_choice", "none"),
        Some(ToolChoice::Any) => body.put("tool_choice", "required"),
        Some(ToolChoice::Named(name)) => body.object("tool_choice", |choice| {
            choice.put("type", "function");
            choice.put("name", name);
        }),
    }
    body.put_some("parallel_tool_calls", conversation.parallel_tool_calls);
}

/// Without a word this provider would be strict, and change the schema to suit.
fn write_tool(tool: &Tool<'_>, object: &mut ObjectWriter<'_>) {
    object.put("type", "function");
    object.put("name", &tool.name);
    object.put_some("description", tool.description.as_ref());
    match tool.parameters {
        Some(parameters) => object.put("parameters", parameters),
        None => object.object("parameters", |schema| {
            schema.put("type", "object");
            schema.object("properties", |_| {});
        }),
    }
    object.put("strict", tool.strict.unwrap_or(false));
}

fn write_sampling(sampling: &Sampling<'_>, body: &mut ObjectWriter<'_>, ledger: &mut Ledger) {
    body.put_some("max_output_tokens", sampling.output_tokens_max);
    body.put_some("temperature", sampling.temperature);
    body.put_some("top_p", sampling.top_p);
    // Only the Open Responses specification has these: zero is what they are anyway.
    let not_zero = |penalty: &f64| *penalty != 0.0;
    body.put_some("presence_penalty", sampling.presence_penalty.filter(not_zero));
    body.put_some("frequency_penalty", sampling.frequency_penalty.filter(not_zero));
    if sampling.top_k.is_some() {
        ledger.refuse("top_k", NOT_KNOWN);
    }
    if !sampling.stop.is_empty() {
        ledger.refuse("stop", NOT_KNOWN);
    }
    if sampling.seed.is_some() {
        ledger.left_out("seed");
    }
}

fn write_text(conversation: &Conversation<'_>, hints: &Hints<'_>, body: &mut ObjectWriter<'_>) {
    if conversation.format.is_none() && hints.verbosity.is_none() {
        return;
    }
    body.object("text", |text| {
        match &conversation.format {
            None => {}
            Some(Format::JsonObject) => text.object("format", |format| format.put("type", "json_object")),
            Some(Format::Schema { name, description, strict, schema }) => text.object("format", |format| {
                format.put("type", "json_schema");
                match name {
                    Some(name) => format.put("name", name),
                    None => format.put("name", "answer"),
                }
                format.put_some("description", description.as_ref());
                format.put_some("strict", *strict);
                format.put("schema", schema);
            }),
        }
        text.put_some("verbosity", hints.verbosity);
    });
}

fn write_thinking(thinking: Thinking, body: &mut ObjectWriter<'_>, ledger: &mut Ledger) {
    let of_budget = || {
        let effort = Effort::of_budget(thinking.budget_tokens?);
        ledger.changed("the budget of thinking", &format!("became the effort {}", effort.word()));
        Some(effort)
    };
    let effort = thinking.effort.or_else(of_budget);
    body.object("reasoning", |reasoning| {
        reasoning.put_some("effort", effort.map(Effort::word));
        reasoning.put_some("summary", (thinking.is_shown == Some(true)).then_some("auto"));
    });
}

/// Thoughts come back only if the client has them: they are asked for wherever there are any. Models that do not
/// think refuse the question.
fn write_include(conversation: &Conversation<'_>, body: &mut ObjectWriter<'_>) {
    let is_thought = |part: &Part<'_>| match &part.content {
        Content::Thought(thought) => {
            thought.signature.as_ref().is_some_and(|signature| signature.maker == Maker::Openai)
        }
        _ => false,
    };
    let is_asked = conversation.thinking.is_some_and(|thinking| thinking.effort != Some(Effort::None));
    let has_thoughts = conversation.turns.iter().flat_map(|turn| &turn.parts).any(is_thought);
    let wishes = [
        (is_asked || has_thoughts, "reasoning.encrypted_content"),
        (conversation.log_probabilities.is_some(), "message.output_text.logprobs"),
    ];
    if wishes.iter().any(|(is_wished, _)| *is_wished) {
        body.list("include", |list| {
            wishes.iter().filter(|(is_wished, _)| *is_wished).for_each(|(_, name)| list.put(name));
        });
    }
    body.put_some("top_logprobs", conversation.log_probabilities);
}

fn write_user(conversation: &Conversation<'_>, body: &mut ObjectWriter<'_>, ledger: &mut Ledger) {
    let Some(user) = &conversation.user else { return };
    if user.plain().chars().count() > USER_CHARACTERS_MAX {
        return ledger.left_out("the name of the user, which is longer than 64 characters,");
    }
    body.put("safety_identifier", user);
}

/// The provider refuses a longer name.
const USER_CHARACTERS_MAX: usize = 64;
/// Why a field is refused.
const NOT_KNOWN: &str = "is not known to this provider";
