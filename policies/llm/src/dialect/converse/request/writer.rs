//! Writes a request.

use super::super::block::{self, Place};
use crate::content::Content;
use crate::conversation::{Conversation, Effort, Format, Role, Tool, ToolChoice, hint};
use crate::dialect::{Options, ThinkingStyle};
use crate::fault::Ledger;
use crate::json::{ListWriter, ObjectWriter, Raw, object_text};
use crate::sides::Sides;

/// The text of the body: tools, instructions and messages first, as a prompt cache wants them.
pub fn write(conversation: &mut Conversation<'_>, options: &Options, ledger: &mut Ledger) -> String {
    let metadata = conversation.take_hint(hint::METADATA);
    let tier = conversation.take_hint(hint::SERVICE_TIER);
    tell(conversation, ledger);
    object_text(|body| {
        write_tools(body, conversation, ledger);
        write_messages(body, conversation, ledger);
        write_sampling(body, conversation, ledger);
        write_thinking(body, conversation, options, ledger);
        body.put_some("requestMetadata", metadata);
        match tier.map(|tier| tier.written()) {
            None | Some("\"auto\"") => {}
            Some(word @ ("\"default\"" | "\"flex\"" | "\"priority\"" | "\"reserved\"")) => {
                body.object("serviceTier", |tier| tier.put("type", Raw(word)));
            }
            Some(_) => ledger.left_out("service_tier"),
        }
    })
}

/// What has no place here.
fn tell(conversation: &Conversation<'_>, ledger: &mut Ledger) {
    let sampling = &conversation.sampling;
    for (name, penalty) in
        [("presence_penalty", sampling.presence_penalty), ("frequency_penalty", sampling.frequency_penalty)]
    {
        if penalty.is_some_and(|penalty| penalty != 0.0) {
            ledger.refuse(name, "is not known to this provider");
        }
    }
    if conversation.log_probabilities.is_some() {
        ledger.refuse("logprobs", "are not told by this provider");
    }
    if conversation.parallel_tool_calls == Some(false) && !conversation.tools.is_empty() {
        ledger.refuse("parallel_tool_calls", "cannot be turned off");
    }
    for (name, is_said) in [("seed", sampling.seed.is_some()), ("user", conversation.user.is_some())] {
        if is_said {
            ledger.left_out(name);
        }
    }
    if matches!(conversation.format, Some(Format::JsonObject)) {
        ledger.changed("response_format json_object", "is not enforced");
    }
}

/// Where no tool may be called, none is offered; calls in the history need the tools all the same.
fn write_tools(body: &mut ObjectWriter<'_>, conversation: &Conversation<'_>, ledger: &mut Ledger) {
    let is_none = matches!(conversation.tool_choice, Some(ToolChoice::None));
    let mut parts = conversation.turns.iter().flat_map(|turn| &turn.parts);
    let has_calls = parts.any(|part| matches!(part.content, Content::Call(_) | Content::ToolResult(_)));
    if conversation.tools.is_empty() || is_none && !has_calls {
        return;
    }
    if is_none {
        ledger.refuse("tool_choice none", "is not known to this provider, and there were calls");
    }
    body.object("toolConfig", |config| {
        config.list("tools", |list| conversation.tools.iter().for_each(|tool| write_tool(tool, list)));
        match &conversation.tool_choice {
            None | Some(ToolChoice::None) => {}
            Some(ToolChoice::Auto) => config.object("toolChoice", |choice| choice.object("auto", |_| {})),
            Some(ToolChoice::Any) => config.object("toolChoice", |choice| choice.object("any", |_| {})),
            Some(ToolChoice::Named(name)) => {
                config.object("toolChoice", |choice| choice.object("tool", |tool| tool.put("name", name)));
            }
        }
    });
}

fn write_tool(tool: &Tool<'_>, list: &mut ListWriter<'_>) {
    list.object(|object| {
        object.object("toolSpec", |spec| {
            spec.put("name", &tool.name);
            spec.put_some("description", tool.description.as_ref().filter(|description| !description.is_empty()));
            spec.object("inputSchema", |schema| match tool.parameters {
                Some(parameters) => schema.put("json", parameters),
                None => schema.object("json", |schema| schema.put("type", "object")),
            });
            spec.put_some("strict", tool.strict);
        });
    });
    if let Some(mark) = &tool.cache {
        list.object(|object| block::write_cache(object, mark));
    }
}

