//! What is answered, in no dialect: the echo of a prompt, or calls of the tools that came with it.

use serde_json::{Map, Value, json};

/// What a request asks, whichever dialect it came in.
#[derive(Debug, Default)]
pub(super) struct Prompt {
    pub(super) model: String,
    pub(super) stream: bool,
    /// The text of the last turn of the user.
    pub(super) text: String,
    /// What the tools answered, where the last turn is theirs.
    pub(super) tool_results: Vec<String>,
    pub(super) tools: Vec<Tool>,
    pub(super) tool_choice: ToolChoice,
    /// Whether several calls at once are allowed.
    pub(super) parallel: bool,
    pub(super) thinking: bool,
    pub(super) output_tokens_max: Option<u64>,
    pub(super) stop: Vec<String>,
    pub(super) input_tokens: usize,
}

#[derive(Debug)]
pub(super) struct Tool {
    pub(super) name: String,
    pub(super) schema: Value,
}

#[derive(Debug, Default)]
pub(super) enum ToolChoice {
    #[default]
    Auto,
    None,
    Any,
    Named(String),
}

/// What is answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) thinking: Option<&'static str>,
    /// The text, in the pieces that a stream sends; a piece is a token.
    pub(super) text: Vec<String>,
    pub(super) calls: Vec<Call>,
    pub(super) stop: Stop,
    pub(super) input_tokens: usize,
    pub(super) output_tokens: usize,
}

#[derive(Debug)]
pub(super) struct Call {
    pub(super) name: String,
    pub(super) arguments: Map<String, Value>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stop {
    End,
    Length,
    Sequence(String),
    Tools,
}

impl Answer {
    /// The one answer to a prompt.
    pub(super) fn to(prompt: &Prompt) -> Self {
        let thinking = prompt.thinking.then_some("The answer is known beforehand.");
        let calls = calls(prompt);
        let (text, stop) = if calls.is_empty() { final_text(prompt) } else { (Vec::new(), Stop::Tools) };
        let output_tokens = tokens(thinking.unwrap_or_default()) + text.len() + 8 * calls.len();
        Self { thinking, text, calls, stop, input_tokens: prompt.input_tokens, output_tokens }
    }
}

/// How many tokens a text counts: its words.
pub(super) fn tokens(text: &str) -> usize {
    text.split_inclusive(' ').count()
}

fn calls(prompt: &Prompt) -> Vec<Call> {
    let wanted: Vec<&Tool> = match &prompt.tool_choice {
        ToolChoice::None => return Vec::new(),
        ToolChoice::Named(name) => prompt.tools.iter().filter(|tool| tool.name == *name).collect(),
        ToolChoice::Auto | ToolChoice::Any => prompt.tools.iter().collect(),
    };
    if !prompt.tool_results.is_empty() && matches!(prompt.tool_choice, ToolChoice::Auto) {
        return Vec::new();
    }
    let count = if prompt.parallel && prompt.text.to_lowercase().contains("parallel") { 2 } else { 1 };
    wanted.iter().cycle().take(if wanted.is_empty() { 0 } else { count }).map(|tool| call(tool)).collect()
}

fn call(tool: &Tool) -> Call {
    let arguments = match sample(&tool.schema, 0) {
        Value::Object(arguments) => arguments,
        _ => Map::new(),
    };
    Call { name: tool.name.clone(), arguments }
}

/// A value that fits a JSON Schema, as far as `type`, `enum`, `const`, `properties` and `items` say.
fn sample(schema: &Value, depth: usize) -> Value {
    let first_choice = schema.get("enum").and_then(|choices| choices.get(0));
    if let Some(value) = schema.get("const").or(first_choice) {
        return value.clone();
    }
    let kind = schema.get("type").map(|kind| kind.get(0).unwrap_or(kind)).and_then(Value::as_str);
    match kind.unwrap_or("object") {
        "string" => json!("mock"),
        "integer" => json!(1),
        "number" => json!(1.5),
        "boolean" => json!(true),
        "null" => Value::Null,
        "array" if depth < DEPTH_MAX => json!([sample(schema.get("items").unwrap_or(&Value::Null), depth + 1)]),
        "array" => json!([]),
        _ if depth < DEPTH_MAX => {
            let properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
            properties.map(|(name, schema)| (name.clone(), sample(schema, depth + 1))).collect::<Map<_, _>>().into()
        }
        _ => json!({}),
    }
}

fn final_text(prompt: &Prompt) -> (Vec<String>, Stop) {
    let mut text = match prompt.tool_results.as_slice() {
        [] => prompt.text.clone(),
        results => format!("The tools answered: {}", results.join("; ")),
    };
    let mut stop = Stop::End;
    let first = prompt.stop.iter().filter_map(|sequence| Some((text.find(sequence)?, sequence))).min();
    if let Some((place, sequence)) = first {
        stop = Stop::Sequence(sequence.clone());
        text.truncate(place);
    }
    let mut pieces: Vec<String> = text.split_inclusive(' ').map(str::to_owned).collect();
    let max = prompt.output_tokens_max.and_then(|max| usize::try_from(max).ok()).unwrap_or(usize::MAX);
    if pieces.len() > max {
        stop = Stop::Length;
        pieces.truncate(max);
    }
    (pieces, stop)
}

const DEPTH_MAX: usize = 4;
