//! Requests of chat completions.

use super::message;
pub use super::writing::write;
use crate::conversation::{Conversation, Effort, Format, Role, Sampling, Thinking, Tool, ToolChoice, Turn, hint};
use crate::fault::{Fault, Ledger};
use crate::json::{Json, Object, Text};

/// Reads the whole request.
///
/// # Errors
/// A field is not what the dialect says.
pub fn read<'a>(body: Json<'a>, ledger: &mut Ledger) -> Result<Conversation<'a>, Fault> {
    body.read(ledger, |body, ledger| {
        let mut conversation = Conversation { model: body.require("model")?, ..Conversation::default() };
        read_messages(body, &mut conversation, ledger)?;
        conversation.tools = body.take_objects("tools", ledger, read_tool)?;
        conversation.tool_choice = read_tool_choice(body, ledger)?;
        conversation.parallel_tool_calls = body.take("parallel_tool_calls")?;
        conversation.sampling = read_sampling(body)?;
        conversation.thinking = read_thinking(body, ledger)?;
        conversation.format = read_format(body, ledger)?;
        read_stream(body, &mut conversation, ledger)?;
        read_hints(body, &mut conversation)?;
        refuse_what_changes_the_answer(body, ledger)?;
        Ok(conversation)
    })
}

fn read_messages<'a>(
    body: &mut Object<'a>,
    conversation: &mut Conversation<'a>,
    ledger: &mut Ledger,
) -> Result<(), Fault> {
    let turns = body.take_objects("messages", ledger, message::read)?;
    if turns.is_empty() {
        return Err(Fault::invalid("messages", "is missing or empty"));
    }
    for turn in turns {
        if turn.role == Role::System && conversation.turns.is_empty() {
            conversation.instructions.extend(turn.parts);
        } else {
            join(&mut conversation.turns, turn);
        }
    }
    Ok(())
}

/// The answers of several tools are one turn; everything else stays as it was said.
fn join<'a>(turns: &mut Vec<Turn<'a>>, turn: Turn<'a>) {
    match turns.last_mut() {
        Some(last) if message::is_of_tools(last) && message::is_of_tools(&turn) => last.parts.extend(turn.parts),
        _ => turns.push(turn),
    }
}

fn read_tool<'a>(tool: &mut Object<'a>, ledger: &mut Ledger) -> Result<Tool<'a>, Fault> {
    let kind: String = tool.require("type")?;
    if kind != "function" {
        return Err(Fault::unsupported(
            &tool.path_of("type"),
            &format!("{kind:?} is not offered by this model's provider"),
        ));
    }
    let cache = super::part::read_cache(tool, ledger)?;
    let function = tool.take_object("function", ledger, |function, _| {
        Ok(Tool {
            name: function.require("name")?,
            description: function.take("description")?,
            parameters: function.take("parameters")?,
            strict: function.take("strict")?,
            cache,
        })
    })?;
    function.ok_or_else(|| tool.missing("function"))
}

fn read_tool_choice<'a>(body: &mut Object<'a>, ledger: &mut Ledger) -> Result<Option<ToolChoice<'a>>, Fault> {
    let Some(choice) = body.take::<Json<'a>>("tool_choice")? else { return Ok(None) };
    if choice.is_object() {
        return choice.read(ledger, |choice, ledger| {
            let kind: String = choice.require("type")?;
            if kind != "function" {
                let why = format!("{kind:?} is not offered by this model's provider");
                return Err(Fault::unsupported(&choice.path_of("type"), &why));
            }
            let name = choice.take_object("function", ledger, |function, _| function.require("name"))?;
            name.map(|name| Some(ToolChoice::Named(name))).ok_or_else(|| choice.missing("function"))
        });
    }
    Ok(Some(match choice.written() {
        "\"auto\"" => ToolChoice::Auto,
        "\"none\"" => ToolChoice::None,
        "\"required\"" => ToolChoice::Any,
        _ => return Err(Fault::invalid("tool_choice", "must be auto, none, required or a function")),
    }))
}

fn read_sampling<'a>(body: &mut Object<'a>) -> Result<Sampling<'a>, Fault> {
    let older: Option<u32> = body.take("max_tokens")?;
    let sampling = Sampling {
        output_tokens_max: body.take("max_completion_tokens")?.or(older),
        temperature: body.take("temperature")?,
        top_p: body.take("top_p")?,
        top_k: body.take("top_k")?,
        stop: match body.take::<Json<'a>>("stop")? {
            None => Vec::new(),
            Some(stop) => one_or_many(stop)?,
        },
        seed: body.take("seed")?,
        presence_penalty: body.take("presence_penalty")?,
        frequency_penalty: body.take("frequency_penalty")?,
    };
    if sampling.temperature.is_some_and(|temperature| !(0.0..=2.0).contains(&temperature)) {
        return Err(Fault::invalid("temperature", "must be from 0 to 2"));
    }
    Ok(sampling)
}

