//! Writes a request.

use super::turns::Messages;
use crate::conversation::{Conversation, Effort, Format, Sampling, Thinking, Tool, ToolChoice};
use crate::dialect::Options;
use crate::fault::Ledger;
use crate::json::{ObjectWriter, Raw, object_text};

/// The text of a request.
pub fn write(conversation: &mut Conversation<'_>, _options: &Options, ledger: &mut Ledger) -> String {
    let conversation = &*conversation;
    let mut messages = Messages::default();
    messages.write(conversation, ledger);
    object_text(|body| {
        body.put("model", &conversation.model);
        write_tools(conversation, body, ledger);
        if !messages.documents.is_empty() {
            body.put("documents", Raw(&format!("[{}]", messages.documents.join(","))));
            // Nobody asked for citations: the provider would give them.
            if !messages.is_cited {
                body.object("citation_options", |options| options.put("mode", "OFF"));
            }
        }
        body.put("messages", Raw(&format!("[{}]", messages.texts.join(","))));
        write_sampling(&conversation.sampling, body, ledger);
        write_format(conversation.format.as_ref(), body, ledger);
        if let Some(thinking) = conversation.thinking {
            write_thinking(thinking, body, ledger);
        }
        if let Some(top) = conversation.log_probabilities {
            body.put("logprobs", true);
            if top > 0 {
                ledger.left_out("the number of likeliest tokens");
            }
        }
        if conversation.user.is_some() {
            ledger.left_out("the name of the user");
        }
        if conversation.stream {
            body.put("stream", true);
        }
    })
}

/// A choice of one tool is a choice among that tool alone.
fn write_tools(conversation: &Conversation<'_>, body: &mut ObjectWriter<'_>, ledger: &mut Ledger) {
    if conversation.tools.is_empty() {
        if matches!(conversation.tool_choice, Some(ToolChoice::Any | ToolChoice::Named(_))) {
            ledger.left_out("tool_choice without tools");
        }
        return;
    }
    let named = match &conversation.tool_choice {
        Some(ToolChoice::Named(name)) => Some(name),
        _ => None,
    };
    let tools: Vec<_> = conversation.tools.iter().filter(|tool| named.is_none_or(|name| *name == tool.name)).collect();
    body.list("tools", |list| {
        for tool in &tools {
            if tool.cache.is_some() {
                ledger.left_out("cache marks");
            }
            list.object(|object| write_tool(tool, object));
        }
    });
    let is_strict = |tool: &&Tool<'_>| tool.strict == Some(true);
    if tools.iter().all(is_strict) {
        body.put("strict_tools", true);
    } else if tools.iter().any(is_strict) {
        ledger.left_out("tools[].strict, which not all tools have");
    }
    match &conversation.tool_choice {
        None | Some(ToolChoice::Auto) => {}
        Some(ToolChoice::None) => body.put("tool_choice", "NONE"),
        Some(ToolChoice::Any) => body.put("tool_choice", "REQUIRED"),
        Some(ToolChoice::Named(_)) => {
            ledger.changed("tool_choice", "became REQUIRED, with this tool alone");
            body.put("tool_choice", "REQUIRED");
        }
    }
    if conversation.parallel_tool_calls == Some(false) {
        ledger.refuse("parallel_tool_calls", "must not be false for this provider");
    }
}

fn write_tool(tool: &Tool<'_>, object: &mut ObjectWriter<'_>) {
    object.put("type", "function");
    object.object("function", |function| {
        function.put("name", &tool.name);
        function.put_some("description", tool.description.as_ref());
        match tool.parameters {
            Some(parameters) => function.put("parameters", parameters),
            None => function.object("parameters", |schema| {
                schema.put("type", "object");
                schema.object("properties", |_| {});
            }),
        }
    });
}

fn write_sampling(sampling: &Sampling<'_>, body: &mut ObjectWriter<'_>, ledger: &mut Ledger) {
    body.put_some("max_tokens", sampling.output_tokens_max);
    if sampling.stop.len() > STOP_SEQUENCES_MAX {
        ledger.refuse("stop", "must not be more than 5 texts for this provider");
    } else if !sampling.stop.is_empty() {
        body.put("stop_sequences", &sampling.stop);
    }
    let mut at_most_one = |name: &str, value: Option<f64>| {
        if value.is_some_and(|value| value > 1.0) {
            ledger.changed(name, "was lowered to 1");
        }
        value.map(|value| value.min(1.0))
    };
    let not_zero = |penalty: &f64| *penalty != 0.0;
    let temperature = at_most_one("temperature", sampling.temperature);
    let frequency = at_most_one("frequency_penalty", sampling.frequency_penalty.filter(not_zero));
    let presence = at_most_one("presence_penalty", sampling.presence_penalty.filter(not_zero));
    body.put_some("temperature", temperature);
    body.put_some("seed", sampling.seed);
    for (name, penalty) in [("frequency_penalty", frequency), ("presence_penalty", presence)] {
        match penalty {
            Some(penalty) if penalty < 0.0 => ledger.refuse(name, "must be from 0 to 1 for this provider"),
            penalty => body.put_some(name, penalty),
        }
    }
    body.put_some("k", sampling.top_k);
    body.put_some("p", sampling.top_p);
}

fn write_format(format: Option<&Format<'_>>, body: &mut ObjectWriter<'_>, ledger: &mut Ledger) {
    match format {
        None => {}
        Some(Format::JsonObject) => body.object("response_format", |format| format.put("type", "json_object")),
        Some(Format::Schema { description, schema, .. }) => {
            if description.is_some() {
                ledger.left_out("the description of the format");
            }
            body.object("response_format", |format| {
                format.put("type", "json_object");
                format.put("json_schema", schema);
            });
        }
    }
}

fn write_thinking(thinking: Thinking, body: &mut ObjectWriter<'_>, ledger: &mut Ledger) {
    let of_effort = || {
        let budget = thinking.effort?.budget_tokens();
        ledger.changed("the effort of thinking", &format!("became a budget of {budget} tokens"));
        Some(budget)
    };
    body.object("thinking", |object| {
        if thinking.effort == Some(Effort::None) || thinking.budget_tokens == Some(0) {
            return object.put("type", "disabled");
        }
        object.put("type", "enabled");
        object.put_some("token_budget", thinking.budget_tokens.or_else(of_effort));
    });
}

/// As many as the provider takes.
const STOP_SEQUENCES_MAX: usize = 5;
