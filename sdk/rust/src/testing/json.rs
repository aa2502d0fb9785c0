//! RFC 6901 pointers and RFC 6902 patches on JSON text, keeping every byte that is not touched.

use std::ops::Range;

use serde::Deserialize;
use serde_json::value::RawValue;

/// One operation; `move`, `copy` and `test` are not needed by a test.
#[derive(Deserialize)]
struct Operation<'a> {
    op: String,
    path: String,
    #[serde(borrow)]
    value: Option<&'a RawValue>,
}

/// The members of an object, in order, each with the text of its value.
struct Members<'a>(Vec<(String, &'a str)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Members<'de>;
            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("an object")
            }
            fn visit_map<M: serde::de::MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut members = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
                    members.push((name, value.get()));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

/// The text of the value at a pointer.
pub(super) fn text_at<'a>(text: &'a str, pointer: &str) -> Option<&'a str> {
    let mut value = text.trim();
    for token in pointer.split('/').skip(1) {
        let token = token.replace("~1", "/").replace("~0", "~");
        value = if value.starts_with('{') {
            let members: Members<'a> = serde_json::from_str(value).ok()?;
            members.0.into_iter().find(|(name, _)| *name == token)?.1
        } else {
            let items: Vec<&'a RawValue> = serde_json::from_str(value).ok()?;
            items.get(token.parse::<usize>().ok()?)?.get()
        };
    }
    Some(value)
}

/// The text with a patch applied.
pub(super) fn patch(text: &str, patch: &str) -> Result<String, String> {
    let operations: Vec<Operation<'_>> = serde_json::from_str(patch).map_err(|error| error.to_string())?;
    let mut text = text.to_owned();
    for operation in operations {
        let at = text_at(&text, &operation.path).map(|value| span(&text, value));
        let value = operation.value.map(RawValue::get);
        match (operation.op.as_str(), at, value) {
            ("replace" | "add", Some(at), Some(value)) => text.replace_range(at, value),
            ("add", None, Some(value)) => add(&mut text, &operation.path, value)?,
            ("remove", Some(at), None) => remove(&mut text, at),
            _ => return Err(format!("cannot {} at {}", operation.op, operation.path)),
        }
    }
    Ok(text)
}

fn span(text: &str, value: &str) -> Range<usize> {
    let start = value.as_ptr() as usize - text.as_ptr() as usize;
    start..start + value.len()
}

fn add(text: &mut String, pointer: &str, value: &str) -> Result<(), String> {
    let (parent, name) = pointer.rsplit_once('/').ok_or("bad pointer")?;
    let parent = text_at(text, parent).ok_or_else(|| format!("nothing at {parent}"))?;
    let span = span(text, parent);
    let empty = parent.get(1..parent.len() - 1).is_some_and(|inside| inside.trim().is_empty());
    let comma = if empty { "" } else { "," };
    let name = serde_json::Value::from(name).to_string();
    text.insert_str(span.end - 1, &format!("{comma}{name}:{value}"));
    Ok(())
}

/// Removes a member with its name and one comma.
fn remove(text: &mut String, value: Range<usize>) {
    let before = text.get(..value.start).unwrap_or_default();
    let colon = before.trim_end().trim_end_matches(':').trim_end();
    let name = colon.strip_suffix('"').and_then(|quoted| quoted.rfind('"')).unwrap_or(value.start);
    let after = text.get(value.end..).unwrap_or_default();
    let end =
        if after.trim_start().starts_with(',') { value.end + after.find(',').unwrap_or(0) + 1 } else { value.end };
    let start =
        if end == value.end { before.get(..name).and_then(|left| left.rfind(',')).unwrap_or(name) } else { name };
    text.replace_range(start..end, "");
}

#[cfg(test)]
mod tests {
    use super::{patch, text_at};

    #[test]
    fn a_pointer_gives_the_text_as_written() {
        let text = r#"{ "a": [1.0, {"b~/": 1e3}], "c": "\u00e9" }"#;
        assert_eq!(text_at(text, "/a/0"), Some("1.0"));
        assert_eq!(text_at(text, "/a/1/b~0~1"), Some("1e3"));
        assert_eq!(text_at(text, "/c"), Some(r#""\u00e9""#));
        assert_eq!(text_at(text, "/d"), None);
    }

    #[test]
    fn a_patch_leaves_other_bytes_alone() {
        let text = r#"{ "a": 1.0, "b": {} ,"c":2}"#;
        assert_eq!(
            patch(text, r#"[{"op":"replace","path":"/a","value":"x"}]"#).unwrap(),
            r#"{ "a": "x", "b": {} ,"c":2}"#
        );
        assert_eq!(
            patch(text, r#"[{"op":"add","path":"/b/n","value":true}]"#).unwrap(),
            r#"{ "a": 1.0, "b": {"n":true} ,"c":2}"#
        );
        assert_eq!(patch(text, r#"[{"op":"remove","path":"/c"}]"#).unwrap(), r#"{ "a": 1.0, "b": {} }"#);
        assert!(patch(text, r#"[{"op":"remove","path":"/zzz"}]"#).is_err());
    }
}
