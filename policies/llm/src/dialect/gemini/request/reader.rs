//! Reads a request.

use super::super::{config, part, tool};
use crate::content::Part;
use crate::conversation::{Conversation, Role, Turn, hint};
use crate::fault::{Fault, Ledger};
use crate::json::{Json, Object, Text};

/// Reads the whole request; the model and whether to stream are known from its path.
///
/// # Errors
/// A field is not what the dialect says.
pub fn read<'a>(body: Json<'a>, ledger: &mut Ledger) -> Result<Conversation<'a>, Fault> {
    body.read(ledger, |body, ledger| {
        body.also_in_snake_case();
        // Some clients repeat the model of the path.
        body.skip(&["model"]);
        let mut calls = part::CallIds::default();
        let instructions = body
            .take_object("systemInstruction", ledger, |content, ledger| parts(content, &mut calls, ledger))?
            .map(|(_, parts)| parts)
            .unwrap_or_default();
        let turns = body.take_objects("contents", ledger, |content, ledger| {
            let (role, parts) = parts(content, &mut calls, ledger)?;
            Ok(Turn { role, parts, name: None })
        })?;
        if turns.is_empty() {
            return Err(Fault::invalid("contents", "is missing or empty"));
        }
        let mut conversation = Conversation { instructions, turns, ..Conversation::default() };
        tool::read(body, &mut conversation, ledger)?;
        if let Some(config) = body.take::<Json<'a>>("generationConfig")? {
            config::read(config, &mut conversation, ledger)?;
        }
        read_hints(body, &mut conversation, ledger)?;
        Ok(conversation)
    })
}

/// Who says what in a content.
fn parts<'a>(
    content: &mut Object<'a>,
    calls: &mut part::CallIds,
    ledger: &mut Ledger,
) -> Result<(Role, Vec<Part<'a>>), Fault> {
    let role = match content.take::<String>("role")?.as_deref() {
        None | Some("" | "user" | "function" | "system") => Role::User,
        Some("model") => Role::Assistant,
        Some(_) => return Err(Fault::invalid(&content.path_of("role"), "must be user or model")),
    };
    let parts = content.take_objects("parts", ledger, |part, ledger| part::read(part, calls, ledger))?;
    Ok((role, parts.into_iter().flatten().collect()))
}

fn read_hints<'a>(
    body: &mut Object<'a>,
    conversation: &mut Conversation<'a>,
    ledger: &mut Ledger,
) -> Result<(), Fault> {
    for setting in body.take::<Json<'a>>("safetySettings")?.and_then(Json::items).into_iter().flatten() {
        let threshold = setting.member("threshold").map(Json::written);
        match threshold {
            Some("\"OFF\"" | "\"BLOCK_NONE\"" | "\"HARM_BLOCK_THRESHOLD_UNSPECIFIED\"") => {
                ledger.left_out("safetySettings");
            }
            _ => ledger.refuse("safetySettings", "that block are only known to this provider"),
        }
    }
    if body.take::<Text<'a>>("cachedContent")?.is_some_and(|name| !name.is_empty()) {
        ledger.refuse("cachedContent", "names what only its provider has");
    }
    conversation.keep_hint(hint::METADATA, body.take("labels")?, false);
    conversation.keep_hint(hint::STORE, body.take("store")?, false);
    if let Some(tier) = body.take::<Json<'a>>("serviceTier")? {
        let word = tier.written().trim_matches('"').to_ascii_lowercase();
        let word = if word == "standard" { "default" } else { word.as_str() };
        let is_said = word != "unspecified";
        let tier = is_said.then(|| tier.derive(format!("\"{word}\""))).flatten();
        conversation.keep_hint(hint::SERVICE_TIER, tier, false);
    }
    Ok(())
}
