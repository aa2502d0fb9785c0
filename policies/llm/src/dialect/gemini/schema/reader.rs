//! Reads the smaller schema language as JSON Schema.

use crate::fault::{Fault, Ledger};
use crate::json::{Json, ObjectWriter, Raw, object_text};

/// The same schema as JSON Schema. What is that already stays as it is written.
pub(in super::super) fn read<'a>(schema: Json<'a>, ledger: &mut Ledger) -> Result<Json<'a>, Fault> {
    if !schema.is_object() {
        return Err(Fault::invalid(&schema.path(), "must be an object"));
    }
    if is_standard(schema) {
        return Ok(schema);
    }
    let text = object_text(|out| write(out, schema, ledger));
    schema.derive(text).ok_or_else(|| Fault::invalid(&schema.path(), "is no schema"))
}

fn is_standard(schema: Json<'_>) -> bool {
    schema.entries().all(|(name, value)| match &*name {
        "type" => !value.written().contains(|letter: char| letter.is_ascii_uppercase()),
        "items" => is_standard(value),
        "anyOf" => value.items().is_some_and(|mut items| items.all(is_standard)),
        "properties" => value.entries().all(|(_, value)| is_standard(value)),
        "nullable" | "propertyOrdering" | "example" => false,
        other => !(other.contains('_') || COUNTS.contains(&other) && value.written().starts_with('"')),
    })
}

/// Keywords that count: the provider's JSON has numbers of 64 bits as texts, too.
const COUNTS: [&str; 6] = ["minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"];

fn write(out: &mut ObjectWriter<'_>, schema: Json<'_>, ledger: &mut Ledger) {
    let is_nullable = schema.member("nullable").is_some_and(|value| value.written() == "true");
    for (name, value) in schema.entries() {
        let name = camel_case(&name);
        match name.as_str() {
            "type" => write_type(out, value, is_nullable),
            "nullable" => {}
            "propertyOrdering" => ledger.left_out(&value.path()),
            "example" => out.list("examples", |list| list.put(value)),
            "enum" if is_nullable => out.list("enum", |list| {
                value.items().into_iter().flatten().for_each(|item| list.put(item));
                list.put(Raw("null"));
            }),
            "items" => out.object("items", |out| write(out, value, ledger)),
            "anyOf" => out.list("anyOf", |list| {
                let choices = value.items().into_iter().flatten();
                choices.for_each(|choice| list.object(|out| write(out, choice, ledger)));
                if is_nullable && schema.member("type").is_none() {
                    list.object(|out| out.put("type", "null"));
                }
            }),
            "properties" => out.object("properties", |out| {
                for (name, value) in value.entries() {
                    out.object(&name, |out| write(out, value, ledger));
                }
            }),
            count if COUNTS.contains(&count) => out.put(count, Raw(value.written().trim_matches('"'))),
            other => out.put(other, value),
        }
    }
}

fn write_type(out: &mut ObjectWriter<'_>, value: Json<'_>, is_nullable: bool) {
    let Some(kind) = super::super::text(value) else { return out.put("type", value) };
    let kind = kind.plain().to_ascii_lowercase();
    match kind.as_str() {
        "type_unspecified" => {}
        _ if is_nullable => out.put("type", vec![kind, "null".to_owned()]),
        _ => out.put("type", kind),
    }
}

fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let mut camel = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        camel.extend(letters.next().map(|letter| letter.to_ascii_uppercase()));
        camel.push_str(letters.as_str());
    }
    camel
}
