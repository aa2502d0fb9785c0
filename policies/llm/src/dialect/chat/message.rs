//! Reads one message of a request.

use super::{part, thought};
use crate::content::{Arguments, Call, Content, Part, ResultContent, ToolResult};
use crate::conversation::{Role, Turn};
use crate::fault::{Fault, Ledger};
use crate::json::{Json, Object, Text};

/// Reads a message.
pub(super) fn read<'a>(message: &mut Object<'a>, ledger: &mut Ledger) -> Result<Turn<'a>, Fault> {
    let role: String = message.require("role")?;
    let name = message.take("name")?;
    let said = part::read_content(message, ledger)?;
    let turn = |role, parts| Turn { role, parts, name };
    Ok(match role.as_str() {
        "system" | "developer" => turn(Role::System, said),
        "user" => turn(Role::User, said),
        "tool" => {
            let call = message.require("tool_call_id")?;
            let result = ToolResult { call, name: None, content: ResultContent::Parts(said), is_error: None };
            turn(Role::User, vec![Content::ToolResult(result).into()])
        }
        "assistant" => turn(Role::Assistant, read_assistant(message, said, ledger)?),
        other => return Err(Fault::unsupported(&message.path_of("role"), &format!("{other:?} is not known"))),
    })
}

/// Whether a turn is of tools alone.
pub(super) fn is_of_tools(turn: &Turn<'_>) -> bool {
    turn.parts.iter().all(|part| matches!(part.content, Content::ToolResult(_)))
}

fn read_assistant<'a>(
    message: &mut Object<'a>,
    said: Vec<Part<'a>>,
    ledger: &mut Ledger,
) -> Result<Vec<Part<'a>>, Fault> {
    let mut parts = thought::read(message, ledger)?;
    parts.extend(said);
    if let Some(refusal) = message.take::<Text<'a>>("refusal")? {
        parts.push(Content::Refusal(refusal).into());
    }
    let calls = message.take_objects("tool_calls", ledger, read_call)?;
    parts.extend(calls.into_iter().flatten());
    // What the model based its answer on is of no use to it.
    message.skip(&["annotations"]);
    Ok(parts)
}

/// A call, after the thought that its maker's signature of it makes.
fn read_call<'a>(call: &mut Object<'a>, ledger: &mut Ledger) -> Result<Vec<Part<'a>>, Fault> {
    call.skip(&["index"]);
    let kind: Option<String> = call.take("type")?;
    if let Some(kind) = kind.filter(|kind| kind != "function") {
        return Err(Fault::unsupported(&call.path_of("type"), &format!("{kind:?} is not known")));
    }
    let id = call.require("id")?;
    let signature = thought::read_extra(call, ledger)?;
    let read = call.take_object("function", ledger, |function, _| {
        let arguments = function.take("arguments")?.unwrap_or_default();
        Ok(Call { id, name: function.require("name")?, arguments: Arguments::Text(arguments) })
    })?;
    let read = read.ok_or_else(|| call.missing("function"))?;
    let signature = signature.map(|thought| Content::Thought(thought).into());
    Ok(signature.into_iter().chain([Content::Call(read).into()]).collect())
}

/// The text of a message of an answer: plain, or of parts as some providers have it.
pub(super) fn answered(content: Json<'_>) -> Option<Text<'_>> {
    use crate::json::FromJson as _;
    if let Some(text) = Text::from_json(content) {
        return Some(text).filter(|text| !text.is_empty());
    }
    let texts = content.items()?.filter_map(|part| part.member("text").and_then(Text::from_json));
    let joined: String = texts.map(Text::into_string).collect();
    (!joined.is_empty()).then(|| joined.into())
}
