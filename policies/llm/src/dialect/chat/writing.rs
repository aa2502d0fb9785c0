//! Writes a request.

use super::{part, thought};
use crate::content::{Arguments, Call, Content, Part, ResultContent, Thought, ToolResult};
use crate::conversation::{Conversation, Effort, Format, Role, ToolChoice, Turn, hint};
use crate::dialect::{ChatThoughts, Options};
use crate::fault::Ledger;
use crate::json::{ListWriter, ObjectWriter, Text, object_text};

/// The text of the request.
pub fn write(conversation: &mut Conversation<'_>, options: &Options, ledger: &mut Ledger) -> String {
    let hints = [
        hint::METADATA,
        hint::STORE,
        hint::PROMPT_CACHE_KEY,
        hint::PROMPT_CACHE_RETENTION,
        hint::SERVICE_TIER,
        hint::VERBOSITY,
        hint::LOGIT_BIAS,
        "prediction",
    ];
    let hints: Vec<_> = hints.into_iter().filter_map(|name| Some((name, conversation.take_hint(name)?))).collect();
    let conversation = &*conversation;
    warn_of_caches(conversation, ledger);
    object_text(|body| {
        body.put("model", &conversation.model);
        write_tools(conversation, body);
        body.list("messages", |messages| {
            write_said("system", &conversation.instructions, messages, ledger);
            for turn in &conversation.turns {
                write_turn(turn, options, messages, ledger);
            }
        });
        write_sampling(conversation, options, body, ledger);
        write_format(conversation.format.as_ref(), body);
        for (name, value) in hints {
            body.put(name, value);
        }
        if conversation.stream {
            body.put("stream", true);
            body.object("stream_options", |stream| stream.put("include_usage", true));
        }
    })
}

/// Providers of this dialect find by themselves what can be cached.
fn warn_of_caches(conversation: &Conversation<'_>, ledger: &mut Ledger) {
    let said = conversation.turns.iter().flat_map(|turn| &turn.parts).chain(&conversation.instructions);
    let is_marked = conversation.tools.iter().any(|tool| tool.cache.is_some());
    if is_marked || said.into_iter().any(|part| part.cache.is_some()) {
        ledger.left_out("cache marks");
    }
}

fn write_tools(conversation: &Conversation<'_>, body: &mut ObjectWriter<'_>) {
    if conversation.tools.is_empty() {
        return;
    }
    body.list("tools", |tools| {
        for tool in &conversation.tools {
            tools.object(|object| {
                object.put("type", "function");
                object.object("function", |function| {
                    function.put("name", &tool.name);
                    function.put_some("description", tool.description.as_ref());
                    function.put_some("parameters", tool.parameters);
                    function.put_some("strict", tool.strict);
                });
            });
        }
    });
    match &conversation.tool_choice {
        None => {}
        Some(ToolChoice::Auto) => body.put("tool_choice", "auto"),
        Some(ToolChoice::None) => body.put("tool_choice", "none"),
        Some(ToolChoice::Any) => body.put("tool_choice", "required"),
        Some(ToolChoice::Named(name)) => body.object("tool_choice", |choice| {
            choice.put("type", "function");
            choice.object("function", |function| function.put("name", name));
        }),
    }
    body.put_some("parallel_tool_calls", conversation.parallel_tool_calls);
}

fn write_turn(turn: &Turn<'_>, options: &Options, messages: &mut ListWriter<'_>, ledger: &mut Ledger) {
    match turn.role {
        Role::System => write_said("system", &turn.parts, messages, ledger),
        Role::Assistant => messages.object(|message| write_assistant(turn, options, message, ledger)),
        Role::User => write_user(turn, messages, ledger),
    }
}

/// The answers of tools come first, each a message of its own; they can only be texts, so pictures follow after them.
fn write_user(turn: &Turn<'_>, messages: &mut ListWriter<'_>, ledger: &mut Ledger) {
    let mut moved = Vec::new();
    for part in &turn.parts {
        if let Content::ToolResult(result) = &part.content {
            messages.object(|message| moved.extend(write_result(result, message)));
            if result.is_error == Some(true) {
                ledger.left_out("a tool result's is_error");
            }
        }
    }
    if !moved.is_empty() {
        ledger.changed("an image in a tool's result", "was moved to a user message after it");
    }
    let said: Vec<_> = turn.parts.iter().filter(|part| !matches!(part.content, Content::ToolResult(_))).collect();
    moved.extend(said);
    if !moved.is_empty() {
        messages.object(|message| {
            message.put("role", "user");
            message.put_some("name", turn.name.as_ref());
            write_content(&moved, message, ledger);
        });
    }
}

/// What could not be said in the result is given back.
fn write_result<'r, 'a>(result: &'r ToolResult<'a>, message: &mut ObjectWriter<'_>) -> Vec<&'r Part<'a>> {
    message.put("role", "tool");
    message.put("tool_call_id", &result.call);
    match &result.content {
        ResultContent::Object(object) => {
            message.put("content", object.written());
            Vec::new()
        }
        ResultContent::Parts(parts) => {
            let is_text = |part: &&Part<'_>| matches!(part.content, Content::Text { .. });
            let (texts, rest): (Vec<_>, Vec<_>) = parts.iter().partition(is_text);
            write_content(&texts, message, &mut Ledger::default());
            rest
        }
    }
}

