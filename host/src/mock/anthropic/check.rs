//! Refuses what Anthropic refuses, and takes from a message what the answer depends on.

use serde_json::Value;

use super::super::answer::{Prompt, Tool, ToolChoice, tokens};
use super::Refusal;

/// Which endpoint a request came to: counting needs no `max_tokens`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Endpoint {
    Messages,
    CountTokens,
}

/// Checks a request of `/v1/messages` or `/v1/messages/count_tokens`.
pub(super) fn messages(body: &Value, endpoint: Endpoint) -> Result<Prompt, Refusal> {
    for (name, _) in body.as_object().into_iter().flatten() {
        if !KNOWN.contains(&name.as_str()) {
            return Err(Refusal::new(format!("{name}: Extra inputs are not permitted")));
        }
    }
    let model = body.get("model").and_then(Value::as_str).filter(|model| !model.is_empty());
    let mut prompt =
        Prompt { model: model.ok_or_else(|| Refusal::new("model: Field required"))?.to_owned(), ..Prompt::default() };
    prompt.output_tokens_max = match body.get("max_tokens") {
        None if endpoint == Endpoint::CountTokens => None,
        None => return Err(Refusal::new("max_tokens: Field required")),
        Some(max) => match max.as_u64() {
            Some(max) if max > 0 => Some(max),
            _ => return Err(Refusal::new("max_tokens: Input should be greater than or equal to 1")),
        },
    };
    prompt.stream = body.get("stream").and_then(Value::as_bool).unwrap_or(false);
    prompt.input_tokens = body.get("system").map_or(0, |system| tokens(&text_of(system)));
    turns(body, &mut prompt)?;
    tools(body, &mut prompt)?;
    for (name, max) in [("temperature", 1.0), ("top_p", 1.0)] {
        if body.get(name).and_then(Value::as_f64).is_some_and(|value| !(0.0..=max).contains(&value)) {
            return Err(Refusal::new(format!("{name}: Input should be less than or equal to {max}")));
        }
    }
    let stops = body.get("stop_sequences").and_then(Value::as_array).into_iter().flatten();
    prompt.stop = stops.filter_map(Value::as_str).map(str::to_owned).collect();
    prompt.thinking = thinking(body, prompt.output_tokens_max)?;
    Ok(prompt)
}

fn thinking(body: &Value, max: Option<u64>) -> Result<bool, Refusal> {
    let field = |name: &str| body.get("thinking").and_then(|thinking| thinking.get(name));
    match field("type").and_then(Value::as_str) {
        Some("enabled") => match field("budget_tokens").and_then(Value::as_u64) {
            Some(budget) if budget < 1024 => {
                Err(Refusal::new("thinking.enabled.budget_tokens: Input should be greater than or equal to 1024"))
            }
            Some(budget) if max.is_some_and(|max| budget >= max) => {
                Err(Refusal::new("`max_tokens` must be greater than `thinking.budget_tokens`"))
            }
            Some(_) => Ok(true),
            None => Err(Refusal::new("thinking.enabled.budget_tokens: Field required")),
        },
        kind => Ok(kind == Some("adaptive")),
    }
}

fn turns(body: &Value, prompt: &mut Prompt) -> Result<(), Refusal> {
    let messages =
        body.get("messages").and_then(Value::as_array).ok_or_else(|| Refusal::new("messages: Field required"))?;
    if messages.is_empty() {
        return Err(Refusal::new("messages: at least one message is required"));
    }
    let (mut previous, mut open_calls) = ("assistant", Vec::new());
    for (index, message) in messages.iter().enumerate() {
        let role = message.get("role").and_then(Value::as_str).unwrap_or_default();
        if role != "user" && role != "assistant" {
            let rule =
                "The Messages API accepts a top-level `system` parameter, not \"system\" as an input message role.";
            return Err(Refusal::new(format!("messages: Unexpected role {role:?}. {rule}")));
        }
        if role == previous {
            return Err(Refusal::new(match index {
                0 => "messages: first message must use the \"user\" role".to_owned(),
                _ => {
                    let rule = "roles must alternate between \"user\" and \"assistant\"";
                    format!("messages: {rule}, but found multiple {role:?} roles in a row")
                }
            }));
        }
        previous = role;
        let content = message.get("content").unwrap_or(&Value::Null);
        let turn = Turn { index, content };
        turn.check_text()?;
        let text = text_of(content);
        prompt.input_tokens += tokens(&text);
        if role == "assistant" {
            open_calls = turn.calls()?;
            continue;
        }
        prompt.tool_results = turn.results(&std::mem::take(&mut open_calls))?;
        prompt.text = text;
    }
    Ok(())
}

/// One message.
struct Turn<'a> {
    index: usize,
    content: &'a Value,
}

impl<'a> Turn<'a> {
    fn blocks(&self, kind: &str) -> impl Iterator<Item = (usize, &'a Value)> {
        let blocks = self.content.as_array().map(Vec::as_slice).unwrap_or_default();
        blocks.iter().enumerate().filter(move |(_, block)| block.get("type").and_then(Value::as_str) == Some(kind))
    }

    fn check_text(&self) -> Result<(), Refusal> {
        let is_empty = |text: &Value| text.as_str() == Some("");
        let bare = is_empty(self.content) || self.content.as_array().is_some_and(Vec::is_empty);
        if bare || self.blocks("text").any(|(_, block)| block.get("text").is_none_or(is_empty)) {
            return Err(Refusal::new(format!("messages.{}: text content blocks must be non-empty", self.index)));
        }
        if !self.content.is_string() && !self.content.is_array() {
            return Err(Refusal::new(format!("messages.{}.content: Field required", self.index)));
        }
        Ok(())
    }

