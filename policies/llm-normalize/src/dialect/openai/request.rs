//! Reads a chat completion request.

use serde_json::value::RawValue;

use super::message;
use crate::conversation::{Conversation, Effort, Tool, ToolChoice};
use crate::fault::{Fault, Warnings};
use crate::reader::{Object, read_object};

/// Reads the whole request; what has no place in a [`Conversation`] is a fault or a warning.
pub(crate) fn read<'a>(text: &'a str, warnings: &mut Warnings) -> Result<Conversation<'a>, Fault> {
    let mut body = Object::parse(text)?;
    let mut conversation = Conversation { model: body.require("model")?, ..Conversation::default() };
    read_messages(&mut body, &mut conversation, warnings)?;
    read_tools(&mut body, &mut conversation)?;
    read_sampling(&mut body, &mut conversation)?;
    read_format(&mut body, &mut conversation, warnings)?;
    read_stream(&mut body, &mut conversation)?;
    refuse_choices(&mut body)?;
    warn_of_hints(&mut body, warnings)?;
    body.finish()?;
    Ok(conversation)
}

fn read_messages<'a>(
    body: &mut Object<'a>,
    conversation: &mut Conversation<'a>,
    warnings: &mut Warnings,
) -> Result<(), Fault> {
    let messages = body.take_objects("messages", |_, message| message::read(message, warnings))?;
    if messages.is_empty() {
        return Err(Fault::invalid("messages", "is missing or empty"));
    }
    for message in messages {
        match message {
            message::Message::Instruction(parts) => {
                if !conversation.turns.is_empty() {
                    warnings.add("a later system message was moved to the start");
                }
                conversation.instructions.extend(parts);
            }
            message::Message::Turn(turn) => conversation.turns.push(turn),
        }
    }
    Ok(())
}

fn read_tools<'a>(body: &mut Object<'a>, conversation: &mut Conversation<'a>) -> Result<(), Fault> {
    conversation.tools = body.take_objects("tools", |_, tool| {
        let kind: String = tool.require("type")?;
        if kind != "function" {
            return Err(Fault::unsupported(&format!("type {kind:?}")));
        }
        let cache_control = tool.take("cache_control")?;
        let function = tool.take_object("function", |function| {
            Ok(Tool {
                name: function.require("name")?,
                description: function.take("description")?,
                parameters: function.take("parameters")?,
                strict: function.take("strict")?,
                cache_control,
            })
        })?;
        function.ok_or_else(|| Fault::invalid("function", "is missing"))
    })?;
    conversation.parallel_tool_calls = body.take("parallel_tool_calls")?;
    conversation.tool_choice =
        body.take("tool_choice")?.map(read_tool_choice).transpose().map_err(|fault| fault.within("tool_choice"))?;
    Ok(())
}

fn read_tool_choice(choice: &RawValue) -> Result<ToolChoice, Fault> {
    if let Ok(word) = serde_json::from_str::<String>(choice.get()) {
        return match word.as_str() {
            "auto" => Ok(ToolChoice::Auto),
            "none" => Ok(ToolChoice::None),
            "required" => Ok(ToolChoice::Any),
            _ => Err(Fault::invalid("", "must be auto, none, required or a function")),
        };
    }
    read_object(choice, |choice| {
        let kind: String = choice.require("type")?;
        if kind != "function" {
            return Err(Fault::unsupported(&format!("type {kind:?}")));
        }
        let name = choice.take_object("function", |function| function.require("name"))?;
        name.map(ToolChoice::Named).ok_or_else(|| Fault::invalid("function", "is missing"))
    })
}

