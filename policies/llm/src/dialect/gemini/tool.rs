//! Tools, and the choice among them.

use super::schema;
use crate::conversation::{Conversation, Tool, ToolChoice};
use crate::fault::{Fault, Ledger};
use crate::json::{Json, Object, ObjectWriter, Text};

/// Tools that the provider runs itself.
const OWN: [&str; 14] = [
    "googleSearch",
    "googleSearchRetrieval",
    "googleMaps",
    "codeExecution",
    "urlContext",
    "fileSearch",
    "computerUse",
    "enterpriseWebSearch",
    "retrieval",
    "mcpServers",
    "parallelAiSearch",
    "exaAiSearch",
    "googleSearchV2",
    "liveApi",
];

/// Reads `tools` and `toolConfig`.
pub(super) fn read<'a>(
    body: &mut Object<'a>,
    conversation: &mut Conversation<'a>,
    ledger: &mut Ledger,
) -> Result<(), Fault> {
    let tools = body.take_objects("tools", ledger, |tool, ledger| {
        tool.also_in_snake_case();
        for name in OWN {
            if tool.take::<Json<'a>>(name)?.is_some() {
                ledger.refuse(&tool.path_of(name), "is a tool of this provider's own");
            }
        }
        tool.take_objects("functionDeclarations", ledger, read_tool)
    })?;
    conversation.tools = tools.into_iter().flatten().collect();
    body.take_object("toolConfig", ledger, |config, ledger| {
        config.also_in_snake_case();
        // Whether and where the provider's own tools are shown; there are none.
        config.skip(&["retrievalConfig", "includeServerSideToolInvocations"]);
        config.take_object("functionCallingConfig", ledger, |config, ledger| read_choice(config, conversation, ledger))
    })?;
    Ok(())
}

fn read_tool<'a>(tool: &mut Object<'a>, ledger: &mut Ledger) -> Result<Tool<'a>, Fault> {
    tool.also_in_snake_case();
    for name in ["response", "responseJsonSchema"] {
        if tool.take::<Json<'a>>(name)?.is_some() {
            ledger.left_out(&tool.path_of(name));
        }
    }
    if tool.take::<String>("behavior")?.is_some_and(|behavior| behavior == "NON_BLOCKING") {
        ledger.refuse(&tool.path_of("behavior"), "lets a tool run on, as only this provider does");
    }
    let own_form: Option<Json<'a>> = tool.take("parameters")?;
    let own_form = own_form.map(|schema| schema::read(schema, ledger)).transpose()?;
    Ok(Tool {
        name: tool.require("name")?,
        description: tool.take("description")?,
        parameters: tool.take("parametersJsonSchema")?.or(own_form),
        strict: None,
        cache: None,
    })
}

fn read_choice<'a>(
    config: &mut Object<'a>,
    conversation: &mut Conversation<'a>,
    ledger: &mut Ledger,
) -> Result<(), Fault> {
    // Other dialects stream arguments without being told.
    config.skip(&["streamFunctionCallArguments"]);
    let mut allowed: Vec<Text<'a>> = config.take("allowedFunctionNames")?.unwrap_or_default();
    let is_all = |tool: &Tool<'_>| allowed.contains(&tool.name);
    let names_all = allowed.is_empty() || conversation.tools.iter().all(is_all);
    conversation.tool_choice = match config.take::<String>("mode")?.as_deref() {
        None | Some("" | "MODE_UNSPECIFIED") => None,
        Some("AUTO" | "auto") => Some(ToolChoice::Auto),
        Some("NONE" | "none") => Some(ToolChoice::None),
        Some("ANY" | "any") if allowed.len() == 1 => allowed.pop().map(ToolChoice::Named),
        Some("ANY" | "any") => Some(ToolChoice::Any),
        Some("VALIDATED" | "validated") => {
            conversation.tools.iter_mut().for_each(|tool| tool.strict = Some(true));
            Some(ToolChoice::Auto)
        }
        Some(_) => return Err(Fault::invalid(&config.path_of("mode"), "must be AUTO, ANY, NONE or VALIDATED")),
    };
    if !names_all && !matches!(conversation.tool_choice, Some(ToolChoice::Named(_) | ToolChoice::None)) {
        ledger.refuse(&config.path_of("allowedFunctionNames"), "names several tools, but not all");
    }
    Ok(())
}

/// Writes `tools` and `toolConfig`.
pub(super) fn write(body: &mut ObjectWriter<'_>, conversation: &Conversation<'_>, ledger: &mut Ledger) {
    let tools = &conversation.tools;
    if tools.is_empty() {
        return;
    }
    if conversation.parallel_tool_calls == Some(false) {
        ledger.refuse("parallel_tool_calls", "cannot be turned off");
    }
    body.list("tools", |list| {
        list.object(|tool| {
            tool.list("functionDeclarations", |list| {
                tools.iter().for_each(|tool| list.object(|declaration| write_tool(declaration, tool, ledger)));
            });
        });
    });
    let is_strict = tools.iter().all(|tool| tool.strict == Some(true));
    let mode = match &conversation.tool_choice {
        None | Some(ToolChoice::Auto) if is_strict => "VALIDATED",
        None => "",
        Some(ToolChoice::Auto) => "AUTO",
        Some(ToolChoice::None) => "NONE",
        Some(ToolChoice::Any | ToolChoice::Named(_)) => "ANY",
    };
    // A tool that must be called is called as its schema says.
    if mode != "VALIDATED" && mode != "ANY" && tools.iter().any(|tool| tool.strict == Some(true)) {
        ledger.left_out("tools[].strict");
    }
    if mode.is_empty() {
        return;
    }
    body.object("toolConfig", |config| {
        config.object("functionCallingConfig", |config| {
            config.put("mode", mode);
            if let Some(ToolChoice::Named(name)) = &conversation.tool_choice {
                config.list("allowedFunctionNames", |list| list.put(name));
            }
        });
    });
}

fn write_tool(declaration: &mut ObjectWriter<'_>, tool: &Tool<'_>, ledger: &mut Ledger) {
    if tool.cache.is_some() {
        ledger.left_out("cache marks");
    }
    declaration.put("name", &tool.name);
    declaration.put_some("description", tool.description.as_ref());
    // An object without properties is refused here: a tool that takes nothing has no parameters.
    if let Some(parameters) = tool.parameters.filter(takes_something) {
        schema::write(declaration, ["parameters", "parametersJsonSchema"], parameters, ledger);
    }
}

fn takes_something(schema: &Json<'_>) -> bool {
    schema.entries().any(|(name, value)| match &*name {
        "properties" => !value.says_nothing(),
        "additionalProperties" => value.written() != "false",
        "$ref" | "anyOf" | "oneOf" | "allOf" | "patternProperties" => true,
        _ => false,
    })
}
