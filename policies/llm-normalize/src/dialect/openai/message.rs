//! Reads one message of a chat completion request.

use serde_json::value::RawValue;

use crate::conversation::{Call, Content, Part, Source, Thought, Turn};
use crate::fault::{Fault, Warnings};
use crate::reader::{Object, read_object};

/// What a message is to the conversation.
pub(crate) enum Message<'a> {
    /// From the system or the developer.
    Instruction(Vec<Part<'a>>),
    Turn(Turn<'a>),
}

pub(crate) fn read<'a>(message: &mut Object<'a>, warnings: &mut Warnings) -> Result<Message<'a>, Fault> {
    let role: String = message.require("role")?;
    if message.take::<String>("name")?.is_some() {
        warnings.add("the names of participants were left out");
    }
    let mut parts = read_content(message, warnings)?;
    Ok(match role.as_str() {
        "system" | "developer" => Message::Instruction(parts),
        "user" => Message::Turn(Turn::User(parts)),
        "tool" => Message::Turn(Turn::ToolResult { call: message.require("tool_call_id")?, parts }),
        "assistant" => {
            if let Some(refusal) = message.take::<String>("refusal")? {
                parts.push(Part { content: Content::Text(refusal), cache_control: None });
            }
            let thoughts = read_thoughts(message, warnings)?;
            Message::Turn(Turn::Assistant { thoughts, parts, calls: read_calls(message, warnings)? })
        }
        _ => return Err(Fault::unsupported(&format!("role {role:?}"))),
    })
}

/// Content is a text or a list of parts.
fn read_content<'a>(message: &mut Object<'a>, warnings: &mut Warnings) -> Result<Vec<Part<'a>>, Fault> {
    let Some(content) = message.take::<&RawValue>("content")? else { return Ok(Vec::new()) };
    if let Ok(text) = serde_json::from_str::<String>(content.get()) {
        return Ok(vec![Part { content: Content::Text(text), cache_control: None }]);
    }
    let parts: Vec<&RawValue> = serde_json::from_str(content.get())
        .map_err(|_| Fault::invalid("content", "must be text or a list of parts"))?;
    let parts = parts.into_iter().enumerate().map(|(index, part)| {
        read_object(part, |part| read_part(part, warnings)).map_err(|fault| fault.within(&format!("content[{index}]")))
    });
    parts.collect()
}

fn read_part<'a>(part: &mut Object<'a>, warnings: &mut Warnings) -> Result<Part<'a>, Fault> {
    let kind: String = part.require("type")?;
    let cache_control = part.take("cache_control")?;
    let content = match kind.as_str() {
        "text" => Content::Text(part.require("text")?),
        "refusal" => Content::Text(part.require("refusal")?),
        "image_url" => {
            let image = part.take_object("image_url", |image| {
                if image.take::<String>("detail")?.is_some_and(|detail| detail != "auto") {
                    warnings.add("image_url.detail was left out");
                }
                source(image.require("url")?).map(Content::Image).map_err(|fault| fault.within("url"))
            })?;
            image.ok_or_else(|| Fault::invalid("image_url", "is missing"))?
        }
        "file" => {
            let file = part.take_object("file", |file| {
                let source = source(file.require("file_data")?).map_err(|fault| fault.within("file_data"))?;
                Ok(Content::Document { source, title: file.take("filename")? })
            })?;
            file.ok_or_else(|| Fault::invalid("file", "is missing"))?
        }
        _ => return Err(Fault::unsupported(&format!("type {kind:?}"))),
    };
    Ok(Part { content, cache_control })
}

fn source(url: String) -> Result<Source, Fault> {
    if url.starts_with("https://") {
        return Ok(Source::Url(url));
    }
    let data = url.strip_prefix("data:").and_then(|data| data.split_once(";base64,"));
    let (media_type, data) = data.ok_or_else(|| Fault::invalid("", "must be an https URL or a base64 data URL"))?;
    Ok(Source::Base64 { media_type: media_type.to_owned(), data: data.to_owned() })
}

fn read_calls(message: &mut Object<'_>, warnings: &mut Warnings) -> Result<Vec<Call>, Fault> {
    message.take_objects("tool_calls", |index, call| {
        let kind: Option<String> = call.take("type")?;
        if kind.is_some_and(|kind| kind != "function") {
            return Err(Fault::unsupported("type"));
        }
        let _position: Option<u32> = call.take("index")?;
        let id = call.require("id")?;
        let function = call.take_object("function", |function| {
            let arguments: String = function.take("arguments")?.unwrap_or_default();
            Ok((function.require("name")?, arguments))
        })?;
        let (name, arguments) = function.ok_or_else(|| Fault::invalid("function", "is missing"))?;
        let arguments = object_of(arguments).unwrap_or_else(|| {
            warnings.add(format!("tool_calls[{index}]: arguments that are no JSON object became {{}}"));
            RawValue::from_string("{}".to_owned()).unwrap_or_default()
        });
        Ok(Call { id, name, arguments })
    })
}

/// The text of a JSON object; a tool without parameters is often called with an empty text.
fn object_of(arguments: String) -> Option<Box<RawValue>> {
    let trimmed = arguments.trim();
    if trimmed.is_empty() {
        return RawValue::from_string("{}".to_owned()).ok();
    }
    if !trimmed.starts_with('{') {
        return None;
    }
    RawValue::from_string(arguments).ok()
}

/// Signed thoughts come back in `reasoning_details`; the plain text beside them says the same.
fn read_thoughts(message: &mut Object<'_>, warnings: &mut Warnings) -> Result<Vec<Thought>, Fault> {
    let details = message.take_objects("reasoning_details", |_, detail| {
        let _position: Option<u32> = detail.take("index")?;
        let kind: String = detail.require("type")?;
        Ok(match kind.as_str() {
            "reasoning.text" => {
                let text = detail.take("text")?.unwrap_or_default();
                detail.take("signature")?.map(|signature| Thought::Signed { text, signature })
            }
            "reasoning.encrypted" => Some(Thought::Encrypted(detail.require("data")?)),
            _ => return Err(Fault::unsupported(&format!("type {kind:?}"))),
        })
    })?;
    let count = details.len();
    let thoughts: Vec<_> = details.into_iter().flatten().collect();
    let plain: Option<String> = message.take("reasoning_content")?;
    if thoughts.len() < count || plain.is_some_and(|_| count == 0) {
        warnings.add("reasoning without a signature was left out");
    }
    Ok(thoughts)
}
