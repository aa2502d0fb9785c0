//! Settings that are written as text and become a type that cannot be wrong.

use std::fmt::{Formatter, Result as FormatResult};

use serde::Deserializer;
use serde::de::{Error, Visitor};

struct TextVisitor<F>(F);

impl<T, F: FnOnce(&str) -> Result<T, String>> Visitor<'_> for TextVisitor<F> {
    type Value = T;

    fn expecting(&self, formatter: &mut Formatter<'_>) -> FormatResult {
        formatter.write_str("a text")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        (self.0)(text).map_err(E::custom)
    }
}

/// Reads a text and parses it, without a copy between.
///
/// # Errors
///
/// It is no text, or `parse` refuses it; its message says what to write instead.
pub fn deserialize_text<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Result<T, D::Error> {
    deserializer.deserialize_str(TextVisitor(parse))
}
