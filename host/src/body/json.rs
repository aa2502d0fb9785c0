//! Reads and patches JSON text in place: what no operation touches keeps its bytes.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::ops::Range;
use std::time::Instant;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

/// Why a body could not be read or patched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JsonFault {
    /// The text is not one JSON text, or has an object with a duplicate name.
    NotJson(String),
    /// The patch is none, or does not apply.
    BadPatch(String),
    /// What comes of it is past its bound on bytes.
    TooLarge,
    /// It takes too long.
    Late,
}

/// What one call may come to: each pointer and each operation reads the whole text again, and may copy all of it.
#[derive(Debug, Clone, Copy)]
pub struct JsonBounds {
    /// Bytes that come of it.
    pub bytes_max: usize,
    /// When it must be done.
    pub until: Instant,
}

impl JsonBounds {
    fn check(self, bytes: usize) -> Result<(), JsonFault> {
        if bytes > self.bytes_max {
            return Err(JsonFault::TooLarge);
        }
        if Instant::now() > self.until { Err(JsonFault::Late) } else { Ok(()) }
    }
}

/// The JSON text at each RFC 6901 pointer, exactly as written.
///
/// # Errors
/// `NotJson` for a text that is not JSON or has a duplicate name, `TooLarge` and `Late` past the bounds.
pub fn json_get(body: &[u8], pointers: &[String], bounds: JsonBounds) -> Result<Vec<Option<String>>, JsonFault> {
    let text = checked(body)?;
    let mut found = Vec::with_capacity(pointers.len());
    let mut bytes = 0;
    for pointer in pointers {
        let value = locate(text, pointer).and_then(|range| text.get(range));
        bytes += value.map_or(0, str::len);
        bounds.check(bytes)?;
        found.push(value.map(str::to_owned));
    }
    Ok(found)
}

/// Applies an RFC 6902 patch, all or nothing.
///
/// # Errors
/// `NotJson` for the body, `BadPatch` for the patch, `TooLarge` and `Late` past the bounds.
pub fn json_patch(body: &[u8], patch: &str, bounds: JsonBounds) -> Result<String, JsonFault> {
    let mut text = checked(body)?.to_owned();
    let operations: Vec<Operation> =
        serde_json::from_str(patch).map_err(|error| JsonFault::BadPatch(error.to_string()))?;
    for (index, operation) in operations.iter().enumerate() {
        apply(&mut text, operation).map_err(|message| JsonFault::BadPatch(format!("operation {index}: {message}")))?;
        bounds.check(text.len())?;
    }
    Ok(text)
}

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
enum Operation {
    Add { path: String, value: Value },
    Remove { path: String },
    Replace { path: String, value: Value },
    Move { from: String, path: String },
    Copy { from: String, path: String },
    Test { path: String, value: Value },
}

fn apply(text: &mut String, operation: &Operation) -> Result<(), String> {
    match operation {
        Operation::Add { path, value } => add(text, path, &value.to_string()),
        Operation::Remove { path } => remove(text, path),
        Operation::Replace { path, value } => {
            let range = find(text, path)?;
            text.replace_range(range, &value.to_string());
            Ok(())
        }
        Operation::Move { from, path } => {
            if path.starts_with(&format!("{from}/")) {
                return Err(format!("{from:?} cannot move into itself"));
            }
            let value = read(text, from)?;
            remove(text, from)?;
            add(text, path, &value)
        }
        Operation::Copy { from, path } => {
            let value = read(text, from)?;
            add(text, path, &value)
        }
        Operation::Test { path, value } => {
            let found: Value = serde_json::from_str(&read(text, path)?).map_err(|error| error.to_string())?;
            if equal(&found, value) { Ok(()) } else { Err(format!("{path:?} has another value")) }
        }
    }
}

/// RFC 6902 §4.6: numbers are equal by value.
fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| equal(a, b)))
        }
        _ => a == b,
    }
}

fn find(text: &str, pointer: &str) -> Result<Range<usize>, String> {
    locate(text, pointer).ok_or_else(|| format!("there is nothing at {pointer:?}"))
}

fn read(text: &str, pointer: &str) -> Result<String, String> {
    text.get(find(text, pointer)?).map(str::to_owned).ok_or_else(|| "a range is off".to_owned())
}

