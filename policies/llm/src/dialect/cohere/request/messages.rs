//! Reads messages into turns.

use std::borrow::Cow;

use crate::content::{Content, Part, ResultContent, ToolResult};
use crate::conversation::{Conversation, Role, Turn};
use crate::data_url;
use crate::dialect::cohere::{document, message};
use crate::fault::{Fault, Ledger};
use crate::json::{FromJson, Json, Object, Text};

/// Reads all messages. What the operator says before all others are instructions.
pub(super) fn read<'a>(
    body: &mut Object<'a>,
    conversation: &mut Conversation<'a>,
    ledger: &mut Ledger,
) -> Result<(), Fault> {
    let turns = body.take_objects("messages", ledger, read_message)?;
    if turns.is_empty() {
        return Err(Fault::invalid("messages", "is missing or empty"));
    }
    for turn in turns {
        if turn.role == Role::System && conversation.turns.is_empty() {
            conversation.instructions.extend(turn.parts);
        } else {
            conversation.turns.push(turn);
        }
    }
    Ok(())
}

/// What one side says.
pub(super) fn turn(role: Role, parts: Vec<Part<'_>>) -> Turn<'_> {
    Turn { role, parts, name: None }
}

fn read_message<'a>(object: &mut Object<'a>, ledger: &mut Ledger) -> Result<Turn<'a>, Fault> {
    match object.require::<Cow<'a, str>>("role")?.as_ref() {
        "system" => Ok(turn(Role::System, read_content(object, ledger)?)),
        "user" => Ok(turn(Role::User, read_content(object, ledger)?)),
        "tool" => Ok(turn(Role::User, vec![Part::from(Content::ToolResult(read_result(object, ledger)?))])),
        "assistant" => {
            message::check(object.json())?;
            object.skip(&["content", "tool_plan", "tool_calls", "citations"]);
            Ok(turn(Role::Assistant, message::read(object.json(), ledger)))
        }
        _ => Err(Fault::invalid(&object.path_of("role"), "must be system, user, assistant or tool")),
    }
}

/// A text, or a list of parts.
fn read_content<'a>(object: &mut Object<'a>, ledger: &mut Ledger) -> Result<Vec<Part<'a>>, Fault> {
    let content = object.require::<Json<'a>>("content")?;
    if let Some(text) = Text::from_json(content) {
        return Ok(vec![Part::from(Content::text(text))]);
    }
    let parts = content.items().ok_or_else(|| Fault::invalid(&content.path(), "must be a text or a list of parts"))?;
    parts.map(|part| part.read(ledger, read_part).map(Part::from)).collect()
}

fn read_part<'a>(part: &mut Object<'a>, ledger: &mut Ledger) -> Result<Content<'a>, Fault> {
    match part.require::<Cow<'a, str>>("type")?.as_ref() {
        "text" => part.require::<Text<'a>>("text").map(Content::text),
        "image_url" => {
            let image = part.take_object("image_url", ledger, |image, _| {
                let media = data_url::read(image.require("url")?);
                Ok(Content::Image { media, detail: image.take("detail")? })
            })?;
            image.ok_or_else(|| part.missing("image_url"))
        }
        "document" => document::read(part.require("document")?, ledger).map(Content::Document),
        _ => Err(Fault::invalid(&part.path_of("type"), "must be text, image_url or document")),
    }
}

/// A single document is what the tool answered, as an object.
fn read_result<'a>(object: &mut Object<'a>, ledger: &mut Ledger) -> Result<ToolResult<'a>, Fault> {
    let call = object.require("tool_call_id")?;
    let content = object.json().member("content");
    let mut items: Vec<_> = content.and_then(Json::items).into_iter().flatten().collect();
    let only = items.pop().filter(|_| items.is_empty()).and_then(|item| item.member("document"));
    let content = match only.filter(|document| document.is_object()) {
        Some(document) => {
            object.skip(&["content"]);
            ResultContent::Object(document.read(ledger, document::read_data)?)
        }
        None => ResultContent::Parts(read_content(object, ledger)?),
    };
    Ok(ToolResult { call, name: None, content, is_error: None })
}
