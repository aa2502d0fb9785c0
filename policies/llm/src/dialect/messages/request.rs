//! Requests of messages.

use super::block;
pub use super::writing::write;
use crate::conversation::{Conversation, Effort, Format, Role, Sampling, Thinking, Tool, ToolChoice, Turn};
use crate::fault::{Fault, Ledger};
use crate::json::{Json, Object};

/// Reads the whole request.
///
/// # Errors
/// A field is not what the dialect says.
pub fn read<'a>(body: Json<'a>, ledger: &mut Ledger) -> Result<Conversation<'a>, Fault> {
    body.read(ledger, |body, ledger| {
        let mut conversation = Conversation { model: body.require("model")?, ..Conversation::default() };
        conversation.instructions = block::read_content(body, "system", ledger)?;
        conversation.turns = body.take_objects("messages", ledger, read_turn)?;
        if conversation.turns.is_empty() {
            return Err(Fault::invalid("messages", "is missing or empty"));
        }
        conversation.tools = body.take_objects("tools", ledger, read_tool)?;
        read_tool_choice(body, &mut conversation, ledger)?;
        conversation.sampling = Sampling {
            output_tokens_max: Some(body.require("max_tokens")?),
            temperature: body.take("temperature")?,
            top_p: body.take("top_p")?,
            top_k: body.take("top_k")?,
            stop: body.take("stop_sequences")?.unwrap_or_default(),
            ..Sampling::default()
        };
        read_thinking(body, &mut conversation, ledger)?;
        body.take_object("metadata", ledger, |metadata, _| {
            conversation.user = metadata.take("user_id")?;
            Ok(())
        })?;
        conversation.stream = body.take("stream")?.unwrap_or(false);
        // Usage is a part of every stream here.
        conversation.stream_usage = true;
        if body.take::<String>("service_tier")?.is_some_and(|tier| tier != "auto") {
            ledger.left_out("service_tier");
        }
        if block::read_cache(body, ledger)?.is_some() {
            ledger.left_out("cache_control");
        }
        Ok(conversation)
    })
}

fn read_turn<'a>(message: &mut Object<'a>, ledger: &mut Ledger) -> Result<Turn<'a>, Fault> {
    let role: String = message.require("role")?;
    let role = match role.as_str() {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "system" => Role::System,
        other => return Err(Fault::unsupported(&message.path_of("role"), &format!("{other:?} is not known"))),
    };
    Ok(Turn { role, parts: block::read_content(message, "content", ledger)?, name: None })
}

fn read_tool<'a>(tool: &mut Object<'a>, ledger: &mut Ledger) -> Result<Tool<'a>, Fault> {
    let kind: Option<String> = tool.take("type")?;
    if let Some(kind) = kind.filter(|kind| kind != "custom") {
        let why = format!("{kind:?} is not offered by this model's provider");
        return Err(Fault::unsupported(&tool.path_of("type"), &why));
    }
    Ok(Tool {
        name: tool.require("name")?,
        description: tool.take("description")?,
        parameters: tool.take("input_schema")?,
        strict: tool.take("strict")?,
        cache: block::read_cache(tool, ledger)?,
    })
}

fn read_tool_choice<'a>(
    body: &mut Object<'a>,
    conversation: &mut Conversation<'a>,
    ledger: &mut Ledger,
) -> Result<(), Fault> {
    body.take_object("tool_choice", ledger, |choice, _| {
        let kind: String = choice.require("type")?;
        conversation.tool_choice = Some(match kind.as_str() {
            "auto" => ToolChoice::Auto,
            "none" => ToolChoice::None,
            "any" => ToolChoice::Any,
            "tool" => ToolChoice::Named(choice.require("name")?),
            _ => return Err(Fault::invalid(&choice.path_of("type"), "must be auto, any, tool or none")),
        });
        let one_at_a_time: Option<bool> = choice.take("disable_parallel_tool_use")?;
        conversation.parallel_tool_calls = one_at_a_time.map(|is_so| !is_so);
        Ok(())
    })?;
    Ok(())
}

fn read_thinking<'a>(
    body: &mut Object<'a>,
    conversation: &mut Conversation<'a>,
    ledger: &mut Ledger,
) -> Result<(), Fault> {
    let mut thinking = body.take_object("thinking", ledger, |thinking, _| {
        let kind: String = thinking.require("type")?;
        let budget_tokens = thinking.take("budget_tokens")?;
        let is_shown = thinking.take::<String>("display")?.map(|display| display != "omitted");
        let effort = match kind.as_str() {
            "enabled" => None,
            "adaptive" => Some(Effort::High),
            "disabled" => Some(Effort::None),
            _ => return Err(Fault::invalid(&thinking.path_of("type"), "must be enabled, adaptive or disabled")),
        };
        Ok(Thinking { effort, budget_tokens, is_shown })
    })?;
    let older: Option<Json<'a>> = body.take("output_format")?;
    let mut format = older.map(|format| read_format(format, ledger)).transpose()?;
    body.take_object("output_config", ledger, |config, ledger| {
        if let Some(word) = config.take::<String>("effort")? {
            let effort = Effort::of_word(&word)
                .ok_or_else(|| Fault::invalid(&config.path_of("effort"), "is not a known effort"))?;
            // Without thinking it only says how thorough the answer is to be, which is the nearest there is.
            match &mut thinking {
                Some(thinking) if thinking.effort == Some(Effort::None) => ledger.left_out("output_config.effort"),
                Some(thinking) => thinking.effort = Some(effort),
                None => thinking = Some(Thinking { effort: Some(effort), ..Thinking::default() }),
            }
        }
        if let Some(newer) = config.take::<Json<'a>>("format")? {
            format = Some(read_format(newer, ledger)?);
        }
        Ok(())
    })?;
    conversation.thinking = thinking;
    conversation.format = format;
    Ok(())
}

fn read_format<'a>(format: Json<'a>, ledger: &mut Ledger) -> Result<Format<'a>, Fault> {
    format.read(ledger, |format, _| {
        let kind: String = format.require("type")?;
        if kind != "json_schema" {
            return Err(Fault::invalid(&format.path_of("type"), "must be json_schema"));
        }
        Ok(Format::Schema { name: None, description: None, strict: Some(true), schema: format.require("schema")? })
    })
}
