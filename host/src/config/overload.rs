//! What the gateway does before it runs out of memory, of connections, or of room for bodies.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::value::ByteCount;

/// What the gateway does before it runs out of memory, of connections, or of room for bodies; always on. What was begun
/// ends five points below where it began. Requests that are turned away get 503 `overloaded` with `Retry-After`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OverloadConfig {
    /// Resident memory of the process, at most. 80 % of what its cgroup or its machine has, if absent.
    pub memory: Option<ByteCount>,
    /// Bodies held in memory at once, of all requests together, since a policy reads them whole; a request whose body
    /// finds no room is turned away. At least `bounds.buffered_body`. A quarter of `memory` if absent, or that.
    pub bodies: Option<ByteCount>,
    /// From this part of `memory` or `bodies` on, in percent, requests of low priority are turned away.
    #[schemars(range(min = 1, max = 100))]
    pub shed_from: u8,
    /// From this part of `memory` or `bounds.connections` on, in percent, connections are closed after their response:
    /// of HTTP/2, after all that are under way.
    #[schemars(range(min = 1, max = 100))]
    pub close_from: u8,
    /// From this part of `memory` on, in percent, every request is turned away.
    #[schemars(range(min = 1, max = 100))]
    pub refuse_from: u8,
}

impl Default for OverloadConfig {
    fn default() -> Self {
        Self { memory: None, bodies: None, shed_from: 85, close_from: 90, refuse_from: 95 }
    }
}
