//! `generationConfig`: sampling, thinking and the form of the answer.

use super::{is_older, schema};
use crate::conversation::{Conversation, Effort, Format, Thinking};
use crate::fault::{Fault, Ledger};
use crate::json::{Json, Object, ObjectWriter, Raw, object_text};

/// Fields that change the answer in ways that only this provider knows.
const OWN: [&str; 10] = [
    "speechConfig",
    "imageConfig",
    "routingConfig",
    "modelSelectionConfig",
    "modelConfig",
    "responseFormat",
    "translationConfig",
    "audioTranscriptionConfig",
    "enableAffectiveDialog",
    "videoConfig",
];
/// Fields that only say how to look or what to add.
const MINOR: [&str; 3] = ["mediaResolution", "enableEnhancedCivicAnswers", "audioTimestamp"];

/// Reads the whole of it.
pub(super) fn read<'a>(
    config: Json<'a>,
    conversation: &mut Conversation<'a>,
    ledger: &mut Ledger,
) -> Result<(), Fault> {
    config.read(ledger, |config, ledger| {
        config.also_in_snake_case();
        let sampling = &mut conversation.sampling;
        sampling.output_tokens_max = config.take("maxOutputTokens")?;
        sampling.temperature = config.take("temperature")?;
        sampling.top_p = config.take("topP")?;
        sampling.top_k = config.take("topK")?;
        sampling.stop = config.take("stopSequences")?.unwrap_or_default();
        sampling.seed = config.take("seed")?;
        sampling.presence_penalty = config.take("presencePenalty")?;
        sampling.frequency_penalty = config.take("frequencyPenalty")?;
        let likely: Option<u32> = config.take("logprobs")?;
        if config.take::<bool>("responseLogprobs")?.unwrap_or(false) {
            conversation.log_probabilities = Some(likely.unwrap_or(0));
        }
        conversation.format = read_format(config, ledger)?;
        conversation.thinking = config.take_object("thinkingConfig", ledger, |thinking, _| read_thinking(thinking))?;
        refuse_own(config, ledger)
    })
}

fn refuse_own(config: &mut Object<'_>, ledger: &mut Ledger) -> Result<(), Fault> {
    if config.take::<u32>("candidateCount")?.unwrap_or(1) > 1 {
        ledger.refuse(&config.path_of("candidateCount"), "must be 1");
    }
    let kinds: Vec<String> = config.take("responseModalities")?.unwrap_or_default();
    if kinds.iter().any(|kind| !kind.eq_ignore_ascii_case("TEXT")) {
        ledger.refuse(&config.path_of("responseModalities"), "may only be TEXT");
    }
    for name in OWN {
        if config.take::<Json<'_>>(name)?.is_some() {
            ledger.refuse(&config.path_of(name), "is only known to this provider");
        }
    }
    for name in MINOR {
        if config.take::<Json<'_>>(name)?.is_some() {
            ledger.left_out(&config.path_of(name));
        }
    }
    Ok(())
}

fn read_format<'a>(config: &mut Object<'a>, ledger: &mut Ledger) -> Result<Option<Format<'a>>, Fault> {
    let own_form: Option<Json<'a>> = config.take("responseSchema")?;
    let own_form = own_form.map(|schema| schema::read(schema, ledger)).transpose()?;
    let older_name: Option<Json<'a>> = config.take("_responseJsonSchema")?;
    let schema = config.take("responseJsonSchema")?.or(older_name).or(own_form);
    match config.take::<String>("responseMimeType")?.as_deref() {
        None | Some("" | "text/plain") => Ok(None),
        Some("application/json") => Ok(Some(schema.map_or(Format::JsonObject, |schema| Format::Schema {
            name: None,
            description: None,
            strict: Some(true),
            schema,
        }))),
        Some(_) => {
            ledger.refuse(&config.path_of("responseMimeType"), "may only be text/plain or application/json");
            Ok(None)
        }
    }
}

