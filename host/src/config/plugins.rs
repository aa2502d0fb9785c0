//! Where plugins are found, and what preparing one may take.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::value::{ByteCount, Period};

/// Where plugins are found, and what preparing one may take.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PluginsConfig {
    /// The drop folder: every `*.wasm` in it is a plugin named after the file. Relative to the configuration file.
    pub folder: PathBuf,
    /// What preparing a plugin may take.
    pub compiler: CompilerConfig,
}

/// What preparing a plugin may take. It runs in a process of its own, at the lowest priority; past a bound the plugin
/// is refused, and the last good one serves on.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CompilerConfig {
    /// CPU time, and wall-clock time. From 1s to 1h.
    pub time: Period,
    /// Memory that it writes to. From 64MiB.
    pub memory: ByteCount,
    /// Policies that may start from an image of their configured memory; past it, `configure` runs in each instance.
    pub images: usize,
}

impl Default for PluginsConfig {
    fn default() -> Self {
        Self { folder: PathBuf::from("plugins"), compiler: CompilerConfig::default() }
    }
}

impl Default for CompilerConfig {
    fn default() -> Self {
        Self { time: Period::seconds(120), memory: ByteCount::mib(2048), images: 256 }
    }
}