fn split(pointer: &str) -> Result<(&str, String), String> {
    let (parent, name) = pointer.rsplit_once('/').ok_or_else(|| format!("{pointer:?} is not a pointer"))?;
    Ok((parent, name.replace("~1", "/").replace("~0", "~")))
}

fn add(text: &mut String, pointer: &str, value: &str) -> Result<(), String> {
    if pointer.is_empty() {
        value.clone_into(text);
        return Ok(());
    }
    let (parent, name) = split(pointer)?;
    let range = find(text, parent)?;
    let (start, end) = (range.start, range.end);
    match children(text, range)? {
        Children::Object(members) => {
            if let Some((_, place)) = members.iter().find(|(known, _)| *known == name) {
                let place = place.clone();
                text.replace_range(place, value);
                return Ok(());
            }
            let comma = if members.is_empty() { "" } else { "," };
            let at = members.last().map_or(start + 1, |(_, place)| place.end);
            let name = Value::String(name);
            text.insert_str(at, &format!("{comma}{name}:{value}"));
        }
        Children::Array(elements) => {
            let index = if name == "-" { elements.len() } else { index(&name)? };
            match (elements.get(index), elements.last()) {
                (Some(place), _) => text.insert_str(place.start, &format!("{value},")),
                (None, Some(last)) if index == elements.len() => text.insert_str(last.end, &format!(",{value}")),
                (None, None) if index == 0 => text.insert_str(start + 1, value),
                _ => return Err(format!("{pointer:?} is past the end")),
            }
        }
        Children::None => return Err(format!("{parent:?} is no object or array at {start}..{end}")),
    }
    Ok(())
}

fn remove(text: &mut String, pointer: &str) -> Result<(), String> {
    let (parent, name) = split(pointer)?;
    let range = find(text, parent)?;
    let start = range.start;
    let (places, index) = match children(text, range)? {
        Children::Object(members) => {
            let index = members.iter().position(|(known, _)| *known == name);
            (members.into_iter().map(|(_, place)| place).collect::<Vec<_>>(), index)
        }
        Children::Array(elements) => (elements, Some(index(&name)?)),
        Children::None => return Err(format!("{parent:?} is no object or array")),
    };
    let nothing = || format!("there is nothing at {pointer:?}");
    let index = index.ok_or_else(nothing)?;
    let place = places.get(index).ok_or_else(nothing)?;
    let previous = index.checked_sub(1).and_then(|index| places.get(index));
    let cut = match (previous, places.get(index + 1)) {
        (Some(previous), _) => previous.end..place.end,
        (None, Some(_)) => {
            let comma = text.get(place.end..).and_then(|rest| rest.find(',')).ok_or_else(nothing)?;
            start + 1..place.end + comma + 1
        }
        (None, None) => start + 1..place.end,
    };
    text.replace_range(cut, "");
    Ok(())
}

/// RFC 6901 §4: no sign, no leading zero.
fn index(name: &str) -> Result<usize, String> {
    let plain = name == "0" || (!name.starts_with('0') && name.bytes().all(|byte| byte.is_ascii_digit()));
    name.parse().ok().filter(|_| plain).ok_or_else(|| format!("{name:?} is not an index"))
}

/// Where the value at a pointer stands in a text that is known to be JSON.
fn locate(text: &str, pointer: &str) -> Option<Range<usize>> {
    let trimmed = text.trim_start_matches([' ', '\t', '\n', '\r']);
    let start = text.len() - trimmed.len();
    let mut range = start..start + trimmed.trim_end_matches([' ', '\t', '\n', '\r']).len();
    if pointer.is_empty() {
        return Some(range);
    }
    for part in pointer.strip_prefix('/')?.split('/') {
        let name = part.replace("~1", "/").replace("~0", "~");
        range = match children(text, range).ok()? {
            Children::Object(members) => members.into_iter().find(|(known, _)| *known == name)?.1,
            Children::Array(elements) => elements.get(index(&name).ok()?)?.clone(),
            Children::None => return None,
        };
    }
    Some(range)
}

enum Children {
    Object(Vec<(String, Range<usize>)>),
    Array(Vec<Range<usize>>),
    None,
}