    /// The identifiers of the calls in an assistant's turn.
    fn calls(&self) -> Result<Vec<&'a str>, Refusal> {
        let mut ids = Vec::new();
        for (number, block) in self.blocks("tool_use") {
            let at = format!("messages.{}.content.{number}.tool_use", self.index);
            if !block.get("input").is_some_and(Value::is_object) {
                return Err(Refusal::new(format!("{at}.input: Input should be a valid dictionary")));
            }
            match block.get("id").and_then(Value::as_str) {
                Some(id) if !ids.contains(&id) => ids.push(id),
                Some(_) => return Err(Refusal::new("messages: `tool_use` ids must be unique")),
                None => return Err(Refusal::new(format!("{at}.id: Field required"))),
            }
        }
        Ok(ids)
    }

    /// The results in a user's turn: first in it, and one for each call of the turn before.
    fn results(&self, calls: &[&str]) -> Result<Vec<String>, Refusal> {
        let mut missing = calls.to_vec();
        let mut results = Vec::new();
        for (number, block) in self.blocks("tool_result") {
            let id = block.get("tool_use_id").and_then(Value::as_str).unwrap_or_default();
            let Some(place) = missing.iter().position(|call| *call == id) else {
                let rule =
                    "Each `tool_result` block must have a corresponding `tool_use` block in the previous message.";
                let at = format!("messages.{}.content.{number}", self.index);
                return Err(Refusal::new(format!(
                    "{at}: unexpected `tool_use_id` found in `tool_result` blocks: {id}. {rule}"
                )));
            };
            if number >= calls.len() {
                missing = vec![id];
                break;
            }
            missing.remove(place);
            results.push(text_of(block.get("content").unwrap_or(&Value::Null)));
        }
        if missing.is_empty() {
            return Ok(results);
        }
        let rule = "Each `tool_use` block must have a corresponding `tool_result` block in the next message.";
        let found =
            format!("`tool_use` ids were found without `tool_result` blocks immediately after: {}", missing.join(", "));
        Err(Refusal::new(format!("messages.{}: {found}. {rule}", self.index.saturating_sub(1))))
    }
}

/// The text of a turn, of `system` or of a tool's result; an image stands as what it is.
fn text_of(content: &Value) -> String {
    let block = |block: &Value| {
        let source = |name: &str| block.get("source").and_then(|source| source.get(name)).and_then(Value::as_str);
        match (block.get("text").and_then(Value::as_str), source("url"), source("data")) {
            (Some(text), ..) => text.to_owned(),
            (_, Some(url), _) => format!("[image {url}]"),
            (_, _, Some(data)) => {
                format!("[image {} {} characters]", source("media_type").unwrap_or_default(), data.len())
            }
            _ => String::new(),
        }
    };
    match content {
        Value::String(text) => text.clone(),
        Value::Array(blocks) => blocks.iter().map(block).filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n"),
        _ => String::new(),
    }
}

fn tools(body: &Value, prompt: &mut Prompt) -> Result<(), Refusal> {
    let tools = body.get("tools").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    for (index, tool) in tools.iter().enumerate() {
        let name = tool.get("name").and_then(Value::as_str).unwrap_or_default();
        let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
        if name.is_empty() || name.len() > 128 || !is_plain {
            let rule = "String should match pattern '^[a-zA-Z0-9_-]{1,128}$'";
            return Err(Refusal::new(format!("tools.{index}.custom.name: {rule}")));
        }
        let Some(schema) = tool.get("input_schema").filter(|schema| schema.is_object()) else {
            return Err(Refusal::new(format!("tools.{index}.custom.input_schema: Field required")));
        };
        if schema.get("type").and_then(Value::as_str) != Some("object") {
            return Err(Refusal::new(format!("tools.{index}.custom.input_schema.type: Field required")));
        }
        prompt.tools.push(Tool { name: name.to_owned(), schema: schema.clone() });
    }
    let choice = |name: &str| body.get("tool_choice").and_then(|choice| choice.get(name));
    prompt.parallel = choice("disable_parallel_tool_use").and_then(Value::as_bool) != Some(true);
    if body.get("tool_choice").is_some() && tools.is_empty() {
        return Err(Refusal::new("tool_choice: may only be specified while providing tools"));
    }
    prompt.tool_choice = match (choice("type").and_then(Value::as_str), choice("name").and_then(Value::as_str)) {
        (None | Some("auto"), _) => ToolChoice::Auto,
        (Some("none"), _) => ToolChoice::None,
        (Some("any"), _) => ToolChoice::Any,
        (Some("tool"), Some(name)) if prompt.tools.iter().any(|tool| tool.name == name) => {
            ToolChoice::Named(name.to_owned())
        }
        _ => return Err(Refusal::new("tool_choice: Input does not match any of the expected tags")),
    };
    Ok(())
}

const KNOWN: [&str; 19] = [
    "cache_control",
    "container",
    "context_management",
    "max_tokens",
    "mcp_servers",
    "messages",
    "metadata",
    "model",
    "output_config",
    "service_tier",
    "stop_sequences",
    "stream",
    "system",
    "temperature",
    "thinking",
    "tool_choice",
    "tools",
    "top_k",
    "top_p",
];
