//! JSON Schema, and the part of OpenAPI's schema language that this provider has instead of it.
//!
//! A schema that the smaller language can say whole is written in it, since every model takes that. One that it cannot,
//! but that the field for JSON Schema can, goes there as it is. What neither can say is left out, keyword by keyword.

mod reader;
mod rewriter;

pub(super) use reader::read;

use crate::fault::Ledger;
use crate::json::{Json, ObjectWriter, Raw, object, object_text};
use rewriter::{Loss, Rewriter};

/// Writes a schema into the one of two fields that can carry it: of the smaller language, and of JSON Schema.
pub(super) fn write(out: &mut ObjectWriter<'_>, [own, standard]: [&str; 2], schema: Json<'_>, ledger: &mut Ledger) {
    let mut rewriter = Rewriter::new(schema);
    let rewritten = object_text(|out| rewriter.write(out, schema));
    let losses = rewriter.losses();
    if losses.is_empty() {
        return out.put(own, Raw(&rewritten));
    }
    if is_carried_whole(schema) {
        return out.put(standard, Raw(&without_version(schema)));
    }
    for loss in losses {
        match loss {
            Loss::LeftOut(keyword) => ledger.left_out(&format!("{own}.{keyword}")),
            Loss::Changed(keyword, how) => ledger.changed(&format!("{own}.{keyword}"), how),
        }
    }
    out.put(own, Raw(&rewritten));
}

/// Keywords whose values are schemas, or lists or objects of them, come last; the provider's field for JSON Schema
/// knows no other keywords.
fn is_carried_whole(schema: Json<'_>) -> bool {
    schema.entries().all(|(name, value)| match &*name {
        "$schema" | "$id" | "$anchor" | "$ref" | "type" | "format" | "title" | "description" | "minItems"
        | "maxItems" | "minimum" | "maximum" | "required" | "propertyOrdering" => true,
        "enum" => {
            let is_plain = |item: Json<'_>| !item.is_object() && !item.is_list();
            value.items().is_some_and(|mut items| items.all(is_plain))
        }
        "items" | "additionalProperties" => is_carried_whole(value),
        "prefixItems" | "anyOf" | "oneOf" => value.items().is_some_and(|mut items| items.all(is_carried_whole)),
        "properties" | "$defs" => value.entries().all(|(_, value)| is_carried_whole(value)),
        _ => false,
    })
}

/// The name of the schema language is no part of it.
fn without_version(schema: Json<'_>) -> String {
    if schema.member("$schema").is_none() {
        return schema.written().to_owned();
    }
    let mut text = String::new();
    object(&mut text, |out| {
        schema.entries().filter(|(name, _)| name != "$schema").for_each(|(name, value)| out.put(&name, value));
    });
    text
}
