//! A JSON text with an index of its values, and texts made of it.

use std::borrow::Cow;
use std::cell::OnceCell;

use gatewright_json::{Index, NotJson};

/// A JSON text (RFC 8259) with an index of its values.
#[derive(Debug)]
pub struct Document<'a> {
    pub(super) text: Cow<'a, str>,
    pub(super) index: Index,
    /// A text that was made of this one, and lives as long: the first of a chain.
    derived: OnceCell<Box<Document<'static>>>,
}

impl<'a> Document<'a> {
    /// Reads the whole of a text.
    ///
    /// # Errors
    /// It is not one JSON text, is of 4 GiB or more, or is nested deeper than 128.
    pub fn parse(text: &'a str) -> Result<Self, NotJson> {
        Self::read(Cow::Borrowed(text))
    }

    /// A text that lives as long as this one; `none` if it is no JSON.
    pub(super) fn derive(&self, text: String) -> Option<&Document<'static>> {
        let document = Document::read(Cow::Owned(text)).ok()?;
        let mut end = &self.derived;
        while let Some(next) = end.get() {
            end = &next.derived;
        }
        Some(end.get_or_init(|| Box::new(document)))
    }

    fn read(text: Cow<'a, str>) -> Result<Self, NotJson> {
        let index = Index::of(&text)?;
        Ok(Self { text, index, derived: OnceCell::new() })
    }
}