/// The values one level below, each with its place.
fn children(text: &str, range: Range<usize>) -> Result<Children, String> {
    let value = text.get(range.clone()).ok_or("a range is off")?;
    // `RawValue` borrows from `value`, so that its address tells its place.
    let place = |raw: &RawValue| {
        let start = range.start + (raw.get().as_ptr() as usize - value.as_ptr() as usize);
        start..start + raw.get().len()
    };
    match value.as_bytes().first() {
        Some(b'{') => {
            let Members(members) = serde_json::from_str(value).map_err(|error| error.to_string())?;
            Ok(Children::Object(members.into_iter().map(|(name, raw)| (name.into_owned(), place(raw))).collect()))
        }
        Some(b'[') => {
            let elements: Vec<&RawValue> = serde_json::from_str(value).map_err(|error| error.to_string())?;
            Ok(Children::Array(elements.into_iter().map(place).collect()))
        }
        _ => Ok(Children::None),
    }
}

struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;
        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Members<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(Name(name)) = map.next_key()? {
                    members.push((name, map.next_value()?));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(MembersVisitor)
    }
}

#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// The text of a body that is one JSON text without duplicate names. `serde_json` bounds the depth at 128.
fn checked(body: &[u8]) -> Result<&str, JsonFault> {
    let text = std::str::from_utf8(body).map_err(|error| JsonFault::NotJson(error.to_string()))?;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let result = Check.deserialize(&mut deserializer).and_then(|()| deserializer.end());
    result.map(|()| text).map_err(|error| JsonFault::NotJson(error.to_string()))
}

/// Walks a JSON text and keeps nothing but the names of the objects it is in.
struct Check;

