//! Makes a component of a core module, so that what a compiler leaves can be dropped in as it is.

use std::borrow::Cow;

use anyhow::{Context, bail};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{Resolve, SourceMap};

use super::package::SERVICES;
use super::{Phase, preview1};

/// The contract, as the module's world is built from it.
const CONTRACT: [(&str, &str); 17] = [
    ("types.wit", include_str!("../../../wit/types.wit")),
    ("lifecycle.wit", include_str!("../../../wit/lifecycle.wit")),
    ("on-request.wit", include_str!("../../../wit/on-request.wit")),
    ("on-request-body.wit", include_str!("../../../wit/on-request-body.wit")),
    ("on-response.wit", include_str!("../../../wit/on-response.wit")),
    ("on-response-body.wit", include_str!("../../../wit/on-response-body.wit")),
    ("on-event.wit", include_str!("../../../wit/on-event.wit")),
    ("on-log.wit", include_str!("../../../wit/on-log.wit")),
    ("on-schedule.wit", include_str!("../../../wit/on-schedule.wit")),
    ("log.wit", include_str!("../../../wit/log.wit")),
    ("clock.wit", include_str!("../../../wit/clock.wit")),
    ("metrics.wit", include_str!("../../../wit/metrics.wit")),
    ("limits.wit", include_str!("../../../wit/limits.wit")),
    ("http.wit", include_str!("../../../wit/http.wit")),
    ("kv.wit", include_str!("../../../wit/kv.wit")),
    ("secrets.wit", include_str!("../../../wit/secrets.wit")),
    ("crypto.wit", include_str!("../../../wit/crypto.wit")),
];

/// What a file is, by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FileKind {
    Component,
    CoreModule,
}

impl FileKind {
    /// The kind of a file's bytes.
    ///
    /// # Errors
    /// What the file is instead.
    fn of(bytes: &[u8]) -> anyhow::Result<Self> {
        if wasmtime::Engine::detect_precompiled(bytes).is_some() {
            bail!("is compiled already: only WebAssembly is loaded, since native code cannot be checked");
        }
        match bytes.get(..8) {
            None if bytes.is_empty() => bail!("is empty"),
            Some([0, b'a', b's', b'm', 0x0d, 0, 1, 0]) => Ok(Self::Component),
            Some([0, b'a', b's', b'm', 1, 0, 0, 0]) => Ok(Self::CoreModule),
            Some([0, b'a', b's', b'm', ..]) => bail!("is of a version of WebAssembly that is not known"),
            _ => bail!("is not WebAssembly"),
        }
    }
}

/// The component in a file, which may be one or be made one.
///
/// # Errors
/// What is wrong with the file, in words for its author.
pub(super) fn component_in(file: &[u8]) -> anyhow::Result<Cow<'_, [u8]>> {
    match FileKind::of(file)? {
        FileKind::Component => {
            wasmparser::Validator::new().validate_all(file).context("validate")?;
            Ok(file.into())
        }
        FileKind::CoreModule => Ok(component_of(file)?.into()),
    }
}

/// A component of a core module; the contract's world is added where the module does not name one.
///
/// # Errors
/// What the module lacks.
fn component_of(module: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut module = module.to_vec();
    if !has_world(&module)? {
        let exports = exports(&module)?;
        embed_world(&mut module, &exports)?;
    }
    let has_preview1 = preview1::is_imported(&module)?;
    if has_preview1 {
        module = preview1::guarded(&module).context("read the core module")?;
    }
    let mut encoder = ComponentEncoder::default();
    encoder.validate(true).realloc_via_memory_grow(true);
    encoder.module(&module).context("read the core module")?;
    if has_preview1 {
        encoder.adapter(preview1::NAME, &preview1_adapter()?).context("read the adapter of WASI preview 1")?;
    }
    encoder.encode().context("make a component of the core module")
}

fn has_world(module: &[u8]) -> anyhow::Result<bool> {
    for payload in wasmparser::Parser::new(0).parse_all(module) {
        if let wasmparser::Payload::CustomSection(section) = payload?
            && section.name().starts_with("component-type")
        {
            return Ok(true);
        }
    }
    Ok(false)
}

fn exports(module: &[u8]) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for payload in wasmparser::Parser::new(0).parse_all(module) {
        if let wasmparser::Payload::ExportSection(section) = payload? {
            for export in section {
                names.push(export?.name.to_owned());
            }
        }
    }
    Ok(names)
}

/// Adds a world with the phases that the module exports by their full names.
fn embed_world(module: &mut Vec<u8>, exports: &[String]) -> anyhow::Result<()> {
    let mut world = "package gatewright:embedded;\nworld policy {\n".to_owned();
    for service in SERVICES {
        world.push_str(&format!("import gatewright:policy/{service}@0.1.0;\n"));
    }
    let phases = Phase::ALL.iter().map(|phase| phase.name()).chain(["lifecycle"]);
    let before = world.len();
    for phase in phases {
        let prefix = format!("gatewright:policy/{phase}@0.1.0#");
        if exports.iter().any(|name| name.starts_with(&prefix)) {
            world.push_str(&format!("export gatewright:policy/{phase}@0.1.0;\n"));
        }
    }
    if world.len() == before {
        bail!("exports no phase of gatewright:policy@0.1.0");
    }
    world.push('}');
    embed(module, contract()?, &world)
}

/// The adapter with the world of its imports.
fn preview1_adapter() -> anyhow::Result<Vec<u8>> {
    let mut adapter = preview1::ADAPTER.to_vec();
    let mut resolve = contract()?;
    resolve.push_str("random.wit", preview1::RANDOM)?;
    embed(&mut adapter, resolve, &format!("package gatewright:embedded;\n{}", preview1::WORLD))?;
    Ok(adapter)
}

/// Adds the one world of a package to a module.
fn embed(module: &mut Vec<u8>, mut resolve: Resolve, package: &str) -> anyhow::Result<()> {
    let package = resolve.push_str("embedded.wit", package)?;
    let world = resolve.select_world(&[package], None)?;
    embed_component_metadata(module, &resolve, world, StringEncoding::UTF8)
}

fn contract() -> anyhow::Result<Resolve> {
    let mut resolve = Resolve::default();
    let mut contract = SourceMap::default();
    for (name, text) in CONTRACT {
        contract.push_str(name, text);
    }
    let contract = contract.parse().map_err(|(_, error)| anyhow::anyhow!("{error:?}"))?;
    resolve.push_group(contract).map_err(|error| anyhow::anyhow!("{error:?}"))?;
    Ok(resolve)
}
