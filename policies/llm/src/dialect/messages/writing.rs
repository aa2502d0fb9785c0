//! Writes a request.

use super::block;
use super::thinking::Plan;
use crate::conversation::{Conversation, Format, Role, ToolChoice};
use crate::dialect::Options;
use crate::fault::Ledger;
use crate::json::{ObjectWriter, object_text};
use crate::sides::Sides;

/// The text of the request. The order of the fields is that of the provider's prompt cache: tools, system, messages.
pub fn write(conversation: &mut Conversation<'_>, options: &Options, ledger: &mut Ledger) -> String {
    let plan = Plan::new(conversation, options, ledger);
    object_text(|body| {
        body.put("model", &conversation.model);
        body.put("max_tokens", plan.tokens_max);
        write_tools(conversation, body);
        write_messages(conversation, body, ledger);
        if !conversation.sampling.stop.is_empty() {
            body.put("stop_sequences", &conversation.sampling.stop);
        }
        write_sampling(conversation, plan.is_thinking(), body, ledger);
        plan.write(body);
        write_config(conversation.format.as_ref(), plan.effort, body, ledger);
        if let Some(user) = &conversation.user {
            body.object("metadata", |metadata| metadata.put("user_id", user));
        }
        body.put_some("stream", conversation.stream.then_some(true));
    })
}

fn write_tools(conversation: &Conversation<'_>, body: &mut ObjectWriter<'_>) {
    if conversation.tools.is_empty() {
        return;
    }
    body.list("tools", |tools| {
        for tool in &conversation.tools {
            tools.object(|object| {
                object.put("name", &tool.name);
                object.put_some("description", tool.description.as_ref());
                match tool.parameters {
                    Some(schema) => object.put("input_schema", schema),
                    None => object.object("input_schema", |schema| schema.put("type", "object")),
                }
                object.put_some("strict", tool.strict.filter(|strict| *strict));
                block::write_cache(tool.cache.as_ref(), object);
            });
        }
    });
    let one_at_a_time = (conversation.parallel_tool_calls == Some(false)).then_some(true);
    let (kind, name) = match &conversation.tool_choice {
        None if one_at_a_time.is_none() => return,
        None | Some(ToolChoice::Auto) => ("auto", None),
        Some(ToolChoice::None) => ("none", None),
        Some(ToolChoice::Any) => ("any", None),
        Some(ToolChoice::Named(name)) => ("tool", Some(name)),
    };
    body.object("tool_choice", |choice| {
        choice.put("type", kind);
        choice.put_some("name", name);
        choice.put_some("disable_parallel_tool_use", one_at_a_time.filter(|_| kind != "none"));
    });
}

fn write_messages(conversation: &Conversation<'_>, body: &mut ObjectWriter<'_>, ledger: &mut Ledger) {
    let Sides { instructions, turns } = Sides::of(conversation, ledger);
    if !instructions.is_empty() {
        body.list("system", |list| instructions.iter().for_each(|part| block::write(part, list, ledger)));
    }
    body.list("messages", |messages| {
        for (role, parts) in turns.iter().filter(|(_, parts)| !parts.is_empty()) {
            messages.object(|message| {
                message.put("role", if *role == Role::User { "user" } else { "assistant" });
                message.list("content", |list| parts.iter().for_each(|part| block::write(part, list, ledger)));
            });
        }
    });
}

/// Temperature ends at 1 here, and thinking allows neither a temperature nor a small `top_p`.
fn write_sampling(
    conversation: &Conversation<'_>,
    is_thinking: bool,
    body: &mut ObjectWriter<'_>,
    ledger: &mut Ledger,
) {
    let sampling = &conversation.sampling;
    let (mut temperature, mut top_p, mut top_k) = (sampling.temperature, sampling.top_p, sampling.top_k);
    if is_thinking {
        if temperature.is_some_and(|temperature| temperature != 1.0) {
            ledger.changed("temperature", "was left out: it does not go with thinking");
            temperature = None;
        }
        if top_p.is_some_and(|top_p| top_p < 0.95) {
            ledger.changed("top_p", "was left out: it does not go with thinking");
            top_p = None;
        }
        if top_k.take().is_some() {
            ledger.changed("top_k", "was left out: it does not go with thinking");
        }
    } else if temperature.is_some_and(|temperature| temperature > 1.0) {
        ledger.changed("temperature", "was lowered to 1");
        temperature = Some(1.0);
    }
    body.put_some("temperature", temperature);
    body.put_some("top_p", top_p);
    body.put_some("top_k", top_k);
    if sampling.seed.is_some() {
        ledger.left_out("seed");
    }
    for (name, penalty) in
        [("presence_penalty", sampling.presence_penalty), ("frequency_penalty", sampling.frequency_penalty)]
    {
        if penalty.is_some_and(|penalty| penalty != 0.0) {
            ledger.refuse(name, "is not offered by this model's provider");
        }
    }
    if conversation.log_probabilities.is_some() {
        ledger.refuse("logprobs", "is not offered by this model's provider");
    }
}

fn write_config(format: Option<&Format<'_>>, effort: Option<&str>, body: &mut ObjectWriter<'_>, ledger: &mut Ledger) {
    let schema = match format {
        None => None,
        Some(Format::JsonObject) => {
            ledger.changed("response_format json_object", "is not enforced");
            None
        }
        // The name is a label; a provider that takes schemas at all is strict about them.
        Some(Format::Schema { description, schema, .. }) => {
            if description.is_some() {
                ledger.left_out("the description of the answer's schema");
            }
            Some(schema)
        }
    };
    if schema.is_none() && effort.is_none() {
        return;
    }
    body.object("output_config", |config| {
        config.put_some("effort", effort);
        if let Some(schema) = schema {
            config.object("format", |format| {
                format.put("type", "json_schema");
                format.put("schema", schema);
            });
        }
    });
}
