//! A header section made by hand.

use std::cell::RefCell;
use std::rc::Rc;

use crate::HeaderError;

/// The fields that the gateway owns.
const OWNED: [&str; 10] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "upgrade",
    "expect",
];

type Entries = Vec<(String, Vec<u8>)>;

/// A header section; clones share it.
#[derive(Debug, Default, Clone)]
pub struct Fields(Rc<RefCell<Entries>>);

/// As in the contract.
#[expect(clippy::missing_errors_doc, reason = "the contract states the errors")]
impl Fields {
    pub(super) fn push(&self, name: &str, value: &str) {
        self.0.borrow_mut().push((name.to_ascii_lowercase(), value.as_bytes().to_vec()));
    }

    pub(super) fn first(&self, name: &str) -> Option<String> {
        self.get_all(name).first().map(|value| String::from_utf8_lossy(value).into_owned())
    }

    pub(super) fn check(name: &str, value: &str) -> Result<(), HeaderError> {
        let owned = OWNED.iter().any(|owned| owned.eq_ignore_ascii_case(name));
        if owned || name.is_empty() || value.bytes().any(|byte| byte < b' ' && byte != b'\t') {
            return Err(HeaderError::Refused);
        }
        Ok(())
    }

    /// The one value of `name`.
    pub fn get(&self, name: &str) -> Result<Option<String>, HeaderError> {
        let mut values = self.get_all(name);
        match (values.pop(), values.is_empty()) {
            (None, _) => Ok(None),
            (Some(value), true) => String::from_utf8(value).map(Some).map_err(|_| HeaderError::NotText),
            (Some(_), false) => Err(HeaderError::Repeated),
        }
    }

    /// Many singletons.
    #[must_use]
    pub fn get_many(&self, names: &[String]) -> Vec<Option<String>> {
        names.iter().map(|name| self.get(name).ok().flatten()).collect()
    }

    /// All values of `name`.
    #[must_use]
    pub fn get_all(&self, name: &str) -> Vec<Vec<u8>> {
        let fields = self.0.borrow();
        fields.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone()).collect()
    }

    /// Every field.
    #[must_use]
    pub fn entries(&self) -> Vec<(String, Vec<u8>)> {
        self.0.borrow().clone()
    }

    /// Replace all values of `name` by one.
    pub fn set(&self, name: &str, value: &str) -> Result<(), HeaderError> {
        Self::check(name, value)?;
        self.remove(name)?;
        self.push(name, value);
        Ok(())
    }

    /// Add a value of `name`.
    pub fn append(&self, name: &str, value: &str) -> Result<(), HeaderError> {
        Self::check(name, value)?;
        self.push(name, value);
        Ok(())
    }

    /// Remove every value of `name`.
    pub fn remove(&self, name: &str) -> Result<(), HeaderError> {
        Self::check(name, "")?;
        self.0.borrow_mut().retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        Ok(())
    }
}
