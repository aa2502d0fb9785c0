//! Reads a request.

use std::borrow::Cow;

use super::items;
use crate::content::{Content, Part};
use crate::conversation::{Conversation, Effort, Format, Thinking, Tool, ToolChoice, hint};
use crate::fault::{Fault, Ledger};
use crate::json::{FromJson, Json, Object, Text};

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
        body.take_object("stream_options", ledger, |options, _| {
            // Padding against traffic analysis, of no meaning to the answer.
            options.skip(&["include_obfuscation"]);
            Ok(())
        })?;
        if let Some(instructions) = body.take::<Text<'a>>("instructions")? {
            conversation.instructions.push(Part::from(Content::text(instructions)));
        }
        items::read(body.require("input")?, &mut conversation, ledger)?;
        read_tools(body, &mut conversation, ledger)?;
        read_sampling(body, &mut conversation)?;
        read_text(body, &mut conversation, ledger)?;
        conversation.thinking = body.take_object("reasoning", ledger, read_thinking)?;
        read_include(body, &mut conversation, ledger)?;
        read_hints(body, &mut conversation, ledger)?;
        refuse_state(body, ledger)?;
        Ok(conversation)
    })
}

fn read_tools<'a>(
    body: &mut Object<'a>,
    conversation: &mut Conversation<'a>,
    ledger: &mut Ledger,
) -> Result<(), Fault> {
    conversation.parallel_tool_calls = body.take("parallel_tool_calls")?;
    if let Some(tools) = body.take::<Vec<Json<'a>>>("tools")? {
        for tool in tools {
            let kind = tool.member("type").and_then(String::from_json).ok_or_else(|| missing(tool, "type"))?;
            if kind == "function" {
                conversation.tools.push(tool.read(ledger, |tool, _| read_tool(tool))?);
            } else {
                let label = tool.member("name").or_else(|| tool.member("server_label")).and_then(String::from_json);
                let name = label.map(|label| format!(" ({label:?})")).unwrap_or_default();
                ledger.refuse(&tool.path(), &format!("is the tool {kind:?}{name}, which only its provider has"));
            }
        }
    }
    if let Some(choice) = body.take::<Json<'a>>("tool_choice")? {
        conversation.tool_choice = read_tool_choice(choice, ledger)?;
    }
    Ok(())
}

fn read_tool<'a>(tool: &mut Object<'a>) -> Result<Tool<'a>, Fault> {
    tool.skip(&["type"]);
    Ok(Tool {
        name: tool.require("name")?,
        description: tool.take("description")?,
        parameters: tool.take("parameters")?,
        strict: tool.take("strict")?,
        cache: None,
    })
}

fn read_tool_choice<'a>(choice: Json<'a>, ledger: &mut Ledger) -> Result<Option<ToolChoice<'a>>, Fault> {
    if let Some(word) = Text::from_json(choice) {
        return match word.plain().as_ref() {
            "auto" => Ok(Some(ToolChoice::Auto)),
            "none" => Ok(Some(ToolChoice::None)),
            "required" => Ok(Some(ToolChoice::Any)),
            _ => Err(Fault::invalid(&choice.path(), "must be auto, none, required or a tool")),
        };
    }
    let kind = choice.member("type").and_then(String::from_json).ok_or_else(|| missing(choice, "type"))?;
    if kind != "function" {
        ledger.refuse(&choice.path(), &format!("is of the type {kind:?}, which only its provider has"));
        return Ok(None);
    }
    choice.read(ledger, |choice, _| {
        choice.skip(&["type"]);
        choice.require("name").map(ToolChoice::Named).map(Some)
    })
}

fn missing(json: Json<'_>, name: &str) -> Fault {
    Fault::invalid(&format!("{}.{name}", json.path()), "is missing")
}

fn read_sampling<'a>(body: &mut Object<'a>, conversation: &mut Conversation<'a>) -> Result<(), Fault> {
    let sampling = &mut conversation.sampling;
    sampling.output_tokens_max = body.take("max_output_tokens")?;
    sampling.temperature = body.take("temperature")?;
    if sampling.temperature.is_some_and(|temperature| !(0.0..=2.0).contains(&temperature)) {
        return Err(Fault::invalid("temperature", "must be from 0 to 2"));
    }
    sampling.top_p = body.take("top_p")?;
    sampling.presence_penalty = body.take("presence_penalty")?;
    sampling.frequency_penalty = body.take("frequency_penalty")?;
    conversation.log_probabilities = body.take("top_logprobs")?.filter(|count| *count > 0);
    let user = body.take("user")?;
    conversation.user = body.take("safety_identifier")?.or(user);
    Ok(())
}

