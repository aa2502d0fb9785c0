//! Reads and patches JSON text in place: what no operation touches keeps its bytes.

mod check;
mod index;
mod patch;

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::time::Instant;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use check::{Name, checked};
pub(super) use index::Index;
use patch::Draft;

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

/// What one call may come to: each pointer and each operation may copy all of the text.
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

/// A text that is known to be JSON, with its index where it has one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Text<'a> {
    text: &'a str,
    index: Option<&'a Index>,
}

/// Reads a body once: whether it is JSON, and where its values stand.
///
/// # Errors
/// `NotJson` for a text that is not JSON or has a duplicate name.
pub(super) fn read(body: &[u8]) -> Result<Option<Index>, JsonFault> {
    let text = text_of(body)?;
    let Some(index) = Index::of(text)? else { return checked(text).map(|()| None) };
    index.check_names(text)?;
    Ok(Some(index))
}

impl<'a> Text<'a> {
    /// A body that `read` accepted.
    pub(super) fn known(body: &'a [u8], index: Option<&'a Index>) -> Result<Self, JsonFault> {
        Ok(Self { text: text_of(body)?, index })
    }

    /// The text at each pointer, exactly as written.
    pub(super) fn get(self, pointers: &[String], bounds: JsonBounds) -> Result<Vec<Option<String>>, JsonFault> {
        let mut found = Vec::with_capacity(pointers.len());
        let mut bytes = 0;
        for pointer in pointers {
            let value = self.locate(pointer).and_then(|range| self.text.get(range));
            bytes += value.map_or(0, str::len);
            bounds.check(bytes)?;
            found.push(value.map(str::to_owned));
        }
        Ok(found)
    }

    /// What an RFC 6902 patch makes of it, all or nothing.
    pub(super) fn patch(self, patch: &str, bounds: JsonBounds) -> Result<String, JsonFault> {
        Draft::of(self).apply_all(patch, bounds)
    }

    fn locate(self, pointer: &str) -> Option<Range<usize>> {
        match self.index {
            Some(index) => index.locate(self.text, pointer),
            None => value_at(self.text, pointer),
        }
    }

    /// The values one level below, each with its place.
    fn children(self, range: &Range<usize>) -> Result<Children, String> {
        match self.index.and_then(|index| index.below(self.text, range)) {
            Some(children) => Ok(children),
            None => children(self.text, range.clone()),
        }
    }
}

fn text_of(body: &[u8]) -> Result<&str, JsonFault> {
    std::str::from_utf8(body).map_err(|error| JsonFault::NotJson(error.to_string()))
}

/// RFC 6901 §4: no sign, no leading zero.
fn array_index(name: &str) -> Result<usize, String> {
    let plain = name == "0" || (!name.starts_with('0') && name.bytes().all(|byte| byte.is_ascii_digit()));
    name.parse().ok().filter(|_| plain).ok_or_else(|| format!("{name:?} is not an index"))
}

/// Where the value at a pointer stands in a text that is known to be JSON.
fn value_at(text: &str, pointer: &str) -> Option<Range<usize>> {
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
            Children::Array(elements) => elements.get(array_index(&name).ok()?)?.clone(),
            Children::None => return None,
        };
    }
    Some(range)
}

/// The values one level below another.
#[derive(Debug, PartialEq, Eq)]
enum Children {
    Object(Vec<(String, Range<usize>)>),
    Array(Vec<Range<usize>>),
    None,
}

/// The values one level below, each with its place, read from the text.
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

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::super::Content;
    use super::{JsonBounds, JsonFault};

    fn bounds(bytes_max: usize, within: Duration) -> JsonBounds {
        JsonBounds { bytes_max, until: Instant::now() + within }
    }

    fn json_get(body: &[u8], pointers: &[String]) -> Result<Vec<Option<String>>, JsonFault> {
        Content::of(body).json_get(pointers, bounds(1 << 20, Duration::from_mins(1)))
    }

    fn json_patch(body: &[u8], patch: &str) -> Result<String, JsonFault> {
        patched(body, patch, bounds(1 << 20, Duration::from_mins(1)))
    }

    fn patched(body: &[u8], patch: &str, bounds: JsonBounds) -> Result<String, JsonFault> {
        let patched = Content::of(body).json_patch(patch, bounds)?;
        Ok(String::from_utf8(patched.bytes().to_vec()).unwrap())
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
    fn a_value_of_a_patch_keeps_its_text() {
        check(
            "{}",
            r#"[{"op":"add","path":"/n","value":12345678901234567890.10}]"#,
            r#"{"n":12345678901234567890.10}"#,
        );
        check(
            "[0]",
            r#"[{"op":"replace","path":"/0","value":{"b" : "\u00e9","a":1e3}}]"#,
            r#"[{"b" : "\u00e9","a":1e3}]"#,
        );
        let null = r#"[{"op":"add","path":"/n","value":null},{"op":"test","path":"/n","value":null}]"#;
        check("{}", null, r#"{"n":null}"#);
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
            r#"[{"op":"add","path":"/x"}]"#,
            r#"[{"op":"move","path":"/x"}]"#,
            r#"[{"op":"frob","path":"/x"}]"#,
            r#"[{"op":"add","path":"/x","value":{"k":1,"k":2}}]"#,
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
        assert!(patched(b"{}", &double(5), minute).is_ok());
        assert_eq!(patched(b"{}", &double(50), minute), Err(JsonFault::TooLarge));
        let whole = |count: usize| vec![String::new(); count];
        assert!(Content::of(b"[1]").json_get(&whole(341), minute).is_ok());
        assert_eq!(Content::of(b"[1]").json_get(&whole(342), minute), Err(JsonFault::TooLarge));
        let past = JsonBounds { bytes_max: 1 << 10, until: Instant::now() - Duration::from_millis(1) };
        assert_eq!(Content::of(b"[1]").json_get(&whole(1), past), Err(JsonFault::Late));
        assert_eq!(patched(b"{}", &double(1), past), Err(JsonFault::Late));
    }
}
