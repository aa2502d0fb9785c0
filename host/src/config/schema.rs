//! The published JSON Schema, and checking a value against a schema with every fault in words.

use jsonschema::error::ValidationErrorKind;
use jsonschema::{ValidationError, Validator};
use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::tree::escape;
use super::{Config, Document, Faults};

impl Config {
    /// The typed configuration of a document, and every place where the document does not fit the schema. What does not
    /// fit is left out of the configuration, so that the rest can still be proved.
    #[must_use]
    pub fn read(document: &Document) -> (Self, Faults) {
        let mut faults = Faults::default();
        let mut settings = SchemaSettings::draft2020_12();
        settings.inline_subschemas = true;
        let schema = settings.into_generator().into_root_schema_for::<Self>().to_value();
        let mut value = document.value.clone();
        for (at, message) in check_value(&schema, &document.value).err().unwrap_or_default() {
            leave_out(&mut value, &at, message.starts_with(UNKNOWN_FIELD));
            faults.add(&document.place(&at), at, message);
        }
        let config = serde_json::from_value(value).unwrap_or_else(|error| {
            faults.add(&document.place(""), "", error.to_string());
            Self::default()
        });
        (config, faults)
    }
}

const UNKNOWN_FIELD: &str = "unknown field";

/// Takes the smallest part out that leaves a whole configuration: an unknown field itself, else the named thing of a
/// section that it is in, else the section.
fn leave_out(value: &mut Value, at: &str, is_unknown: bool) {
    let parts: Vec<&str> = at.split('/').collect();
    let in_map = |section: &str| {
        matches!(section, "policies" | "limits" | "kv" | "secrets" | "verifiers" | "providers" | "upstreams")
    };
    let target = match parts.as_slice() {
        _ if is_unknown => at.to_owned(),
        ["", section, name, ..] if in_map(section) => format!("/{section}/{name}"),
        ["", section, ..] => format!("/{section}"),
        _ => return,
    };
    if let Some((parent, name)) = target.rsplit_once('/')
        && let Some(Value::Object(members)) = value.pointer_mut(parent)
    {
        members.remove(&name.replace("~1", "/").replace("~0", "~"));
    }
}

/// The JSON Schema (2020-12) of the configuration, for editors.
#[must_use]
pub fn schema() -> Value {
    let schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Config>();
    schema.to_value()
}

/// Checks a value against a JSON Schema.
///
/// # Errors
/// For each fault its RFC 6901 pointer and what is wrong. A fault in the schema itself has the pointer "".
pub fn check_value(schema: &Value, value: &Value) -> Result<(), Vec<(String, String)>> {
    let validator = match Validator::new(schema) {
        Ok(validator) => validator,
        Err(error) => return Err(vec![(String::new(), format!("the schema is broken: {error}"))]),
    };
    let mut problems = Vec::new();
    for error in validator.iter_errors(value) {
        explain(schema, &error, &mut problems);
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

fn explain(schema: &Value, error: &ValidationError<'_>, problems: &mut Vec<(String, String)>) {
    let at = error.instance_path().to_string();
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected }
        | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
            let keyword = error.schema_path().to_string();
            let known =
                keyword.rsplit_once('/').and_then(|(parent, _)| place(schema, parent)?.get("properties")?.as_object());
            let known: Vec<&str> = known.into_iter().flatten().map(|(name, _)| name.as_str()).collect();
            for name in unexpected {
                problems.push((format!("{at}/{}", escape(name)), unknown("field", name, known.iter().copied())));
            }
        }
        ValidationErrorKind::Required { property } => {
            problems.push((at, format!("field {property} is missing{}", after(error))));
        }
        ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
            // The branch that comes nearest is the one that fails deepest.
            let depth = |branch: &Vec<ValidationError<'_>>| {
                branch.iter().map(|error| error.instance_path().to_string().matches('/').count()).max().unwrap_or(0)
                    + usize::from(!branch.iter().any(|error| matches!(error.kind(), ValidationErrorKind::Type { .. })))
            };
            match context.iter().max_by_key(|branch| depth(branch)) {
                Some(branch) if !branch.is_empty() && branch.iter().any(is_plain) => {
                    for error in branch {
                        explain(schema, error, problems);
                    }
                }
                _ => problems.push((at, format!("{} does not fit: see `gatewright schema`", subject(error)))),
            }
        }
        // The value may be a secret that came from the environment: it is never repeated.
        _ => problems
            .push((at, format!("{} {}", subject(error), error.masked_with("it").to_string().replace("it ", "")))),
    }
}

/// What stands at a place of a schema; `$ref` on the way leads on.
fn place<'a>(schema: &'a Value, path: &str) -> Option<&'a Value> {
    let mut here = schema;
    for part in path.split('/').skip(1) {
        let part = part.replace("~1", "/").replace("~0", "~");
        here = match (part.as_str(), here) {
            ("$ref", here) => schema.pointer(here.get("$ref")?.as_str()?.strip_prefix('#')?)?,
            (part, Value::Array(elements)) => elements.get(part.parse::<usize>().ok()?)?,
            (part, here) => here.get(part)?,
        };
    }
    Some(here)
}

fn is_plain(error: &ValidationError<'_>) -> bool {
    !matches!(error.kind(), ValidationErrorKind::Constant { .. } | ValidationErrorKind::Enum { .. })
}

/// The name of what is wrong: the last part of its pointer, and of which list it is an element.
fn subject(error: &ValidationError<'_>) -> String {
    let pointer = error.instance_path().to_string();
    let mut parts = pointer.rsplit('/').map(|part| part.replace("~1", "/").replace("~0", "~"));
    let (name, parent) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    match name.parse::<usize>() {
        _ if pointer.is_empty() => "the configuration".to_owned(),
        Ok(index) if !parent.is_empty() => format!("{parent:?}, element {},", index + 1),
        _ => format!("{name:?}"),
    }
}

fn after(error: &ValidationError<'_>) -> String {
    match error.instance_path().to_string().rsplit_once('/') {
        Some((_, name)) => format!(" in {name:?}"),
        None => String::new(),
    }
}

/// "unknown field "x" (did you mean "y"?)", or the names there are.
pub fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.collect();
    let nearest = known.iter().map(|known| (strsim::damerau_levenshtein(name, known), known)).min();
    match nearest {
        Some((distance, nearest)) if distance <= name.len().max(nearest.len()) / 2 => {
            format!("unknown {what} {name:?} (did you mean {nearest:?}?)")
        }
        Some(_) => format!("unknown {what} {name:?} (there are: {})", known.join(", ")),
        None => format!("unknown {what} {name:?}"),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_published_schema_is_the_one_that_is_checked() {
        let published: serde_json::Value = serde_json::from_str(include_str!("../../gatewright.schema.json")).unwrap();
        assert_eq!(published, super::schema(), "run `gatewright schema > host/gatewright.schema.json`");
    }
}
