//! Text that stays as JSON wrote it until somebody looks inside.

use std::borrow::Cow;

use super::write::{ToJson, escape_into};

/// A text of a message: what passes from one dialect to another need be neither unescaped nor escaped again.
#[derive(Debug, Clone)]
pub enum Text<'a> {
    /// As it stands in a JSON text, with its quotes.
    Written(&'a str),
    /// As a person reads it.
    Plain(Cow<'a, str>),
}

impl<'a> Text<'a> {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Written(written) => *written == "\"\"",
            Self::Plain(plain) => plain.is_empty(),
        }
    }

    /// The text as a person reads it. A half of a surrogate pair, which is no character, becomes U+FFFD.
    pub fn plain(&self) -> Cow<'a, str> {
        match self {
            Self::Written(written) => unescape(inner(written)),
            Self::Plain(plain) => plain.clone(),
        }
    }

    /// About how many bytes it has.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Written(written) => inner(written).len(),
            Self::Plain(plain) => plain.len(),
        }
    }

    /// The same, for whoever keeps it.
    pub fn into_string(self) -> String {
        self.plain().into_owned()
    }

    /// The same text, borrowing nothing.
    pub fn into_owned(self) -> Text<'static> {
        Text::Plain(Cow::Owned(self.into_string()))
    }
}

impl Default for Text<'_> {
    fn default() -> Self {
        Self::Plain(Cow::Borrowed(""))
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(plain: &'a str) -> Self {
        Self::Plain(Cow::Borrowed(plain))
    }
}

impl From<String> for Text<'_> {
    fn from(plain: String) -> Self {
        Self::Plain(Cow::Owned(plain))
    }
}

impl<'a> From<Cow<'a, str>> for Text<'a> {
    fn from(plain: Cow<'a, str>) -> Self {
        Self::Plain(plain)
    }
}

impl PartialEq for Text<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.plain() == other.plain()
    }
}

impl PartialEq<str> for Text<'_> {
    fn eq(&self, other: &str) -> bool {
        self.plain() == other
    }
}

impl ToJson for Text<'_> {
    fn write_to(&self, out: &mut String) {
        match self {
            Self::Written(written) => out.push_str(written),
            Self::Plain(plain) => escape_into(plain, out),
        }
    }
}

/// What stands between the quotes.
fn inner(written: &str) -> &str {
    written.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or_default()
}

/// Of the inside of a JSON string that is known to be well-formed.
fn unescape(inner: &str) -> Cow<'_, str> {
    let Some((before, _)) = inner.split_once('\\') else { return Cow::Borrowed(inner) };
    let mut plain = String::with_capacity(inner.len());
    plain.push_str(before);
    let mut rest = inner.get(before.len()..).unwrap_or_default();
    while let Some(escaped) = rest.strip_prefix('\\') {
        let (letter, used) = unescape_one(escaped);
        plain.push(letter);
        let tail = escaped.get(used..).unwrap_or_default();
        let count = tail.find('\\').unwrap_or(tail.len());
        let (text, next) = tail.split_at(count);
        plain.push_str(text);
        rest = next;
    }
    Cow::Owned(plain)
}

/// Of what follows a backslash in a JSON string that is well-formed: the character, and how many bytes say it. A half of
/// a surrogate pair becomes U+FFFD.
pub fn unescape_one(escaped: &str) -> (char, usize) {
    let letter = match escaped.as_bytes().first() {
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'u') => return unescape_hexadecimal(escaped),
        Some(byte) => char::from(*byte),
        None => '\u{fffd}',
    };
    (letter, 1)
}

fn unescape_hexadecimal(escaped: &str) -> (char, usize) {
    let unit = |from: usize| escaped.get(from..from + 4).and_then(|digits| u32::from_str_radix(digits, 16).ok());
    let first = unit(1).unwrap_or(0xfffd);
    if (0xd800..0xdc00).contains(&first)
        && escaped.get(5..7) == Some("\\u")
        && let Some(second @ 0xdc00..0xe000) = unit(7)
    {
        let letter = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
        return (char::from_u32(letter).unwrap_or('\u{fffd}'), 11);
    }
    (char::from_u32(first).unwrap_or('\u{fffd}'), 5)
}