fn one_or_many(json: Json<'_>) -> Result<Vec<Text<'_>>, Fault> {
    use crate::json::FromJson as _;
    let one = Text::from_json(json).map(|one| vec![one]);
    one.or_else(|| Vec::from_json(json))
        .ok_or_else(|| Fault::invalid(&json.path(), "must be a text or a list of texts"))
}

fn read_thinking(body: &mut Object<'_>, ledger: &mut Ledger) -> Result<Option<Thinking>, Fault> {
    let mut word: Option<String> = body.take("reasoning_effort")?;
    let mut thinking = Thinking::default();
    // OpenRouter's form of the same.
    body.take_object("reasoning", ledger, |reasoning, _| {
        let inner = reasoning.take("effort")?;
        word = word.take().or(inner);
        thinking.budget_tokens = reasoning.take("max_tokens")?;
        thinking.is_shown = reasoning.take("exclude")?.map(|is_excluded: bool| !is_excluded);
        if reasoning.take::<bool>("enabled")? == Some(true) && word.is_none() && thinking.budget_tokens.is_none() {
            thinking.effort = Some(Effort::Medium);
        }
        Ok(())
    })?;
    if let Some(word) = word {
        let effort = Effort::of_word(&word);
        thinking.effort = Some(effort.ok_or_else(|| Fault::invalid("reasoning_effort", "is not a known effort"))?);
    }
    Ok((thinking != Thinking::default()).then_some(thinking))
}

fn read_format<'a>(body: &mut Object<'a>, ledger: &mut Ledger) -> Result<Option<Format<'a>>, Fault> {
    let format = body.take_object("response_format", ledger, |format, ledger| {
        match format.require::<String>("type")?.as_str() {
            "text" => Ok(None),
            "json_object" => Ok(Some(Format::JsonObject)),
            "json_schema" => {
                let schema = format.take_object("json_schema", ledger, |schema, _| {
                    Ok(Format::Schema {
                        name: schema.take("name")?,
                        description: schema.take("description")?,
                        strict: schema.take("strict")?,
                        schema: schema.require("schema")?,
                    })
                })?;
                schema.map(Some).ok_or_else(|| format.missing("json_schema"))
            }
            other => Err(Fault::unsupported(&format.path_of("type"), &format!("{other:?} is not known"))),
        }
    })?;
    Ok(format.flatten())
}

fn read_stream<'a>(
    body: &mut Object<'a>,
    conversation: &mut Conversation<'a>,
    ledger: &mut Ledger,
) -> Result<(), Fault> {
    conversation.stream = body.take("stream")?.unwrap_or(false);
    let usage = body.take_object("stream_options", ledger, |options, _| {
        // Padding against traffic analysis, of no meaning to the answer.
        options.skip(&["include_obfuscation"]);
        options.take("include_usage")
    })?;
    conversation.stream_usage = usage.flatten().unwrap_or(false);
    Ok(())
}

fn read_hints<'a>(body: &mut Object<'a>, conversation: &mut Conversation<'a>) -> Result<(), Fault> {
    let older: Option<Text<'a>> = body.take("user")?;
    conversation.user = body.take("safety_identifier")?.or(older);
    let plain = [hint::METADATA, hint::PROMPT_CACHE_KEY, hint::PROMPT_CACHE_RETENTION, hint::VERBOSITY, "prediction"];
    for name in plain {
        conversation.keep_hint(name, body.take(name)?, false);
    }
    conversation.keep_hint(hint::LOGIT_BIAS, body.take(hint::LOGIT_BIAS)?, true);
    let store: Option<Json<'a>> = body.take(hint::STORE)?;
    conversation.keep_hint(hint::STORE, store.filter(|store| store.written() == "true"), false);
    let tier: Option<Json<'a>> = body.take(hint::SERVICE_TIER)?;
    let is_plain = |tier: &Json<'a>| matches!(tier.written(), "\"auto\"" | "\"default\"");
    conversation.keep_hint(hint::SERVICE_TIER, tier.filter(|tier| !is_plain(tier)), false);
    if body.take::<bool>("logprobs")?.unwrap_or(false) {
        conversation.log_probabilities = Some(body.take("top_logprobs")?.unwrap_or(0));
    } else {
        body.skip(&["top_logprobs"]);
    }
    Ok(())
}

/// What has no counterpart anywhere passes only with the value that it has anyway.
fn refuse_what_changes_the_answer(body: &mut Object<'_>, ledger: &mut Ledger) -> Result<(), Fault> {
    if body.take::<u32>("n")?.unwrap_or(1) != 1 {
        ledger.refuse("n", "above 1 is not offered by this model's provider");
    }
    if body.take::<Vec<String>>("modalities")?.is_some_and(|kinds| kinds.iter().any(|kind| kind != "text")) {
        ledger.refuse("modalities", "other than text are not offered by this model's provider");
    }
    Ok(())
}
