//! Components of the standard `wasi:http` 0.2 as upstreams, on an engine of their own, behind the feature `wasi-http`.

#[cfg(not(feature = "wasi-http"))]
mod absent;
#[cfg(feature = "wasi-http")]
mod calls;
#[cfg(feature = "wasi-http")]
mod fate;
#[cfg(feature = "wasi-http")]
mod guest;
#[cfg(feature = "wasi-http")]
mod output;
#[cfg(feature = "wasi-http")]
mod present;
#[cfg(feature = "wasi-http")]
mod stream;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::compiler::Compiler;
use super::package::SharedPlugin;
use crate::config::{ComponentConfig, PluginsConfig};
use crate::telemetry::Metrics;
use crate::upstream::Upstream;

#[cfg(not(feature = "wasi-http"))]
pub use absent::Component;
#[cfg(feature = "wasi-http")]
pub(super) use guest::check_imports;
#[cfg(feature = "wasi-http")]
pub use present::Component;

/// What a component is made from.
#[derive(Debug, Clone)]
pub struct ComponentInputs<'a> {
    /// The upstream's name.
    pub upstream: &'a str,
    /// As configured.
    pub config: &'a ComponentConfig,
    /// Its plugin.
    pub plugin: SharedPlugin,
    /// The upstreams that it may call.
    pub http: BTreeMap<String, Arc<Upstream>>,
    /// What serves now under this name.
    pub previous: Option<Arc<Component>>,
    /// Compiles it.
    pub compiler: &'a Compiler,
    /// What compiling may take.
    pub plugins: &'a PluginsConfig,
    /// Where its figures go.
    pub metrics: &'a Arc<Metrics>,
}

/// The largest memory that an operator can allow a component.
pub(super) const COMPONENT_MEMORY_MAX: usize = 512 << 20;

/// Faults, each with a pointer into the component.
#[cfg_attr(not(feature = "wasi-http"), expect(dead_code, reason = "there is nothing to check without the feature"))]
fn check(config: &ComponentConfig, plugin: &super::Plugin) -> Vec<(String, String)> {
    let mut faults = Vec::new();
    let mut fault = |at: &str, message: String| faults.push((format!("/{at}"), message));
    if !plugin.facts.component {
        fault("plugin", format!("plugin {:?} is a policy: it exports no wasi:http/incoming-handler@0.2", plugin.name));
    }
    if !(1 << 20..=COMPONENT_MEMORY_MAX).contains(&config.memory.as_usize()) {
        fault("memory", format!("memory must be from 1MiB to {}MiB", COMPONENT_MEMORY_MAX >> 20));
    }
    if !(Duration::from_millis(1)..=Duration::from_hours(24)).contains(&config.deadline.0) {
        fault("deadline", "deadline must be from 1ms to 24h".to_owned());
    }
    if !(Duration::from_millis(1)..=Duration::from_mins(10)).contains(&config.cpu.0) {
        fault("cpu", "cpu must be from 1ms to 10m".to_owned());
    }
    for (name, value) in &config.environment {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            fault(&format!("environment/{name}"), format!("{name:?} is no variable that an environment can hold"));
        }
    }
    faults
}
