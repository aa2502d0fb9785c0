//! How many requests may be under way at once, and which of them go first.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::value::Period;

/// So many requests at once, to the last byte of their responses; more wait their turn, in a queue that is bounded in
/// length and in time. A request past it is answered 503 `concurrency-limited` with `Retry-After`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConcurrencyConfig {
    /// Requests at once. From 1 to 1000000.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max: usize,
    /// Requests that may wait: the higher `priority` first, equals in their order. A full queue turns away its newest
    /// request of the lowest priority for one of a higher. From 0 to 100000.
    #[serde(default)]
    #[schemars(range(max = 100_000))]
    pub queue: usize,
    /// How long a request waits, if it has as much time left.
    #[serde(default = "default_wait")]
    pub wait: Period,
}

/// Which requests go first where not all can be served.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// Turned away first.
    Low,
    /// As most are.
    #[default]
    Normal,
    /// Turned away last.
    High,
}

impl Priority {
    /// The priority of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "low" => Some(Self::Low),
            "normal" => Some(Self::Normal),
            "high" => Some(Self::High),
            _ => None,
        }
    }
}

fn default_wait() -> Period {
    Period::seconds(1)
}
