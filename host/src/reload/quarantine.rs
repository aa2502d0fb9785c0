//! Takes plugins out that failed too often, and lets them in again.

use std::sync::Arc;

use super::load::{Loaded, Loader};
use crate::config::{Config, QuarantineConfig};

const QUARANTINED: &str = "is in quarantine";

impl Loader {
    /// Goes back to the earlier version of each plugin that failed too often.
    pub(super) fn take_out(&mut self, config: &Config, loaded: &mut Loaded) {
        let QuarantineConfig { faults, per } = &config.plugins.quarantine;
        for (name, plugin) in &mut self.plugins {
            if !plugin.health.is_out() {
                continue;
            }
            let error = format!("{QUARANTINED}: it failed {faults} times within {per}");
            loaded.broken.insert(name.clone(), error.clone());
            self.newest.insert(name.clone(), (plugin.hash().to_owned(), Some(error)));
            if let Some(earlier) = self.earlier.remove(name) {
                tracing::warn!(plugin = name, hash = earlier.hash(), "the version before serves again");
                *plugin = earlier;
            }
        }
    }

    /// A changed configuration may be the remedy.
    pub(super) fn lift_quarantine(&mut self) {
        self.newest.retain(|_, (_, error)| !error.as_ref().is_some_and(|error| error.starts_with(QUARANTINED)));
        // What still runs with the old configuration says nothing of the new one.
        for plugin in self.plugins.values_mut().filter(|plugin| plugin.health.is_out()) {
            *plugin = Arc::new(plugin.again());
        }
    }
}
