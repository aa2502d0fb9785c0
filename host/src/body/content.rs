//! A whole body in memory, with what reading it as JSON found: read once, whoever asks.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::json::{Index, JsonBounds, JsonFault, Text, read};

/// A whole body in memory. Clones share its bytes, and what reading them as JSON found.
#[derive(Debug, Clone, Default)]
pub struct Content {
    bytes: Bytes,
    /// Absent where nobody may ask.
    json: Option<Arc<OnceLock<Read>>>,
}

/// What reading a body as JSON found.
type Read = Result<Option<Index>, JsonFault>;

impl Content {
    /// A body that policies will ask for JSON.
    #[must_use]
    pub fn new(bytes: Bytes) -> Self {
        Self { bytes, json: Some(Arc::default()) }
    }

    /// The same body, whose clones from here on share what reading it finds.
    #[must_use]
    pub fn shared(self) -> Self {
        if self.json.is_some() { self } else { Self::new(self.bytes) }
    }

    /// The bytes.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The bytes.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// Whether it was read as JSON.
    #[must_use]
    pub fn is_read(&self) -> bool {
        self.json.as_ref().is_some_and(|json| json.get().is_some())
    }

    /// The JSON text at each RFC 6901 pointer, exactly as written.
    ///
    /// # Errors
    /// `NotJson` for a text that is not JSON or has a duplicate name, `TooLarge` and `Late` past the bounds.
    pub fn json_get(&self, pointers: &[String], bounds: JsonBounds) -> Result<Vec<Option<String>>, JsonFault> {
        self.with_text(|text| text.get(pointers, bounds))
    }

    /// What an RFC 6902 patch makes of it, all or nothing.
    ///
    /// # Errors
    /// `NotJson` for the body, `BadPatch` for the patch, `TooLarge` and `Late` past the bounds.
    pub fn json_patch(&self, patch: &str, bounds: JsonBounds) -> Result<Self, JsonFault> {
        let text = self.with_text(|text| text.patch(patch, bounds))?;
        Ok(Self::new(text.into_bytes().into()))
    }

    fn with_text<T>(&self, work: impl FnOnce(Text<'_>) -> Result<T, JsonFault>) -> Result<T, JsonFault> {
        let own;
        let found = match &self.json {
            Some(json) => json.get_or_init(|| read(&self.bytes)),
            None => {
                own = read(&self.bytes);
                &own
            }
        };
        match found {
            Ok(index) => work(Text::known(&self.bytes, index.as_ref())?),
            Err(fault) => Err(fault.clone()),
        }
    }
}

impl From<Bytes> for Content {
    fn from(bytes: Bytes) -> Self {
        Self { bytes, json: None }
    }
}

#[cfg(test)]
impl Content {
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self::new(Bytes::copy_from_slice(bytes))
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Content, JsonBounds};

    #[test]
    fn clones_are_read_once_and_what_a_patch_makes_only_when_asked() {
        let bounds = JsonBounds { bytes_max: 1 << 20, until: Instant::now() + Duration::from_mins(1) };
        let first = Content::of(br#"{"a":1}"#);
        let second = first.clone();
        assert!(!first.is_read());
        assert_eq!(second.json_get(&["/a".to_owned()], bounds).unwrap(), [Some("1".to_owned())]);
        assert!(first.is_read() && first.clone().shared().is_read());
        let patched = first.json_patch(r#"[{"op":"replace","path":"/a","value":2}]"#, bounds).unwrap();
        assert!(!patched.is_read());
        assert_eq!(patched.json_get(&["/a".to_owned()], bounds).unwrap(), [Some("2".to_owned())]);
        assert_eq!(first.json_get(&["/a".to_owned()], bounds).unwrap(), [Some("1".to_owned())]);
    }
}