impl<'de> DeserializeSeed<'de> for Check {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Check {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        while elements.next_element_seed(Self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let mut names = HashSet::new();
        while let Some(Name(name)) = members.next_key()? {
            if names.contains(&name) {
                return Err(A::Error::custom(format!("the name {name:?} is there twice")));
            }
            names.insert(name);
            members.next_value_seed(Self)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{JsonBounds, JsonFault};

    fn bounds(bytes_max: usize, within: Duration) -> JsonBounds {
        JsonBounds { bytes_max, until: Instant::now() + within }
    }

    fn json_get(body: &[u8], pointers: &[String]) -> Result<Vec<Option<String>>, JsonFault> {
        super::json_get(body, pointers, bounds(1 << 20, Duration::from_mins(1)))
    }

    fn json_patch(body: &[u8], patch: &str) -> Result<String, JsonFault> {
        super::json_patch(body, patch, bounds(1 << 20, Duration::from_mins(1)))
    }

    #[track_caller]
    fn check(body: &str, patch: &str, expected: &str) {
        assert_eq!(json_patch(body.as_bytes(), patch).as_deref(), Ok(expected), "{body} {patch}");
    }

    #[test]
    fn what_a_patch_does_not_touch_keeps_its_bytes() {
        let body = r#" { "model" : "fast","n":1.0, "x":1e3,"s":"\u00e9" , "a":[1, 2 ,3] } "#;
        check(body, r#"[{"op":"replace","path":"/model","value":"m-1"}]"#, &body.replace("\"fast\"", "\"m-1\""));
        check(body, r#"[{"op":"add","path":"/model","value":"m-1"}]"#, &body.replace("\"fast\"", "\"m-1\""));
        check(body, r#"[{"op":"remove","path":"/n"}]"#, &body.replace(",\"n\":1.0", ""));
        check(body, r#"[{"op":"remove","path":"/a/0"}]"#, &body.replace("[1, 2", "[ 2"));
        check(body, r#"[{"op":"remove","path":"/a/2"}]"#, &body.replace(" ,3]", "]"));
        check(body, r#"[{"op":"add","path":"/a/-","value":{"k":[]}}]"#, &body.replace("3]", "3,{\"k\":[]}]"));
        check(body, r#"[{"op":"add","path":"/b~1c","value":null}]"#, &body.replace("3] }", "3],\"b/c\":null }"));
    }

    #[test]
    fn every_operation_of_rfc_6902_applies() {
        check("{}", r#"[{"op":"add","path":"/a","value":1},{"op":"add","path":"/b","value":[]}]"#, r#"{"a":1,"b":[]}"#);
        check(r#"{"a":1}"#, r#"[{"op":"remove","path":"/a"}]"#, "{}");
        check(r#"{"a":1,"b":2}"#, r#"[{"op":"remove","path":"/a"}]"#, r#"{"b":2}"#);
        check("[]", r#"[{"op":"add","path":"/0","value":1},{"op":"add","path":"/0","value":0}]"#, "[0,1]");
        check(r#"{"a":{"b":1},"c":{}}"#, r#"[{"op":"move","from":"/a/b","path":"/c/d"}]"#, r#"{"a":{},"c":{"d":1}}"#);
        check(r#"{"a":[1]}"#, r#"[{"op":"copy","from":"/a","path":"/a/0"}]"#, r#"{"a":[[1],1]}"#);
        check(r#"{"a":1.0}"#, r#"[{"op":"test","path":"/a","value":1}]"#, r#"{"a":1.0}"#);
        check(r#"{"a":1}"#, r#"[{"op":"replace","path":"","value":[]}]"#, "[]");
    }

    #[test]
    fn a_patch_that_does_not_apply_changes_nothing() {
        for patch in [
            r#"[{"op":"add","path":"/x","value":1},{"op":"test","path":"/a","value":2}]"#,
            r#"[{"op":"remove","path":"/nothing"}]"#,
            r#"[{"op":"replace","path":"/l/01","value":1}]"#,
            r#"[{"op":"add","path":"/l/3","value":1}]"#,
            r#"[{"op":"move","from":"/l","path":"/l/0"}]"#,
            r#"[{"op":"remove","path":""}]"#,
            r#"{"op":"remove"}"#,
            "nonsense",
        ] {
            let result = json_patch(br#"{"a":1,"l":[1]}"#, patch);
            assert!(matches!(result, Err(JsonFault::BadPatch(_))), "{patch}: {result:?}");
        }
    }

    #[test]
    fn duplicate_names_and_broken_texts_are_no_json() {
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        for body in [r#"{"a":1,"a":2}"#, r#"{"a":1,"\u0061":2}"#, "{", "", "1 2", "\u{feff}{}", &deep] {
            assert!(matches!(json_get(body.as_bytes(), &[]), Err(JsonFault::NotJson(_))), "{body}");
        }
        assert!(matches!(json_get(b"\xff", &[]), Err(JsonFault::NotJson(_))));
    }

    #[test]
    fn pointers_give_the_text_as_it_was_written() {
        let pointers = ["", "/a~1b", "/m~0n", "/l/1", "/l/-", "/none", "x"].map(str::to_owned);
        let got = json_get(br#" {"a/b": 1.50,"m~n":"\u00e9","l":[ 1 , {"k" :2} ]} "#, &pointers).unwrap();
        assert_eq!(got[0].as_deref(), Some(r#"{"a/b": 1.50,"m~n":"\u00e9","l":[ 1 , {"k" :2} ]}"#));
        assert_eq!(
            got[1..4],
            [Some("1.50".to_owned()), Some(r#""\u00e9""#.to_owned()), Some(r#"{"k" :2}"#.to_owned())]
        );
        assert_eq!(got[4..], [None, None, None]);
    }

    #[test]
    fn what_comes_of_a_call_is_bounded_in_bytes_and_in_time() {
        let double = |count: usize| {
            let copies: Vec<_> =
                (0..count).map(|name| format!(r#"{{"op":"copy","from":"","path":"/{name}"}}"#)).collect();
            format!("[{}]", copies.join(","))
        };
        let minute = bounds(1 << 10, Duration::from_mins(1));
        assert!(super::json_patch(b"{}", &double(5), minute).is_ok());
        assert_eq!(super::json_patch(b"{}", &double(50), minute), Err(JsonFault::TooLarge));
        let whole = |count: usize| vec![String::new(); count];
        assert!(super::json_get(b"[1]", &whole(341), minute).is_ok());
        assert_eq!(super::json_get(b"[1]", &whole(342), minute), Err(JsonFault::TooLarge));
        let past = JsonBounds { bytes_max: 1 << 10, until: Instant::now() - Duration::from_millis(1) };
        assert_eq!(super::json_get(b"[1]", &whole(1), past), Err(JsonFault::Late));
        assert_eq!(super::json_patch(b"{}", &double(1), past), Err(JsonFault::Late));
    }
}
