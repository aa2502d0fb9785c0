//! Gives a component that was made of an image a function that puts it back into that state, so that one instance can
//! serve call after call and begin each as if it were new. The function is our code: the guest has no say in it.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use wasm_encoder::{
    Alias, CanonicalFunctionSection, ComponentAliasSection, ComponentExportKind, ComponentExportSection,
    ComponentSection, ComponentTypeSection, ExportKind, RawSection,
};
use wasmparser::{
    CanonicalFunction, ComponentAlias, ComponentExternalKind, ComponentOuterAliasKind, ExternalKind, Instance, Parser,
    Payload,
};

use super::reset_module::with_reset as module_with_reset;

/// The name of each function that resets a part of the component: this and a number from 0.
pub(super) const RESET: &str = "gatewright-reset-";

const MODULE_SECTION: u8 = 1;
const COMPONENT_SECTION: u8 = 4;

/// How many things of a kind a component has so far: the next one's index.
#[derive(Default)]
struct Counts {
    modules: u32,
    core_instances: u32,
    core_functions: u32,
    types: u32,
    functions: u32,
}

/// The component, with a function `RESET` for each of its modules that keeps state.
///
/// # Errors
/// Why its state cannot be put back.
pub(super) fn with_reset(component: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut out = component.get(..8).context("there is no header")?.to_vec();
    let mut counts = Counts::default();
    // The core instance of each module that keeps state.
    let mut resets: BTreeMap<u32, Option<u32>> = BTreeMap::new();
    let mut depth = 0_u32;
    for payload in Parser::new(0).parse_all(component) {
        let payload = payload?;
        match &payload {
            Payload::Version { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            Payload::ModuleSection { .. } if depth > 1 => bail!("it has a component with code inside"),
            // A component that only gives types to what is exported.
            Payload::ComponentSection { unchecked_range, .. } if depth == 1 => {
                let data = slice(component, unchecked_range)?;
                RawSection { id: COMPONENT_SECTION, data }.append_to_component(&mut out);
            }
            Payload::ModuleSection { unchecked_range, .. } => {
                let module = slice(component, unchecked_range)?;
                let changed = module_with_reset(module, RESET)?;
                if changed.is_some() {
                    resets.insert(counts.modules, None);
                }
                counts.modules += 1;
                let data = changed.as_deref().unwrap_or(module);
                RawSection { id: MODULE_SECTION, data }.append_to_component(&mut out);
            }
            _ if depth > 1 => {}
            payload => {
                counts.add(payload, &mut resets)?;
                if let Some((id, range)) = payload.as_section() {
                    RawSection { id, data: slice(component, &range)? }.append_to_component(&mut out);
                }
            }
        }
    }
    export(&mut out, resets.into_values().flatten(), &counts);
    Ok(out)
}

/// Lifts the function out of each core instance.
fn export(out: &mut Vec<u8>, instances: impl Iterator<Item = u32>, counts: &Counts) {
    let mut types = ComponentTypeSection::new();
    types.function().params::<[(&str, wasm_encoder::ComponentValType); 0], _>([]).result(None);
    let (mut aliases, mut lifts) = (ComponentAliasSection::new(), CanonicalFunctionSection::new());
    let mut exports = ComponentExportSection::new();
    for (number, instance) in (0_u32..).zip(instances) {
        aliases.alias(Alias::CoreInstanceExport { instance, kind: ExportKind::Func, name: RESET });
        lifts.lift(counts.core_functions + number, counts.types, []);
        let name = format!("{RESET}{number}");
        exports.export(name.as_str(), ComponentExportKind::Func, counts.functions + number, None);
    }
    types.append_to_component(out);
    aliases.append_to_component(out);
    lifts.append_to_component(out);
    exports.append_to_component(out);
}

impl Counts {
    fn add(&mut self, payload: &Payload<'_>, resets: &mut BTreeMap<u32, Option<u32>>) -> anyhow::Result<()> {
        match payload {
            Payload::InstanceSection(section) => {
                for instance in section.clone() {
                    if let Instance::Instantiate { module_index, .. } = instance? {
                        resets.entry(module_index).and_modify(|at| *at = Some(self.core_instances));
                    }
                    self.core_instances += 1;
                }
            }
            Payload::ComponentTypeSection(section) => self.types += section.count(),
            Payload::ComponentImportSection(section) => {
                for import in section.clone() {
                    self.named(import?.ty.kind());
                }
            }
            Payload::ComponentExportSection(section) => {
                for export in section.clone() {
                    self.named(export?.kind);
                }
            }
            Payload::ComponentAliasSection(section) => {
                for alias in section.clone() {
                    match alias? {
                        ComponentAlias::InstanceExport { kind, .. } => self.named(kind),
                        ComponentAlias::CoreInstanceExport { kind: ExternalKind::Func, .. } => self.core_functions += 1,
                        ComponentAlias::CoreInstanceExport { .. } => {}
                        ComponentAlias::Outer { kind: ComponentOuterAliasKind::Type, .. } => self.types += 1,
                        ComponentAlias::Outer { .. } => bail!("it takes more than a type from outside"),
                    }
                }
            }
            Payload::ComponentCanonicalSection(section) => {
                for function in section.clone() {
                    match function? {
                        CanonicalFunction::Lift { .. } => self.functions += 1,
                        _ => self.core_functions += 1,
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn named(&mut self, kind: ComponentExternalKind) {
        match kind {
            ComponentExternalKind::Type => self.types += 1,
            ComponentExternalKind::Func => self.functions += 1,
            ComponentExternalKind::Module => self.modules += 1,
            ComponentExternalKind::Value | ComponentExternalKind::Instance | ComponentExternalKind::Component => {}
        }
    }
}

fn slice<'a>(bytes: &'a [u8], range: &std::ops::Range<u64>) -> anyhow::Result<&'a [u8]> {
    let (start, end) = (usize::try_from(range.start)?, usize::try_from(range.end)?);
    bytes.get(start..end).context("a section breaks off")
}
