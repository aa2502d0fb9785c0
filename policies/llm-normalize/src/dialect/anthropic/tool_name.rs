//! Names of tools that the upstream would refuse, and their way back.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

/// The longest name the upstream takes.
const NAME_BYTES_MAX: usize = 64;
/// What stays of a name that changes: room for `_` and 8 hexadecimal digits is left.
const KEPT_CHARACTERS: usize = 55;

/// The client's names that were changed.
#[derive(Default)]
pub(crate) struct ToolNames(pub(crate) Vec<String>);

impl ToolNames {
    /// The name for the upstream. The same name gives the same again, so history and tools agree.
    pub(super) fn outgoing(&mut self, name: &str) -> String {
        if is_legal(name) {
            return name.to_owned();
        }
        if !self.0.iter().any(|known| known == name) {
            self.0.push(name.to_owned());
        }
        legal(name)
    }

    /// The client's name for what the upstream wrote.
    pub(crate) fn incoming(&self, name: String) -> String {
        self.0.iter().find(|original| legal(original) == name).cloned().unwrap_or(name)
    }
}

fn is_legal(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len()) && name.chars().all(is_legal_letter)
}

fn is_legal_letter(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_' || letter == '-'
}

/// The digest keeps names apart that look alike once shortened.
fn legal(name: &str) -> String {
    let kept = name.chars().take(KEPT_CHARACTERS);
    let mut legal: String = kept.map(|letter| if is_legal_letter(letter) { letter } else { '_' }).collect();
    legal.push('_');
    for byte in Sha256::digest(name).into_iter().take(4) {
        let _always_ok = write!(legal, "{byte:02x}");
    }
    legal
}
