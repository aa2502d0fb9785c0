//! Where plugins are found, and what preparing one may take.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::provenance::{Digest, PublicKey};
use super::upstream::{UpstreamTimeouts, UpstreamTlsConfig};
use super::value::{ByteCount, Period};

/// Where plugins are found, and what preparing one may take.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PluginsConfig {
    /// The drop folder: every `*.wasm` in it is a plugin named after the file. Relative to the configuration file.
    pub folder: PathBuf,
    /// Plugins by name whose file must have this digest; another one is refused.
    pub pins: BTreeMap<String, Digest>,
    /// Keys that sign plugins. A signature of one of them that does not verify refuses the plugin.
    pub trusted_keys: Vec<PublicKey>,
    /// Whether each plugin needs a signature of a trusted key, in a file of the plugin's name with `.wasm.sig`, as
    /// `gatewright sign` writes it.
    pub require_signature: bool,
    /// Plugins by name that come from elsewhere than the drop folder. What their digests name never changes: another
    /// version is another digest.
    pub sources: BTreeMap<String, SourceConfig>,
    /// What preparing a plugin may take.
    pub compiler: CompilerConfig,
    /// When a plugin that fails is called no more.
    pub quarantine: QuarantineConfig,
}

/// When a version of a plugin is called no more: after so many traps, deadlines and memory bounds of one policy in a
/// period, if no more calls of the same phase ended well meanwhile. The version before it returns if there is one, else
/// the failure mode of each policy applies at once. A new file or a change of the configuration gives the plugin another
/// chance.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct QuarantineConfig {
    /// Faults; 0 for never, at most 10000.
    #[schemars(range(max = 10000))]
    pub faults: u32,
    /// The period.
    pub per: Period,
}

impl Default for QuarantineConfig {
    fn default() -> Self {
        Self { faults: 10, per: Period::seconds(60) }
    }
}

/// Where a plugin comes from: an OCI image whose one layer is `application/wasm` and whose configuration is
/// `application/vnd.wasm.config.v0+json`. Its annotation `dev.gatewright.signatures` may carry signatures.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
pub enum SourceConfig {
    /// An OCI image layout: a folder on disk.
    Layout(LayoutConfig),
    /// A registry (OCI distribution specification).
    Registry(Box<RegistryConfig>),
}

/// An image in a folder on disk.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LayoutConfig {
    /// The folder, which holds `oci-layout` and `blobs`. Relative to the configuration file.
    pub path: PathBuf,
    /// The digest of the image's manifest.
    pub digest: Digest,
}

/// An image in a registry. It is pulled once, within a minute, and kept in the gateway's cache.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RegistryConfig {
    /// `HOST[:PORT]/REPOSITORY`, without a tag.
    pub image: String,
    /// The digest of the image's manifest.
    pub digest: Digest,
    /// For a registry that wants to know who asks.
    #[serde(default)]
    pub username: Option<String>,
    /// The user's password or token; write `${env:NAME}` here.
    #[serde(default)]
    pub password: Option<String>,
    /// Clear text, to a loopback address only.
    #[serde(default)]
    pub insecure: bool,
    /// TLS towards the registry.
    #[serde(default)]
    pub tls: UpstreamTlsConfig,
    /// Waits that end, for each answer.
    #[serde(default)]
    pub timeouts: UpstreamTimeouts,
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
        Self {
            folder: PathBuf::from("plugins"),
            pins: BTreeMap::new(),
            trusted_keys: Vec::new(),
            require_signature: false,
            sources: BTreeMap::new(),
            compiler: CompilerConfig::default(),
            quarantine: QuarantineConfig::default(),
        }
    }
}

impl Default for CompilerConfig {
    fn default() -> Self {
        Self { time: Period::seconds(120), memory: ByteCount::mib(2048), images: 256 }
    }
}
