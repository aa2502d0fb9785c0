//! Writes a messages request.

use serde::Serialize;
use serde_json::value::RawValue;

use super::ToolNames;
use super::block::{self, Block};
use super::thinking::{Plan, Thinking, ThinkingStyle};
use crate::conversation::{Conversation, Part, Tool, ToolChoice, Turn};
use crate::fault::{Fault, Warnings};

/// The order of the fields is that of the provider's prompt cache: tools, system, messages.
#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    max_tokens: u32,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<ToolText<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<ToolChoiceText>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    system: Vec<Block<'a>>,
    messages: Vec<Message<'a>>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop_sequences: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<Thinking>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_config: Option<OutputConfig<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Metadata<'a>>,
    stream: bool,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: Vec<Block<'a>>,
}

#[derive(Serialize)]
struct ToolText<'a> {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    input_schema: Schema<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: Option<&'a RawValue>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Schema<'a> {
    Given(&'a RawValue),
    /// A tool without parameters.
    Empty {
        #[serde(rename = "type")]
        kind: &'static str,
    },
}

#[derive(Serialize)]
struct ToolChoiceText {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disable_parallel_tool_use: Option<bool>,
}

#[derive(Serialize)]
struct OutputConfig<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    effort: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<OutputFormat<'a>>,
}

#[derive(Serialize)]
struct OutputFormat<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    schema: &'a RawValue,
}

#[derive(Serialize)]
struct Metadata<'a> {
    user_id: &'a str,
}

/// What the operator says of an upstream.
pub(crate) struct Options {
    /// The bound on an answer where the client gives none.
    pub(crate) tokens_default: u32,
    pub(crate) thinking: ThinkingStyle,
}

/// The text of the request.
pub(crate) fn write(
    conversation: &Conversation<'_>,
    options: &Options,
    names: &mut ToolNames,
    warnings: &mut Warnings,
) -> Result<String, Fault> {
    let plan = Plan::new(conversation, options.thinking, options.tokens_default, warnings);
    let (temperature, top_p) = sampling(conversation, plan.is_thinking(), warnings);
    let format = conversation.answer_schema.map(|schema| OutputFormat { kind: "json_schema", schema });
    let has_config = plan.effort.is_some() || format.is_some();
    let body = Body {
        model: &conversation.model,
        max_tokens: plan.tokens_max,
        tools: conversation.tools.iter().map(|tool| tool_text(tool, names)).collect(),
        tool_choice: tool_choice(conversation, names),
        system: system(&conversation.instructions)?,
        messages: messages(&conversation.turns, names),
        stop_sequences: &conversation.stop,
        temperature,
        top_p,
        thinking: plan.thinking,
        output_config: has_config.then_some(OutputConfig { effort: plan.effort, format }),
        metadata: conversation.user.as_deref().map(|user_id| Metadata { user_id }),
        stream: conversation.stream,
    };
    serde_json::to_string(&body).map_err(|error| Fault::invalid("", error.to_string()))
}

/// Temperature ends at 1 here, and thinking allows neither a temperature nor a small `top_p`.
fn sampling(conversation: &Conversation<'_>, is_thinking: bool, warnings: &mut Warnings) -> (Option<f64>, Option<f64>) {
    let (mut temperature, mut top_p) = (conversation.temperature, conversation.top_p);
    if is_thinking {
        if temperature.is_some_and(|temperature| temperature != 1.0) {
            warnings.add("temperature was left out: it does not go with reasoning");
            temperature = None;
        }
        if top_p.is_some_and(|top_p| top_p < 0.95) {
            warnings.add("top_p was left out: it does not go with reasoning");
            top_p = None;
        }
    } else if temperature.is_some_and(|temperature| temperature > 1.0) {
        warnings.add("temperature was lowered to 1");
        temperature = Some(1.0);
    }
    (temperature, top_p)
}

fn system<'a>(parts: &'a [Part<'a>]) -> Result<Vec<Block<'a>>, Fault> {
    let blocks = block::from_parts(parts);
    if blocks.iter().all(Block::is_text) {
        return Ok(blocks);
    }
    Err(Fault::unsupported("a system message with other than text"))
}

/// One message for each change of sides. Results of tools come first in theirs, as they must.
fn messages<'a>(turns: &'a [Turn<'a>], names: &mut ToolNames) -> Vec<Message<'a>> {
    let mut messages = Vec::new();
    let (mut results, mut said) = (Vec::new(), Vec::new());
    for turn in turns {
        match turn {
            Turn::User(parts) => said.extend(block::from_parts(parts)),
            Turn::ToolResult { call, parts } => {
                results.push(Block::ToolResult { tool_use_id: call, content: block::from_parts(parts) });
            }
            Turn::Assistant { thoughts, parts, calls } => {
                results.append(&mut said);
                push(&mut messages, "user", std::mem::take(&mut results));
                let mut content: Vec<_> = thoughts.iter().map(block::from_thought).collect();
                content.extend(block::from_parts(parts));
                content.extend(calls.iter().map(|call| Block::ToolUse {
                    id: &call.id,
                    name: names.outgoing(&call.name),
                    input: &call.arguments,
                }));
                push(&mut messages, "assistant", content);
            }
        }
    }
    results.append(&mut said);
    push(&mut messages, "user", results);
    messages
}

/// Sides alternate: what one side says twice in a row is one message.
fn push<'a>(messages: &mut Vec<Message<'a>>, role: &'static str, content: Vec<Block<'a>>) {
    match messages.last_mut() {
        _ if content.is_empty() => {}
        Some(last) if last.role == role => last.content.extend(content),
        _ => messages.push(Message { role, content }),
    }
}

fn tool_text<'a>(tool: &'a Tool<'a>, names: &mut ToolNames) -> ToolText<'a> {
    ToolText {
        name: names.outgoing(&tool.name),
        description: tool.description.as_deref(),
        input_schema: tool.parameters.map_or(Schema::Empty { kind: "object" }, Schema::Given),
        strict: tool.strict.filter(|strict| *strict),
        cache_control: tool.cache_control,
    }
}

fn tool_choice(conversation: &Conversation<'_>, names: &mut ToolNames) -> Option<ToolChoiceText> {
    if conversation.tools.is_empty() {
        return None;
    }
    let one_at_a_time = (conversation.parallel_tool_calls == Some(false)).then_some(true);
    let (kind, name) = match &conversation.tool_choice {
        None if one_at_a_time.is_none() => return None,
        None | Some(ToolChoice::Auto) => ("auto", None),
        Some(ToolChoice::None) => {
            return Some(ToolChoiceText { kind: "none", name: None, disable_parallel_tool_use: None });
        }
        Some(ToolChoice::Any) => ("any", None),
        Some(ToolChoice::Named(name)) => ("tool", Some(names.outgoing(name))),
    };
    Some(ToolChoiceText { kind, name, disable_parallel_tool_use: one_at_a_time })
}