fn read_thinking(thinking: &mut Object<'_>) -> Result<Thinking, Fault> {
    thinking.also_in_snake_case();
    let level: Option<String> = thinking.take("thinkingLevel")?;
    let budget: Option<i64> = thinking.take("thinkingBudget")?;
    let mut effort = match level.map(|level| level.to_ascii_lowercase()).as_deref() {
        None | Some("" | "thinking_level_unspecified") => None,
        Some(level) => Some(
            Effort::of_word(level)
                .ok_or_else(|| Fault::invalid(&thinking.path_of("thinkingLevel"), "is not a known level"))?,
        ),
    };
    if effort.is_some() && budget.is_some() {
        return Err(Fault::invalid(&thinking.path_of("thinkingLevel"), "cannot stand beside thinkingBudget"));
    }
    // Below 0 the model decides.
    let budget_tokens = budget.and_then(|budget| u32::try_from(budget).ok());
    if budget_tokens == Some(0) {
        effort = Some(Effort::None);
    }
    let budget_tokens = budget_tokens.filter(|budget| *budget > 0);
    Ok(Thinking { effort, budget_tokens, is_shown: thinking.take("includeThoughts")? })
}

/// Writes the field, if there is anything to say.
pub(super) fn write(body: &mut ObjectWriter<'_>, conversation: &Conversation<'_>, ledger: &mut Ledger) {
    let text = object_text(|config| {
        let sampling = &conversation.sampling;
        config.put_some("maxOutputTokens", sampling.output_tokens_max);
        config.put_some("temperature", sampling.temperature);
        config.put_some("topP", sampling.top_p);
        config.put_some("topK", sampling.top_k);
        if !sampling.stop.is_empty() {
            config.put("stopSequences", &sampling.stop);
        }
        config.put_some("seed", seed(sampling.seed, ledger));
        config.put_some("presencePenalty", sampling.presence_penalty);
        config.put_some("frequencyPenalty", sampling.frequency_penalty);
        if let Some(likely) = conversation.log_probabilities {
            config.put("responseLogprobs", true);
            config.put_some("logprobs", Some(likely).filter(|likely| *likely > 0));
        }
        write_format(config, conversation.format.as_ref(), ledger);
        if let Some(thinking) = conversation.thinking {
            write_thinking(config, thinking, is_older(&conversation.model), ledger);
        }
    });
    if text != "{}" {
        body.put("generationConfig", Raw(&text));
    }
}

/// Seeds have 32 bits here.
fn seed(seed: Option<i64>, ledger: &mut Ledger) -> Option<i32> {
    let short = i32::try_from(seed?);
    if short.is_err() {
        ledger.left_out("seed");
    }
    short.ok()
}

fn write_format(config: &mut ObjectWriter<'_>, format: Option<&Format<'_>>, ledger: &mut Ledger) {
    let Some(format) = format else { return };
    config.put("responseMimeType", "application/json");
    // The name is a label; an answer always fits its schema here.
    if let Format::Schema { description, schema, .. } = format {
        if description.is_some() {
            ledger.left_out("response_format description");
        }
        schema::write(config, ["responseSchema", "responseJsonSchema"], *schema, ledger);
    }
}

/// Older models know budgets only, and newer ones levels: never both.
fn write_thinking(config: &mut ObjectWriter<'_>, thinking: Thinking, is_older: bool, ledger: &mut Ledger) {
    let budget = match (thinking.budget_tokens, thinking.effort) {
        (_, Some(Effort::None)) => Some(0),
        (Some(budget_tokens), _) => Some(budget_tokens),
        (None, Some(effort)) if is_older => Some(effort.budget_tokens()),
        (None, _) => None,
    };
    let level = thinking.effort.filter(|_| budget.is_none()).map(|effort| match effort {
        Effort::None | Effort::Minimal => "MINIMAL",
        Effort::Low => "LOW",
        Effort::Medium => "MEDIUM",
        Effort::High => "HIGH",
        Effort::Higher => "XHIGH",
        Effort::Highest => {
            ledger.changed("reasoning effort max", "was lowered to xhigh");
            "XHIGH"
        }
    });
    if budget.is_none() && level.is_none() && thinking.is_shown.is_none() {
        return;
    }
    config.object("thinkingConfig", |config| {
        config.put_some("includeThoughts", thinking.is_shown);
        config.put_some("thinkingBudget", budget);
        config.put_some("thinkingLevel", level);
    });
}
