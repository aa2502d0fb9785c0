//! A message body made by hand.

use std::cell::RefCell;

use super::json;
use crate::BodyError;

/// A complete message body.
#[derive(Debug, Default)]
pub struct Body(RefCell<Vec<u8>>);

impl From<&str> for Body {
    fn from(text: &str) -> Self {
        Self(RefCell::new(text.as_bytes().to_vec()))
    }
}

impl From<&[u8]> for Body {
    fn from(bytes: &[u8]) -> Self {
        Self(RefCell::new(bytes.to_vec()))
    }
}

/// As in the contract.
#[expect(clippy::missing_errors_doc, reason = "the contract states the errors")]
impl Body {
    /// The body as text, for assertions.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.borrow()).into_owned()
    }

    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> u32 {
        u32::try_from(self.0.borrow().len()).unwrap_or(u32::MAX)
    }

    /// Whether there is no byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    /// Up to `max` bytes from `offset`.
    #[must_use]
    pub fn read(&self, offset: u32, max: u32) -> Vec<u8> {
        self.0.borrow().iter().skip(offset as usize).take(max as usize).copied().collect()
    }

    /// Replace the whole body.
    pub fn replace(&self, bytes: &[u8]) -> Result<(), BodyError> {
        *self.0.borrow_mut() = bytes.to_vec();
        Ok(())
    }

    /// The JSON text at each pointer.
    pub fn json_get(&self, pointers: &[String]) -> Result<Vec<Option<String>>, BodyError> {
        let text = self.json_text()?;
        Ok(pointers.iter().map(|pointer| json::text_at(&text, pointer).map(str::to_owned)).collect())
    }

    /// Apply a patch of `add`, `replace` and `remove`.
    pub fn json_patch(&self, patch: &str) -> Result<(), BodyError> {
        let patched = json::patch(&self.json_text()?, patch).map_err(BodyError::BadPatch)?;
        self.replace(patched.as_bytes())
    }

    fn json_text(&self) -> Result<String, BodyError> {
        let text = self.text();
        match serde_json::from_str::<serde::de::IgnoredAny>(&text) {
            Ok(_) => Ok(text),
            Err(error) => Err(BodyError::NotJson(error.to_string())),
        }
    }
}
