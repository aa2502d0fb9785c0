//! Writes JSON texts.

use std::fmt::Write as _;

/// What can stand in a JSON text.
pub trait ToJson {
    /// Adds the value to the text.
    fn write_to(&self, out: &mut String);
}

/// A value that is JSON already.
#[derive(Debug, Clone, Copy)]
pub struct Raw<'a>(pub &'a str);

impl ToJson for Raw<'_> {
    fn write_to(&self, out: &mut String) {
        out.push_str(self.0);
    }
}

/// Writes the members of an object.
#[derive(Debug)]
pub struct ObjectWriter<'o> {
    out: &'o mut String,
    is_empty: bool,
}

/// Writes the items of an array.
#[derive(Debug)]
pub struct ListWriter<'o> {
    out: &'o mut String,
    is_empty: bool,
}

/// Adds an object to the text.
pub fn object(out: &mut String, write: impl FnOnce(&mut ObjectWriter<'_>)) {
    out.push('{');
    write(&mut ObjectWriter { out, is_empty: true });
    out.push('}');
}

/// Adds an array to the text.
pub fn list(out: &mut String, write: impl FnOnce(&mut ListWriter<'_>)) {
    out.push('[');
    write(&mut ListWriter { out, is_empty: true });
    out.push(']');
}

/// The text of an object.
pub fn object_text(write: impl FnOnce(&mut ObjectWriter<'_>)) -> String {
    let mut out = String::new();
    object(&mut out, write);
    out
}

impl ObjectWriter<'_> {
    /// Whether nothing is written yet.
    pub fn is_empty(&self) -> bool {
        self.is_empty
    }

    /// Adds a member.
    pub fn put(&mut self, name: &str, value: impl ToJson) {
        value.write_to(self.name(name));
    }

    /// Adds a member if there is a value for it.
    pub fn put_some(&mut self, name: &str, value: Option<impl ToJson>) {
        if let Some(value) = value {
            self.put(name, value);
        }
    }

    /// Adds a member whose value is an object.
    pub fn object(&mut self, name: &str, write: impl FnOnce(&mut ObjectWriter<'_>)) {
        object(self.name(name), write);
    }

    /// Adds a member whose value is an array.
    pub fn list(&mut self, name: &str, write: impl FnOnce(&mut ListWriter<'_>)) {
        list(self.name(name), write);
    }

    /// Where the value of a member goes.
    fn name(&mut self, name: &str) -> &mut String {
        separate(self.out, &mut self.is_empty);
        escape_into(name, self.out);
        self.out.push(':');
        self.out
    }
}

impl ListWriter<'_> {
    /// Adds an item.
    pub fn put(&mut self, value: impl ToJson) {
        separate(self.out, &mut self.is_empty);
        value.write_to(self.out);
    }

    /// Adds an object.
    pub fn object(&mut self, write: impl FnOnce(&mut ObjectWriter<'_>)) {
        separate(self.out, &mut self.is_empty);
        object(self.out, write);
    }
}

fn separate(out: &mut String, is_empty: &mut bool) {
    if !std::mem::take(is_empty) {
        out.push(',');
    }
}

/// Adds a string with its quotes.
pub(super) fn escape_into(plain: &str, out: &mut String) {
    out.reserve(plain.len() + 2);
    out.push('"');
    let mut rest = plain;
    while let Some(count) = rest.bytes().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)) {
        let (before, from) = rest.split_at(count);
        out.push_str(before);
        let mut letters = from.chars();
        match letters.next() {
            Some('"') => out.push_str("\\\""),
            Some('\\') => out.push_str("\\\\"),
            Some('\n') => out.push_str("\\n"),
            Some('\r') => out.push_str("\\r"),
            Some('\t') => out.push_str("\\t"),
            control => {
                let _always_ok = write!(out, "\\u{:04x}", u32::from(control.unwrap_or_default()));
            }
        }
        rest = letters.as_str();
    }
    out.push_str(rest);
    out.push('"');
}

impl ToJson for str {
    fn write_to(&self, out: &mut String) {
        escape_into(self, out);
    }
}

impl ToJson for String {
    fn write_to(&self, out: &mut String) {
        escape_into(self, out);
    }
}

impl ToJson for std::borrow::Cow<'_, str> {
    fn write_to(&self, out: &mut String) {
        escape_into(self, out);
    }
}

impl ToJson for bool {
    fn write_to(&self, out: &mut String) {
        out.push_str(if *self { "true" } else { "false" });
    }
}

impl<T: ToJson + ?Sized> ToJson for &T {
    fn write_to(&self, out: &mut String) {
        (**self).write_to(out);
    }
}

impl<T: ToJson> ToJson for Option<T> {
    fn write_to(&self, out: &mut String) {
        match self {
            Some(value) => value.write_to(out),
            None => out.push_str("null"),
        }
    }
}

impl<T: ToJson> ToJson for [T] {
    fn write_to(&self, out: &mut String) {
        list(out, |list| self.iter().for_each(|item| list.put(item)));
    }
}

impl<T: ToJson> ToJson for Vec<T> {
    fn write_to(&self, out: &mut String) {
        self.as_slice().write_to(out);
    }
}

macro_rules! whole_number {
    ($($kind:ty),*) => {$(
        impl ToJson for $kind {
            fn write_to(&self, out: &mut String) {
                let _always_ok = write!(out, "{self}");
            }
        }
    )*};
}

whole_number!(u16, u32, u64, i32, i64, usize);

impl ToJson for f64 {
    /// What JSON has no word for is `null`.
    fn write_to(&self, out: &mut String) {
        if self.is_finite() {
            let _always_ok = write!(out, "{self}");
        } else {
            out.push_str("null");
        }
    }
}
