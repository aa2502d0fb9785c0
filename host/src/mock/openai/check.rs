//! Refuses what OpenAI refuses, and takes from a chat completion what the answer depends on.

use serde_json::Value;

use super::super::answer::{Prompt, Tool, ToolChoice, tokens};
use super::Refusal;

/// A chat completion that was accepted.
pub(super) struct Chat {
    pub(super) prompt: Prompt,
    pub(super) include_usage: bool,
    pub(super) choices: usize,
}

/// Checks a request of `/v1/chat/completions`.
pub(super) fn chat(body: &Value) -> Result<Chat, Refusal> {
    for (name, _) in body.as_object().into_iter().flatten() {
        if !KNOWN.contains(&name.as_str()) {
            let message = format!("Unrecognized request argument supplied: {name}");
            return Err(Refusal { status: 400, message, param: None, code: None });
        }
    }
    let mut prompt = Prompt { model: model(body)?, ..Prompt::default() };
    prompt.stream = body.get("stream").and_then(Value::as_bool).unwrap_or(false);
    let options = body.get("stream_options").filter(|options| !options.is_null());
    if options.is_some() && !prompt.stream {
        let message = "The 'stream_options' parameter is only allowed when 'stream' is enabled.";
        return Err(Refusal::new(message, "stream_options", "invalid_value"));
    }
    messages(body, &mut prompt)?;
    tools(body, &mut prompt)?;
    numbers(body, &mut prompt)?;
    prompt.stop = match body.get("stop") {
        Some(Value::String(text)) => vec![text.clone()],
        Some(Value::Array(texts)) => texts.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    };
    prompt.thinking = body.get("reasoning_effort").and_then(Value::as_str).is_some_and(|effort| effort != "none");
    let include_usage = options.and_then(|options| options.get("include_usage")).and_then(Value::as_bool);
    let choices = body.get("n").and_then(Value::as_u64).unwrap_or(1).clamp(1, 8);
    Ok(Chat { prompt, include_usage: include_usage.unwrap_or(false), choices: usize::try_from(choices).unwrap_or(1) })
}

/// The model, which every endpoint needs.
pub(super) fn model(body: &Value) -> Result<String, Refusal> {
    match body.get("model").and_then(Value::as_str) {
        Some(model) if !model.is_empty() => Ok(model.to_owned()),
        _ => Err(Refusal::new("you must provide a model parameter", "model", "missing_required_parameter")),
    }
}

fn messages(body: &Value, prompt: &mut Prompt) -> Result<(), Refusal> {
    let Some(messages) = body.get("messages").and_then(Value::as_array) else {
        return Err(Refusal::new("Missing required parameter: 'messages'.", "messages", "missing_required_parameter"));
    };
    if messages.is_empty() {
        let message = "Invalid 'messages': empty array. Expected an array with minimum length 1.";
        return Err(Refusal::new(message, "messages", "empty_array"));
    }
    let mut open_calls: Vec<&str> = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        let at = format!("messages.[{index}].role");
        let role = message.get("role").and_then(Value::as_str).unwrap_or_default();
        let text = text_of(message.get("content").unwrap_or(&Value::Null));
        prompt.input_tokens += tokens(&text);
        if role == "tool" {
            answer_call(message, &mut open_calls, &at)?;
            prompt.tool_results.push(text);
            continue;
        }
        if !open_calls.is_empty() {
            return Err(unanswered(&open_calls, &at));
        }
        prompt.tool_results.clear();
        match role {
            "user" => prompt.text = text,
            "assistant" => open_calls = calls(message, index)?,
            "system" | "developer" => {}
            _ => {
                let supported = "'system', 'assistant', 'user', 'function', 'tool', and 'developer'";
                let text = format!("Invalid value: '{role}'. Supported values are: {supported}.");
                return Err(Refusal::new(text, &format!("messages[{index}].role"), "invalid_value"));
            }
        }
    }
    if open_calls.is_empty() { Ok(()) } else { Err(unanswered(&open_calls, "messages")) }
}

fn answer_call(message: &Value, open_calls: &mut Vec<&str>, at: &str) -> Result<(), Refusal> {
    let id = message.get("tool_call_id").and_then(Value::as_str).unwrap_or_default();
    match open_calls.iter().position(|open| *open == id) {
        Some(place) => {
            open_calls.remove(place);
            Ok(())
        }
        None => {
            let text = "messages with role 'tool' must be a response to a preceeding message with 'tool_calls'.";
            Err(Refusal {
                status: 400,
                message: format!("Invalid parameter: {text}"),
                param: Some(at.to_owned()),
                code: None,
            })
        }
    }
}

fn unanswered(open_calls: &[&str], at: &str) -> Refusal {
    let rule =
        "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'.";
    let message =
        format!("{rule} The following tool_call_ids did not have response messages: {}", open_calls.join(", "));
    Refusal { status: 400, message, param: Some(at.to_owned()), code: None }
}