fn read_text<'a>(body: &mut Object<'a>, conversation: &mut Conversation<'a>, ledger: &mut Ledger) -> Result<(), Fault> {
    let read = body.take_object("text", ledger, |text, ledger| {
        let format = text.take_object("format", ledger, read_format)?.flatten();
        Ok((format, text.take::<Json<'a>>("verbosity")?))
    })?;
    if let Some((format, verbosity)) = read {
        conversation.format = format;
        conversation.keep_hint(hint::VERBOSITY, verbosity, false);
    }
    Ok(())
}

fn read_format<'a>(format: &mut Object<'a>, _ledger: &mut Ledger) -> Result<Option<Format<'a>>, Fault> {
    match format.require::<Cow<'a, str>>("type")?.as_ref() {
        "text" => Ok(None),
        "json_object" => Ok(Some(Format::JsonObject)),
        "json_schema" => Ok(Some(Format::Schema {
            name: format.take("name")?,
            description: format.take("description")?,
            strict: format.take("strict")?,
            schema: format.require("schema")?,
        })),
        _ => Err(Fault::invalid(&format.path_of("type"), "must be text, json_object or json_schema")),
    }
}

fn read_thinking<'a>(reasoning: &mut Object<'a>, ledger: &mut Ledger) -> Result<Thinking, Fault> {
    let effort = match reasoning.take::<Cow<'a, str>>("effort")? {
        None => None,
        Some(word) => {
            let effort = Effort::of_word(&word);
            Some(effort.ok_or_else(|| Fault::invalid(&reasoning.path_of("effort"), "is not a known effort"))?)
        }
    };
    let older = reasoning.take::<Cow<'a, str>>("generate_summary")?;
    let summary = reasoning.take::<Cow<'a, str>>("summary")?.or(older);
    if summary.as_deref().is_some_and(|summary| summary != "auto") {
        ledger.changed(&reasoning.path_of("summary"), "became auto");
    }
    Ok(Thinking { effort, budget_tokens: None, is_shown: summary.map(|_| true) })
}

/// Encrypted thoughts are always carried; the rest concerns tools that only the provider has.
fn read_include<'a>(
    body: &mut Object<'a>,
    conversation: &mut Conversation<'a>,
    ledger: &mut Ledger,
) -> Result<(), Fault> {
    for included in body.take::<Vec<Cow<'a, str>>>("include")?.unwrap_or_default() {
        match included.as_ref() {
            "reasoning.encrypted_content" => {}
            "message.output_text.logprobs" => {
                conversation.log_probabilities = conversation.log_probabilities.or(Some(0));
            }
            other => ledger.left_out(&format!("include {other}")),
        }
    }
    Ok(())
}

fn read_hints<'a>(
    body: &mut Object<'a>,
    conversation: &mut Conversation<'a>,
    ledger: &mut Ledger,
) -> Result<(), Fault> {
    for name in [hint::METADATA, hint::PROMPT_CACHE_KEY, hint::PROMPT_CACHE_RETENTION] {
        conversation.keep_hint(name, body.take(name)?, false);
    }
    // What happens anyway is no wish.
    let is_wish = |value: &Json<'a>| !matches!(value.written(), "false" | "\"auto\"");
    for name in [hint::STORE, hint::SERVICE_TIER] {
        conversation.keep_hint(name, body.take::<Json<'a>>(name)?.filter(is_wish), false);
    }
    if body.take::<Cow<'a, str>>("truncation")?.is_some_and(|truncation| truncation != "disabled") {
        ledger.left_out("truncation");
    }
    for name in ["max_tool_calls", "prompt_cache_options", "moderation"] {
        if body.take::<Json<'a>>(name)?.is_some() {
            ledger.left_out(name);
        }
    }
    Ok(())
}

/// What lies with one provider alone.
fn refuse_state<'a>(body: &mut Object<'a>, ledger: &mut Ledger) -> Result<(), Fault> {
    for name in ["previous_response_id", "conversation", "prompt", "context_management"] {
        if body.take::<Json<'a>>(name)?.is_some_and(|value| !value.says_nothing()) {
            ledger.refuse(name, "lies with the provider that made it; send the whole input");
        }
    }
    if body.take::<bool>("background")?.unwrap_or(false) {
        ledger.refuse("background", "is not known to this provider");
    }
    body.skip(&["background_options"]);
    Ok(())
}
