//! Signatures of thoughts. The field holds bytes, so what is not Google's own travels through it as base64.

use crate::base64;
use crate::content::{Maker, Signature, Thought};
use crate::json::Text;

/// What Google takes for a signature that a client has dropped.
pub(super) const PLACEHOLDER: &str = "skip_thought_signature_validator";
/// Comes before a signature that is the whole of a thought that only its maker can read.
const REDACTED: &str = "redacted.";
/// How the base64 of what is not Google's own begins: of `gatewright.` and of `redacted.`.
const FOREIGN: [&str; 2] = ["Z2F0ZXdyaWdodC", "cmVkYWN0ZWQu"];

/// The thought that a signature belongs to, still without text; `none` for the placeholder.
pub(super) fn read(text: Text<'_>) -> Option<Thought<'_>> {
    let plain = text.plain();
    if plain.is_empty() || plain == PLACEHOLDER {
        return None;
    }
    let foreign = FOREIGN.iter().any(|start| plain.starts_with(start)).then(|| base64::decode(&plain)).flatten();
    let Some(foreign) = foreign.and_then(|bytes| String::from_utf8(bytes).ok()) else {
        let signature = Some(Signature { maker: Maker::Google, value: base64::standard(text) });
        return Some(Thought { signature, ..Thought::default() });
    };
    let is_redacted = foreign.starts_with(REDACTED);
    let tagged = foreign.strip_prefix(REDACTED).unwrap_or(&foreign).to_owned();
    let signature = Some(Signature::from_dialect(Maker::Google, tagged.into()));
    Some(Thought { signature, is_redacted, ..Thought::default() })
}

/// The field's text for the signature of a thought.
pub(super) fn write<'a>(signature: &Signature<'a>, is_redacted: bool) -> Text<'a> {
    let text = signature.in_dialect(Maker::Google);
    if signature.maker == Maker::Google && !is_redacted {
        return text;
    }
    let redacted = if is_redacted { REDACTED } else { "" };
    base64::encode(format!("{redacted}{}", text.plain()).as_bytes()).into()
}