/// The identifiers of an assistant's calls, which the next messages must answer.
fn calls(message: &Value, index: usize) -> Result<Vec<&str>, Refusal> {
    let calls = message.get("tool_calls").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut ids = Vec::new();
    for (number, call) in calls.iter().enumerate() {
        let at = format!("messages[{index}].tool_calls[{number}]");
        let function = call.get("function").unwrap_or(&Value::Null);
        match (call.get("id").and_then(Value::as_str), function.get("arguments")) {
            (Some(id), Some(Value::String(_))) => ids.push(id),
            (None, _) => {
                let text = format!("Missing required parameter: '{at}.id'.");
                return Err(Refusal::new(text, &format!("{at}.id"), "missing_required_parameter"));
            }
            (Some(_), _) => {
                let at = format!("{at}.function.arguments");
                return Err(Refusal::new(format!("Invalid type for '{at}': expected a string."), &at, "invalid_type"));
            }
        }
    }
    Ok(ids)
}

/// The text of a message; an image stands as what it is.
fn text_of(content: &Value) -> String {
    let part = |part: &Value| match (part.get("text"), part.pointer("/image_url/url")) {
        (Some(Value::String(text)), _) => text.clone(),
        (_, Some(Value::String(url))) if url.starts_with("data:") => {
            format!("[image {} {} characters]", url.split([':', ';']).nth(1).unwrap_or_default(), url.len())
        }
        (_, Some(Value::String(url))) => format!("[image {url}]"),
        _ => String::new(),
    };
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().map(part).collect::<Vec<_>>().join("\n"),
        _ => String::new(),
    }
}

fn tools(body: &Value, prompt: &mut Prompt) -> Result<(), Refusal> {
    let tools = body.get("tools").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    for (index, tool) in tools.iter().enumerate() {
        let at = format!("tools[{index}].function.name");
        let name = tool.pointer("/function/name").and_then(Value::as_str).unwrap_or_default();
        if name.is_empty() {
            return Err(Refusal::new(
                format!("Missing required parameter: '{at}'."),
                &at,
                "missing_required_parameter",
            ));
        }
        if name.len() > 64 || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte)) {
            let text = format!("Invalid '{at}': string does not match pattern '^[a-zA-Z0-9_-]+$'.");
            return Err(Refusal::new(text, &at, "invalid_value"));
        }
        let schema = tool.pointer("/function/parameters").cloned().unwrap_or_default();
        prompt.tools.push(Tool { name: name.to_owned(), schema });
    }
    prompt.parallel = body.get("parallel_tool_calls").and_then(Value::as_bool).unwrap_or(true);
    let choice = body.get("tool_choice").filter(|choice| !choice.is_null());
    if choice.is_some() && tools.is_empty() {
        let text = "Invalid value for 'tool_choice': 'tool_choice' is only allowed when 'tools' are specified.";
        return Err(Refusal {
            status: 400,
            message: text.to_owned(),
            param: Some("tool_choice".to_owned()),
            code: None,
        });
    }
    prompt.tool_choice =
        match choice.map(|choice| (choice.as_str(), choice.pointer("/function/name").and_then(Value::as_str))) {
            None | Some((Some("auto"), _)) => ToolChoice::Auto,
            Some((Some("none"), _)) => ToolChoice::None,
            Some((Some("required"), _)) => ToolChoice::Any,
            Some((_, Some(name))) if prompt.tools.iter().any(|tool| tool.name == name) => {
                ToolChoice::Named(name.to_owned())
            }
            Some(_) => return Err(Refusal::new("Invalid value: 'tool_choice'.", "tool_choice", "invalid_value")),
        };
    Ok(())
}

fn numbers(body: &Value, prompt: &mut Prompt) -> Result<(), Refusal> {
    for (name, max) in [("temperature", 2.0), ("top_p", 1.0)] {
        match body.get(name).and_then(Value::as_f64) {
            Some(value) if value > max => {
                let text = format!(
                    "Invalid '{name}': decimal above maximum value. Expected a value <= {max}, but got {value}."
                );
                return Err(Refusal::new(text, name, "decimal_above_max_value"));
            }
            Some(value) if value < 0.0 => {
                let text =
                    format!("Invalid '{name}': decimal below minimum value. Expected a value >= 0, but got {value}.");
                return Err(Refusal::new(text, name, "decimal_below_min_value"));
            }
            _ => {}
        }
    }
    let both = ["max_completion_tokens", "max_tokens"].map(|name| body.get(name).and_then(Value::as_u64));
    prompt.output_tokens_max = both.into_iter().flatten().next();
    Ok(())
}

const KNOWN: [&str; 36] = [
    "audio",
    "frequency_penalty",
    "function_call",
    "functions",
    "logit_bias",
    "logprobs",
    "max_completion_tokens",
    "max_tokens",
    "messages",
    "metadata",
    "modalities",
    "model",
    "n",
    "parallel_tool_calls",
    "prediction",
    "presence_penalty",
    "prompt_cache_key",
    "prompt_cache_retention",
    "reasoning_effort",
    "response_format",
    "safety_identifier",
    "seed",
    "service_tier",
    "stop",
    "store",
    "stream",
    "stream_options",
    "temperature",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "user",
    "verbosity",
    "web_search_options",
    "moderation",
];
