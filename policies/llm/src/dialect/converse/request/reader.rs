//! Reads a request.

use super::super::block;
use crate::conversation::{Conversation, Effort, Format, Role, Thinking, Tool, ToolChoice, Turn, hint};
use crate::fault::{Fault, Ledger};
use crate::json::{Json, Object, Text};

/// Reads the whole request; the model and whether to stream are known from its path.
///
/// # Errors
/// A field is not what the dialect says.
pub fn read<'a>(body: Json<'a>, ledger: &mut Ledger) -> Result<Conversation<'a>, Fault> {
    body.read(ledger, |body, ledger| {
        // Some clients repeat the model of the path.
        body.skip(&["modelId"]);
        let instructions = block::read_all(body, "system", ledger)?;
        let turns = body.take_objects("messages", ledger, |message, ledger| {
            let role = match message.require::<String>("role")?.as_str() {
                "user" => Role::User,
                "assistant" => Role::Assistant,
                "system" => Role::System,
                _ => return Err(Fault::invalid(&message.path_of("role"), "must be user, assistant or system")),
            };
            Ok(Turn { role, parts: block::read_all(message, "content", ledger)?, name: None })
        })?;
        if turns.is_empty() {
            return Err(Fault::invalid("messages", "is missing or empty"));
        }
        let mut conversation = Conversation { instructions, turns, ..Conversation::default() };
        body.take_object("toolConfig", ledger, |config, ledger| read_tools(config, &mut conversation, ledger))?;
        body.take_object("inferenceConfig", ledger, |config, _| {
            let sampling = &mut conversation.sampling;
            sampling.output_tokens_max = config.take("maxTokens")?;
            sampling.temperature = config.take("temperature")?;
            sampling.top_p = config.take("topP")?;
            sampling.stop = config.take("stopSequences")?.unwrap_or_default();
            Ok(())
        })?;
        body.take_object("additionalModelRequestFields", ledger, |fields, ledger| {
            conversation.sampling.top_k = fields.take("top_k")?;
            let older = fields.take_object("reasoning_config", ledger, read_thinking)?;
            conversation.thinking = fields.take_object("thinking", ledger, read_thinking)?.or(older);
            Ok(())
        })?;
        body.take_object("outputConfig", ledger, |config, ledger| read_output(config, &mut conversation, ledger))?;
        read_hints(body, &mut conversation, ledger)?;
        Ok(conversation)
    })
}

fn read_tools<'a>(
    config: &mut Object<'a>,
    conversation: &mut Conversation<'a>,
    ledger: &mut Ledger,
) -> Result<(), Fault> {
    let tools = &mut conversation.tools;
    config.take_objects("tools", ledger, |tool, ledger| {
        if let Some(mark) = block::read_cache(tool, ledger)? {
            match tools.last_mut() {
                Some(last) => last.cache = Some(mark),
                None => ledger.left_out(&tool.path_of("cachePoint")),
            }
        }
        if tool.take::<Json<'a>>("systemTool")?.is_some() {
            ledger.refuse(&tool.path_of("systemTool"), "is a tool of this provider's own");
        }
        tools.extend(tool.take_object("toolSpec", ledger, |spec, ledger| {
            let schema = spec.take_object("inputSchema", ledger, |schema, _| schema.take("json"))?;
            let (name, description) = (spec.require("name")?, spec.take("description")?);
            Ok(Tool { name, description, parameters: schema.flatten(), strict: spec.take("strict")?, cache: None })
        })?);
        Ok(())
    })?;
    conversation.tool_choice = config
        .take_object("toolChoice", ledger, |choice, ledger| {
            if choice.take::<Json<'a>>("auto")?.is_some() {
                return Ok(Some(ToolChoice::Auto));
            }
            if choice.take::<Json<'a>>("any")?.is_some() {
                return Ok(Some(ToolChoice::Any));
            }
            let name = choice.take_object("tool", ledger, |tool, _| tool.require("name"))?;
            Ok(name.map(ToolChoice::Named))
        })?
        .flatten();
    Ok(())
}

fn read_thinking(thinking: &mut Object<'_>, _: &mut Ledger) -> Result<Thinking, Fault> {
    let kind: String = thinking.require("type")?;
    let budget_tokens = thinking.take("budget_tokens")?;
    let display: Option<String> = thinking.take("display")?;
    let effort = match kind.as_str() {
        "disabled" => Some(Effort::None),
        "adaptive" => Some(Effort::High),
        _ => None,
    };
    Ok(Thinking { effort, budget_tokens, is_shown: display.map(|display| display == "summarized") })
}

fn read_output<'a>(
    config: &mut Object<'a>,
    conversation: &mut Conversation<'a>,
    ledger: &mut Ledger,
) -> Result<(), Fault> {
    if let Some(word) = config.take::<String>("effort")? {
        let effort = Effort::of_word(&word);
        let effort = effort.ok_or_else(|| Fault::invalid(&config.path_of("effort"), "is not a known effort"))?;
        conversation.thinking.get_or_insert_default().effort = Some(effort);
    }
    config.take_object("textFormat", ledger, |format, ledger| {
        format.skip(&["type"]);
        format.take_object("structure", ledger, |structure, ledger| {
            conversation.format = structure.take_object("jsonSchema", ledger, |schema, _| {
                let text: Text<'a> = schema.require("schema")?;
                let parsed = schema.json().derive(text.into_string());
                Ok(Format::Schema {
                    name: schema.take("name")?,
                    description: schema.take("description")?,
                    strict: Some(true),
                    schema: parsed
                        .ok_or_else(|| Fault::invalid(&schema.path_of("schema"), "must be the text of JSON"))?,
                })
            })?;
            Ok(())
        })
    })?;
    Ok(())
}

fn read_hints<'a>(
    body: &mut Object<'a>,
    conversation: &mut Conversation<'a>,
    ledger: &mut Ledger,
) -> Result<(), Fault> {
    for name in ["guardrailConfig", "promptVariables"] {
        if body.take::<Json<'a>>(name)?.is_some_and(|value| !value.says_nothing()) {
            ledger.refuse(name, "is only known to this provider");
        }
    }
    for name in ["performanceConfig", "additionalModelResponseFieldPaths"] {
        if body.take::<Json<'a>>(name)?.is_some_and(|value| !value.says_nothing()) {
            ledger.left_out(name);
        }
    }
    conversation.keep_hint(hint::METADATA, body.take("requestMetadata")?, false);
    let tier = body.take_object("serviceTier", ledger, |tier, _| tier.take::<Json<'a>>("type"))?;
    conversation.keep_hint(hint::SERVICE_TIER, tier.flatten(), false);
    Ok(())
}
