//! A block that is not whole yet: what was said in it, and where it stands in the answer.

use serde::{Deserialize, Serialize};

use crate::dialect::responses::item::{self, CallItem};
use crate::json::ObjectWriter;

/// A block that is not whole yet.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Open {
    pub(super) block: u32,
    pub(super) kind: Kind,
    pub(super) item: u32,
    /// Which part of its message it is.
    pub(super) part: u32,
    /// Whether anything was said in it.
    pub(super) is_told: bool,
    /// Whether only its maker can read the thought.
    #[serde(skip_serializing)]
    pub(super) is_redacted: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) text: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) call: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) signature: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) annotations: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) probabilities: String,
}

/// What a block holds.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Kind {
    #[default]
    Text,
    Refusal,
    Thought,
    Call,
}

/// Where a block stands in the answer.
pub(super) struct Place {
    pub(super) id: String,
    item: u32,
    part: u32,
}

impl Place {
    pub(super) fn of(open: &Open, seed: &str) -> Self {
        let prefix = match open.kind {
            Kind::Text | Kind::Refusal => "msg",
            Kind::Thought => "rs",
            Kind::Call => "fc",
        };
        Self { id: item::id(prefix, seed, open.item), item: open.item, part: open.part }
    }

    pub(super) fn put_item(&self, event: &mut ObjectWriter<'_>) {
        event.put("item_id", &self.id);
        event.put("output_index", self.item);
    }

    pub(super) fn put_part(&self, event: &mut ObjectWriter<'_>) {
        self.put_item(event);
        event.put("content_index", self.part);
    }

    pub(super) fn put_summary(&self, event: &mut ObjectWriter<'_>) {
        self.put_item(event);
        event.put("summary_index", 0_u32);
    }
}

/// Writes a part of a message.
pub(super) fn write_part(open: &Open, part: &mut ObjectWriter<'_>) {
    if open.kind == Kind::Refusal {
        return item::write_refusal(&open.text, part);
    }
    item::write_text(&open.text, &open.annotations, &open.probabilities, part);
}

/// Writes a thought or a call. A thought that only its maker can read, and one that has just begun, has no summary.
pub(super) fn write_item(open: &Open, id: &str, status: &str, object: &mut ObjectWriter<'_>) {
    if open.kind == Kind::Call {
        let (call, name) = (&open.call, &open.name);
        return CallItem { id, call, name, arguments: &open.text, status }.write(object);
    }
    let has_summary = status == "completed" && !open.is_redacted;
    let signature = (!open.signature.is_empty()).then_some(&open.signature);
    item::write_reasoning(Some(id), has_summary.then_some(&open.text), signature, object);
}