fn write_messages(body: &mut ObjectWriter<'_>, conversation: &Conversation<'_>, ledger: &mut Ledger) {
    let Sides { instructions, turns } = Sides::of(conversation, ledger);
    if !instructions.is_empty() {
        body.list("system", |list| {
            instructions.iter().for_each(|part| block::write(part, Place::Request, list, ledger));
        });
    }
    body.list("messages", |list| {
        for (role, parts) in &turns {
            let mut content = String::new();
            crate::json::list(&mut content, |list| {
                parts.iter().for_each(|part| block::write(part, Place::Request, list, ledger));
            });
            // A message must say something.
            if content != "[]" {
                list.object(|message| {
                    message.put("role", if *role == Role::Assistant { "assistant" } else { "user" });
                    message.put("content", Raw(&content));
                });
            }
        }
    });
}

fn write_sampling(body: &mut ObjectWriter<'_>, conversation: &Conversation<'_>, ledger: &mut Ledger) {
    let sampling = &conversation.sampling;
    let config = object_text(|config| {
        config.put_some("maxTokens", sampling.output_tokens_max);
        let lowered = sampling.temperature.filter(|temperature| *temperature > 1.0);
        if lowered.is_some() {
            ledger.changed("temperature", "was lowered to 1");
        }
        config.put_some("temperature", lowered.map(|_| 1.0).or(sampling.temperature));
        config.put_some("topP", sampling.top_p);
        if !sampling.stop.is_empty() {
            config.put("stopSequences", &sampling.stop);
        }
    });
    if config != "{}" {
        body.put("inferenceConfig", Raw(&config));
    }
}

/// What only some models know goes into their own fields, as Claude has them.
fn write_thinking(
    body: &mut ObjectWriter<'_>,
    conversation: &Conversation<'_>,
    options: &Options,
    ledger: &mut Ledger,
) {
    let thinking = conversation.thinking.unwrap_or_default();
    let effort = thinking.effort;
    let budget = thinking.budget_tokens.or_else(|| {
        let needs_one = options.thinking == ThinkingStyle::Budget && effort != Some(Effort::None);
        effort.filter(|_| needs_one).map(|effort| effort.budget_tokens())
    });
    let kind = match (effort, budget) {
        (Some(Effort::None), _) => Some("disabled"),
        (_, Some(_)) => Some("enabled"),
        (Some(_), None) => Some("adaptive"),
        (None, None) => None,
    };
    let fields = object_text(|fields| {
        if let Some(kind) = kind {
            fields.object("thinking", |object| {
                object.put("type", kind);
                object.put_some("budget_tokens", budget.filter(|_| kind == "enabled"));
                let display = thinking.is_shown.map(|is_shown| if is_shown { "summarized" } else { "omitted" });
                object.put_some("display", display);
            });
        }
        fields.put_some("top_k", conversation.sampling.top_k);
    });
    if fields != "{}" {
        body.put("additionalModelRequestFields", Raw(&fields));
    }
    let output = object_text(|output| {
        if let Some(Format::Schema { name, description, schema, .. }) = &conversation.format {
            output.object("textFormat", |format| {
                format.put("type", "json_schema");
                format.object("structure", |structure| {
                    structure.object("jsonSchema", |object| {
                        object.put("schema", schema.written());
                        object.put_some("name", name.as_ref());
                        object.put_some("description", description.as_ref());
                    });
                });
            });
        }
        let word = effort.filter(|_| kind == Some("adaptive")).map(|effort| match effort {
            Effort::None | Effort::Minimal => {
                ledger.changed("reasoning effort minimal", "was raised to low");
                "low"
            }
            other => other.word(),
        });
        output.put_some("effort", word);
    });
    if output != "{}" {
        body.put("outputConfig", Raw(&output));
    }
}
