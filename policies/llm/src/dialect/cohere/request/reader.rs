//! Reads a request.

use std::borrow::Cow;

use super::messages;
use crate::content::{Content, Part};
use crate::conversation::{Conversation, Effort, Format, Role, Thinking, Tool, ToolChoice};
use crate::dialect::cohere::document;
use crate::fault::{Fault, Ledger};
use crate::json::{Json, Object};

/// Reads the whole request; what the form has no place for is written to the ledger.
///
/// # Errors
/// It is not what the dialect says.
pub fn read<'a>(body: Json<'a>, ledger: &mut Ledger) -> Result<Conversation<'a>, Fault> {
    body.read(ledger, |body, ledger| {
        let mut conversation = Conversation { model: body.require("model")?, ..Conversation::default() };
        // Usage comes at the end of every stream of this dialect.
        conversation.stream_usage = true;
        conversation.stream = body.take("stream")?.unwrap_or(false);
        messages::read(body, &mut conversation, ledger)?;
        read_documents(body, &mut conversation, ledger)?;
        read_tools(body, &mut conversation, ledger)?;
        read_sampling(body, &mut conversation)?;
        conversation.format = body.take_object("response_format", ledger, |format, _| read_format(format))?.flatten();
        conversation.thinking = body.take_object("thinking", ledger, |thinking, _| read_thinking(thinking))?;
        if body.take::<bool>("logprobs")?.unwrap_or(false) {
            conversation.log_probabilities = Some(0);
        }
        read_own(body, ledger)?;
        Ok(conversation)
    })
}

/// Documents are for the last thing that the person says.
fn read_documents<'a>(
    body: &mut Object<'a>,
    conversation: &mut Conversation<'a>,
    ledger: &mut Ledger,
) -> Result<(), Fault> {
    let mode = body.take_object("citation_options", ledger, |options, _| options.take::<Cow<'a, str>>("mode"))?;
    let mode = mode.flatten().map(|mode| mode.to_ascii_uppercase());
    let documents = body.take::<Vec<Json<'a>>>("documents")?.unwrap_or_default();
    if documents.is_empty() {
        return Ok(());
    }
    if mode.as_deref() == Some("FAST") {
        ledger.changed("citation_options.mode", "became ACCURATE");
    }
    let is_cited = !matches!(mode.as_deref(), Some("OFF" | "DISABLED"));
    let mut parts = Vec::new();
    for json in documents {
        let mut document = document::read(json, ledger)?;
        document.citations = Some(is_cited);
        parts.push(Part::from(Content::Document(document)));
    }
    let is_said = |part: &Part<'a>| !matches!(part.content, Content::ToolResult(_));
    let last = conversation.turns.iter_mut().rfind(|turn| turn.role == Role::User && turn.parts.iter().any(is_said));
    match last {
        Some(turn) => drop(turn.parts.splice(0..0, parts)),
        None => conversation.turns.push(messages::turn(Role::User, parts)),
    }
    Ok(())
}

fn read_tools<'a>(
    body: &mut Object<'a>,
    conversation: &mut Conversation<'a>,
    ledger: &mut Ledger,
) -> Result<(), Fault> {
    let strict = body.take::<bool>("strict_tools")?;
    conversation.tools = body.take_objects("tools", ledger, |tool, ledger| {
        if tool.take::<Cow<'a, str>>("type")?.is_some_and(|kind| kind != "function") {
            return Err(Fault::invalid(&tool.path_of("type"), "must be function"));
        }
        let function = tool.take_object("function", ledger, |function, _| {
            Ok(Tool {
                name: function.require("name")?,
                description: function.take("description")?,
                parameters: function.take("parameters")?,
                strict,
                cache: None,
            })
        })?;
        function.ok_or_else(|| tool.missing("function"))
    })?;
    conversation.tool_choice = match body.take::<Cow<'a, str>>("tool_choice")?.as_deref() {
        None => None,
        Some("REQUIRED") => Some(ToolChoice::Any),
        Some("NONE") => Some(ToolChoice::None),
        Some(_) => return Err(Fault::invalid("tool_choice", "must be REQUIRED or NONE")),
    };
    Ok(())
}

fn read_sampling<'a>(body: &mut Object<'a>, conversation: &mut Conversation<'a>) -> Result<(), Fault> {
    let sampling = &mut conversation.sampling;
    sampling.output_tokens_max = body.take("max_tokens")?;
    sampling.stop = body.take("stop_sequences")?.unwrap_or_default();
    sampling.temperature = body.take("temperature")?;
    sampling.seed = body.take("seed")?;
    // Zero is what it is anyway.
    sampling.top_k = body.take("k")?.filter(|count| *count > 0);
    sampling.top_p = body.take("p")?;
    sampling.frequency_penalty = body.take("frequency_penalty")?;
    sampling.presence_penalty = body.take("presence_penalty")?;
    Ok(())
}

fn read_format<'a>(format: &mut Object<'a>) -> Result<Option<Format<'a>>, Fault> {
    match format.require::<Cow<'a, str>>("type")?.as_ref() {
        "text" => Ok(None),
        "json_object" => {
            let older = format.take::<Json<'a>>("schema")?;
            Ok(Some(match format.take::<Json<'a>>("json_schema")?.or(older) {
                Some(schema) => Format::Schema { name: None, description: None, strict: None, schema },
                None => Format::JsonObject,
            }))
        }
        _ => Err(Fault::invalid(&format.path_of("type"), "must be text or json_object")),
    }
}

fn read_thinking<'a>(thinking: &mut Object<'a>) -> Result<Thinking, Fault> {
    let budget_tokens = thinking.take("token_budget")?;
    match thinking.require::<Cow<'a, str>>("type")?.as_ref() {
        "enabled" => Ok(Thinking { effort: None, budget_tokens, is_shown: Some(true) }),
        "disabled" => Ok(Thinking { effort: Some(Effort::None), ..Thinking::default() }),
        _ => Err(Fault::invalid(&thinking.path_of("type"), "must be enabled or disabled")),
    }
}

/// What only this provider has.
fn read_own<'a>(body: &mut Object<'a>, ledger: &mut Ledger) -> Result<(), Fault> {
    match body.take::<Cow<'a, str>>("safety_mode")?.as_deref() {
        None | Some("CONTEXTUAL") => {}
        Some("OFF" | "NONE") => ledger.left_out("safety_mode"),
        Some(_) => ledger.refuse("safety_mode", "is not known to this provider"),
    }
    if body.take::<Json<'a>>("priority")?.is_some() {
        ledger.left_out("priority");
    }
    Ok(())
}
