//! Reads a whole message.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::ToolNames;
use super::usage::UsageText;
use crate::completion::{Completion, Finish, ShownCall, ShownThought, Usage};
use crate::fault::Warnings;

#[derive(Deserialize)]
struct MessageText<'a> {
    id: String,
    model: String,
    #[serde(borrow)]
    content: Vec<BlockText<'a>>,
    stop_reason: Option<String>,
    #[serde(default)]
    usage: UsageText,
}

/// A block of any kind; which fields are there depends on it.
#[derive(Deserialize)]
pub(super) struct BlockText<'a> {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) text: Option<String>,
    pub(super) thinking: Option<String>,
    pub(super) signature: Option<String>,
    pub(super) data: Option<String>,
    pub(super) id: Option<String>,
    pub(super) name: Option<String>,
    #[serde(borrow)]
    pub(super) input: Option<&'a RawValue>,
    #[serde(borrow)]
    citations: Option<&'a RawValue>,
}

/// Reads a message; the error says what is wrong with it.
pub(crate) fn read(body: &str, names: &ToolNames, warnings: &mut Warnings) -> Result<Completion, String> {
    let message: MessageText<'_> = serde_json::from_str(body).map_err(|error| error.to_string())?;
    let mut usage = Usage::default();
    message.usage.apply(&mut usage);
    let mut completion = Completion {
        id: message.id,
        model: message.model,
        text: None,
        thoughts: Vec::new(),
        calls: Vec::new(),
        finish: finish(message.stop_reason.as_deref()),
        usage,
    };
    for (index, block) in (0u32..).zip(message.content) {
        read_block(index, block, &mut completion, names, warnings);
    }
    Ok(completion)
}

fn read_block(
    index: u32,
    block: BlockText<'_>,
    completion: &mut Completion,
    names: &ToolNames,
    warnings: &mut Warnings,
) {
    match block.kind.as_str() {
        "text" => {
            if block.citations.is_some_and(|citations| !matches!(citations.get(), "null" | "[]")) {
                warnings.add("citations were left out");
            }
            completion.text.get_or_insert_default().push_str(&block.text.unwrap_or_default());
        }
        "thinking" => {
            let (text, signature) = (block.thinking, block.signature);
            completion.thoughts.push(ShownThought { index, text, signature, encrypted: None });
        }
        "redacted_thinking" => {
            completion.thoughts.push(ShownThought { index, encrypted: block.data, ..ShownThought::default() });
        }
        "tool_use" => completion.calls.push(ShownCall {
            id: block.id.unwrap_or_default(),
            name: names.incoming(block.name.unwrap_or_default()),
            arguments: block.input.map(RawValue::to_owned).unwrap_or_default(),
        }),
        kind => warnings.add(format!("a block of type {kind} was left out")),
    }
}

/// Why a message ended; a reason that is not known is a plain end.
pub(super) fn finish(reason: Option<&str>) -> Finish {
    match reason {
        Some("max_tokens" | "model_context_window_exceeded") => Finish::Length,
        Some("tool_use") => Finish::ToolCalls,
        Some("refusal") => Finish::Refused,
        _ => Finish::Stop,
    }
}
