//! A component ready to serve a policy: compiled, linked, its functions found.

use anyhow::{Context, anyhow};
use wasmtime::component::{Component, ComponentExportIndex, InstancePre};

use super::Phase;
use super::call::Call;
use super::engine::Engine;
use super::grants::linker;
use super::package::{Description, Facts};
use super::reset::RESET;

/// A component ready to serve every policy that is configured alike.
pub(super) struct Prepared {
    /// What its plugin says of itself.
    pub(super) description: Description,
    /// How its instances get their configuration.
    pub(super) preparation: Preparation,
    pub(super) pre: InstancePre<Call>,
    pub(super) configure: ComponentExportIndex,
    /// The functions that put an instance back to its beginning; none where it cannot be.
    pub(super) resets: Vec<ComponentExportIndex>,
    handles: [Option<ComponentExportIndex>; Phase::ALL.len()],
}

/// How an instance gets its configuration.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preparation {
    /// It starts from an image of the memory that `configure` left.
    Snapshot,
    /// `configure` runs in each instance: why there is no image.
    PerInstance(String),
}

impl Preparation {
    /// The word for it.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Snapshot => "snapshot",
            Self::PerInstance(_) => "per-instance",
        }
    }

    /// Why there is no image.
    #[must_use]
    pub fn why(&self) -> Option<&str> {
        match self {
            Self::Snapshot => None,
            Self::PerInstance(why) => Some(why),
        }
    }
}

impl Prepared {
    pub(super) fn link(
        engine: &Engine,
        component: &Component,
        facts: &Facts,
        (description, preparation): (Description, Preparation),
    ) -> anyhow::Result<Self> {
        let pre = linker(engine, facts).and_then(|linker| linker.instantiate_pre(component));
        let pre = pre.map_err(anyhow::Error::from).context("link")?;
        let mut handles = [const { None }; Phase::ALL.len()];
        for (phase, slot) in Phase::ALL.into_iter().zip(&mut handles) {
            if facts.has(phase) {
                *slot = Some(export(component, phase.name(), "handle")?);
            }
        }
        let configure = export(component, "lifecycle", "configure")?;
        let names = (0..).map(|number| format!("{RESET}{number}"));
        let resets = names.map_while(|name| component.get_export_index(None, &name)).collect();
        Ok(Self { description, preparation, pre, configure, resets, handles })
    }

    /// The function of a phase, if it takes part in it.
    pub(super) fn handle(&self, phase: Phase) -> Option<&ComponentExportIndex> {
        self.handles.get(phase as usize)?.as_ref()
    }
}

/// A function of an exported interface of the contract.
pub(super) fn export(component: &Component, interface: &str, function: &str) -> anyhow::Result<ComponentExportIndex> {
    let name = format!("gatewright:policy/{interface}@0.1.0");
    let instance = component.get_export_index(None, &name);
    let found = instance.and_then(|instance| component.get_export_index(Some(&instance), function));
    found.ok_or_else(|| anyhow!("does not export {name}.{function}"))
}
