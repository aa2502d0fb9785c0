//! Names of tools that an upstream would refuse, and their way back.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::content::Content;
use crate::conversation::{Conversation, ToolChoice};
use crate::json::Text;

/// The client's names that were changed. Every dialect takes a name of 1 to 64 letters, digits, `_` and `-` that
/// begins with a letter or `_`; some take more.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ToolNames(Vec<String>);

/// The longest name that every upstream takes.
const NAME_BYTES_MAX: usize = 64;
/// What stays of a name that changes: room for `_` and 8 hexadecimal digits is left.
const KEPT_CHARACTERS: usize = 55;

impl ToolNames {
    /// Gives every tool, call and result a name that the upstream takes. The same name always becomes the same, so
    /// that history, tools and the choice among them agree.
    pub fn replace_in(&mut self, conversation: &mut Conversation<'_>) {
        for tool in &mut conversation.tools {
            self.replace(&mut tool.name);
        }
        if let Some(ToolChoice::Named(name)) = &mut conversation.tool_choice {
            self.replace(name);
        }
        for part in conversation.turns.iter_mut().flat_map(|turn| &mut turn.parts) {
            match &mut part.content {
                Content::Call(call) => self.replace(&mut call.name),
                Content::ToolResult(result) => {
                    if let Some(name) = &mut result.name {
                        self.replace(name);
                    }
                }
                _ => {}
            }
        }
    }

    /// The client's name for what the upstream wrote.
    pub fn original<'a>(&self, name: Text<'a>) -> Text<'a> {
        if self.0.is_empty() {
            return name;
        }
        let plain = name.plain();
        self.0.iter().find(|original| legal(original) == plain).map_or(name, |original| original.clone().into())
    }

    fn replace(&mut self, name: &mut Text<'_>) {
        let plain = name.plain();
        if is_legal(&plain) {
            return;
        }
        let replacement = legal(&plain);
        if !self.0.iter().any(|known| *known == plain) {
            self.0.push(plain.into_owned());
        }
        *name = replacement.into();
    }
}

fn is_legal(name: &str) -> bool {
    let starts_well = name.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '_');
    starts_well && name.len() <= NAME_BYTES_MAX && name.chars().all(is_legal_letter)
}

fn is_legal_letter(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_' || letter == '-'
}

/// The digest keeps names apart that look alike once shortened.
fn legal(name: &str) -> String {
    let kept = name.chars().take(KEPT_CHARACTERS);
    let mut legal: String = kept.map(|letter| if is_legal_letter(letter) { letter } else { '_' }).collect();
    if !legal.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '_') {
        legal.insert(0, '_');
        legal.truncate(KEPT_CHARACTERS);
    }
    legal.push('_');
    for byte in Sha256::digest(name).into_iter().take(4) {
        let _always_ok = write!(legal, "{byte:02x}");
    }
    legal
}
