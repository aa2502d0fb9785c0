//! Secrets by name. Their bytes are never printed.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use subtle::ConstantTimeEq;

/// The bytes of a secret.
#[derive(Clone)]
pub struct Secret(Arc<[u8]>);

/// The operator's secrets by name.
#[derive(Debug, Default)]
pub struct Secrets(pub BTreeMap<String, Secret>);

impl Secrets {
    /// Whether others are the same.
    #[must_use]
    pub fn is_same(&self, others: &BTreeMap<String, Secret>) -> bool {
        self.0.len() == others.len()
            && self
                .0
                .iter()
                .zip(others)
                .all(|((name, secret), (other, bytes))| name == other && secret.matches(&bytes.0))
    }
}

impl Secret {
    /// A secret of these bytes.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Compares in constant time (in the candidate's length).
    #[must_use]
    pub fn matches(&self, candidate: &[u8]) -> bool {
        self.0.ct_eq(candidate).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret")
    }
}
