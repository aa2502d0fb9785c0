//! Reads a request.

use super::super::{config, part, tool};
use crate::content::{Content, Maker, Part};
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
        let turns = put_together(turns);
        let mut conversation = Conversation { instructions, turns, ..Conversation::default() };
        tool::read(body, &mut conversation, ledger)?;
        if let Some(config) = body.take::<Json<'a>>("generationConfig")? {
            config::read(config, &mut conversation, ledger)?;
        }
        read_hints(body, &mut conversation, ledger)?;
        Ok(conversation)
    })
}

/// Clients keep every piece of a streamed answer, as a part or as a content of its own. What one answer was is one turn
/// again: results must follow their calls at once elsewhere, and a signature is that of the whole thought.
fn put_together<'a>(contents: Vec<Turn<'a>>) -> Vec<Turn<'a>> {
    let mut turns: Vec<Turn<'a>> = Vec::with_capacity(contents.len());
    for content in contents {
        if content.role != Role::Assistant {
            turns.push(content);
            continue;
        }
        if turns.last().is_none_or(|turn| turn.role != Role::Assistant) {
            turns.push(Turn { role: Role::Assistant, parts: Vec::new(), name: None });
        }
        let Some(turn) = turns.last_mut() else { continue };
        for part in content.parts {
            let rest = match turn.parts.last_mut() {
                Some(last) => joined(last, part),
                None => Some(part),
            };
            turn.parts.extend(rest);
        }
    }
    turns
}

/// Lengthens the part by the next one; gives it back if they are not pieces of one.
fn joined<'a>(last: &mut Part<'a>, next: Part<'a>) -> Option<Part<'a>> {
    let both = |one: &Text<'a>, other: &Text<'a>| Text::from(one.plain().into_owned() + &other.plain());
    match (&mut last.content, &next.content) {
        (Content::Text { text, .. }, Content::Text { text: more, .. }) => *text = both(text, more),
        // An empty thought with Google's own signature signs what comes after it.
        (Content::Thought(thought), Content::Thought(more))
            if thought.signature.is_none()
                && more.signature.as_ref().is_none_or(|signature| signature.maker != Maker::Google)
                && !thought.is_redacted
                && !more.is_redacted =>
        {
            thought.text = both(&thought.text, &more.text);
            thought.signature.clone_from(&more.signature);
        }
        _ => return Some(next),
    }
    None
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