fn read_sampling<'a>(body: &mut Object<'a>, conversation: &mut Conversation<'a>) -> Result<(), Fault> {
    let older: Option<u32> = body.take("max_tokens")?;
    conversation.output_tokens_max = body.take("max_completion_tokens")?.or(older);
    conversation.temperature = body.take("temperature")?;
    if conversation.temperature.is_some_and(|temperature| !(0.0..=2.0).contains(&temperature)) {
        return Err(Fault::invalid("temperature", "must be from 0 to 2"));
    }
    conversation.top_p = body.take("top_p")?;
    if let Some(stop) = body.take::<&RawValue>("stop")? {
        conversation.stop = match serde_json::from_str::<String>(stop.get()) {
            Ok(one) => vec![one],
            Err(_) => {
                serde_json::from_str(stop.get()).map_err(|_| Fault::invalid("stop", "must be text or a list of it"))?
            }
        };
    }
    conversation.effort = match body.take::<String>("reasoning_effort")?.as_deref() {
        None => None,
        Some("none") => Some(Effort::None),
        Some("minimal" | "low") => Some(Effort::Low),
        Some("medium") => Some(Effort::Medium),
        Some("high") => Some(Effort::High),
        Some("xhigh") => Some(Effort::Higher),
        Some("max") => Some(Effort::Highest),
        Some(_) => return Err(Fault::invalid("reasoning_effort", "is not a known effort")),
    };
    let user: Option<String> = body.take("user")?;
    conversation.user = body.take("safety_identifier")?.or(user);
    Ok(())
}

fn read_format<'a>(
    body: &mut Object<'a>,
    conversation: &mut Conversation<'a>,
    warnings: &mut Warnings,
) -> Result<(), Fault> {
    let schema = body.take_object("response_format", |format| match format.require::<String>("type")?.as_str() {
        "text" => Ok(None),
        "json_object" => {
            warnings.add("response_format json_object is not enforced");
            Ok(None)
        }
        "json_schema" => {
            let schema = format.take_object("json_schema", |schema| {
                // The name is a label; a provider that takes schemas at all is strict about them.
                let (_name, _strict) = (schema.take::<String>("name")?, schema.take::<bool>("strict")?);
                if schema.take::<String>("description")?.is_some() {
                    warnings.add("response_format.json_schema.description was left out");
                }
                schema.require("schema")
            })?;
            schema.map(Some).ok_or_else(|| Fault::invalid("json_schema", "is missing"))
        }
        other => Err(Fault::unsupported(&format!("type {other:?}"))),
    })?;
    conversation.answer_schema = schema.flatten();
    Ok(())
}

fn read_stream<'a>(body: &mut Object<'a>, conversation: &mut Conversation<'a>) -> Result<(), Fault> {
    conversation.stream = body.take("stream")?.unwrap_or(false);
    let usage = body.take_object("stream_options", |options| {
        // Padding against traffic analysis, of no meaning to the answer.
        let _padding: Option<bool> = options.take("include_obfuscation")?;
        options.take("include_usage")
    })?;
    conversation.stream_usage = usage.flatten().unwrap_or(false);
    Ok(())
}

/// What changes the answer and has no counterpart passes only with the value that it has anyway.
fn refuse_choices(body: &mut Object<'_>) -> Result<(), Fault> {
    if body.take::<u32>("n")?.unwrap_or(1) != 1 {
        return Err(Fault::unsupported("n above 1"));
    }
    for name in ["presence_penalty", "frequency_penalty"] {
        if body.take::<f64>(name)?.unwrap_or(0.0) != 0.0 {
            return Err(Fault::unsupported(name));
        }
    }
    if body.take::<bool>("logprobs")?.unwrap_or(false) {
        return Err(Fault::unsupported("logprobs"));
    }
    if body.take::<Vec<String>>("modalities")?.is_some_and(|kinds| kinds.iter().any(|kind| kind != "text")) {
        return Err(Fault::unsupported("modalities other than text"));
    }
    Ok(())
}

/// What does not change the meaning of the answer is left out, and said to be.
fn warn_of_hints(body: &mut Object<'_>, warnings: &mut Warnings) -> Result<(), Fault> {
    for name in ["seed", "metadata", "prompt_cache_key", "prompt_cache_retention", "verbosity", "prediction"] {
        if body.take::<&RawValue>(name)?.is_some() {
            warnings.add(format!("{name} was left out"));
        }
    }
    if body.take::<bool>("store")?.unwrap_or(false) {
        warnings.add("store was left out");
    }
    if body.take::<String>("service_tier")?.is_some_and(|tier| !matches!(tier.as_str(), "auto" | "default")) {
        warnings.add("service_tier was left out");
    }
    Ok(())
}
