//! A plugin: a file, and what its imports and exports say of it.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::health::Health;
use super::reset::RESET;
use super::{Component, Phase, bindings};

/// A plugin: a file in the drop folder that could be one.
pub struct Plugin {
    /// The name of its file without `.wasm`.
    pub name: String,
    /// When it was loaded.
    pub loaded_at: SystemTime,
    /// Its phases and powers.
    pub facts: Facts,
    /// What it did wrong.
    pub health: Health,
    /// Its file.
    pub(super) file: Hashed,
}

/// Bytes and what they hash to, which nobody needs to compute again.
#[derive(Debug, Clone)]
pub struct Hashed {
    bytes: Bytes,
    hash: String,
}

/// What a component's imports and exports say of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// The phases it takes part in.
    pub phases: Vec<Phase>,
    /// The services it imports.
    pub powers: Vec<String>,
    /// Whether it imports WASI.
    pub wasi: bool,
    /// Whether it imports randomness from WASI.
    pub random: bool,
    /// Whether it is a component for an upstream, and no policy.
    #[serde(default)]
    pub component: bool,
}

/// What a plugin says of itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Description {
    /// JSON Schema of its configuration.
    pub config_schema: serde_json::Value,
    /// Open-ended names and values.
    pub attributes: Vec<(String, String)>,
}

/// A plugin's file is at most this long.
pub const FILE_MAX: u64 = 64 << 20;

/// The text of a plugin's schema.
const SCHEMA_MAX: usize = 256 << 10;

const PACKAGE: &str = "gatewright:policy/";
const VERSION: &str = "@0.1.0";
pub(super) const SERVICES: [&str; 9] =
    ["types", "log", "clock", "metrics", "limits", "kv", "secrets", "crypto", "http"];

/// Parts of WASI that a language's runtime may import; they are there and empty. `wasi:http` is not among them.
const WASI: [&str; 5] = ["wasi:cli/", "wasi:clocks/", "wasi:filesystem/", "wasi:io/", "wasi:random/"];
const WASI_HTTP: &str = "wasi:http/";
const HANDLER: &str = "wasi:http/incoming-handler@0.2.";
const WASI_SOCKETS: &str = "wasi:sockets/";

impl Plugin {
    /// A plugin of a file that was looked at.
    #[must_use]
    pub fn new(name: &str, file: Hashed, facts: Facts) -> Self {
        Self { name: name.to_owned(), loaded_at: SystemTime::now(), facts, health: Health::default(), file }
    }

    /// The same file with nothing held against it.
    #[must_use]
    pub fn again(&self) -> Self {
        Self::new(&self.name, self.file.clone(), self.facts.clone())
    }

    /// SHA-256 of its file, in hexadecimal.
    #[must_use]
    pub fn hash(&self) -> &str {
        self.file.hash()
    }

    /// Bytes of its file.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.file.bytes.len()
    }
}

impl Hashed {
    /// Hashes bytes.
    #[must_use]
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self { hash: hash_of(&bytes), bytes }
    }

    /// The bytes.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// SHA-256 of the bytes, in hexadecimal.
    #[must_use]
    pub fn hash(&self) -> &str {
        &self.hash
    }
}

impl Facts {
    /// The phases from the exports, the powers from the imports.
    ///
    /// # Errors
    /// Why it is no policy of this contract.
    pub(super) fn read(component: &[u8]) -> anyhow::Result<Self> {
        let (imports, exports) = names(component)?;
        if let Some(name) = exports.iter().find(|name| name.starts_with(WASI_HTTP)) {
            return Self::of_component(name, &imports);
        }
        let mut facts = Self::default();
        for name in imports {
            let service = name.strip_prefix(PACKAGE).and_then(|name| name.strip_suffix(VERSION));
            match service {
                Some(service) if SERVICES.contains(&service) => {
                    if service != "types" {
                        facts.powers.push(service.to_owned());
                    }
                }
                Some(_) => bail!("imports {name}, which this gateway does not have"),
                None if WASI.iter().any(|known| name.starts_with(known)) || name.starts_with(WASI_SOCKETS) => {
                    facts.wasi = true;
                    facts.random |= name.starts_with("wasi:random/");
                }
                None => bail!("imports {name}: a policy may import {PACKAGE}*{VERSION} and WASI 0.2 without http"),
            }
        }
        if let Some(name) = exports.iter().find(|name| name.starts_with(RESET)) {
            bail!("exports {name}, a name that the gateway keeps for itself");
        }
        let has = |interface: &str| exports.contains(&format!("{PACKAGE}{interface}{VERSION}"));
        if !has("lifecycle") {
            bail!("does not export {PACKAGE}lifecycle{VERSION}: it is no policy of this contract");
        }
        facts.phases = Phase::ALL.into_iter().filter(|phase| has(phase.name())).collect();
        if facts.phases.is_empty() {
            bail!("exports no phase, so it could never be called");
        }
        Ok(facts)
    }

