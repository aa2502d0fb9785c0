//! Writes a request.

use std::collections::BTreeMap;

use super::super::part::{PartWriter, Place};
use super::super::{config, is_older, tool};
use crate::content::{Content, Part};
use crate::conversation::{Conversation, Role, hint};
use crate::dialect::Options;
use crate::fault::Ledger;
use crate::json::{Json, ObjectWriter, object_text};
use crate::sides::Sides;

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
    let Sides { instructions, mut turns } = Sides::of(conversation, ledger);
    turns.retain(|(_, parts)| parts.iter().any(|part| says_something(part)));
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
        for (role, parts) in turns {
            list.object(|object| {
                object.put("role", if role == Role::Assistant { "model" } else { "user" });
                content(object, &parts);
            });
        }
    });
}

fn says_something(part: &Part<'_>) -> bool {
    match &part.content {
        Content::Text { text, .. } | Content::Refusal(text) => !text.is_empty(),
        _ => true,
    }
}

/// A result names its tool here, in other dialects only its call.
fn tools_of_calls(conversation: &Conversation<'_>) -> BTreeMap<String, String> {
    let parts = conversation.turns.iter().flat_map(|turn| &turn.parts);
    let calls = parts.filter_map(|part| match &part.content {
        Content::Call(call) => Some((call.id.plain().into_owned(), call.name.plain().into_owned())),
        _ => None,
    });
    calls.collect()
}
