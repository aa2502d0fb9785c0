//! A compiled plugin: read, made a component, compiled, asked for its phases and powers.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Context, bail};
use serde::Serialize;
use sha2::{Digest, Sha256};
use wasmtime::component::Component;

use super::core_module::{FileKind, component_of, validate};
use super::engine::Engine;
use super::{Phase, bindings};

/// A compiled plugin.
pub struct Plugin {
    /// The name of its file without `.wasm`.
    pub name: String,
    /// SHA-256 of its file, in hexadecimal.
    pub hash: String,
    /// Bytes of its file.
    pub size: usize,
    /// When it was compiled.
    pub compiled_at: SystemTime,
    /// The phases it takes part in.
    pub phases: Vec<Phase>,
    /// The services it imports.
    pub powers: Vec<String>,
    /// Whether it imports WASI, and so may wait.
    pub wasi: bool,
    pub(super) engine: Engine,
    pub(super) component: Component,
}

/// What a plugin says of itself.
#[derive(Debug, Clone, Serialize)]
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
const SERVICES: [&str; 7] = ["types", "log", "clock", "metrics", "limits", "secrets", "crypto"];

/// Parts of WASI that a language's runtime may import; they are there and empty. `wasi:http` is not among them.
const WASI: [&str; 5] = ["wasi:cli/", "wasi:clocks/", "wasi:filesystem/", "wasi:io/", "wasi:random/"];
const WASI_SOCKETS: &str = "wasi:sockets/";

impl Plugin {
    /// Compiles the bytes of a file.
    ///
    /// # Errors
    /// What is wrong with the file, in words for its author.
    pub fn compile(engine: &Engine, name: &str, bytes: &[u8]) -> anyhow::Result<Self> {
        let hash = hash_of(bytes);
        let made;
        let component = match FileKind::of(bytes)? {
            FileKind::Component => bytes,
            FileKind::CoreModule => {
                made = component_of(bytes)?;
                &made
            }
        };
        let component = Component::new(&engine.0, component).map_err(anyhow::Error::from).context("compile")?;
        let mut plugin = Self {
            name: name.to_owned(),
            hash,
            size: bytes.len(),
            compiled_at: SystemTime::now(),
            phases: Vec::new(),
            powers: Vec::new(),
            wasi: false,
            engine: engine.clone(),
            component,
        };
        plugin.read_type()?;
        plugin.component.initialize_copy_on_write_image().map_err(anyhow::Error::from).context("map its memory")?;
        Ok(plugin)
    }

    /// Whether the bytes of a file could be a plugin, without compiling them.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn check(bytes: &[u8]) -> anyhow::Result<()> {
        match FileKind::of(bytes)? {
            FileKind::Component => validate(bytes),
            FileKind::CoreModule => component_of(bytes).map(drop),
        }
    }

    /// The phases from the exports, the powers from the imports.
    fn read_type(&mut self) -> anyhow::Result<()> {
        let ty = self.component.component_type();
        for (name, _) in ty.imports(&self.engine.0) {
            let service = name.strip_prefix(PACKAGE).and_then(|name| name.strip_suffix(VERSION));
            match service {
                Some(service) if SERVICES.contains(&service) => {
                    if service != "types" {
                        self.powers.push(service.to_owned());
                    }
                }
                Some(_) => bail!("imports {name}, which this gateway does not have"),
                None if WASI.iter().any(|known| name.starts_with(known)) || name.starts_with(WASI_SOCKETS) => {
                    self.wasi = true;
                }
                None => bail!("imports {name}: a policy may import {PACKAGE}*{VERSION} and WASI 0.2 without http"),
            }
        }
        let exports: Vec<&str> = ty.exports(&self.engine.0).map(|(name, _)| name).collect();
        let has = |interface: &str| exports.contains(&format!("{PACKAGE}{interface}{VERSION}").as_str());
        if !has("lifecycle") {
            bail!("does not export {PACKAGE}lifecycle{VERSION}: it is no policy of this contract");
        }
        self.phases = Phase::ALL.into_iter().filter(|phase| has(phase.name())).collect();
        if self.phases.is_empty() {
            bail!("exports no phase, so it could never be called");
        }
        Ok(())
    }

    /// Whether it takes part in a phase.
    #[must_use]
    pub fn has(&self, phase: Phase) -> bool {
        self.phases.contains(&phase)
    }
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

    /// A bound on bytes that it states under a name.
    #[must_use]
    pub fn bytes(&self, name: &str) -> Option<u64> {
        self.attributes.iter().find(|(known, _)| known == name)?.1.parse().ok()
    }
}

impl fmt::Debug for Plugin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Plugin").field("name", &self.name).field("hash", &self.hash).finish_non_exhaustive()
    }
}

/// A plugin that several policies and snapshots share.
pub type SharedPlugin = Arc<Plugin>;