fn write_said(role: &str, parts: &[Part<'_>], messages: &mut ListWriter<'_>, ledger: &mut Ledger) {
    if !parts.is_empty() {
        messages.object(|message| {
            message.put("role", role);
            write_content(&parts.iter().collect::<Vec<_>>(), message, ledger);
        });
    }
}

/// One text is a text; anything else is a list.
fn write_content(parts: &[&Part<'_>], message: &mut ObjectWriter<'_>, ledger: &mut Ledger) {
    match parts {
        [] => message.put("content", ""),
        [Part { content: Content::Text { text, .. }, .. }] => message.put("content", text),
        parts => message.list("content", |list| parts.iter().for_each(|part| part::write(part, list, ledger))),
    }
}

fn write_assistant(turn: &Turn<'_>, options: &Options, message: &mut ObjectWriter<'_>, ledger: &mut Ledger) {
    message.put("role", "assistant");
    message.put_some("name", turn.name.as_ref());
    let is_text = |part: &&Part<'_>| matches!(part.content, Content::Text { .. });
    let texts: Vec<_> = turn.parts.iter().filter(is_text).collect();
    if texts.is_empty() {
        message.put("content", None::<bool>);
    } else {
        write_content(&texts, message, ledger);
    }
    let (mut thoughts, mut calls, mut sign) = (Vec::new(), Vec::new(), None);
    for part in &turn.parts {
        match &part.content {
            Content::Text { .. } => {}
            Content::Refusal(refusal) => message.put("refusal", refusal),
            Content::Thought(thought) => match thought::google_signature(thought) {
                Some(signature) => sign = Some(signature),
                None => thoughts.push(thought),
            },
            Content::Call(call) => calls.push((call, sign.take())),
            _ => ledger.refuse("media of the assistant", "is not offered by this model's provider"),
        }
    }
    write_thoughts(&thoughts, options.chat_thoughts, message, ledger);
    let with_signatures = options.chat_thoughts == ChatThoughts::ReasoningDetails;
    if !calls.is_empty() {
        message.list("tool_calls", |list| {
            for (call, signature) in calls {
                write_call(call, signature.filter(|_| with_signatures), list);
            }
        });
    }
}

fn write_thoughts(thoughts: &[&Thought<'_>], style: ChatThoughts, message: &mut ObjectWriter<'_>, ledger: &mut Ledger) {
    if thoughts.is_empty() {
        return;
    }
    match style {
        ChatThoughts::None => ledger.left_out("earlier thoughts"),
        ChatThoughts::ReasoningContent => {
            let texts: Vec<_> = thoughts.iter().map(|thought| thought.text.plain()).collect();
            message.put("reasoning_content", texts.concat());
            if thoughts.iter().any(|thought| thought.signature.is_some()) {
                ledger.left_out("the signatures of earlier thoughts");
            }
        }
        ChatThoughts::ReasoningDetails => message.list("reasoning_details", |list| {
            for (index, thought) in (0u32..).zip(thoughts) {
                list.object(|detail| thought::write_detail(detail, index, thought));
            }
        }),
    }
}

/// Writes a call as requests and answers have it.
pub(super) fn write_call(call: &Call<'_>, signature: Option<&Text<'_>>, list: &mut ListWriter<'_>) {
    list.object(|object| {
        object.put("id", &call.id);
        object.put("type", "function");
        object.object("function", |function| {
            function.put("name", &call.name);
            match &call.arguments {
                Arguments::Object(arguments) => function.put("arguments", arguments.written()),
                Arguments::Text(text) if text.is_empty() => function.put("arguments", "{}"),
                Arguments::Text(text) => function.put("arguments", text),
            }
        });
        if let Some(signature) = signature {
            thought::write_extra(object, signature);
        }
    });
}

fn write_sampling(
    conversation: &Conversation<'_>,
    options: &Options,
    body: &mut ObjectWriter<'_>,
    ledger: &mut Ledger,
) {
    let sampling = &conversation.sampling;
    let bound = if options.has_older_max_tokens { "max_tokens" } else { "max_completion_tokens" };
    body.put_some(bound, sampling.output_tokens_max);
    body.put_some("temperature", sampling.temperature);
    body.put_some("top_p", sampling.top_p);
    if sampling.top_k.is_some() {
        ledger.left_out("top_k");
    }
    if sampling.stop.len() > STOPS_MAX {
        ledger.refuse("stop", "has more than 4 texts");
    }
    if !sampling.stop.is_empty() {
        body.put("stop", &sampling.stop);
    }
    body.put_some("seed", sampling.seed);
    body.put_some("presence_penalty", sampling.presence_penalty);
    body.put_some("frequency_penalty", sampling.frequency_penalty);
    if let Some(top) = conversation.log_probabilities {
        body.put("logprobs", true);
        body.put_some("top_logprobs", (top > 0).then_some(top));
    }
    if let Some(thinking) = conversation.thinking {
        let effort = thinking.effort.or_else(|| thinking.budget_tokens.map(Effort::of_budget));
        body.put_some("reasoning_effort", effort.map(Effort::word));
    }
    body.put_some("user", conversation.user.as_ref());
}

fn write_format(format: Option<&Format<'_>>, body: &mut ObjectWriter<'_>) {
    let Some(format) = format else { return };
    body.object("response_format", |object| match format {
        Format::JsonObject => object.put("type", "json_object"),
        Format::Schema { name, description, strict, schema } => {
            object.put("type", "json_schema");
            object.object("json_schema", |label| {
                label.put("name", name.as_ref().map_or("answer".into(), Text::plain));
                label.put_some("description", description.as_ref());
                label.put("schema", schema);
                label.put_some("strict", *strict);
            });
        }
    });
}

/// What OpenAI allows.
const STOPS_MAX: usize = 4;
