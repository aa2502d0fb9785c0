//! Patches JSON text in place: what no operation touches keeps its bytes.

use std::borrow::Cow;
use std::ops::Range;

use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

use super::check::checked;
use super::index::Index;
use super::{Children, JsonBounds, JsonFault, Text, array_index};

/// A text that is being patched. Its index goes with the first change, and is made anew only for a further operation.
pub(super) struct Draft<'a> {
    text: Cow<'a, str>,
    shared: Option<&'a Index>,
    own: Option<Index>,
}

/// One operation, as RFC 6902 writes it.
#[derive(Deserialize)]
struct Written<'a> {
    #[serde(borrow)]
    op: Cow<'a, str>,
    #[serde(borrow)]
    path: Cow<'a, str>,
    #[serde(borrow, default)]
    from: Option<Cow<'a, str>>,
    /// As its author wrote it: a number keeps its digits.
    #[serde(borrow, default, deserialize_with = "present")]
    value: Option<&'a RawValue>,
}

/// Whatever is there is a value, `null` too.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

impl<'a> Draft<'a> {
    pub(super) fn of(text: Text<'a>) -> Self {
        Self { text: Cow::Borrowed(text.text), shared: text.index, own: None }
    }

    /// Applies every operation, or says which does not apply.
    pub(super) fn apply_all(mut self, patch: &str, bounds: JsonBounds) -> Result<String, JsonFault> {
        let operations: Vec<Written<'_>> =
            serde_json::from_str(patch).map_err(|error| JsonFault::BadPatch(error.to_string()))?;
        for (number, operation) in operations.iter().enumerate() {
            let applied = self.apply(operation);
            applied.map_err(|message| JsonFault::BadPatch(format!("operation {number}: {message}")))?;
            bounds.check(self.text.len())?;
        }
        Ok(self.text.into_owned())
    }

    fn apply(&mut self, operation: &Written<'_>) -> Result<(), String> {
        let path = &*operation.path;
        match &*operation.op {
            "add" => {
                let value = operation.value()?;
                self.add(path, value)
            }
            "remove" => self.remove(path),
            "replace" => {
                let value = operation.value()?;
                let range = self.find(path)?;
                self.change(range, value);
                Ok(())
            }
            "move" => {
                let from = operation.from()?;
                if path.starts_with(&format!("{from}/")) {
                    return Err(format!("{from:?} cannot move into itself"));
                }
                let value = self.read(from)?;
                self.remove(from)?;
                self.add(path, &value)
            }
            "copy" => {
                let value = self.read(operation.from()?)?;
                self.add(path, &value)
            }
            "test" => {
                let read = |text: &str| serde_json::from_str::<Value>(text).map_err(|error| error.to_string());
                let (found, value) = (read(&self.read(path)?)?, read(operation.value()?)?);
                if equal(&found, &value) { Ok(()) } else { Err(format!("{path:?} has another value")) }
            }
            other => Err(format!("{other:?} is no operation")),
        }
    }

    fn view(&mut self) -> Text<'_> {
        if self.shared.is_none() && self.own.is_none() {
            self.own = Index::of(&self.text).ok().flatten();
        }
        Text { text: &self.text, index: self.shared.or(self.own.as_ref()) }
    }

    fn change(&mut self, range: Range<usize>, with: &str) {
        (self.shared, self.own) = (None, None);
        match &mut self.text {
            // What is copied is copied once, changed.
            Cow::Borrowed(text) => {
                let (before, after) = (text.get(..range.start), text.get(range.end..));
                self.text = Cow::Owned([before.unwrap_or_default(), with, after.unwrap_or_default()].concat());
            }
            Cow::Owned(text) => text.replace_range(range, with),
        }
    }

    fn insert(&mut self, at: usize, text: &str) {
        self.change(at..at, text);
    }

    fn find(&mut self, pointer: &str) -> Result<Range<usize>, String> {
        self.view().locate(pointer).ok_or_else(|| format!("there is nothing at {pointer:?}"))
    }

    fn read(&mut self, pointer: &str) -> Result<String, String> {
        let range = self.find(pointer)?;
        self.text.get(range).map(str::to_owned).ok_or_else(|| "a range is off".to_owned())
    }

    fn add(&mut self, pointer: &str, value: &str) -> Result<(), String> {
        if pointer.is_empty() {
            self.change(0..self.text.len(), value);
            return Ok(());
        }
        let (parent, name) = split(pointer)?;
        let range = self.find(parent)?;
        let (start, end) = (range.start, range.end);
        match self.view().children(&range)? {
            Children::Object(members) => {
                if let Some((_, place)) = members.iter().find(|(known, _)| *known == name) {
                    self.change(place.clone(), value);
                    return Ok(());
                }
                let comma = if members.is_empty() { "" } else { "," };
                let at = members.last().map_or(start + 1, |(_, place)| place.end);
                let name = Value::String(name);
                self.insert(at, &format!("{comma}{name}:{value}"));
            }
            Children::Array(elements) => {
                let index = if name == "-" { elements.len() } else { array_index(&name)? };
                match (elements.get(index), elements.last()) {
                    (Some(place), _) => self.insert(place.start, &format!("{value},")),
                    (None, Some(last)) if index == elements.len() => self.insert(last.end, &format!(",{value}")),
                    (None, None) if index == 0 => self.insert(start + 1, value),
                    _ => return Err(format!("{pointer:?} is past the end")),
                }
            }
            Children::None => return Err(format!("{parent:?} is no object or array at {start}..{end}")),
        }
        Ok(())
    }

    fn remove(&mut self, pointer: &str) -> Result<(), String> {
        let (parent, name) = split(pointer)?;
        let range = self.find(parent)?;
        let start = range.start;
        let (places, index) = match self.view().children(&range)? {
            Children::Object(members) => {
                let index = members.iter().position(|(known, _)| *known == name);
                (members.into_iter().map(|(_, place)| place).collect::<Vec<_>>(), index)
            }
            Children::Array(elements) => (elements, Some(array_index(&name)?)),
            Children::None => return Err(format!("{parent:?} is no object or array")),
        };
        let nothing = || format!("there is nothing at {pointer:?}");
        let index = index.ok_or_else(nothing)?;
        let place = places.get(index).ok_or_else(nothing)?;
        let previous = index.checked_sub(1).and_then(|index| places.get(index));
        let cut = match (previous, places.get(index + 1)) {
            (Some(previous), _) => previous.end..place.end,
            (None, Some(_)) => {
                let comma = self.text.get(place.end..).and_then(|rest| rest.find(',')).ok_or_else(nothing)?;
                start + 1..place.end + comma + 1
            }
            (None, None) => start + 1..place.end,
        };
        self.change(cut, "");
        Ok(())
    }
}

impl Written<'_> {
    fn from(&self) -> Result<&str, String> {
        self.from.as_deref().ok_or_else(|| format!("{:?} needs `from`", self.op))
    }

    /// Its value, which must not bring a duplicate name into the text.
    fn value(&self) -> Result<&str, String> {
        let value = self.value.ok_or_else(|| format!("{:?} needs `value`", self.op))?.get();
        match checked(value) {
            Ok(()) => Ok(value),
            Err(JsonFault::NotJson(why)) => Err(why),
            Err(_) => Err("the value is out of bounds".to_owned()),
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

fn split(pointer: &str) -> Result<(&str, String), String> {
    let (parent, name) = pointer.rsplit_once('/').ok_or_else(|| format!("{pointer:?} is not a pointer"))?;
    Ok((parent, name.replace("~1", "/").replace("~0", "~")))
}
