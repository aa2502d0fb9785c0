//! Reads the items of the input into turns.

use std::borrow::Cow;

use crate::content::{Arguments, Call, Content, Part, ResultContent, ToolResult};
use crate::conversation::{CacheMark, Conversation, Role, Turn};
use crate::dialect::responses::{citation, media, output};
use crate::fault::{Fault, Ledger};
use crate::json::{FromJson, Json, Object, Text};

/// Reads the whole input: a text, or a list of items.
pub(super) fn read<'a>(input: Json<'a>, conversation: &mut Conversation<'a>, ledger: &mut Ledger) -> Result<(), Fault> {
    if let Some(text) = Text::from_json(input) {
        conversation.turns.push(turn(Role::User, vec![Part::from(Content::text(text))]));
        return Ok(());
    }
    let items = input.items().ok_or_else(|| Fault::invalid("input", "must be a text or a list of items"))?;
    for item in items {
        if let Some(turn) = read_item(item, ledger)? {
            add(conversation, turn);
        }
    }
    Ok(())
}

/// What the model says in one go are several items: they are one turn, but two messages in a row are two. What the
/// operator says before all others are instructions.
fn add<'a>(conversation: &mut Conversation<'a>, turn: Turn<'a>) {
    if turn.role == Role::System && conversation.turns.is_empty() {
        conversation.instructions.extend(turn.parts);
        return;
    }
    let is_said = |part: Option<&Part<'a>>| {
        part.is_some_and(|part| matches!(part.content, Content::Text { .. } | Content::Refusal(_)))
    };
    match conversation.turns.last_mut() {
        Some(last)
            if turn.role == Role::Assistant
                && last.role == Role::Assistant
                && !(is_said(last.parts.last()) && is_said(turn.parts.first())) =>
        {
            last.parts.extend(turn.parts);
        }
        _ => conversation.turns.push(turn),
    }
}

fn turn(role: Role, parts: Vec<Part<'_>>) -> Turn<'_> {
    Turn { role, parts, name: None }
}

fn read_item<'a>(item: Json<'a>, ledger: &mut Ledger) -> Result<Option<Turn<'a>>, Fault> {
    let kind = output::kind(item);
    let is_message = kind == "message" || kind.is_empty() && item.member("role").is_some();
    if is_message {
        return item.read(ledger, read_message).map(Some);
    }
    match kind.as_ref() {
        "function_call" => item.read(ledger, |item, _| read_call(item)).map(Some),
        "function_call_output" => item.read(ledger, read_result).map(Some),
        "reasoning" => item.read(ledger, read_reasoning),
        "image_generation_call" => {
            let parts: Vec<_> = output::image(item).map(Part::from).into_iter().collect();
            Ok((!parts.is_empty()).then(|| turn(Role::Assistant, parts)))
        }
        "item_reference" | "" => {
            ledger.refuse(&item.path(), "refers to what lies with the provider that made it; send the whole item");
            Ok(None)
        }
        other => {
            ledger.refuse(&item.path(), &format!("is of the type {other:?}, which only its provider has"));
            Ok(None)
        }
    }
}

fn read_message<'a>(item: &mut Object<'a>, ledger: &mut Ledger) -> Result<Turn<'a>, Fault> {
    item.skip(OWN_MEMBERS);
    if item.take::<Json<'a>>("phase")?.is_some() {
        ledger.left_out("input[].phase");
    }
    let role = match item.require::<Cow<'a, str>>("role")?.as_ref() {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "system" | "developer" => Role::System,
        _ => return Err(Fault::invalid(&item.path_of("role"), "must be user, assistant, system or developer")),
    };
    Ok(turn(role, read_content(item.require("content")?, ledger)?))
}

/// A text, or a list of parts.
fn read_content<'a>(content: Json<'a>, ledger: &mut Ledger) -> Result<Vec<Part<'a>>, Fault> {
    if let Some(text) = Text::from_json(content) {
        return Ok(vec![Part::from(Content::text(text))]);
    }
    let parts = content.items().ok_or_else(|| Fault::invalid(&content.path(), "must be a text or a list of parts"))?;
    let parts = parts.map(|part| part.read(ledger, read_part));
    // What the ledger refuses is no part.
    parts.filter_map(Result::transpose).collect()
}

fn read_part<'a>(part: &mut Object<'a>, ledger: &mut Ledger) -> Result<Option<Part<'a>>, Fault> {
    let cache = part.take_object("prompt_cache_breakpoint", ledger, |mark, ledger| {
        mark.skip(&["mode"]);
        if mark.take::<Json<'a>>("ttl")?.is_some() {
            ledger.left_out(&mark.path_of("ttl"));
        }
        Ok(CacheMark::default())
    })?;
    let content = match part.require::<Cow<'a, str>>("type")?.as_ref() {
        "input_text" | "text" => Content::text(part.require::<Text<'a>>("text")?),
        "output_text" => {
            part.skip(&["logprobs"]);
            let citations = citation::read_all(part.take("annotations")?, ledger);
            Content::Text { text: part.require("text")?, citations }
        }
        "refusal" => Content::Refusal(part.require("refusal")?),
        "input_image" => media::read_image(part)?,
        "input_file" => media::read_file(part, ledger)?,
        "input_audio" => media::read_audio(part, ledger)?,
        "input_video" => media::read_video(part)?,
        other => return Err(Fault::invalid(&part.path_of("type"), &format!("must not be {other:?}"))),
    };
    Ok(Some(Part { content, cache }))
}

fn read_call<'a>(item: &mut Object<'a>) -> Result<Turn<'a>, Fault> {
    item.skip(OWN_MEMBERS);
    let call = Call {
        id: item.require("call_id")?,
        name: item.require("name")?,
        arguments: Arguments::Text(item.take("arguments")?.unwrap_or_default()),
    };
    Ok(turn(Role::Assistant, vec![Part::from(Content::Call(call))]))
}

fn read_result<'a>(item: &mut Object<'a>, ledger: &mut Ledger) -> Result<Turn<'a>, Fault> {
    item.skip(OWN_MEMBERS);
    let result = ToolResult {
        call: item.require("call_id")?,
        name: item.take("name")?,
        content: ResultContent::Parts(read_content(item.require("output")?, ledger)?),
        is_error: None,
    };
    Ok(turn(Role::User, vec![Part::from(Content::ToolResult(result))]))
}

fn read_reasoning<'a>(item: &mut Object<'a>, ledger: &mut Ledger) -> Result<Option<Turn<'a>>, Fault> {
    item.skip(OWN_MEMBERS);
    item.skip(&["summary", "content", "encrypted_content"]);
    let thought = output::thought(item.json());
    if thought.is_none() {
        ledger.left_out("input[] reasoning without content");
    }
    Ok(thought.map(|thought| turn(Role::Assistant, vec![Part::from(Content::Thought(thought))])))
}

/// What every item has, and what means nothing elsewhere.
const OWN_MEMBERS: &[&str] = &["type", "id", "status"];
