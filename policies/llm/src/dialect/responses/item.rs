//! Writes the items of an answer, and the parts of its messages.

use super::citation::Annotations;
use crate::content::{Maker, Signature};
use crate::json::{ObjectWriter, Raw, Text, ToJson};

/// The name of an item: of an answer's seed and a count, so that it is the same in every event.
pub(super) fn id(prefix: &str, seed: &str, item: u32) -> String {
    format!("{prefix}_{seed}_{item}")
}

/// Writes a message; `content` is the list of its parts.
pub(super) fn write_message(id: &str, status: &str, content: impl ToJson, item: &mut ObjectWriter<'_>) {
    item.put("id", id);
    item.put("type", "message");
    item.put("status", status);
    item.put("role", "assistant");
    item.put("content", content);
}

/// Writes an `output_text`; the probabilities are the entries of their list.
pub(super) fn write_text(text: impl ToJson, annotations: &[String], probabilities: &str, part: &mut ObjectWriter<'_>) {
    part.put("type", "output_text");
    part.put("text", text);
    part.put("annotations", Annotations(annotations));
    part.list("logprobs", |list| {
        if !probabilities.is_empty() {
            list.put(Raw(probabilities));
        }
    });
}

/// Writes a `refusal`.
pub(super) fn write_refusal(text: impl ToJson, part: &mut ObjectWriter<'_>) {
    part.put("type", "refusal");
    part.put("refusal", text);
}

/// What the arguments of a call are where the model gave none.
pub(super) const NO_ARGUMENTS: &str = "{}";

/// A call of a tool.
pub(super) struct CallItem<'c, T> {
    /// The item's name.
    pub(super) id: &'c str,
    /// What the answer to it names.
    pub(super) call: T,
    /// The tool.
    pub(super) name: T,
    /// The text of its arguments.
    pub(super) arguments: T,
    /// How far it is.
    pub(super) status: &'c str,
}

impl<T: ToJson> CallItem<'_, T> {
    /// Writes the item.
    pub(super) fn write(&self, item: &mut ObjectWriter<'_>) {
        item.put("id", self.id);
        item.put("type", "function_call");
        item.put("status", self.status);
        item.put("call_id", &self.call);
        item.put("name", &self.name);
        item.put("arguments", &self.arguments);
    }
}

/// Writes a thought; the signature is as this dialect has it.
pub(super) fn write_reasoning(
    id: Option<&str>,
    summary: Option<impl ToJson>,
    signature: Option<impl ToJson>,
    item: &mut ObjectWriter<'_>,
) {
    item.put_some("id", id);
    item.put("type", "reasoning");
    item.list("summary", |list| {
        if let Some(text) = summary {
            list.object(|part| write_summary(text, part));
        }
    });
    item.put_some("encrypted_content", signature);
}

/// Writes a part of a summary.
pub(super) fn write_summary(text: impl ToJson, part: &mut ObjectWriter<'_>) {
    part.put("type", "summary_text");
    part.put("text", text);
}

/// Writes an image that the model made.
pub(super) fn write_image(id: &str, media_type: &Text<'_>, data: Option<&Text<'_>>, item: &mut ObjectWriter<'_>) {
    item.put("id", id);
    item.put("type", "image_generation_call");
    item.put("status", "completed");
    item.put("output_format", media_type.plain().strip_prefix("image/").unwrap_or("png"));
    item.put("result", data);
}

/// A signature as this dialect has it.
pub(super) fn encrypted<'a>(signature: &Signature<'a>) -> Text<'a> {
    signature.in_dialect(Maker::Openai)
}
