//! Writes the events at the end of a block, which repeat what was said in it.

use super::block::{self, Kind, Open, Place};
use super::writer::Writer;
use crate::dialect::Output;
use crate::dialect::responses::item;
use crate::json::Raw;

/// Writes what ends a block, but for the end of its item.
pub(super) fn write(writer: &mut Writer, open: &Open, place: &Place, output: &mut Output) {
    match open.kind {
        Kind::Text => writer.event("response.output_text.done", output, |event| {
            place.put_part(event);
            event.put("text", &open.text);
            event.list("logprobs", |list| {
                if !open.probabilities.is_empty() {
                    list.put(Raw(&open.probabilities));
                }
            });
        }),
        Kind::Refusal => writer.event("response.refusal.done", output, |event| {
            place.put_part(event);
            event.put("refusal", &open.text);
        }),
        Kind::Thought => return write_summary(writer, open, place, output),
        Kind::Call => {
            return writer.event("response.function_call_arguments.done", output, |event| {
                place.put_item(event);
                event.put("name", &open.name);
                event.put("arguments", &open.text);
            });
        }
    }
    writer.event("response.content_part.done", output, |event| {
        place.put_part(event);
        event.object("part", |part| block::write_part(open, part));
    });
}

/// A thought that is not empty began its summary with its first piece.
fn write_summary(writer: &mut Writer, open: &Open, place: &Place, output: &mut Output) {
    if !open.is_told {
        writer.summary_begins(place, output);
    }
    writer.event("response.reasoning_summary_text.done", output, |event| {
        place.put_summary(event);
        event.put("text", &open.text);
    });
    writer.event("response.reasoning_summary_part.done", output, |event| {
        place.put_summary(event);
        event.object("part", |part| item::write_summary(&open.text, part));
    });
}
