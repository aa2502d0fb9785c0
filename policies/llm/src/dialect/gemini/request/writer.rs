//! Writes a request.

use std::collections::HashMap;

use super::super::part::{PartWriter, Place};
use super::super::{config, is_older, tool};
use crate::content::{Content, Part};
use crate::conversation::{Conversation, Role, hint};
use crate::dialect::Options;
use crate::fault::Ledger;
use crate::json::{Json, ObjectWriter, object_text};

/// The text of the body: tools, instructions and contents first, as a prompt cache wants them.
pub fn write(conversation: &mut Conversation<'_>, _options: &Options, ledger: &mut Ledger) -> String {
    let metadata = conversation.take_hint(hint::METADATA);
    let store = conversation.take_hint(hint::STORE);
    let tier = conversation.take_hint(hint::SERVICE_TIER).and_then(|tier| service_tier(tier, ledger));
    if conversation.user.is_some() {
        ledger.left_out("user");
    }
    object_text(|body| {
        tool::write(body, conversation, ledger);
        write_contents(body, conversation, ledger);
        config::write(body, conversation, ledger);
        body.put_some("serviceTier", tier);
        body.put_some("labels", metadata);
        body.put_some("store", store);
    })
}

fn service_tier(tier: Json<'_>, ledger: &mut Ledger) -> Option<&'static str> {
    match tier.written() {
        "\"default\"" => Some("standard"),
        "\"flex\"" => Some("flex"),
        "\"priority\"" => Some("priority"),
        "\"auto\"" => None,
        _ => {
            ledger.left_out("service_tier");
            None
        }
    }
}

fn write_contents(body: &mut ObjectWriter<'_>, conversation: &Conversation<'_>, ledger: &mut Ledger) {
    let tools = tools_of_calls(conversation);
    let place = Place::Request { tools: &tools, is_older: is_older(&conversation.model) };
    let mut instructions: Vec<&Part<'_>> = conversation.instructions.iter().collect();
    let contents = contents(conversation, &mut instructions, ledger);
    let mut content = |body: &mut ObjectWriter<'_>, parts: &[&Part<'_>]| {
        body.list("parts", |list| {
            let mut writer = PartWriter::new(list, place, ledger);
            writer.write(parts);
            // Citations are not sent: the writer has said so.
            let _none = writer.close();
        });
    };
    if !instructions.is_empty() {
        body.object("systemInstruction", |instruction| content(instruction, &instructions));
    }
    body.list("contents", |list| {
        for (role, parts) in contents {
            list.object(|object| {
                object.put("role", if role == Role::Assistant { "model" } else { "user" });
                content(object, &parts);
            });
        }
    });
}

/// One content for each change of sides. Results of tools come first in theirs: they follow the calls.
fn contents<'c, 'a>(
    conversation: &'c Conversation<'a>,
    instructions: &mut Vec<&'c Part<'a>>,
    ledger: &mut Ledger,
) -> Vec<(Role, Vec<&'c Part<'a>>)> {
    let mut contents: Vec<(Role, Vec<&Part<'_>>)> = Vec::new();
    for turn in &conversation.turns {
        if turn.name.is_some() {
            ledger.left_out("messages[].name");
        }
        if turn.role == Role::System {
            ledger.changed("a later system message", "was moved to the start");
            instructions.extend(&turn.parts);
            continue;
        }
        match contents.last_mut() {
            Some((role, parts)) if *role == turn.role => parts.extend(&turn.parts),
            _ => contents.push((turn.role, turn.parts.iter().collect())),
        }
    }
    for (_, parts) in &mut contents {
        parts.sort_by_key(|part| !matches!(part.content, Content::ToolResult(_)));
    }
    contents.retain(|(_, parts)| parts.iter().any(|part| says_something(part)));
    contents
}

fn says_something(part: &Part<'_>) -> bool {
    match &part.content {
        Content::Text { text, .. } | Content::Refusal(text) => !text.is_empty(),
        _ => true,
    }
}

/// A result names its tool here, in other dialects only its call.
fn tools_of_calls(conversation: &Conversation<'_>) -> HashMap<String, String> {
    let parts = conversation.turns.iter().flat_map(|turn| &turn.parts);
    let calls = parts.filter_map(|part| match &part.content {
        Content::Call(call) => Some((call.id.plain().into_owned(), call.name.plain().into_owned())),
        _ => None,
    });
    calls.collect()
}