    /// Of a component for an upstream, which exports this and imports those.
    fn of_component(export: &str, imports: &[String]) -> anyhow::Result<Self> {
        Component::supported().map_err(|how| anyhow!("exports {export}, and {how}"))?;
        if !export.starts_with(HANDLER) {
            bail!("exports {export}: of the standard worlds only {HANDLER}* (wasi:http/proxy) can be served");
        }
        let served = |name: &str| {
            let parts = ["wasi:http/types", "wasi:http/outgoing-handler", WASI_SOCKETS];
            let known = parts.iter().chain(&WASI).any(|part| name.starts_with(part));
            known && name.contains("@0.2.")
        };
        if let Some(name) = imports.iter().find(|name| !served(name)) {
            bail!("imports {name}, which no component is given: it may import WASI 0.2");
        }
        Ok(Self { wasi: true, component: true, ..Self::default() })
    }

    /// Whether a call may wait for something, and so needs a stack of its own.
    #[must_use]
    pub fn waits(&self) -> bool {
        self.wasi || self.powers.iter().any(|power| power == "http")
    }

    /// Whether it takes part in a phase.
    #[must_use]
    pub fn has(&self, phase: Phase) -> bool {
        self.phases.contains(&phase)
    }
}

/// The names of a component's own imports and exports.
fn names(component: &[u8]) -> anyhow::Result<(Vec<String>, Vec<String>)> {
    let (mut imports, mut exports, mut depth) = (Vec::new(), Vec::new(), 0_u32);
    for payload in wasmparser::Parser::new(0).parse_all(component) {
        match payload? {
            wasmparser::Payload::Version { .. } => depth += 1,
            wasmparser::Payload::End(_) => depth -= 1,
            wasmparser::Payload::ComponentImportSection(section) if depth == 1 => {
                for import in section {
                    imports.push(import?.name.name.to_owned());
                }
            }
            wasmparser::Payload::ComponentExportSection(section) if depth == 1 => {
                for export in section {
                    exports.push(export?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok((imports, exports))
}

/// SHA-256 in hexadecimal.
#[must_use]
pub fn hash_of(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Description {
    pub(super) fn read(
        descriptor: bindings::exports::gatewright::policy::lifecycle::Descriptor,
    ) -> anyhow::Result<Self> {
        if descriptor.config_schema.len() > SCHEMA_MAX {
            bail!("its config-schema is larger than {} KiB", SCHEMA_MAX >> 10);
        }
        let config_schema = serde_json::from_str(&descriptor.config_schema).context("its config-schema is not JSON")?;
        Ok(Self { config_schema, attributes: descriptor.attributes })
    }

    /// Of a plugin that was not asked yet.
    pub(super) const fn unknown() -> Self {
        Self { config_schema: serde_json::Value::Null, attributes: Vec::new() }
    }

    /// A bound on bytes that it states under a name.
    #[must_use]
    pub fn bytes(&self, name: &str) -> Option<u64> {
        self.attributes.iter().find(|(known, _)| known == name)?.1.parse().ok()
    }
}

impl fmt::Debug for Plugin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Plugin").field("name", &self.name).field("hash", &self.hash()).finish_non_exhaustive()
    }
}

/// A plugin that several policies and snapshots share.
pub type SharedPlugin = Arc<Plugin>;
