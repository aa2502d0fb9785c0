//! Stores of small values that policies share.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::value::{ByteCount, Period};

/// A store of small values, in memory. It is kept over a reload as long as it is configured, and lost with the process.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KvConfig {
    /// Entries at once. From 1 to 10000000. In a full store what has expired makes room; else a write fails with `full`.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub entries: usize,
    /// Bytes of all keys and values together. An entry takes about 150 bytes of memory beside them.
    pub bytes: ByteCount,
    /// The longest that an entry stays after it was written, from 1s; for ever if absent.
    pub ttl: Option<Period>,
}

impl Default for KvConfig {
    fn default() -> Self {
        Self { entries: 10_000, bytes: ByteCount::mib(16), ttl: None }
    }
}
